"""identify: five steps of a framework are enough to find its rule, switches and numbers."""

from importlib.metadata import EntryPoint

import numpy as np
import pytest

from minigrad import optimizers
from minigrad.optimizers import (
    SGD,
    Adam,
    Match,
    Optimizer,
    Parameter,
    RMSprop,
    StepDecay,
    available,
    identify,
    registry,
)
from minigrad.optimizers.tools.explain import inactive_switches
from tests.optimizers.test_golden import CASES, GOLDEN, title

# Three cases of different kinds. This program runs all of them:
#   python -m tests.optimizers.tools.test_identify
SAMPLE = {
    "torch-Adam(weight_decay=0.1)",
    "keras-RMSprop(weight_decay=0.1)",
    "keras-Lion(beta1=0.8,beta2=0.9)",
}
ALL_NAMES = pytest.param([*available()], marks=pytest.mark.slow, id="all optimizers")


@pytest.fixture
def restrict(monkeypatch):
    """Return a function that restricts the search to some optimizers, which makes it quick."""
    return lambda names: monkeypatch.setitem(identify.__globals__, "available", lambda: names)


def five_steps(i, dtype="float64"):
    thetas, gradients = GOLDEN[dtype][i][:6], GOLDEN["gradients"][:5].astype(dtype)
    if {"clip_norm", "clip_global_norm"} & CASES[i]["ours"].keys():  # these need each parameter
        thetas, gradients = ([[x[:4], x[4:]] for x in path] for path in (thetas, gradients))
    return identify(thetas, gradients, lr=GOLDEN["lrs"][:5])


def effective(optimizer_class, hyper):
    """Return the class and the hyperparameters that have an effect; AdamW becomes Adam."""
    h = optimizer_class.defaults | hyper
    base = Adam if optimizer_class is optimizers.AdamW else optimizer_class
    changed = {k for k in h if h[k] != base.defaults[k]} - inactive_switches(h) - {"lr"}
    return base, {k: h[k] for k in changed}


def is_correct(match, case):
    """Return whether the match has the rule, the switches and the numbers of the case."""
    true_class = getattr(optimizers, case["optimizer"])
    hyper = true_class.conventions[case["framework"]] | case["ours"]
    found_class, found = effective(match.optimizer_class, match.hyper)
    expected_class, expected = effective(true_class, hyper)
    determined = found.keys() - set(match.undetermined)
    if found_class is not expected_class or determined != expected.keys() - set(match.undetermined):
        return False
    return all(found[k] == pytest.approx(expected[k], rel=1e-3) for k in determined)


@pytest.mark.parametrize("names", [None, ALL_NAMES])
@pytest.mark.parametrize("i", [i for i, case in enumerate(CASES) if title(case) in SAMPLE])
def test_five_steps_are_enough(restrict, i, names):
    restrict(names or ["sgd", CASES[i]["optimizer"].lower()])
    best = five_steps(i)[0]
    assert best.first_mismatch is None
    assert best.deviation < 1e-11
    assert is_correct(best, CASES[i]), best
    assert CASES[i]["framework"] in best.conventions


def path(make, gradients, lr):
    w = Parameter(np.array([1.0, -2.0, 3.0]))
    optimizer, thetas = make([w], lr=lr), [w.data.copy()]
    for g in gradients:
        w.grad = g
        optimizer.step()
        thetas.append(w.data.copy())
    return thetas


@pytest.fixture
def gradients():
    return np.random.default_rng(0).standard_normal((5, 3)) * [1.0, 1e-4, 10.0]


@pytest.mark.slow
def test_an_unknown_learning_rate_is_found(gradients):
    thetas = path(lambda p, lr: RMSprop(p, lr=lr, rho=0.8, eps=1e-6), gradients, 0.02)
    best = identify(thetas, gradients)[0]
    assert (best.optimizer_class, best.first_mismatch, best.undetermined) == (RMSprop, None, ())
    assert best.hyper == pytest.approx({"lr": 0.02, "rho": 0.8, "eps": 1e-6})


