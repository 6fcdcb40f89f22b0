"""Rules with side effects run in NumPy: compiled and plain optimizers take the same steps."""

import enum
import functools
from dataclasses import field

import numpy as np
import pytest

from minigrad import optimizers
from minigrad.optimizers import Optimizer, Parameter
from tests.optimizers.compiled_helpers import assert_same_arrays, make_pair

pytestmark = pytest.mark.usefixtures("engine")
SIDE_EFFECTS = []
SWITCH = {"factor": 1.0}


def with_side_effects(cls):
    """Add a rule to the list above."""
    SIDE_EFFECTS.append(pytest.param(cls, id=cls.__name__))
    return cls


@with_side_effects
class HasTwoOptionalNumbers(Optimizer):
    above: float | None = None
    below: float | None = None

    def direction(self, g, slots, *, t, above, below):
        if t == 3:
            self.above, self.below = (0.2, None) if self.below else (None, 0.1)
        return np.minimum(g, above) if above is not None else np.maximum(g, below or 0.3)


@with_side_effects
class CatchesItsOwnError(Optimizer):
    def direction(self, g, slots, *, t):
        try:
            k = 1 / (t - 3)
        except ZeroDivisionError:
            k = 7.0
        return g * k


@with_side_effects
class WritesToSelf(Optimizer):
    beta: float = 0.9

    def direction(self, g, slots):
        self.beta = self.beta * 0.5
        return g * self.beta


@with_side_effects
class ReadsAnotherParameter(Optimizer):
    def direction(self, g, slots):
        return g * float(self.parameters["0"].data.max())


@with_side_effects
class ReadsAGlobal(Optimizer):
    def direction(self, g, slots):
        SWITCH["factor"] = 2.0 if self.steps > 1 else 1.0
        return g * SWITCH["factor"]


@with_side_effects
class AsksForTypes(Optimizer):
    def direction(self, g, slots, *, lr, t):
        known = isinstance(t, int) and isinstance(lr, float) and np.isscalar(t)
        return g * 2 if known and isinstance(g, np.ndarray) else g


@with_side_effects
class SharesASlotBetweenSlots(Optimizer):
    def init(self, w):
        return dict.fromkeys("ab", np.zeros_like(w))

    def direction(self, g, slots):
        slots["a"] += g
        slots["b"] += g
        return slots["a"] * 1


@with_side_effects
class SharesASlotBetweenParameters(Optimizer):
    def init(self, w):
        return {"count": SWITCH.setdefault(self, np.zeros(()))}

    __hash__ = Optimizer.__hash__

    def direction(self, g, slots):
        slots["count"] += 1
        return g / float(slots["count"])


@with_side_effects
class KeepsItsWeights(Optimizer):
    def update(self, w, g, slots, h):
        slots.setdefault("start", w)
        h["lr"] = h["lr"] * 0.5  # for the parameters that follow
        super().update(w, g + 0.1 * slots["start"], slots, h)

    def direction(self, g, slots):
        return g * 1

    lazy_slots = True


@with_side_effects
class KeepsTheGradient(Optimizer):
    lazy_slots = True

    def direction(self, g, slots):
        last = slots.get("last", np.zeros_like(g))
        slots["last"] = g
        return 2 * g - last


@with_side_effects
class ChangesANumberAfterItsUse(Optimizer):
    def init(self, w):
        return {"n": np.ones(())}

    def direction(self, g, slots):
        u, local = g / slots["n"], np.array(1.0)
        slots["n"] += 1
        u = u * local
        local += 1
        return u


@with_side_effects
class ReadsItsOwnWeights(Optimizer):
    def update(self, w, g, slots, h):
        w -= h["lr"] * g
        w /= 1 + float(max(p.data.max() for p in self.parameters.values()))

    def direction(self, g, slots):
        return g * 1


@with_side_effects
class ReadsItsOwnSlot(Optimizer):
    def init(self, w):
        return {"m": np.zeros_like(w)}

    def direction(self, g, slots):
        slots["m"] += g
        return g * sum(float(own["m"].sum()) for own in self.slots.values())


@with_side_effects
class RemembersTheWeights(Optimizer):
    def init(self, w):
        return {"last": w.copy()}

    def update(self, w, g, slots, h):
        w -= h["lr"] * g
        w += 0.5 * (w - slots["last"])
        slots["last"] = w

    def direction(self, g, slots):
        return g * 1


@with_side_effects
class GivesTwoSlotsOneArray(Optimizer):
    def init(self, w):
        return {"a": np.zeros_like(w), "b": np.zeros_like(w)}

    def direction(self, g, slots):
        slots["a"] += g
        slots["a"] = slots["b"] = slots["a"] + slots["b"]
        return slots["a"] * 1


@with_side_effects
class IsWrapped(optimizers.Adam):
    @functools.wraps(optimizers.Adam.direction)
    def direction(self, g, slots, *, t, beta1, **hyper):
        SWITCH["factor"] = 2.0 if self.steps > 3 else 1.0
        return g * SWITCH["factor"] * (1 - beta1)


@with_side_effects
class FailsAfterASideEffect(Optimizer):
    count: float = field(default=0.0, init=False)

    def direction(self, g, slots, *, t):
        self.count += 1
        return g * self.count if t < 3 else np.exp(g) * self.count


@with_side_effects
class CountsInASlotAndFails(Optimizer):
    def init(self, w):
        return {"n": np.zeros(())}

    def direction(self, g, slots, *, t):
        slots["n"] += 1
        return g * float(slots["n"]) if t < 4 else np.exp(g) * float(slots["n"])


@with_side_effects
class KeepsTheFirstGradient(Optimizer):
    lazy_slots = True

    def direction(self, g, slots, *, t):
        slots["last"] = g if t == 1 else 0.5 * slots["last"] + g
        return slots["last"] * 1


@with_side_effects
class KeepsStateInADict(Optimizer):
    state: dict = field(default_factory=dict, init=False)

    def direction(self, g, slots):
        b = self.state.get(g.shape)
        self.state[g.shape] = g if b is None else 0.5 * b + g
        return self.state[g.shape] * 1


@with_side_effects
class UsesItsOwnGenerator(Optimizer):
    rng: object = field(default_factory=lambda: np.random.default_rng(0), init=False)

    def direction(self, g, slots):
        return g * float(self.rng.random())


@with_side_effects
class UsesAnEnum(Optimizer):
    def direction(self, g, slots):
        return g * enum.IntEnum("K", {"TWO": 2}).TWO


@with_side_effects
class DividesByAClippedZero(Optimizer):
    def direction(self, g, slots):
        zero = 0.0 * np.abs(g)
        zeros = [np.clip(-0.0 * g, 0.0, 1.0), np.sign(-zero), np.maximum(zero, -zero)]
        return sum(np.sign(1 / z) * 3**n for n, z in enumerate(zeros)) + np.clip(g, -0.2, 0.2)


@pytest.mark.parametrize("cls", SIDE_EFFECTS)
@pytest.mark.filterwarnings("ignore:.* cannot be compiled")
def test_a_rule_with_side_effects_takes_the_steps_of_numpy(cls):
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
        assert_same_arrays(plain, fast, step)
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
    assert_same_arrays(plain, fast)


def test_a_gradient_may_be_an_array_of_the_slots():
    plain, fast = make_pair(optimizers.Adam, [3])
    fast.compile()
    for optimizer in (plain, fast):
        optimizer.step()
        optimizer.parameters["0"].grad = optimizer.slots["0"]["first_moment"]
        optimizer.step()
    assert_same_arrays(plain, fast)
