"""identify: five steps of a framework's path are enough to name its rule, switches and numbers."""

import numpy as np
import pytest
from minigrad.optimizers.tools.explain import DEPENDS_ON

from minigrad import optimizers
from minigrad.optimizers import SGD, Adam, Parameter, RMSprop, StepDecay, identify
from tests.optimizers.test_golden import CASES, GOLDEN, title

# a few of all cases, of different kinds; every one of them is run by
#   python -m tests.optimizers.test_identify
SAMPLE = {
    "torch-Adam(weight_decay=0.1)",
    "keras-RMSprop(weight_decay=0.1)",
    "keras-Lion(beta1=0.8,beta2=0.9)",
}


def five_steps(i, dtype="float64"):
    thetas, gradients = GOLDEN[dtype][i][:6], GOLDEN["gradients"][:5].astype(dtype)
    if {"clip_norm", "clip_global_norm"} & CASES[i]["ours"].keys():  # which see the parameters
        thetas, gradients = ([[x[:4], x[4:]] for x in path] for path in (thetas, gradients))
    return identify(thetas, gradients, lr=GOLDEN["lrs"][:5])


def behaviour(kind, hyper):
    """The hyperparameters that make a difference, as AdamW's are Adam's."""
    h = kind.defaults | hyper
    base = Adam if kind is optimizers.AdamW else kind
    idle = {switch for switch, needed in DEPENDS_ON.items() if not h.get(needed)} | {"lr"}
    changed = {k for k in h if h[k] != base.defaults[k]} - idle
    return base, {k: h[k] for k in changed}


def names(match, case):
    """Whether the match is the case's own rule, switches and numbers."""
    truth = getattr(optimizers, case["optimizer"])
    hyper = truth.conventions[case["framework"]] | case["ours"]
    kind, found = behaviour(match.kind, match.hyper)
    expected_kind, expected = behaviour(truth, hyper)
    open_ = set(match.undetermined)
    if kind is not expected_kind or found.keys() - open_ != expected.keys() - open_:
        return False
    return all(found[k] == pytest.approx(expected[k], rel=1e-3) for k in found.keys() - open_)


@pytest.mark.parametrize("i", [i for i, case in enumerate(CASES) if title(case) in SAMPLE])
def test_five_steps_are_enough(i):
    best = five_steps(i)[0]
    assert best.departs is None
    assert best.deviation < 1e-11
    assert names(best, CASES[i]), best
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


def test_an_unknown_learning_rate_is_found(gradients):
    thetas = path(lambda p, lr: RMSprop(p, lr=lr, rho=0.8, eps=1e-6), gradients, 0.02)
    best = identify(thetas, gradients)[0]
    assert (best.kind, best.departs, best.undetermined) == (RMSprop, None, ())
    assert best.hyper == pytest.approx({"lr": 0.02, "rho": 0.8, "eps": 1e-6})


def test_what_the_data_cannot_tell_is_said_to_be_undetermined():
    # a single step, in which Adam's means are the gradient and its square, whatever β₁ and β₂
    g = np.array([[0.5, -2.0, 1e-6]])
    found = identify(path(Adam, g, 0.1), g, lr=0.1)
    adam = next(m for m in found if m.kind is Adam and not m.hyper)
    assert set(adam.undetermined) == {"beta1", "beta2"}
    assert "undetermined: beta1, beta2" in str(adam)


def test_an_unknown_rule_departs_and_says_where(gradients, monkeypatch):
    monkeypatch.setitem(identify.__globals__, "CLIPS", (None,))  # a third of the search will do
    thetas = path(SGD, gradients[:3], 0.1)
    thetas[2:] = [theta + 0.01 for theta in thetas[2:]]
    best = identify(thetas, gradients[:3], lr=0.1)[0]
    assert best.departs == 2
    assert best.deviation > 1e-3
    assert "departs at step 2" in str(best)


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
def test_what_tells_nothing_is_refused(gradients, thetas, factor, lr, text):
    with pytest.raises(ValueError, match=text):
        identify(thetas, gradients * factor, lr=lr)


def test_schedules_and_iterators_do(gradients):
    lr = StepDecay(0.1, 0.5, 2)
    best = identify(iter(path(SGD, gradients[:3], lr)), iter(gradients[:3]), lr=lr)[0]
    assert (best.kind, best.hyper, best.departs) == (SGD, {}, None)


def test_of_what_agrees_the_most_determined_is_first():
    found = identify([1.0, 0.9], [1.0], lr=0.1)  # a step of Lion and of others as well
    assert (found[0].kind, found[0].hyper) == (SGD, {})
    assert optimizers.Lion in [match.kind for match in found]


if __name__ == "__main__":
    from time import perf_counter

    first, right, slowest, start = 0, 0, 0.0, perf_counter()
    for i, case in enumerate(CASES):
        begin = perf_counter()
        found = [match for match in five_steps(i) if match.departs is None]
        slowest = max(slowest, perf_counter() - begin)
        good = [names(match, case) for match in found]
        first, right = first + good[:1].count(True), right + any(good)
        if not good or not good[0]:
            print(title(case), "→", *found, sep="\n    ", flush=True)
    seconds = (perf_counter() - start) / len(CASES)
    print(f"{right} of {len(CASES)} named rightly from 5 steps, {first} of them first of all;")
    print(f"{seconds:.1f} s each, {slowest:.1f} s at most")
