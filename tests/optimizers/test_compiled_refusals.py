"""Rules that cannot be compiled are refused, with the reason and the line."""

import sys

import numpy as np
import pytest

from minigrad import optimizers
from minigrad.optimizers import Optimizer, Parameter, get, register
from tests.optimizers.compiled_helpers import assert_same_arrays, assert_same_steps, make_pair

pytestmark = pytest.mark.usefixtures("engine")


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
        assert "test_compiled_refusals.py, line " in str(info.value)


def test_an_elementwise_rule_must_not_replace_a_slot():
    def replaces(g, slots):
        slots["m"] = 0.5 * slots.setdefault("m", np.zeros_like(g)) + g
        return slots["m"] * 1

    cls = register("replaces")(replaces)
    assert_same_steps("replaces", np.float32, steps=5)
    cls.elementwise = True
    with pytest.raises(TypeError, match=r"it replaces a slot, .*; write slots\['m'\]\[\.\.\.\] = "):
        cls().compile()


def test_the_error_names_the_line_of_the_rule():
    register("refused")(exponential)
    line = exponential.__code__.co_firstlineno + 2
    where = rf"\(test_compiled_refusals.py, line {line}: return g \* np.exp\(-\(g\*\*2\)\)\)"
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
    assert_same_arrays(plain, fast)


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
    assert_same_arrays(plain, fast)


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
