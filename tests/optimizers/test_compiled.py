"""Compiled steps have the bits of the steps in NumPy; rules that cannot be compiled are refused.

Most tests run twice. With the engine "python", the loops that numba would compile run as Python
code. So the traced rules are tested without numba, too.
"""

import copy
import enum
import functools
import importlib
import itertools
import math
import os
import pickle
import subprocess
import sys
import types
import warnings
from dataclasses import field
from importlib.util import find_spec

import numpy as np
import pytest

from minigrad import optimizers
from minigrad.callbacks import ModelCheckpoint
from minigrad.layers import Dense
from minigrad.models import Sequential
from minigrad.optimizers import CosineDecay, Optimizer, Parameter, get, register
from tests.optimizers.test_golden import CASES, our_path, title

compiled = importlib.import_module("minigrad.optimizers.compiled")
ENGINES = ["python", "numba"] if find_spec("numba") else ["python"]
NUMBA_CASES = CASES if "numba" in ENGINES else []
DTYPES = [np.float32, np.float64]
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 5e-324, 1e-39, 3e38, -3e38]


def run_as_python(source, dtype):
    return compiled.run_source(source, "kernel")


# Python's loops are slow: where there are many cases, they run in float32 only.
with_dtypes = pytest.mark.parametrize(
    "engine, dtype",
    [(e, d) for e in ENGINES for d in DTYPES if (e, d) != ("python", np.float64)],
    indirect=["engine"],
    ids=lambda x: getattr(x, "__name__", x),
)
numba_only = pytest.mark.parametrize("engine", ENGINES[1:], indirect=True)


@pytest.fixture(params=ENGINES, autouse=True)
def engine(request, monkeypatch):
    monkeypatch.setattr(compiled, "SMALL", -1)  # compile arrays of every size
    if request.param == "python":
        numba = types.SimpleNamespace(config=types.SimpleNamespace(DISABLE_JIT=0))
        monkeypatch.setitem(sys.modules, "numba", numba)
        monkeypatch.setattr(compiled, "compile_kernel", run_as_python)
    return request.param


def require_same_bits(a, b, context):
    """Check dtype, values and signs. NaN equals NaN, whatever its sign bit."""
    a, b = np.asarray(a), np.asarray(b)
    assert a.dtype == b.dtype, context
    assert np.array_equal(a, b, equal_nan=True), context
    sign_a, sign_b = (np.signbit(x) & ~np.isnan(x) for x in (a, b))
    assert np.array_equal(sign_a, sign_b), context


def arrays_of(optimizer):
    slots = {f"{n}/{k}": a for n, own in optimizer.slots.items() for k, a in own.items()}
    return {n: p.data for n, p in optimizer.parameters.items()} | slots


def require_same_arrays(a, b, context=""):
    """Check that weights and slots of two optimizers have the same names and the same bits."""
    arrays, others = arrays_of(a), arrays_of(b)
    assert arrays.keys() == others.keys(), context
    for key in arrays:
        require_same_bits(arrays[key], others[key], f"{context} {key}")


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


def require_same_steps(name, dtype, hyper=None, special=(), steps=70, change=None):
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
        require_same_arrays(plain, fast, f"{name} {hyper} step {step}:")
    assert not fast.compiled.refused
    return fast


# ---- the same bits ----


@numba_only
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.__name__)
@pytest.mark.parametrize("i", range(len(NUMBA_CASES)), ids=map(title, NUMBA_CASES))
def test_every_convention_has_the_same_bits(i, dtype, monkeypatch):
    plain = our_path(CASES[i], dtype)
    cls = getattr(optimizers, CASES[i]["optimizer"])
    original = cls.as_in.__func__
    monkeypatch.setattr(cls, "as_in", classmethod(lambda *a, **k: original(*a, **k).compile()))
    hits, misses, *_ = compiled.compile_kernel.cache_info()
    fast = our_path(CASES[i], dtype)
    new_hits, new_misses, *_ = compiled.compile_kernel.cache_info()
    assert new_hits + new_misses > hits + misses
    assert fast.tobytes() == plain.tobytes()


def switches(**values):
    return [dict(zip(values, combination)) for combination in itertools.product(*values.values())]


