"""Saving and loading: bit-exact, by name, and all or nothing."""

import copy
import io
import json

import numpy as np
import pytest

from minigrad.optimizers import (
    SGD,
    Adam,
    CosineDecay,
    Join,
    LinearWarmup,
    NAdam,
    Parameter,
    RMSprop,
    StepDecay,
    register,
)


def build(kind=RMSprop, **hyper):
    hyper = dict(lr=Join((LinearWarmup(0.1, 3), CosineDecay(0.1, 9)), (3,)), momentum=0.5) | hyper
    a = ("net.a", Parameter(np.array([1.0, 2.0])))
    b = ("net/b", Parameter(np.array([[3.0]])))
    return kind([{"params": [a], "weight_decay": StepDecay(0.5, 0.5, 2)}, {"params": [b]}], **hyper)


def walk(optimizer, steps):
    for _ in range(steps):
        for p in optimizer.parameters.values():
            p.grad = np.sin(p.data + optimizer.steps)
        optimizer.step()
    return [p.data.copy() for p in optimizer.parameters.values()]


def resumed(optimizer, **hyper):
    """A new optimizer that takes the place of one, from the bytes of its state."""
    state, file = optimizer.state_dict(), io.BytesIO()
    np.savez(file, **state.pop("slots"))
    text = json.dumps(state)
    fresh = build(type(optimizer), **hyper)
    for p, q in zip(fresh.parameters.values(), optimizer.parameters.values()):
        p.data[...] = q.data
    file.seek(0)
    fresh.load_state_dict(json.loads(text) | {"slots": dict(np.load(file))})
    return fresh


@pytest.mark.parametrize("kind", [SGD, RMSprop, Adam, NAdam])
def test_going_on_from_a_file_repeats_every_bit(kind):
    optimizer = build(kind)
    walk(optimizer, 4)
    again = resumed(optimizer, lr=0.9, momentum=0.0)  # all of which the state overrides
    assert (again.lr, again.steps, repr(again)) == (optimizer.lr, 4, repr(optimizer))
    assert again.groups[0].data == optimizer.groups[0].data
    assert all(map(np.array_equal, walk(again, 5), walk(optimizer, 5)))


def test_the_state_is_a_copy():
    optimizer = build()
    walk(optimizer, 1)
    state = optimizer.state_dict()
    kept = {k: a.copy() for k, a in state["slots"].items()}
    walk(optimizer, 1)
    assert all(np.array_equal(kept[k], state["slots"][k]) for k in kept)
    optimizer.load_state_dict(state)
    walk(optimizer, 1)
    assert all(np.array_equal(kept[k], state["slots"][k]) for k in kept)


def test_groups_are_live_after_loading():
    optimizer = build()
    optimizer.load_state_dict(optimizer.state_dict())
    optimizer.lr = 0.25
    assert optimizer.groups[1]["lr"] == 0.25


def test_a_function_is_saved_by_its_place_only():
    optimizer = build(lr=lambda t: 0.1 / (t + 1))
    walk(optimizer, 2)
    assert resumed(optimizer, lr=lambda t: 0.1 / (t + 1)).lr == optimizer.lr
    with pytest.raises(ValueError, match="assign it again, then load"):
        resumed(optimizer, lr=0.1)


def test_the_slots_that_a_function_makes_as_it_goes_come_back():
    @register("test_state_signum", override=True)
    def signum(g, slots, *, beta=0.9):
        m = slots.setdefault("m", np.zeros_like(g))
        m += (1 - beta) * (g - m)
        return np.sign(m)

    optimizer = build(signum)
    walk(optimizer, 2)
    again = resumed(optimizer)
    assert all(map(np.array_equal, walk(again, 3), walk(optimizer, 3)))


def changed(state, **parts):
    return copy.deepcopy(state) | parts


MISFITS = [
    (lambda s: {}, ValueError, "it needs optimizer, steps"),
    (lambda s: None, ValueError, "it needs optimizer, steps"),
    *[
        (lambda s, p=part: changed(s, **{p: None}), ValueError, "a part is no dict")
        for part in ("updates", "hyper", "groups", "slots")
    ],
    (lambda s: changed(s, groups=[{}, {}]), ValueError, "its groups hold"),
    (lambda s: changed(s, steps=True), ValueError, "a count must be an integer"),
    (lambda s: changed(s, optimizer="SGD"), ValueError, "it is of a SGD"),
    (lambda s: changed(s, steps=-1), ValueError, "a count must be an integer >= 0"),
    (lambda s: changed(s, updates={"net.a": 1}), ValueError, "updates are of other parameters"),
    (lambda s: changed(s, hyper={"lr": 0.1}), ValueError, "hyperparameters are missing"),
    (lambda s: changed(s, hyper=s["hyper"] | {"lr": -1}), ValueError, "lr must be"),
    (lambda s: changed(s, hyper=s["hyper"] | {"lr": float("nan")}), ValueError, "lr must be"),
    (lambda s: changed(s, hyper=s["hyper"] | {"alpha": 1}), TypeError, "here it is called rho"),
    (lambda s: changed(s, hyper=s["hyper"] | {"momentum": 0.0}), ValueError, "as well"),
    (lambda s: changed(s, groups=s["groups"][:1]), ValueError, "its groups hold"),
    (lambda s: changed(s, groups=s["groups"][::-1]), ValueError, "its groups hold"),
    (
        lambda s: changed(s, groups=[s["groups"][0] | {"rho": 2}, s["groups"][1]]),
        ValueError,
        "rho must be",
    ),
    (lambda s: changed(s, slots={}), ValueError, "it lacks .*net.a/mean_square"),
    (lambda s: changed(s, slots=s["slots"] | {"x/y": np.ones(1)}), ValueError, "has .*x/y"),
    (
        lambda s: changed(s, slots=s["slots"] | {"net.a/mean_square": np.ones(3)}),
        ValueError,
        r"must be float64 of shape \(2,\), received float64 of shape \(3,\)",
    ),
    (
        lambda s: changed(s, slots=s["slots"] | {"net.a/mean_square": np.ones(2, np.float32)}),
        ValueError,
        "received float32",
    ),
]


@pytest.mark.parametrize("spoil, error, text", MISFITS)
def test_what_does_not_fit_changes_nothing(spoil, error, text):
    optimizer = build()
    walk(optimizer, 2)
    state, other = optimizer.state_dict(), build()
    walk(other, 1)
    before = other.state_dict()
    with pytest.raises(error, match=text):
        other.load_state_dict(spoil(state))
    after = other.state_dict()
    slots = before.pop("slots"), after.pop("slots")
    assert before == after
    assert all(np.array_equal(slots[0][k], slots[1][k]) for k in slots[0] | slots[1])


def test_an_optimizer_without_parameters_has_no_state():
    with pytest.raises(RuntimeError, match="no parameters yet"):
        SGD().state_dict()
