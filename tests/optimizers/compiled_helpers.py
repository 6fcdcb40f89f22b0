"""Helpers of the tests of compiled steps: the engines, and comparisons bit by bit.

Most tests run twice. With the engine "python", the loops that numba would compile run as Python
code. So the traced rules are tested without numba, too. The fixture is in conftest.py.
"""

import importlib
from importlib.util import find_spec

import numpy as np
import pytest

from minigrad.optimizers import CosineDecay, Parameter, get

compiled = importlib.import_module("minigrad.optimizers.compiled")
ENGINES = ["python", "numba"] if find_spec("numba") else ["python"]
DTYPES = [np.float32, np.float64]

# Python's loops are slow: where there are many cases, they run in float32 only.
with_dtypes = pytest.mark.parametrize(
    "engine, dtype",
    [(e, d) for e in ENGINES for d in DTYPES if (e, d) != ("python", np.float64)],
    indirect=["engine"],
    ids=lambda x: getattr(x, "__name__", x),
)
numba_only = pytest.mark.parametrize("engine", ENGINES[1:], indirect=True)


def run_as_python(source, dtype):
    return compiled.run_source(source, "kernel")


def make_pair(cls, sizes, **hyper):
    every = [[Parameter(np.ones(n), np.full(n, 0.3)) for n in sizes] for _ in range(2)]
    return [cls(parameters, **hyper) for parameters in every]


def assert_same_bits(a, b, context):
    """Check dtype, values and signs. NaN equals NaN, whatever its sign bit."""
    a, b = np.asarray(a), np.asarray(b)
    assert a.dtype == b.dtype, context
    assert np.array_equal(a, b, equal_nan=True), context
    sign_a, sign_b = (np.signbit(x) & ~np.isnan(x) for x in (a, b))
    assert np.array_equal(sign_a, sign_b), context


def arrays_of(optimizer):
    slots = {f"{n}/{k}": a for n, own in optimizer.slots.items() for k, a in own.items()}
    return {n: p.data for n, p in optimizer.parameters.items()} | slots


def assert_same_arrays(a, b, context=""):
    """Check that weights and slots of two optimizers have the same names and the same bits."""
    arrays, others = arrays_of(a), arrays_of(b)
    assert arrays.keys() == others.keys(), context
    for key in arrays:
        assert_same_bits(arrays[key], others[key], f"{context} {key}")


def parameters_of_all_layouts(dtype):
    """Return arrays of 0 to 2 axes, an empty one, one in Fortran order and one with strides."""
    rng = np.random.default_rng(0)
    most = 5 if compiled.compile_kernel is run_as_python else 1001
    shapes = [(7,), (2, 3), (most,), (1,), (), (0,)]
    weights = [np.array(rng.standard_normal(shape), dtype) for shape in shapes]
    weights.append(np.asfortranarray(rng.standard_normal((4, 3)).astype(dtype)))
    weights.append(rng.standard_normal((6, 4)).astype(dtype)[::2, 1:])
    return [Parameter(w) for w in weights]


def gradient_of_all_sizes(rng, shape, dtype, special):
    """Draw numbers of about 1e-20 to 1e3; a fifth of them from `special`, such as NaN."""
    g = rng.standard_normal(shape) * 10.0 ** rng.uniform(-20, 3, shape)
    if len(special):
        chosen = rng.choice(special, shape)
        g = np.where(rng.random(shape) < 0.2, chosen, g)
    with np.errstate(all="ignore"):
        return np.array(g, dtype)


def assert_same_steps(name, dtype, hyper=None, special=(), steps=70, change=None):
    """Take steps with two optimizers, one compiled, and compare all arrays after every step.

    change: a function that changes each optimizer before step 5.
    """
    pair = []
    for _ in range(2):
        parameters = parameters_of_all_layouts(dtype)
        groups = [
            {"params": parameters[:2], "lr": CosineDecay(0.1, 50)},
            {"params": parameters[2:]},
        ]
        pair.append(get(name, groups, **{"on_nonfinite": "ignore", **(hyper or {})}))
    plain, fast = pair
    assert fast.compile() is fast
    rng = np.random.default_rng(1)
    for step in range(steps):
        for p, q in zip(plain.parameters.values(), fast.parameters.values()):
            p.grad = gradient_of_all_sizes(rng, p.data.shape, dtype, special)
            q.grad = p.grad.copy()
        if step == 3:
            plain.parameters["1"].grad = fast.parameters["1"].grad = None
        for optimizer in pair:
            if step == 5 and change:
                change(optimizer)
            optimizer.step()
        assert_same_arrays(plain, fast, f"{name} {hyper} step {step}:")
    assert not fast.compiled.refused
    return fast