HYPERS = {
    "ema": [{}, {"momentum": 0.9}],
    "swa": [{}],
    "sgd": [
        {},
        *switches(momentum=[0.9], nesterov=[False, True], lr_in_momentum=[False, True]),
        dict(momentum=0.9, dampening=0.3),
        dict(maximize=True, weight_decay=0.1),
        dict(weight_decay=0.1, decoupled_weight_decay=True),
        dict(clip_value=0.5),
        dict(clip_norm=1.0),
        dict(clip_global_norm=1.0),
    ],
    "adagrad": [{}, dict(eps_in_sqrt=True), dict(lr_decay=0.1), dict(initial_accumulator=0.1)],
    "rmsprop": [
        *switches(centered=[False, True], bias_correction=[False, True]),
        dict(eps_in_sqrt=True, momentum=0.5),
        dict(eps=0.0),
    ],
    "adam": [
        {},
        *switches(amsgrad=[True], amsgrad_corrected=[False, True], bias_correction=[False, True]),
        dict(eps_in_sqrt=True),
        dict(eps_hat=True),
        dict(eps_root=1e-9),
        dict(weight_decay=0.1),
    ],
    "adamw": [{}],
    "adadelta": [{}],
    "lion": [{}, dict(momentum=0.5)],
    "nadam": [{}, dict(constant_momentum=True)],
}


def test_the_tables_name_every_optimizer():
    assert HYPERS.keys() == optimizers.available().keys()


@with_dtypes
@pytest.mark.parametrize("name, hyper", [(n, h) for n, every in HYPERS.items() for h in every])
def test_every_switch_has_the_same_bits(name, hyper, dtype):
    require_same_steps(name, dtype, hyper, SPECIAL, steps=8)


@numba_only
@pytest.mark.parametrize("name", ["rmsprop", "adam", "lion"])
def test_subnormal_numbers_are_flushed_at_the_same_step(name):
    """After 64 steps subnormal numbers in the slots are flushed to 0."""
    require_same_steps(name, np.float32, steps=70)


def test_hyperparameters_can_change_between_steps():
    def change(optimizer):
        optimizer.lr, optimizer.beta1, optimizer.momentum = 0.02, 0.5, 0.7
        optimizer.amsgrad = True
        optimizer.groups[1]["weight_decay"] = lambda t: 0.1 if t % 2 else 0.0

    require_same_steps("adam", np.float32, steps=12, change=change)


def test_switches_can_change_between_steps():
    def change(optimizer):
        optimizer.nesterov, optimizer.maximize, optimizer.eps_in_sqrt = True, True, True
        optimizer.groups[0]["decoupled_weight_decay"] = True

    hyper = dict(momentum=0.5, weight_decay=0.1)
    require_same_steps("rmsprop", np.float64, hyper, steps=8, change=change)


@numba_only
def test_large_arrays_have_the_same_bits():
    rng = np.random.default_rng(0)
    w = rng.standard_normal(100_003, np.float32)
    plain, fast = Parameter(w.copy()), Parameter(w.copy())
    pair = get("adam", [plain], amsgrad=True), get("adam", [fast], amsgrad=True).compile()
    for _ in range(3):
        plain.grad = fast.grad = rng.standard_normal(w.size, np.float32)
        for optimizer in pair:
            optimizer.step()
    assert plain.data.tobytes() == fast.data.tobytes()


# ---- rules that nobody foresaw ----


def adamax(g, slots, *, beta1=0.9, beta2=0.999, eps=1e-8, t):
    """Kingma & Ba 2015, section 7.1: u∞ ← max(β₂·u∞, |g|)."""
    m, norm = (slots.setdefault(name, np.zeros_like(g)) for name in ("m", "norm"))
    m *= beta1
    m += (1 - beta1) * g
    np.maximum(beta2 * norm, np.abs(g), out=norm)
    return m / ((1 - beta1**t) * (norm + eps))


class AdaBelief(Optimizer):
    """Zhuang et al. 2020: s ← β₂·s + (1 − β₂)·(g − m)² + ε."""

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    elementwise = True

    def init(self, w):
        return {"m": np.zeros_like(w), "s": np.zeros_like(w)}

    def direction(self, g, slots, *, t, beta1, beta2, eps):
        m, s = slots["m"], slots["s"]
        m[...] = beta1 * m + (1 - beta1) * g
        s[...] = beta2 * s + (1 - beta2) * (g - m) ** 2 + eps
        return m / (1 - beta1**t) / ((s / (1 - beta2**t)) ** 0.5 + eps)


class RAdam(AdaBelief):
    """Liu et al. 2020: the variance is rectified as soon as it is finite, which t decides."""

    def direction(self, g, slots, *, t, beta1, beta2, eps):
        m, v = slots["m"], slots["s"]
        m *= beta1
        m += (1 - beta1) * g
        v *= beta2
        v += (1 - beta2) * g**2
        most = 2 / (1 - beta2) - 1
        rho = most - 2 * t * beta2**t / (1 - beta2**t)
        m_hat = m / (1 - beta1**t)
        if rho <= 5:
            return m_hat
        r = math.sqrt((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho))
        return r * m_hat / (np.sqrt(v / (1 - beta2**t)) + eps)


