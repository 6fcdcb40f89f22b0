"""Wrong optimizers: each breaks one rule of the conformance checks. WRONG names the check."""

import sys
from contextlib import contextmanager
from dataclasses import field
from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np
import pytest

from minigrad.optimizers import Optimizer, Wrapper

seen: list = []


def writes(g, slots):
    g += 0.0
    return g * 1.0


def writes_into_w(g, slots, *, w):
    w -= 0.1 * g
    return 0 * g


def climbs(g, slots):
    return -g


def keeps_state_outside_slots(g, slots):
    seen.append(g.mean())
    return g + seen[len(seen) // 2]


def promotes(g, slots):
    return g * np.float64(1)


def promotes_later(g, slots, *, t):
    return g * np.float64(0.5) if t > 1 else g


def forgets_return(g, slots):
    g * 2


def makes_nan(g, slots):
    slots["ratio"] = g / np.abs(g)
    return g


def promotes_a_slot(g, slots):
    slots["m"] = slots.get("m", 0) * np.float64(0.5) + g
    return slots["m"].astype(g.dtype)


def shrinks(g, slots):
    return g.mean(keepdims=True)


def keeps_the_gradient(g, slots):
    slots["last"] = g
    return g * 1


def shares(g, slots):
    slots["a"] = slots["b"] = slots.get("a", g) + g
    return slots["a"]


def divides_by_zero(g, slots):
    return g / np.abs(g).max()


def is_random(g, slots):
    return g * np.random.default_rng().random()


def raises(g, slots):
    raise KeyError("lost")


def exits(g, slots):
    sys.exit()


class Joint(Optimizer):
    """u = g / ‖g‖. A block of a large array does not know ‖g‖."""

    elementwise = True

    def direction(self, g, slots):
        return g / np.linalg.norm(g)


class Unchecked(Optimizer):
    """u = g. Accepts every value of its hyperparameters."""

    def __setattr__(self, name, value):
        vars(self)[name] = value

    def direction(self, g, slots):
        return g


class Nameless(Optimizer):
    """u = g. Its repr hides the hyperparameters."""

    def direction(self, g, slots):
        return g

    def __repr__(self):
        return "Nameless()"


class Replaces(Optimizer):
    """u = g. A step replaces the array of the weights."""

    def direction(self, g, slots):
        return g

    def step(self, closure=None):
        for p in self.parameters.values():
            p.data = p.data.copy()
        return super().step(closure)


class MovesAll(Optimizer):
    """u = g. A parameter without a gradient moves, too."""

    def direction(self, g, slots):
        return g

    def step(self, closure=None):
        loss = super().step(closure)
        for p in self.parameters.values():
            p.data *= 1 if p.grad is not None else 0.5
        return loss


class Counts(Optimizer):
    """u = n·g. n, the number of calls so far, is in no slot."""

    elementwise = True
    calls: ClassVar[list] = []

    def direction(self, g, slots):
        self.calls.append(1)
        return g * len(self.calls)


class KeepsRefused(Unchecked):
    """u = g. It raises for a wrong value, but only after it has stored it."""

    def __setattr__(self, name, value):
        vars(self)[name] = value
        Optimizer.__setattr__(self, name, value)


class CountsTwice(Optimizer):
    """u = g. `updates` holds the number of steps, not the number of updates."""

    def direction(self, g, slots):
        return g

    def step(self, closure=None):
        loss = super().step(closure)
        self.updates = dict.fromkeys(self.updates, self.steps)
        return loss


class Global(Optimizer):
    """u = c·g, with the optimizer's c in all groups."""

    scale: float = 2.0

    def direction(self, g, slots):
        return g

    def update(self, w, g, slots, h):
        super().update(w, vars(self)["scale"] * g, slots, h)


class GlobalZero(Global):
    """u = g + c·sign(g), with the optimizer's c, by default 0, in all groups."""

    scale: float = 0.0

    def update(self, w, g, slots, h):
        Optimizer.update(self, w, g + vars(self)["scale"] * np.sign(g), slots, h)


class GlobalSwitch(Global):
    """u = g, or g / 2 with `half`. Groups cannot have their own `half`."""

    half: bool = False

    def update(self, w, g, slots, h):
        super().update(w, g / 2 if vars(self)["half"] else g, slots, h)


class ForgetsLoss(Optimizer):
    """u = g. Its step returns nothing."""

    def direction(self, g, slots):
        return g

    def step(self, closure=None):
        super().step(closure)


class KeepsAnAverage(Wrapper):
    """The average is an attribute, so no checkpoint has it."""

    default_inner = "sgd"
    average = None

    def after_step(self, w, slots):
        self.average = (self.average or 0) / 2 + w.mean()
        w -= 1e-3 * self.average


class LosesAverage(Wrapper):
    """Looks for a slot that no method makes."""

    default_inner = "sgd"

    def evaluation_weight(self, w, slots):
        return slots["average"]


class EvaluatesInSlots(Wrapper):
    """Every evaluation changes the next step."""

    default_inner = "sgd"

    def init(self, w):
        return {"pull": np.zeros_like(w)}

    def after_step(self, w, slots):
        w -= slots["pull"]

    def evaluation_weight(self, w, slots):
        slots["pull"] += 0.01
        return w.copy()


class RestoresUnlessInterrupted(Wrapper):
    """Forgets try … finally."""

    default_inner = "sgd"

    @contextmanager
    def evaluating(self):
        before = {name: p.data.copy() for name, p in self.parameters.items()}
        for p in self.parameters.values():
            p.data *= 0.5
        yield
        for name, p in self.parameters.items():
            p.data[...] = before[name]


class EvaluatesNothing(Wrapper):
    """The mean of no weights."""

    default_inner = "sgd"

    def evaluation_weight(self, w, slots):
        with np.errstate(all="ignore"):
            return 0 * w / 0


def writes_later(g, slots, *, t):
    if t > 5:
        g *= 2
    return g * 1.0


def promotes_much_later(g, slots, *, t):
    return g * np.float64(0.5) if t > 5 else g


def keeps_a_gradient_once(g, slots, *, t):
    slots["last"] = g if t == 3 else g.copy()
    return g * 1


def is_random_later(g, slots, *, t):
    return g * np.random.default_rng().random() if t > 5 else g


class WritesIntoParameters(Optimizer):
    """u = 0. It writes into the weights that it has from elsewhere."""

    def direction(self, g, slots):
        for p in self.parameters.values():
            p.data *= 0.5
        return 0 * g


class NeedsTwoAxes(Optimizer):
    """u = g. It knows arrays of at most two axes."""

    def direction(self, g, slots):
        _rows, _columns = g.shape if g.ndim > 1 else (1, g.size)
        return g


def needs_a_history(g, slots, *, t):
    return g / np.abs(g).max() if t > 3 else g


def needs_another_gradient(g, slots):
    last = slots.setdefault("last", 0.5 * g)
    change = np.abs(g - last).max()
    slots["last"] = g.copy()
    return g / change if g.any() else g * 1


class Estimates(Optimizer):
    """u = d·g, where d, which is in no slot, grows as long as the gradients agree."""

    d: Any = field(default=1.0, init=False)

    def init(self, w):
        return {"sum": np.zeros_like(w)}

    def direction(self, g, slots):
        total = slots["sum"]
        if g.size > 1 and (g * total).sum() > 0.9 * np.linalg.norm(g) * np.linalg.norm(total) > 0:
            self.d *= 1.01
        total += g
        return self.d * g


class ReplacesASlot(Optimizer):
    """u = m, in a new array."""

    elementwise = True

    def init(self, w):
        return {"m": np.zeros_like(w)}

    def direction(self, g, slots):
        slots["m"] = 0.5 * slots["m"] + g
        return slots["m"] * 1


class CountsWithout(Optimizer):
    """u = g. The vector, and only it, counts steps without a gradient."""

    def init(self, w):
        return {"n": np.array(0.0)}

    def direction(self, g, slots):
        slots["n"] += 1
        return g

    def step(self, closure=None):
        for name, p in self.parameters.items():
            if p.grad is None:
                self.slots[name]["n"] += 0.25
        return super().step(closure)


WRONG = [
    (
        writes_later,
        "never_writes_into_gradients_or_weights",
        "it writes into g or w in writes_later",
    ),
    (
        WritesIntoParameters,
        "never_writes_into_gradients_or_weights",
        "direction changes scalar, vector, matrix; return u: the base class",
    ),
    (promotes_much_later, "keeps_the_dtype", "direction returns float64 of shape"),
    (
        keeps_a_gradient_once,
        "no_two_arrays_share_memory",
        "scalar/last and scalar.grad share memory",
    ),
    (is_random_later, "same_steps_give_the_same_bits", "the same steps give different bits"),
    (NeedsTwoAxes, "step_returns_the_loss", "it raises ValueError in direction .* too many values"),
    (
        needs_a_history,
        "zero_gradients",
        "gradients of 0 after 3 others make scalar inf or NaN; add an eps > 0",
    ),
    (
        needs_another_gradient,
        "zero_gradients",
        "equal gradients in two steps make scalar inf or NaN; add an eps > 0",
    ),
    (Estimates, "resumes_bit_for_bit", "4 steps after load_state_dict it differs"),
    (
        ReplacesASlot,
        "large_arrays",
        r"it raises TypeError: ReplacesASlot: direction replaces or adds a slot; make slots",
    ),
    (
        CountsWithout,
        "parameter_without_gradient",
        "a step without a gradient changes vector/n; skip parameters .*; only numbers that all",
    ),
    (
        writes,
        "never_writes_into_gradients_or_weights",
        r"it writes into g or w in writes \(.*wrong_optimizers.py, line \d+\); write g = g \* 0.5",
    ),
    (
        writes_into_w,
        "never_writes_into_gradients_or_weights",
        r"it writes into g or w in writes_into_w \(.*, line \d+\); .* class computes",
    ),
    (
        climbs,
        "descends_on_a_quadratic",
        "400 steps .* take the loss from 10.5 to .* must fall below 0.525",
    ),
    (climbs, "descends_on_rosenbrock", "400 steps .* check the sign and the size of u: w ← w"),
    (
        keeps_state_outside_slots,
        "resumes_bit_for_bit",
        "4 steps after load_state_dict it differs .* in scalar.*; keep all that changes in",
    ),
    (
        KeepsAnAverage,
        "resumes_bit_for_bit",
        "4 steps after load_state_dict it differs .* in scalar",
    ),
    (
        promotes,
        "keeps_the_dtype",
        "it raises TypeError: promotes: direction .* an array of dtype float32",
    ),
    (
        promotes_later,
        "keeps_the_dtype",
        r"direction returns float64 of shape \(\); it must return float32, .*; compute with",
    ),
    (
        promotes_a_slot,
        "keeps_the_dtype",
        "the slot vector/m has float64, where the gradients have float32; compute with",
    ),
    (
        shrinks,
        "keeps_the_dtype",
        r"it raises TypeError: .* of shape \(3,\), as g has; it returned \(1,\)",
    ),
    (
        forgets_return,
        "same_steps_give_the_same_bits",
        "it raises TypeError: forgets_return: .* NoneType; end it with `return …`",
    ),
    (
        Replaces,
        "no_two_arrays_share_memory",
        "a step replaces p.data, which others hold, too; write into it",
    ),
    (
        keeps_the_gradient,
        "no_two_arrays_share_memory",
        "scalar/last and scalar.grad share memory: .* store a copy",
    ),
    (shares, "no_two_arrays_share_memory", "vector/a and vector/b share memory"),
    (divides_by_zero, "zero_gradients", "gradients of 0 make scalar inf or NaN; add an eps > 0"),
    (makes_nan, "zero_gradients", "gradients of 0 make scalar/ratio inf or NaN"),
    (
        is_random,
        "same_steps_give_the_same_bits",
        "the same steps give different bits in scalar.*; use no randomness",
    ),
    (Joint, "large_arrays", "a large array, updated in blocks, gets other bits .* elementwise"),
    (
        Unchecked,
        "hyperparameters_are_validated",
        "it accepts lr=nan, .*nesterov='nonsense'.* a ValueError with the name",
    ),
    (
        KeepsRefused,
        "hyperparameters_are_validated",
        "it refuses lr=nan, .* but keeps the value; .* first",
    ),
    (
        Nameless,
        "repr_recreates_the_optimizer",
        r"repr is Nameless\(\); it must be one line of Python .* delete your __repr__",
    ),
    (
        MovesAll,
        "parameter_without_gradient",
        "a step without a gradient changes vector; skip parameters whose grad",
    ),
    (
        CountsTwice,
        "parameter_without_gradient",
        r"updates must count .*, \[3, 2, 3, 3\], not \[3, 3, 3, 3\]; leave it",
    ),
    (
        raises,
        "zero_gradients",
        r"it raises KeyError in raises \(.*, line \d+\): 'lost'; make slots in init",
    ),
    (exits, "zero_gradients", r"it raises SystemExit in exits \(.*, line \d+\)"),
    (
        Global,
        "groups_have_their_own_values",
        r"a group with scale=1.8 does not take the steps of .* the same; take scale as a keyword",
    ),
    (GlobalZero, "groups_have_their_own_values", "a group with scale=0.1 does not take"),
    (
        GlobalSwitch,
        "groups_have_their_own_values",
        "a group with scale=1.8, half=True does not .* take scale, half as",
    ),
    (LosesAverage, "evaluating_restores_the_weights", "it raises KeyError in evaluation_weight"),
    (
        RestoresUnlessInterrupted,
        "evaluating_restores_the_weights",
        "after an exception evaluating.. does not restore scalar",
    ),
    (
        EvaluatesInSlots,
        "evaluating_restores_the_weights",
        "after evaluating.., the next steps have other bits",
    ),
    (
        EvaluatesNothing,
        "evaluating_restores_the_weights",
        "after 2 steps evaluating.. makes scalar inf or NaN",
    ),
    (
        ForgetsLoss,
        "step_returns_the_loss",
        r"step\(closure\) returns None, not .* write return super",
    ),
    pytest.param(
        Counts,
        "compiled_steps_have_the_same_bits",
        r"compile\(\) changes bits of .* on nothing but its arguments",
        marks=pytest.mark.skipif(not find_spec("numba"), reason="numba is not installed"),
    ),
]
