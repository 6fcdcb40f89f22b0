"""Compiled steps have the bits of the steps in NumPy."""

import copy
import itertools
import pickle
import runpy
import warnings
from pathlib import Path

import numpy as np
import pytest

from minigrad import optimizers
from minigrad.callbacks import ModelCheckpoint
from minigrad.layers import Dense
from minigrad.models import Sequential
from minigrad.optimizers import CosineDecay, Optimizer, Parameter, get, register
from tests.optimizers.compiled_helpers import (
    DTYPES,
    ENGINES,
    assert_same_arrays,
    assert_same_steps,
    compiled,
    make_pair,
    numba_only,
    with_dtypes,
)
from tests.optimizers.test_golden import CASES, our_path, title

pytestmark = pytest.mark.usefixtures("engine")

PLUG_INS = Path(__file__).parents[2] / "examples" / "optimizers"
NUMBA_CASES = CASES if "numba" in ENGINES else []
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 5e-324, 1e-39, 3e38, -3e38]


# ---- The same bits ----


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
    assert_same_steps(name, dtype, hyper, SPECIAL, steps=8)


@numba_only
@pytest.mark.parametrize("name", ["rmsprop", "adam", "lion"])
def test_subnormal_numbers_are_flushed_at_the_same_step(name):
    """After 64 steps subnormal numbers in the slots are flushed to 0."""
    assert_same_steps(name, np.float32, steps=70)


def test_hyperparameters_can_change_between_steps():
    def change(optimizer):
        optimizer.lr, optimizer.beta1, optimizer.momentum = 0.02, 0.5, 0.7
        optimizer.amsgrad = True
        optimizer.groups[1]["weight_decay"] = lambda t: 0.1 if t % 2 else 0.0

    assert_same_steps("adam", np.float32, steps=12, change=change)


def test_switches_can_change_between_steps():
    def change(optimizer):
        optimizer.nesterov, optimizer.maximize, optimizer.eps_in_sqrt = True, True, True
        optimizer.groups[0]["decoupled_weight_decay"] = True

    hyper = dict(momentum=0.5, weight_decay=0.1)
    assert_same_steps("rmsprop", np.float64, hyper, steps=8, change=change)


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


# ---- Custom rules ----


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
@pytest.mark.parametrize("name", ["adamax", "adabelief", "radam", "rprop"])
def test_a_plug_in_of_the_examples_compiles(name, dtype):
    runpy.run_path(str(PLUG_INS / f"{name}.py"))
    for hyper in ({}, dict(momentum=0.5, weight_decay=0.1)):
        assert_same_steps(name, dtype, hyper, SPECIAL, steps=10)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: d.__name__)
@pytest.mark.parametrize("rule", [Everything, ReadsSelf])
def test_a_custom_rule_compiles(rule, dtype):
    register("custom")(rule)
    for hyper in ({}, dict(momentum=0.5, weight_decay=0.1)):
        assert_same_steps("custom", dtype, hyper, SPECIAL, steps=10)


def test_a_hyperparameter_read_from_self_can_change():
    def change(optimizer):
        optimizer.beta = 0.25

    register("custom")(ReadsSelf)
    assert_same_steps("custom", np.float32, steps=8, change=change)


class Counts(Optimizer):
    """Count in a slot of shape (1,). A parameter of shape (1,) has slots of that shape, too."""

    elementwise = True

    def init(self, w):
        return {"count": np.zeros(1)}

    def direction(self, g, slots):
        slots["count"] += 1
        return g / float(slots["count"][0])


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
        assert_same_arrays(plain, fast, step)


def test_slots_of_other_shapes_are_computed_in_numpy():
    plain, fast = make_pair(Counts, [3, 4])
    fast.compile()
    for step in range(4):
        plain.step()
        fast.step()
        assert_same_arrays(plain, fast, step)
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
    assert_same_arrays(plain, fast)


# ---- State, copies and checks stay the same ----


def test_compile_of_a_built_in_optimizer_does_not_warn():
    with warnings.catch_warnings(action="error"):
        optimizers.Adam().compile()


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
    assert_same_arrays(plain, resumed)


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