class Rprop(Optimizer):
    """Riedmiller & Braun 1993: a step size for each weight, by the signs of its gradients."""

    up: float = 1.2
    down: float = 0.5
    elementwise = True

    def init(self, w):
        return {"size": np.full_like(w, 0.01), "last": np.zeros_like(w)}

    def direction(self, g, slots, *, up, down):
        size, last = slots["size"], slots["last"]
        same = np.sign(g * last)
        shrink = np.where(same < 0, np.full_like(g, down), np.ones_like(g))
        size[...] = np.clip(size * np.where(same > 0, up, shrink), 1e-6, 50.0)
        last[...] = np.where(same < 0, 0.0, g)
        return np.sign(last) * size


class Everything(Optimizer):
    """Use every operation that can be compiled at least once."""

    k: float = 3.0
    elementwise = True

    def init(self, w):
        return {"a": np.zeros_like(w), "b": np.ones_like(w)}

    def direction(self, g, slots, *, k, t):
        a, b = slots["a"], slots["b"]
        mask = (g > 0) & ~(a < 0) | (np.fabs(g) >= b) | (g <= -1e30) | (a == b) | (a != a)
        a **= 2
        a *= 0.5
        b -= np.where(mask, np.negative(g), +g) / max(t, 3)
        old = a.copy()
        a[...], b[...] = b, old
        u = np.minimum(np.square(a), k) + np.maximum(abs(g), 0) * self.lr - b**1
        np.subtract(a, np.sqrt(np.absolute(g)), out=a)
        u = (u + a) / (1 if t == 4 else 2)
        return u * (t // 2 % 3 + 1) + g * float(k) * round(-k) * abs(k) + np.zeros_like(g)


class ReadsSelf(Optimizer):
    """Read a hyperparameter and the number of steps from self, and the shape from g."""

    beta: float = 0.5
    elementwise = True

    def direction(self, g, slots):
        rows = g.shape[0] if g.shape else 1
        return g * self.beta / (self.steps + 1) / rows


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.__name__)
@pytest.mark.parametrize("rule", [adamax, AdaBelief, RAdam, Rprop, Everything, ReadsSelf])
def test_a_plug_in_compiles_by_itself(rule, dtype):
    register("plug-in")(rule)
    for hyper in ({}, dict(momentum=0.5, weight_decay=0.1)):
        require_same_steps("plug-in", dtype, hyper, SPECIAL, steps=10)


def test_a_hyperparameter_read_from_self_can_change():
    def change(optimizer):
        optimizer.beta = 0.25

    register("plug-in")(ReadsSelf)
    require_same_steps("plug-in", np.float32, steps=8, change=change)


class Counts(Optimizer):
    """Count in a slot of shape (1,). A parameter of shape (1,) has slots of that shape, too."""

    elementwise = True

    def init(self, w):
        return {"count": np.zeros(1)}

    def direction(self, g, slots):
        slots["count"] += 1
        return g / float(slots["count"][0])


def make_pair(cls, sizes, **hyper):
    every = [[Parameter(np.ones(n), np.full(n, 0.3)) for n in sizes] for _ in range(2)]
    return [cls(parameters, **hyper) for parameters in every]


def test_hyperparameters_can_be_numpy_numbers():
    class Doubles(optimizers.Adam):
        def hyperparameters_at_step(self, group):
            h = super().hyperparameters_at_step(group)
            return {k: np.float64(v) if type(v) is float else v for k, v in h.items()}

    plain, fast = make_pair(Doubles, [3, 4], weight_decay=0.1)
    fast.compile()
    for step in range(4):
        plain.step()
        fast.step()
        require_same_arrays(plain, fast, step)


def test_slots_of_other_shapes_are_computed_in_numpy():
    plain, fast = make_pair(Counts, [3, 4])
    fast.compile()
    for step in range(4):
        plain.step()
        fast.step()
        require_same_arrays(plain, fast, step)
    assert fast.slots["1"]["count"] == 4


def test_a_parameter_can_be_refused_where_others_are_compiled():
    plain, fast = make_pair(Counts, [3, 1])
    with pytest.raises(TypeError, match="Counts cannot be compiled: it reads or writes single"):
        fast.compile()
    assert fast.compiled is None
    with pytest.warns(UserWarning, match="single elements"):
        fast.compile(strict=False)
    assert fast.compiled.refused.keys() == {"1"}
    for _ in range(3):
        plain.step()
        fast.step()
    require_same_arrays(plain, fast)


# ---- what cannot be compiled ----


def refused(what):
    def decorate(function):
        REFUSED.append(pytest.param(function, what, id=function.__name__))
        return function

    return decorate


REFUSED: list = []


@refused("np.norm is not among")
def norm(g, slots):
    return g / np.linalg.norm(g)


@refused("np.exp is not among the functions that can be compiled")
def exponential(g, slots):
    return g * np.exp(-(g**2))


@refused("powers other than x")
def cube(g, slots):
    return g**3


@refused("powers other than x")
def numpy_power(g, slots):
    return g ** np.float64(2)