def test_an_unknown_learning_rate_of_sgd_is_found(restrict, gradients):
    restrict(["sgd"])
    best = identify(path(SGD, gradients, 0.02), gradients)[0]
    assert (best.optimizer_class, best.first_mismatch, best.undetermined) == (SGD, None, ())
    assert best.hyper == pytest.approx({"lr": 0.02})


@pytest.mark.parametrize("names", [["sgd", "adam"], ALL_NAMES])
def test_numbers_that_the_data_do_not_determine_are_listed(restrict, names):
    restrict(names)
    # In a single step, Adam's means are the gradient and its square for every β₁ and β₂.
    g = np.array([[0.5, -2.0, 1e-6]])
    found = identify(path(Adam, g, 0.1), g, lr=0.1)
    adam = next(m for m in found if m.optimizer_class is Adam and not m.hyper)
    assert set(adam.undetermined) == {"beta1", "beta2"}
    assert "undetermined: beta1, beta2" in str(adam)


@pytest.mark.parametrize("names", [["sgd"], ALL_NAMES])
def test_the_match_of_an_unknown_rule_names_the_first_mismatch(
    restrict, gradients, monkeypatch, names
):
    restrict(names)
    monkeypatch.setitem(identify.__globals__, "CLIPS", (None,))  # a third of the search
    thetas = path(SGD, gradients[:3], 0.1)
    thetas[2:] = [theta + 0.01 for theta in thetas[2:]]
    best = identify(thetas, gradients[:3], lr=0.1)[0]
    assert best.first_mismatch == 2
    assert best.deviation > 1e-3
    assert "first mismatch at step 2" in str(best)


MOVING = np.arange(18.0).reshape(6, 3)


@pytest.mark.parametrize(
    "thetas, factor, lr, text",
    [
        (np.zeros((5, 3)), 1, 0.1, r"T \+ 1 thetas and T gradients.*received 5 and 5"),
        (np.ones((6, 4)), 1, 0.1, "all of one shape"),
        (np.ones((6, 3)), 1, 0.1, "thetas that move"),
        (np.ones((6, 3)), 0, None, "thetas that move"),
        (MOVING * np.nan, 1, 0.1, "finite thetas and gradients"),
        (MOVING, np.inf, 0.1, "finite thetas and gradients"),
        (MOVING, 1, -0.1, "an lr that is finite and not negative, .* received -0.1"),
        (MOVING, 1, float("nan"), "an lr that is finite"),
        (MOVING, 1, [0.1, 0.2], "one for each of the 5 steps"),
        (MOVING, 1, "0.1", "received '0.1'"),
    ],
)
def test_invalid_data_are_refused(gradients, thetas, factor, lr, text):
    with pytest.raises(ValueError, match=text):
        identify(thetas, gradients * factor, lr=lr)


@pytest.mark.parametrize("names", [["sgd"], ALL_NAMES])
def test_schedules_and_iterators_are_accepted(restrict, gradients, names):
    restrict(names)
    lr = StepDecay(0.1, 0.5, 2)
    best = identify(iter(path(SGD, gradients[:3], lr)), iter(gradients[:3]), lr=lr)[0]
    assert (best.optimizer_class, best.hyper, best.first_mismatch) == (SGD, {}, None)


def test_the_match_with_the_fewest_numbers_is_first():
    found = identify([1.0, 0.9], [1.0], lr=0.1)  # a step that Lion can make, too
    assert (found[0].optimizer_class, found[0].hyper) == (SGD, {})
    assert optimizers.Lion in [match.optimizer_class for match in found]


class Constant(optimizers.Optimizer):
    """u = 1, which explains no data here. Each class below fails in one of its methods."""

    def direction(self, g, slots):
        return np.ones_like(g)


class Contradicts(Constant):
    @classmethod
    def contradictions(cls, h):
        raise KeyError("lost")


class Unmade(Constant):
    def __post_init__(self, params):
        raise KeyError("lost")


class Uninitialized(Constant):
    def init(self, w):
        raise KeyError("lost")


class WritesIntoG(Constant):
    def direction(self, g, slots):
        g *= 0.5
        return g


class UnlocksG(Constant):
    def direction(self, g, slots):
        g.flags.writeable = True
        g *= 2
        return g


