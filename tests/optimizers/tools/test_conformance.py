"""The conformance checks: every registered optimizer passes, and each wrong one is found."""

import re
import subprocess
import sys
from functools import partial

import numpy as np
import pytest

from minigrad.optimizers import EMA, SGD, Optimizer, Wrapper, available, get, register
from minigrad.optimizers.tools.checks import require_descent
from minigrad.optimizers.tools.conformance import CHECKS, conformance, report
from tests.optimizers.tools.wrong_optimizers import WRONG, climbs, raises, shrinks, writes

# ---- Correct optimizers ----


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


# ---- Wrong optimizers ----


def id_of(case):
    wrong, check, _ = getattr(case, "values", case)
    return f"{wrong.__name__}-{check}"


@pytest.mark.parametrize("wrong, check, text", WRONG, ids=map(id_of, WRONG))
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


# ---- Errors and the report ----


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
    code = climbs.__code__
    where = f"{code.co_filename}, line {code.co_firstlineno}"
    assert lines[1] == f"wrong ({where}): 2 of {len(CHECKS)} checks failed"
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