@refused("np.power is not among")
def power_function(g, slots):
    return np.power(g, 2)


@refused("np.add with reduce cannot be compiled")
def total(g, slots):
    return g * np.add.reduce(g)


@refused("np.sum is not among")
def sum_function(g, slots):
    return g * np.sum(g)


@refused("it uses .mean of an array")
def mean_method(g, slots):
    return g - g.mean()


@refused("np.matmul is not among")
def product(g, slots):
    return g * (g @ g)


@refused("it branches on values of an array; write np.where")
def branch(g, slots):
    return g if g > 0 else -g


@refused("it needs the values of an array")
def number(g, slots):
    return g * float(g)


@refused("it needs the values of an array")
def plain_array(g, slots):
    return g * np.asarray(g)


@refused("it needs the values of an array")
def elements(g, slots):
    return sum(x for x in g) * g


@refused("it reads or writes single elements")
def first(g, slots):
    return g * g[0]


@refused("it writes into the gradient; write g \\* 0.5")
def writes(g, slots):
    g *= 0.5
    return g


@refused("it makes or drops slots after its first update")
def late(g, slots, *, t):
    slots[f"at{t}"] = np.zeros_like(g)
    return g * 1


@refused("a slot is no longer an array")
def loses(g, slots):
    slots["a"] = 1.0 if "a" in slots else np.zeros_like(g)
    return g * 1


@refused("an array of float64 and shape \\(3,\\) meets arrays of float32")
def double(g, slots):
    return (g * slots.setdefault("a", np.ones(g.shape))).astype(g.dtype)


@refused("an array of float64 and shape \\(\\) meets arrays of float32")
def numpy_number(g, slots):
    return g * np.float64(0.5)


@refused("an array of float32 and shape \\(1,\\) meets")
def own_array(g, slots):
    return g * np.ones(1, np.float32)


@refused("np.add of a condition; write np.where")
def adds_a_condition(g, slots):
    return g + (g > 0)


@refused("np.where of two numbers makes float64; write np.full_like")
def two_numbers(g, slots):
    return g * np.where(g > 0, 1.0, 0.5)


@refused("np.where needs a condition")
def truth(g, slots):
    return np.where(g, g, 0)


@refused("np.where needs a condition, and arrays or numbers")
def chooses_conditions(g, slots):
    return g * np.where(g > 0, g > 1, g)


@refused("it writes bool into an array of float32")
def writes_a_condition(g, slots):
    m = slots.setdefault("m", np.zeros_like(g))
    m[...] = g > 0
    return g * 1


@refused("np.clip needs two numbers as limits; see np.minimum and np.maximum")
def clips_to_an_array(g, slots):
    return np.clip(g, g * 0, 1.0)


@refused("np.clip needs two numbers as limits")
def clips_to_nan(g, slots):
    return np.clip(g, float("nan"), 1.0)


@refused("NoneType is not a number")
def clips_at_one_end(g, slots):
    return np.clip(g, None, 1.0)


@refused("it makes an array of True and False")
def zeros_like_a_condition(g, slots):
    return np.where(np.zeros_like(g > 0), g, -g)


@refused("np.multiply with {'where'")
def masked(g, slots):
    return np.multiply(g, 2, where=True)


@refused("np.zeros_like with {'dtype'")
def other_dtype(g, slots):
    return g + np.zeros_like(g, dtype=float)


@refused("complex is not a number")
class Imaginary(Optimizer):
    def direction(self, g, slots):
        return g * 1j


@refused("ZeroDivisionError")
def divides(g, slots, *, t):
    return g * (1 / (t - 2))


@refused("np.linalg.norm")
def catches_it(g, slots):
    try:
        return g / np.linalg.norm(g)
    except TypeError:
        return g * 1


earlier: list = []


@refused("(an array of float32 and shape|it keeps an array of an earlier step)")
def remembers(g, slots):
    earlier.append(g)
    return g * earlier[-2] if len(earlier) > 1 else g * 1


MAKES_SLOTS = (late, loses, double, writes_a_condition)


@pytest.mark.parametrize("rule, what", REFUSED)
@pytest.mark.parametrize("elementwise", [False, True])
def test_a_rule_is_refused_with_the_reason_and_the_line(rule, what, elementwise):
    earlier.clear()
    cls = register("refused")(rule)
    cls.elementwise, cls.lazy_slots = elementwise, rule in MAKES_SLOTS
    optimizer = cls([Parameter(np.ones(3, np.float32))])
    with pytest.raises(TypeError, match=f"{rule.__name__} cannot be compiled: .*{what}") as info:
        optimizer.compile()
    assert "compile(strict=False) runs such a rule in NumPy" in str(info.value)
    assert optimizer.compiled is None
    if rule not in (late, loses):
        assert "test_compiled.py, line " in str(info.value)


