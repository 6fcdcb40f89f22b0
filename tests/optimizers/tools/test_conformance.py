"""The conformance checks: every registered optimizer passes, and each wrong one is found."""

import re
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import field
from functools import partial
from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np
import pytest

from minigrad.optimizers import EMA, SGD, Optimizer, Wrapper, available, get, register
from minigrad.optimizers.tools.checks import require_descent
from minigrad.optimizers.tools.conformance import CHECKS, conformance, report


class Lookahead(Wrapper):
    """Every k steps, a ← (a + w) / 2 and w ← a."""

    k: int = 3

    def init(self, w):
        return {"slow": w.copy()}

    def after_step(self, w, slots):
        if self.steps % self.k == 0:
            slots["slow"] += 0.5 * (w - slots["slow"])
            w[...] = slots["slow"]


class Sharp(Wrapper):
    """A step with the gradient at w + ρ·g / ‖g‖."""

    rho: float = 0.05
    needs_closure = True

    def step(self, closure=None):
        loss = closure()
        moved = [p for p in self.parameters.values() if p.grad is not None]
        before = [p.data.copy() for p in moved]
        norm = float(np.sqrt(sum((p.grad**2).sum() for p in moved))) + 1e-12
        for p in moved:
            p.data += self.rho / norm * p.grad
        closure()
        for p, w in zip(moved, before):
            p.data[...] = w
        self.inner.step()
        return loss


class Averaged(Optimizer):
    """u = g; the mean of w after all updates is evaluated. It decays weights by itself."""

    power: float = 1.0

    def init(self, w):
        return {"sum": np.zeros_like(w), "rows": np.zeros(w.shape[:1], w.dtype), "n": np.array(0)}

    def direction(self, g, slots, *, w, power, weight_decay):
        slots["n"] += 1
        slots["sum"] += w
        if g.ndim:
            slots["rows"] += g.reshape(len(g), -1).mean(1)
        return power * (g + weight_decay * w)

    def evaluation_weight(self, w, slots, *, power):
        return slots["sum"] / int(slots["n"]) * power**0


# an optimizer in a wrapper, and wrappers of other kinds, as functions (params, **hyper)
MADE = {
    "Lookahead(SGD)": partial(get, Lookahead, inner="sgd"),
    "Lookahead(EMA(Adam))": lambda params, **hyper: Lookahead(get("ema", params, **hyper)),
    "Sharp(SGD)": partial(get, Sharp, inner="sgd"),
    "Averaged": Averaged,
    "EMA(Adam)": partial(get, "ema", inner="adam"),
    "SWA(RMSprop)": partial(get, "swa", inner="rmsprop", start=1, every=2),
    "a class": SGD,
    "EMA(Lookahead(SGD))": lambda params, **hyper: EMA(Lookahead(get("sgd", params, **hyper))),
}


@pytest.mark.parametrize("name", available())
def test_every_registered_optimizer_passes(name):
    assert conformance(name) == {}


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(make, id=name, marks=[pytest.mark.slow] if name.count("(") > 1 else [])
        for name, make in MADE.items()
    ],
)
def test_what_is_not_registered_can_be_checked(make):
    assert conformance(make) == {}


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


class Unread(Optimizer):
    """u = g. Only its step reads its hyperparameter, so groups cannot have their own."""

    beta: float = 1.5

    def direction(self, g, slots):
        return g

    def step(self, closure=None):
        loss = super().step(closure)
        for p in self.parameters.values():
            p.data *= 1 if p.grad is None else self.beta**-0.01
        return loss


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
        r"it writes into g or w in writes \(.*_conformance.py, line \d+\); write g = g \* 0.5",
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


@pytest.mark.parametrize("wrong, check, text", WRONG)
def test_a_wrong_optimizer_is_found(wrong, check, text):
    register("wrong")(wrong)
    failures = conformance("wrong", [check])
    assert re.match(text, failures.get(check, "")), failures


def test_every_check_finds_a_wrong_optimizer():
    assert {getattr(case, "values", case)[1] for case in WRONG} == set(CHECKS)