class Exits(Constant):
    def direction(self, g, slots):
        raise SystemExit("lost")


class WritesIntoW(Constant):
    def direction(self, g, slots, *, w):
        w -= 0.05 * g
        return 0.5 * g


class FailsLater(Constant):
    def direction(self, g, slots, *, t):
        if t > 1:
            raise KeyError("lost")
        return g


class ForgetsReturn(Constant):
    def direction(self, g, slots):
        pass


class OtherStep(Constant):  # not described by update, as wrappers, which are no Optimizers
    def direction(self, g, slots):
        return g

    def step(self, closure=None):
        raise KeyError("lost")


WRONG = [Contradicts, Unmade, Uninitialized, WritesIntoG, WritesIntoW, FailsLater, ForgetsReturn]
WRONG = [UnlocksG, Exits, *WRONG]


def test_rules_that_fail_are_left_out_and_named_once(monkeypatch):
    classes = {cls.__name__.lower(): cls for cls in [*WRONG, OtherStep, SGD, Match]}
    monkeypatch.setattr(registry, "_registry", classes)
    with pytest.warns(UserWarning, match="identify omits ") as warned:
        found = identify([1.0, 0.8, 0.7], [2.0, 1.0], lr=0.1)
    assert (found[0].optimizer_class, found[0].hyper, found[0].first_mismatch) == (SGD, {}, None)
    assert {match.optimizer_class for match in found} == {SGD}
    (message,) = [str(w.message) for w in warned]
    for cls in WRONG:
        assert message.count(f"{cls.__name__} (") == 1, cls
    assert message.count("KeyError: 'lost'") == 4 and "OtherStep" not in message


def test_a_plug_in_that_does_not_load_is_left_out(monkeypatch):
    monkeypatch.setattr(registry, "_registry", {"sgd": SGD})
    entry = EntryPoint("broken", "no_such_module:rule", "minigrad.optimizers")
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry])
    assert identify([1.0, 0.8], [2.0], lr=0.1)[0].optimizer_class is SGD


def test_a_rule_that_overrides_update_is_found(restrict, monkeypatch):
    class Scaled(Optimizer):
        k: float = 2.0

        def direction(self, g, slots, *, k):
            return g

        def update(self, w, g, slots, h):
            super().update(w, self.k * g, slots, h)

    monkeypatch.setitem(registry._registry, "scaled", Scaled)
    restrict(["scaled"])
    gradients = np.random.default_rng(0).normal(size=(5, 4))
    thetas = np.cumsum([np.zeros(4), *(-0.1 * 5.0 * gradients)], axis=0)
    best = identify(thetas, gradients, lr=0.1)[0]
    assert best.optimizer_class is Scaled and best.first_mismatch is None
    assert best.hyper == {"k": pytest.approx(5.0)}


def test_a_match_is_listed_once(restrict):
    """optax and PyTorch have the same defaults of AdamW."""
    restrict(["adamw", "adam"])
    w = Parameter(np.ones(4))
    optimizer, thetas = optimizers.AdamW([w], lr=0.01), [np.ones(4)]
    gradients = np.random.default_rng(0).normal(size=(5, 4))
    for g in gradients:
        w.grad = g.copy()
        optimizer.step()
        thetas.append(w.data.copy())
    matches = [str(match) for match in identify(thetas, gradients, lr=0.01)]
    assert len(matches) == len({*matches})


if __name__ == "__main__":
    from time import perf_counter

    first, correct, slowest, start = 0, 0, 0.0, perf_counter()
    for i, case in enumerate(CASES):
        begin = perf_counter()
        found = [match for match in five_steps(i) if match.first_mismatch is None]
        slowest = max(slowest, perf_counter() - begin)
        good = [is_correct(match, case) for match in found]
        first, correct = first + good[:1].count(True), correct + any(good)
        if not good or not good[0]:
            print(title(case), "→", *found, sep="\n    ", flush=True)
    seconds = (perf_counter() - start) / len(CASES)
    print(f"{correct} of {len(CASES)} identified from 5 steps, {first} of them by the first match;")
    print(f"{seconds:.1f} s each, {slowest:.1f} s at most")