def test_an_elementwise_rule_must_not_replace_a_slot():
    def replaces(g, slots):
        slots["m"] = 0.5 * slots.setdefault("m", np.zeros_like(g)) + g
        return slots["m"] * 1

    cls = register("replaces")(replaces)
    require_same_steps("replaces", np.float32, steps=5)
    cls.elementwise = True
    with pytest.raises(TypeError, match=r"it replaces a slot, .*; write slots\['m'\]\[\.\.\.\] = "):
        cls().compile()


def test_the_error_names_the_line_of_the_rule():
    register("refused")(exponential)
    line = exponential.__code__.co_firstlineno + 2
    where = rf"\(test_compiled.py, line {line}: return g \* np.exp\(-\(g\*\*2\)\)\)"
    with pytest.raises(TypeError, match=where):
        get("refused").compile()


@pytest.mark.parametrize("dtype", [np.float16, np.longdouble, ">f4"])
def test_other_dtypes_are_refused(dtype):
    w = Parameter(np.ones(3, dtype), np.ones(3, dtype))
    with pytest.raises(TypeError, match=r"its parameter has .*, not float32 or float64"):
        optimizers.SGD([w]).compile()
    with pytest.raises(TypeError, match="not float32 or float64"):
        optimizers.SGD().compile().bind([w])
    with pytest.warns(UserWarning, match="not float32 or float64"):
        optimizer = optimizers.SGD().compile(strict=False).bind([w])
    optimizer.step()
    assert w.data.dtype == dtype and np.all(w.data < 1)


def test_without_strict_numpy_runs_the_rule_and_one_warning_says_so():
    register("refused")(exponential)
    plain, fast = make_pair(lambda p: get("refused", p), [3, 5])
    with pytest.warns(UserWarning, match="exponential cannot be compiled: np.exp") as caught:
        fast.compile(strict=False)
        for optimizer in (plain, fast, plain, fast):
            optimizer.step()
    assert len(caught) == 1
    require_same_arrays(plain, fast)


def test_a_rule_that_branches_away_later_runs_in_numpy_and_a_warning_says_so():
    class Turns(Optimizer):
        def direction(self, g, slots, *, t):
            slots["n"] = slots.setdefault("n", np.zeros(())) + 1
            return g if t < 4 else g * np.exp(-float(slots["n"]) * g)

        lazy_slots = True

    plain, fast = make_pair(Turns, [3, 4], momentum=0.5)
    fast.compile()
    with pytest.warns(UserWarning, match=r"Turns cannot be compiled: np\.exp") as caught:
        for _ in range(6):
            plain.step()
            fast.step()
    assert len(caught) == 1 and caught[0].filename == __file__
    require_same_arrays(plain, fast)


def test_an_error_inside_a_rule_keeps_its_type_and_message():
    class Stops(Optimizer):
        def direction(self, g, slots, *, t):
            if t == 4:
                raise LookupError("no more")
            return g * 1

    _, optimizer = make_pair(Stops, [3])
    optimizer.compile()
    for _ in range(3):
        optimizer.step()
    with pytest.raises(LookupError, match="no more"):
        optimizer.step()
    assert optimizer.steps == 3


def test_without_numba_an_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    optimizer = optimizers.SGD([Parameter(np.ones(2), np.ones(2))])
    with pytest.raises(
        ImportError, match=r'compile\(\) needs numba: pip install "minigrad\[fast\]"'
    ):
        optimizer.compile()
    optimizer.step()


# ---- rules that do more than compute: they run as in NumPy ----

MORE_THAN_COMPUTE = []
SWITCH = {"factor": 1.0}


def more_than_compute(cls):
    """Add a rule to the list above."""
    MORE_THAN_COMPUTE.append(pytest.param(cls, id=cls.__name__))
    return cls


@more_than_compute
class HasTwoOptionalNumbers(Optimizer):
    above: float | None = None
    below: float | None = None

    def direction(self, g, slots, *, t, above, below):
        if t == 3:
            self.above, self.below = (0.2, None) if self.below else (None, 0.1)
        return np.minimum(g, above) if above is not None else np.maximum(g, below or 0.3)


@more_than_compute
class CatchesItsOwnError(Optimizer):
    def direction(self, g, slots, *, t):
        try:
            k = 1 / (t - 3)
        except ZeroDivisionError:
            k = 7.0
        return g * k


@more_than_compute
class WritesToSelf(Optimizer):
    beta: float = 0.9

    def direction(self, g, slots):
        self.beta = self.beta * 0.5
        return g * self.beta


@more_than_compute
class ReadsAnotherParameter(Optimizer):
    def direction(self, g, slots):
        return g * float(self.parameters["0"].data.max())


@more_than_compute
class ReadsAGlobal(Optimizer):
    def direction(self, g, slots):
        SWITCH["factor"] = 2.0 if self.steps > 1 else 1.0
        return g * SWITCH["factor"]


