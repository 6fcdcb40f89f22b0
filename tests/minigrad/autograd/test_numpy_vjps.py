"""Test every function that has a derivative; a new row of the table needs a case to pass."""

import inspect
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigrad import Primitive, Tensor, grad
from minigrad.autograd import (
    linalg_vjps,
    numpy_functions,
    numpy_vjps,
    shape_functions,
    statistics,
)
from minigrad.autograd.dispatch import HANDLED_FUNCTIONS, NONDIFFERENTIABLE
from minigrad.autograd.numpy_vjps import defvjp
from minigrad.gradcheck import GradcheckError, gradcheck
from tests.gradcheck_cases import cases, missing

CASES = [pytest.param(case, id=case.text) for found in cases().values() for case in found]
every_case = pytest.mark.parametrize("case", CASES)


def test_every_function_is_enrolled():
    assert missing() == set()
    known = HANDLED_FUNCTIONS.copy()
    try:
        defvjp(np.cbrt, lambda g, out, _: g / (3 * out * out))
        assert missing() == set() and "np.cbrt" in cases()  # elementwise functions need no case
        HANDLED_FUNCTIONS[np.histogram] = HANDLED_FUNCTIONS[np.dot]
        assert missing() == {"np.histogram"}
    finally:
        HANDLED_FUNCTIONS.clear()
        HANDLED_FUNCTIONS.update(known)


@every_case
def test_derivatives_of_first_and_second_order(case):
    assert gradcheck(case.f, *case.inputs, order=2)


@every_case
def test_values_equal_numpys(case):
    np.testing.assert_allclose(
        case.f(*map(Tensor, case.inputs)), case.f(*case.inputs), rtol=1e-14, strict=True
    )


@every_case
def test_float32_and_shapes_are_kept_and_operands_are_unchanged(case):
    inputs = [np.array(x, np.float32, order="K") for x in case.inputs]
    for x in inputs:
        x.flags.writeable = False
    leaves = [Tensor(x, requires_grad=True) for x in inputs]
    out = case.f(*leaves)
    assert out.dtype == (np.float64 if "float64" in case.text else np.float32)
    first = grad(out, leaves, np.ones(out.shape), create_graph=True)
    out.backward(np.ones(out.shape))
    for x, g in zip(leaves, first):
        assert g.dtype == x.grad.dtype == np.float32
        assert g.shape == x.grad.shape == x.shape
        np.testing.assert_array_equal(g.data, x.grad)
        assert x.grad.flags.writeable


def test_a_wrong_derivative_is_found(monkeypatch):
    """Make each vjp wrong in turn: then a case must fail."""
    tried = set()
    known = [
        *HANDLED_FUNCTIONS.values(),
        *vars(numpy_vjps).values(),
        *vars(numpy_functions).values(),
        *vars(shape_functions).values(),
        *vars(statistics).values(),
        *vars(linalg_vjps).values(),
    ]
    table = cases()
    checked = table.keys() - {"np.sign"}  # its derivative is 0
    known = {id(p): p for p in known if isinstance(p, Primitive) and p.name in checked}
    for primitive in known.values():
        name = primitive.name
        found = table[name]
        for i, vjp in enumerate(primitive.vjps):
            if vjp is None:
                continue

            def wrong(g, *rest, _vjp=vjp, **options):
                return _vjp(g, *rest, **options) * 1.001

            with monkeypatch.context() as patch:
                patch.setattr(primitive, "plans", {})
                vjps = [*primitive.vjps[:i], wrong, *primitive.vjps[i + 1 :]]
                patch.setattr(primitive, "vjps", vjps)
                with pytest.raises(GradcheckError):
                    for case in found:
                        gradcheck(case.f, *case.inputs)
            tried.add(name)
    assert len(tried) > 40


# Options, against NumPy


def options_of(function):
    try:
        return set(inspect.signature(function).parameters)
    except ValueError:  # some C functions of NumPy have no signature
        return set()


@pytest.mark.parametrize(
    "function",
    [f for f in HANDLED_FUNCTIONS if callable(f) and not isinstance(f, np.ufunc) and options_of(f)],
)
def test_every_option_is_supported_or_refused_by_name(function):
    """An argument that we lack raises an error that names it."""
    route, parameters = HANDLED_FUNCTIONS[function], inspect.signature(function).parameters
    ours = set(route.option_names) if isinstance(route, Primitive) else options_of(route)
    operands = list(parameters)[: len(route.vjps)] if isinstance(route, Primitive) else []
    required = [n for n, p in parameters.items() if p.default is p.empty or n in operands]
    x = Tensor(np.ones((2, 2)))
    values = [[x, x] if n in ("arrays", "tup") else x for n in required]
    for name in set(parameters) - ours - set(required) - {"kwargs"}:
        with pytest.raises((TypeError, ValueError), match=name):
            function(*values, **{name: np.ones(1)})


def test_scipy_is_not_imported_with_minigrad():
    code = "import sys, minigrad; print([m for m in sys.modules if m.startswith('scipy')])"
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "[]\n", done.stderr