def test_conformance_returns_all_failures():
    register("wrong")(writes)
    assert [*conformance("wrong")] == ["never_writes_into_gradients_or_weights"]
    register("wrong", override=True)(climbs)
    assert [*conformance("wrong")] == ["descends_on_a_quadratic", "descends_on_rosenbrock"]


class Tiny(Optimizer):
    """u = 1e-5·g, with an lr that fits."""

    lr: float = 1000.0

    def direction(self, g, slots):
        return 1e-5 * g


class SharesNumber(Optimizer):
    """u = g / √c, where c, which all parameters share, adds up all squares of gradients."""

    def init(self, w):
        return {"c": np.array(1.0)}

    def direction(self, g, slots):
        return g / float(slots["c"]) ** 0.5

    def step(self, closure=None):
        loss = super().step(closure)
        for p in self.parameters.values():
            for slots in self.slots.values():
                slots["c"] += 0 if p.grad is None else (p.grad**2).sum()
        return loss


@pytest.mark.parametrize("right", [Tiny, SharesNumber, Unread])
def test_unusual_optimizers_pass(right):
    assert conformance(right) == {}


def test_a_random_rule_is_not_said_to_mix_up_groups():
    class Random(Optimizer):
        """u = r·g."""

        a: float = 0.5
        b: float = 0.5

        def direction(self, g, slots, *, a, b):
            return g * (a + b + np.random.default_rng().random())

    failures = conformance(Random)
    assert "same_steps_give_the_same_bits" in failures
    assert "groups_have_their_own_values" not in failures


def test_losses_that_look_equal_are_written_with_more_digits():
    def loss(w):
        return (1.0 if w == 1 else 0.0500001), np.ones(1)

    (problem,) = require_descent(partial(get, "sgd"), [1.0], loss, 0.05)
    assert "from 1 to 0.0500001; it must fall below 0.05;" in problem


@pytest.mark.parametrize(
    "optimizer, checks, error, text",
    [
        ("sdg", None, ValueError, "unknown optimizer 'sdg'; did you mean 'sgd'"),
        ("sgd", ["zero"], ValueError, r"unknown check 'zero' \(there are: descends_on"),
        (SGD(), None, TypeError, r"a function \(params, \*\*hyper\) -> optimizer; received SGD"),
    ],
)
def test_what_cannot_be_checked_is_refused(optimizer, checks, error, text):
    with pytest.raises(error, match=text):
        conformance(optimizer, checks)


def test_the_report_has_a_line_for_an_optimizer_that_passes(capsys):
    register("wrong")(climbs)
    assert report(["sgd"]) == 0 and report(["wrong", "sgd"]) == 1
    lines = capsys.readouterr().out.splitlines()
    passed = f"sgd: all {len(CHECKS)} checks passed"
    assert lines[0] == lines[-1] == passed and len(lines) == 5
    line = climbs.__code__.co_firstlineno
    assert lines[1] == f"wrong ({__file__}, line {line}): 2 of {len(CHECKS)} checks failed"
    assert lines[2].startswith("  descends_on_a_quadratic: 400 steps with the best")


def test_the_report_says_the_same_problem_once(capsys):
    register("wrong")(raises)
    register("other")(shrinks)
    assert report(["wrong", "other"]) == 1
    first, problem, _, shape = capsys.readouterr().out.splitlines()
    assert problem.startswith("  descends_on_a_quadratic: it raises KeyError in raises (")
    count = re.fullmatch(rf"wrong .*: (\d+) of {len(CHECKS)} checks failed", first)[1]
    assert problem.endswith(f" … and the same in {int(count) - 1} other checks") and int(count) > 9
    assert "other checks" in shape and "Traceback" not in problem + shape


def test_the_report_shows_a_traceback_if_asked(capsys):
    register("wrong")(raises)
    report(["wrong"], show_traceback=True)
    assert capsys.readouterr().out.count("Traceback (most recent call last)") == 1


def test_importing_the_checks_needs_no_pytest():
    code = "import sys, minigrad.optimizers.tools.conformance; print('pytest' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