@more_than_compute
class AsksForTypes(Optimizer):
    def direction(self, g, slots, *, lr, t):
        known = isinstance(t, int) and isinstance(lr, float) and np.isscalar(t)
        return g * 2 if known and isinstance(g, np.ndarray) else g


@more_than_compute
class SharesASlotBetweenSlots(Optimizer):
    def init(self, w):
        return dict.fromkeys("ab", np.zeros_like(w))

    def direction(self, g, slots):
        slots["a"] += g
        slots["b"] += g
        return slots["a"] * 1


@more_than_compute
class SharesASlotBetweenParameters(Optimizer):
    def init(self, w):
        return {"count": SWITCH.setdefault(self, np.zeros(()))}

    __hash__ = Optimizer.__hash__

    def direction(self, g, slots):
        slots["count"] += 1
        return g / float(slots["count"])


@more_than_compute
class KeepsItsWeights(Optimizer):
    def update(self, w, g, slots, h):
        slots.setdefault("start", w)
        h["lr"] = h["lr"] * 0.5  # for the parameters that follow
        super().update(w, g + 0.1 * slots["start"], slots, h)

    def direction(self, g, slots):
        return g * 1

    lazy_slots = True


@more_than_compute
class KeepsTheGradient(Optimizer):
    lazy_slots = True

    def direction(self, g, slots):
        last = slots.get("last", np.zeros_like(g))
        slots["last"] = g
        return 2 * g - last


@more_than_compute
class ChangesANumberAfterItsUse(Optimizer):
    def init(self, w):
        return {"n": np.ones(())}

    def direction(self, g, slots):
        u, local = g / slots["n"], np.array(1.0)
        slots["n"] += 1
        u = u * local
        local += 1
        return u


@more_than_compute
class ReadsItsOwnWeights(Optimizer):
    def update(self, w, g, slots, h):
        w -= h["lr"] * g
        w /= 1 + float(max(p.data.max() for p in self.parameters.values()))

    def direction(self, g, slots):
        return g * 1


@more_than_compute
class ReadsItsOwnSlot(Optimizer):
    def init(self, w):
        return {"m": np.zeros_like(w)}

    def direction(self, g, slots):
        slots["m"] += g
        return g * sum(float(own["m"].sum()) for own in self.slots.values())


@more_than_compute
class RemembersTheWeights(Optimizer):
    def init(self, w):
        return {"last": w.copy()}

    def update(self, w, g, slots, h):
        w -= h["lr"] * g
        w += 0.5 * (w - slots["last"])
        slots["last"] = w

    def direction(self, g, slots):
        return g * 1


@more_than_compute
class GivesTwoSlotsOneArray(Optimizer):
    def init(self, w):
        return {"a": np.zeros_like(w), "b": np.zeros_like(w)}

    def direction(self, g, slots):
        slots["a"] += g
        slots["a"] = slots["b"] = slots["a"] + slots["b"]
        return slots["a"] * 1


@more_than_compute
class IsWrapped(optimizers.Adam):
    @functools.wraps(optimizers.Adam.direction)
    def direction(self, g, slots, *, t, beta1, **hyper):
        SWITCH["factor"] = 2.0 if self.steps > 3 else 1.0
        return g * SWITCH["factor"] * (1 - beta1)


@more_than_compute
class FailsAfterASideEffect(Optimizer):
    count: float = field(default=0.0, init=False)

    def direction(self, g, slots, *, t):
        self.count += 1
        return g * self.count if t < 3 else np.exp(g) * self.count


@more_than_compute
class CountsInASlotAndFails(Optimizer):
    def init(self, w):
        return {"n": np.zeros(())}

    def direction(self, g, slots, *, t):
        slots["n"] += 1
        return g * float(slots["n"]) if t < 4 else np.exp(g) * float(slots["n"])


@more_than_compute
class KeepsTheFirstGradient(Optimizer):
    lazy_slots = True

    def direction(self, g, slots, *, t):
        slots["last"] = g if t == 1 else 0.5 * slots["last"] + g
        return slots["last"] * 1


@more_than_compute
class KeepsStateInADict(Optimizer):
    state: dict = field(default_factory=dict, init=False)

    def direction(self, g, slots):
        b = self.state.get(g.shape)
        self.state[g.shape] = g if b is None else 0.5 * b + g
        return self.state[g.shape] * 1


@more_than_compute
class UsesItsOwnGenerator(Optimizer):
    rng: object = field(default_factory=lambda: np.random.default_rng(0), init=False)

    def direction(self, g, slots):
        return g * float(self.rng.random())


@more_than_compute
class UsesAnEnum(Optimizer):
    def direction(self, g, slots):
        return g * enum.IntEnum("K", {"TWO": 2}).TWO