def test_no_function_is_in_both_tables():
    assert not NONDIFFERENTIABLE & HANDLED_FUNCTIONS.keys()


# Ties, zeros, and other edges


def derivative(f, *points):
    leaves = [Tensor(np.array(x, np.float64), requires_grad=True) for x in points]
    found = grad(np.sum(f(*leaves)), leaves)
    return found[0].tolist() if len(found) == 1 else [g.tolist() for g in found]


def test_equal_extremes_share_the_gradient():
    assert derivative(np.maximum, 1.0, 1.0) == derivative(np.minimum, 1.0, 1.0) == [0.5, 0.5]
    assert derivative(np.max, [3.0, 1.0, 3.0]) == [0.5, 0, 0.5]
    assert derivative(lambda x: np.min(x, axis=0), [[1.0, 2.0], [1.0, 0.0]]) == [[0.5, 0], [0.5, 1]]
    assert derivative(lambda x: np.clip(x, 0, 1), [-1.0, 0.0, 0.5, 1.0, 2.0]) == [0, 1, 1, 1, 0]


def test_powers_at_zero():
    assert derivative(lambda x: x**2, 0.0) == derivative(lambda x: x**0, 0.0) == 0
    assert derivative(lambda x: x**1, 0.0) == 1
    assert derivative(lambda n: 0.0**n, 2.0) == 0
    x = Tensor(np.array([-2.0, 0.0]), requires_grad=True)
    assert grad(grad(np.sum(x**2), x, create_graph=True), x, np.ones(2)).tolist() == [2, 2]


def test_products_with_zeros():
    assert derivative(np.prod, [2.0, 0.0, 5.0]) == [0, 10, 0]
    assert derivative(np.prod, [0.0, 0.0, 5.0]) == [0, 0, 0]


def test_a_repeated_index_adds_up():
    assert derivative(lambda x: x[[0, 0, 1]], [1.0, 2.0]) == [2, 1]
    assert derivative(lambda x: x[np.array([True, False])] ** 2, [3.0, 2.0]) == [6, 0]
    assert derivative(lambda x: np.take(x, [[1, 1], [1, 0]]), [1.0, 2.0]) == [1, 3]


def test_the_derivative_by_the_exponent_of_a_power_zero():
    x, n = (Tensor(np.array(value), requires_grad=True) for value in (2.0, 0.0))
    by_x, by_n = grad(x**n, [x, n], create_graph=True)  # n·xⁿ⁻¹ and xⁿ·log x
    assert grad(by_x, n).item() == grad(by_n, x).item() == 1 / 2
    assert derivative(lambda x: x ** np.array([True, False]), [3.0, 0.0]) == [1, 0]


def test_clip_with_crossed_bounds_returns_the_upper_bound():
    for x, low, high in ((0.0, 2.0, 1.0), (1.5, 2.0, 1.0), (3.0, 2.0, 1.0)):
        assert np.clip(x, low, high) == high and derivative(np.clip, x, low, high) == [0, 0, 1]
    assert derivative(np.clip, [0.0, 5.0], 1.0, 2.0) == [[0, 0], 1, 1]


def test_einsum_broadcasts_axes_of_one_element():
    a, b = np.array([[2.0], [3.0]]), np.array([[1.0, 4.0, 5.0], [6.0, 7.0, 8.0]])
    assert gradcheck(lambda a, b: np.einsum("ij,ij", a, b) ** 2, a, b, order=2)
    assert gradcheck(lambda a, b: np.einsum("j,ij->", a, b) ** 2, a[0], b, order=2)


@pytest.mark.parametrize(
    "f",
    [
        np.prod,
        np.linalg.norm,
        np.std,
        np.tril,
        lambda x: np.mean(x, where=np.ones(300, bool)),
        lambda x: np.var(x, where=np.arange(300) < 290),
        lambda x: np.average(x, weights=np.full(300, 3, np.uint8)),
    ],
)
@pytest.mark.parametrize("x", [np.full(300, 200, np.uint8), np.ones(300, bool)], ids=str)
def test_whole_numbers_too_wide_for_their_dtype(f, x):
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(f(Tensor(x)).data.astype(float), np.asarray(f(x), float))


def test_options_change_neither_dtype_nor_shape():
    x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    for f in (np.sum, np.max, np.min, np.prod):
        assert f(x, initial=np.float64(2)).dtype == np.float32
        assert f(x, initial=np.float64(2), where=[True, False, True]).dtype == np.float32
        for wrong in (dict(where=np.ones((2, 3), bool)), dict(initial=np.ones(3))):
            with pytest.raises(ValueError):
                f(x, **dict(initial=1.0) | wrong)
    assert np.linalg.norm(x, np.float64(3)).dtype == np.float32