@more_than_compute
class DividesByAClippedZero(Optimizer):
    def direction(self, g, slots):
        zero = 0.0 * np.abs(g)
        zeros = [np.clip(-0.0 * g, 0.0, 1.0), np.sign(-zero), np.maximum(zero, -zero)]
        return sum(np.sign(1 / z) * 3**n for n, z in enumerate(zeros)) + np.clip(g, -0.2, 0.2)


@pytest.mark.parametrize("cls", MORE_THAN_COMPUTE)
@pytest.mark.filterwarnings("ignore:.* cannot be compiled")
def test_a_rule_that_does_more_than_compute_takes_the_steps_of_numpy(cls):
    plain, fast = make_pair(cls, [3, 4], lr=0.5)
    try:
        fast.compile()
    except TypeError as error:
        assert "cannot be compiled" in str(error)
        fast.compile(strict=False)
    buffers = [[np.zeros(3), np.zeros(4)] for _ in range(4)]  # two for each optimizer, in turns
    for step in range(6):
        for i, optimizer in enumerate((plain, fast)):
            for p, g in zip(optimizer.parameters.values(), buffers[2 * i + step % 2]):
                g[...] = np.sin(step + np.arange(g.size))
                p.grad = g
            optimizer.step()
        require_same_arrays(plain, fast, step)
        assert [getattr(plain, h) for h in cls.defaults] == [getattr(fast, h) for h in cls.defaults]
    for a, b in zip(buffers[:2], buffers[2:]):
        assert all(np.array_equal(x, y) for x, y in zip(a, b))


@pytest.mark.parametrize("kind", [np.matrix, np.ma.masked_array])
@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_subclasses_of_arrays_are_left_to_numpy(kind):
    plain, fast = (optimizers.Adam([Parameter(kind(np.eye(3)))], momentum=0.5) for _ in range(2))
    fast.compile()
    for optimizer in (plain, fast, plain, fast):
        optimizer.parameters["0"].grad = np.full((3, 3), 0.5)
        optimizer.step()
    assert not fast.compiled.loops  # NumPy took the steps
    assert np.array_equal(*(np.asarray(o.parameters["0"].data) for o in (plain, fast)))


def test_a_slot_can_be_read_only_if_the_rule_only_reads_it():
    class Pulls(Optimizer):
        def init(self, w):
            start = w.copy()
            start.flags.writeable = False
            return {"start": start}

        def direction(self, g, slots):
            return g + slots["start"]

    plain, fast = make_pair(Pulls, [3, 4])
    fast.compile()
    for optimizer in (plain, fast, plain, fast):
        optimizer.step()
    require_same_arrays(plain, fast)


def test_a_gradient_may_be_an_array_of_the_slots():
    plain, fast = make_pair(optimizers.Adam, [3])
    fast.compile()
    for optimizer in (plain, fast):
        optimizer.step()
        optimizer.parameters["0"].grad = optimizer.slots["0"]["first_moment"]
        optimizer.step()
    require_same_arrays(plain, fast)


# ---- nothing else changes ----


def test_compile_may_be_called_before_bind():
    plain, _ = make_pair(optimizers.Adam, [3])
    w = Parameter(np.ones(3), np.full(3, 0.3))
    fast = optimizers.Adam().compile().bind([w])
    for optimizer in (plain, fast, plain, fast):
        optimizer.step()
    assert any(fast.compiled.loops.values())
    assert np.array_equal(w.data, plain.parameters["0"].data)


@pytest.mark.parametrize("saved_compiled, resumed_compiled", [(True, False), (False, True)])
def test_compiled_and_plain_optimizers_exchange_states(saved_compiled, resumed_compiled):
    plain, saved = make_pair(optimizers.Adam, [3, 4], amsgrad=True, momentum=0.5)
    _, resumed = make_pair(optimizers.Adam, [3, 4])
    for optimizer, is_compiled in ((saved, saved_compiled), (resumed, resumed_compiled)):
        if is_compiled:
            optimizer.compile()
    for _ in range(3):
        plain.step()
        saved.step()
    assert saved.explain() == plain.explain()
    assert repr(saved) == repr(plain)
    for name, p in resumed.parameters.items():
        p.data[...] = saved.parameters[name].data
    resumed.load_state_dict(saved.state_dict())
    assert bool(resumed.compiled) == resumed_compiled
    for _ in range(3):
        plain.step()
        resumed.step()
    require_same_arrays(plain, resumed)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_a_copy_of_a_compiled_optimizer_is_compiled(duplicate):
    plain, fast = make_pair(optimizers.Adam, [3])
    fast.compile()
    for optimizer in (plain, fast, plain, fast):
        optimizer.step()
    fast = duplicate(fast)
    assert fast.compiled.strict
    for optimizer in (plain, fast):
        optimizer.step()
    assert any(fast.compiled.loops.values())
    assert np.array_equal(fast.parameters["0"].data, plain.parameters["0"].data)


def test_a_nan_gradient_is_refused_before_any_parameter_changes():
    _, optimizer = make_pair(optimizers.RMSprop, [3, 4])
    optimizer.compile()
    optimizer.parameters["1"].grad = np.array([1.0, np.nan, 0.0, 0.0])
    with pytest.raises(FloatingPointError, match="'1' has an inf or NaN; nothing was updated"):
        optimizer.step()
    assert np.all(optimizer.parameters["0"].data == 1)


def test_a_gradient_can_be_read_only_and_is_not_changed():
    _, optimizer = make_pair(optimizers.Adam, [3])
    g = np.broadcast_to(np.float64(0.5), 3)
    optimizer.compile()
    optimizer.parameters["0"].grad = g
    optimizer.step()
    assert np.all(g == 0.5) and optimizer.steps == 1


# ---- what is compiled, and how often ----


@numba_only
def test_kernels_are_shared_and_numbers_compile_nothing_again():
    compiled.compile_kernel.cache_clear()
    _, first = make_pair(optimizers.Adam, [3, 4])
    first.compile()
    once = compiled.compile_kernel.cache_info().misses
    _, second = make_pair(optimizers.Adam, [7, 2, 5], lr=0.5, beta1=0.8, weight_decay=0.0)
    second.compile()
    for step in range(5):
        first.lr, second.lr = 0.1 / (step + 1), CosineDecay(0.1, 9)
        first.step()
        second.step()
    assert once <= 2  # the first update, and every other one
    assert compiled.compile_kernel.cache_info().misses == once


def test_a_step_traces_nothing_that_it_has_traced(monkeypatch):
    count = []
    trace = compiled.trace_update
    monkeypatch.setattr(compiled, "trace_update", lambda *a: count.append(1) or trace(*a))
    _, optimizer = make_pair(optimizers.Adam, [3, 4], lr=CosineDecay(0.1, 9), momentum=0.5)
    optimizer.compile()
    for _ in range(3):
        optimizer.step()
    count.clear()
    for _ in range(5):
        optimizer.step()
    assert not count


@numba_only
@pytest.mark.slow
def test_another_process_finds_the_kernels_on_disk(tmp_path):
    code = """
import importlib, numpy as np
from minigrad.optimizers import Adam, Parameter
compiled = importlib.import_module("minigrad.optimizers.compiled")
kernels, original = [], compiled.compile_kernel
compiled.compile_kernel = lambda *a: kernels.append(original(*a)) or kernels[-1]
w = Parameter(np.ones(3, np.float32), np.ones(3, np.float32))
Adam([w]).compile().step()
print(sum(kernel.stats.cache_misses.total() for kernel in kernels), len(kernels), w.data)
"""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", code]
    runs = [
        subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    (cold, n, *w), (warm, m, *v) = (run.stdout.split() for run in runs)
    assert int(cold) > 0 and warm == "0"
    assert n == m and w == v


@numba_only
@pytest.mark.parametrize("error", [RuntimeError, OSError, EOFError])
def test_a_cache_that_fails_costs_only_time(error, monkeypatch):
    import numba

    original = numba.njit

    def njit(*, cache, **options):
        if cache:
            raise error("cannot cache function: no locator available")
        return original(**options)

    compiled.compile_kernel.cache_clear()
    monkeypatch.setattr(numba, "njit", njit)
    _, optimizer = make_pair(optimizers.SGD, [3], lr=0.5)
    optimizer.compile().step()
    assert np.array_equal(optimizer.parameters["0"].data, np.full(3, 1 - 0.5 * 0.3))
    compiled.compile_kernel.cache_clear()


def test_compile_of_a_built_in_optimizer_does_not_warn():
    with warnings.catch_warnings(action="error"):
        optimizers.Adam().compile()


def test_a_compiled_optimizer_trains_and_resumes_in_fit(tmp_path):
    def model(is_compiled):
        optimizer = optimizers.Adam(lr=CosineDecay(0.05, 12), weight_decay=0.01)
        network = Sequential([Dense(4, activation="relu", input_shape=(3,)), Dense(2)], seed=0)
        network.compile(optimizer.compile() if is_compiled else optimizer, "cross_entropy")
        return network

    rng = np.random.default_rng(0)
    x = rng.standard_normal((24, 3)).astype(np.float32)
    data, quiet = (x, (x.sum(axis=1) > 0).astype(int)), dict(batch_size=8, verbose=0)
    expected = model(False).fit(*data, epochs=4, **quiet).history
    assert model(True).fit(*data, epochs=4, **quiet).history == expected
    model(True).fit(*data, epochs=2, callbacks=[ModelCheckpoint(tmp_path)], **quiet)
    for is_compiled in (False, True):
        assert model(is_compiled).fit(*data, epochs=4, resume=tmp_path, **quiet).history == expected