def test_lists_and_numbers_beside_tensors():
    x = Tensor([1.0, 2.0], requires_grad=True)
    for y in (
        np.stack([[1.0, 2.0], x]),
        np.vstack([x, [1, 2]]),
        np.hstack([x, 1.0]),
        np.stack([x[0], 2.0]),
        np.outer([1.0, 2.0], x),
        np.tensordot([1.0, 2.0], x, 1),
        np.average([1.0, 2.0], weights=x),
        np.average(x, weights=[1.0, 2.0]),
        np.tile(x, Tensor(2)),
    ):
        assert y.dtype == np.float32 and y.requires_grad
    with pytest.raises(TypeError, match=r"np\.pad has no derivative .* constant_values"):
        np.pad(x, 1, constant_values=x[0])


def test_xlogy_at_zero():
    from scipy.special import xlogy

    assert derivative(lambda y: xlogy(0.0, y), 0.0) == 0
    assert derivative(xlogy, 2.0, 4.0) == [np.log(4.0), 0.5]


def test_empty_reductions():
    empty = np.zeros((0, 3))
    assert derivative(np.sum, empty) == [] and derivative(lambda x: np.prod(x, 0), empty) == []
    with pytest.warns(RuntimeWarning):
        assert np.isnan(np.mean(Tensor(np.zeros(0))).item())


def test_joining_tensors_arrays_and_lists():
    x, y = (Tensor(np.ones(2, t), requires_grad=True) for t in (np.float32, np.float64))
    joined = np.concatenate([x, [1, 2], y, np.arange(2)])
    assert joined.dtype == np.float64 and joined.tolist() == [1, 1, 1, 2, 1, 1, 0, 1]
    np.sum(joined * np.arange(8)).backward()
    assert x.grad.tolist() == [0, 1] and y.grad.tolist() == [4, 5]
    assert (x.grad.dtype, y.grad.dtype) == (np.float32, np.float64)
    assert derivative(lambda m: np.concatenate(m), [[1.0, 2.0], [3.0, 4.0]]) == [[1, 1], [1, 1]]


# Random expressions

SMOOTH = [np.sin, np.tanh, np.arctan, np.cos, lambda x: np.exp(np.sin(x)), lambda x: x * x]
SMOOTH += [lambda x: np.logaddexp(x, 0.3), lambda x: np.sqrt(1 + np.square(x)), lambda x: -x]
PAIRS = [np.add, np.subtract, np.multiply, lambda a, b: a / (2 + np.sin(b)), np.logaddexp]
FOLDS = [np.sum, np.mean, np.var, lambda x: np.max(np.cumsum(x)), lambda x: np.linalg.norm(x + 3)]
MOVES = [
    np.flip,
    np.ravel,
    lambda x: np.roll(x, 1),
    lambda x: np.tile(x, 2),
    lambda x: x[..., None],
]

expressions = st.recursive(
    st.sampled_from(["x", "y", "z", 0.7]),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(SMOOTH + MOVES), inner),
        st.tuples(st.sampled_from(PAIRS), inner, inner),
    ),
    max_leaves=8,
)
POINTS = dict(
    x=np.array([[0.3, -1.1, 0.8], [1.7, 0.2, -0.6]]), y=np.array([0.5, -0.4, 1.3]), z=np.array(0.9)
)


def evaluate(expression, names):
    """Evaluate an expression tree; reduce parts to scalars where their shapes do not fit."""
    if not isinstance(expression, tuple):
        return names.get(expression, expression)
    function, *parts = (expression[0], *(evaluate(part, names) for part in expression[1:]))
    try:
        np.broadcast_shapes(*map(np.shape, parts))
    except ValueError:
        parts = [np.mean(part) for part in parts]
    return function(*parts) if isinstance(parts[0], Tensor) or len(parts) > 1 else parts[0]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(expressions, st.sampled_from(FOLDS))
def test_random_expressions_agree_with_finite_differences(expression, fold):
    def f(*inputs):
        value = evaluate(expression, dict(zip(POINTS, inputs)))
        return fold(value) + np.sum(inputs[0])

    assert gradcheck(f, *POINTS.values(), order=2)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(expressions, expressions, expressions)
def test_the_same_expression_associated_differently(first, second, third):
    def gradients(combine):
        leaves = {name: Tensor(x, requires_grad=True) for name, x in POINTS.items()}
        parts = [np.mean(evaluate(e, leaves) + leaves["z"]) for e in (first, second, third)]
        return [g.data for g in grad(combine(*parts), list(leaves.values()))]

    together = gradients(lambda a, b, c: (a * b) * c + (a + (b + c)))
    apart = gradients(lambda a, b, c: ((c + b) + a) + a * (b * c))
    for one, other in zip(together, apart):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("index", [((0, 0, 1), slice(None)), ((0, 0), (1, 1)), ((0, 0, 1),)])
def test_repeated_tuple_indices_add_up(index):
    x = Tensor(np.ones((3, 2)), requires_grad=True)
    np.sum(x[index]).backward()
    expected = np.zeros((3, 2))
    np.add.at(expected, index, 1)
    np.testing.assert_array_equal(x.grad, expected)
