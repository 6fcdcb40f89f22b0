"""Saving and loading: bit-exact and by name; after an error nothing has changed."""

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


def build(optimizer_class=RMSprop, **hyper):
    hyper = dict(lr=Join((LinearWarmup(0.1, 3), CosineDecay(0.1, 9)), (3,)), momentum=0.5) | hyper
    a = ("net.a", Parameter(np.array([1.0, 2.0])))
    b = ("net/b", Parameter(np.array([[3.0]])))
    return optimizer_class(
        [{"params": [a], "weight_decay": StepDecay(0.5, 0.5, 2)}, {"params": [b]}], **hyper
    )


def train(optimizer, steps):
    for _ in range(steps):
        for p in optimizer.parameters.values():
            p.grad = np.sin(p.data + optimizer.steps)
        optimizer.step()
    return [p.data.copy() for p in optimizer.parameters.values()]


def resumed(optimizer, **hyper):
    """Return a new optimizer after it has loaded the saved state of this one."""
    state, file = optimizer.state_dict(), io.BytesIO()
    np.savez(file, **state.pop("slots"))
    text = json.dumps(state)
    fresh = build(type(optimizer), **hyper)
    for p, q in zip(fresh.parameters.values(), optimizer.parameters.values()):
        p.data[...] = q.data
    file.seek(0)
    fresh.load_state_dict(json.loads(text) | {"slots": dict(np.load(file))})
    return fresh


@pytest.mark.parametrize("optimizer_class", [SGD, RMSprop, Adam, NAdam])
def test_resuming_from_a_file_repeats_every_bit(optimizer_class):
    optimizer = build(optimizer_class)
    train(optimizer, 4)
    again = resumed(optimizer, lr=0.9, momentum=0.0)  # the state overrides both
    assert (again.lr, again.steps, repr(again)) == (optimizer.lr, 4, repr(optimizer))
    assert again.groups[0].data == optimizer.groups[0].data
    assert all(map(np.array_equal, train(again, 5), train(optimizer, 5)))


def test_the_state_is_a_copy():
    optimizer = build()
    train(optimizer, 1)
    state = optimizer.state_dict()
    kept = {k: a.copy() for k, a in state["slots"].items()}
    train(optimizer, 1)
    assert all(np.array_equal(kept[k], state["slots"][k]) for k in kept)
    optimizer.load_state_dict(state)
    train(optimizer, 1)
    assert all(np.array_equal(kept[k], state["slots"][k]) for k in kept)


def test_groups_follow_the_optimizer_after_loading():
    optimizer = build()
    optimizer.load_state_dict(optimizer.state_dict())
    optimizer.lr = 0.25
    assert optimizer.groups[1]["lr"] == 0.25


def test_a_function_is_saved_without_its_code():
    optimizer = build(lr=lambda t: 0.1 / (t + 1))
    train(optimizer, 2)
    assert resumed(optimizer, lr=lambda t: 0.1 / (t + 1)).lr == optimizer.lr
    with pytest.raises(ValueError, match="assign it again, then load"):
        resumed(optimizer, lr=0.1)


def test_lazy_slots_are_restored():
    @register("signum")
    def signum(g, slots, *, beta=0.9):
        m = slots.setdefault("m", np.zeros_like(g))
        m += (1 - beta) * (g - m)
        return np.sign(m)

    optimizer = build(signum)
    train(optimizer, 2)
    again = resumed(optimizer)
    assert all(map(np.array_equal, train(again, 3), train(optimizer, 3)))


def changed(state, **parts):
    return copy.deepcopy(state) | parts


INVALID_STATES = [
    (lambda s: {}, ValueError, "it must be a dict with optimizer, steps"),
    (lambda s: None, ValueError, "it must be a dict with optimizer, steps"),
    (lambda s: changed(s, updates=None), ValueError, "slots and every group must be a dict"),
    (lambda s: changed(s, hyper=None), ValueError, "slots and every group must be a dict"),
    (lambda s: changed(s, slots=None), ValueError, "slots and every group must be a dict"),
    (lambda s: changed(s, groups=None), ValueError, "groups must be a list"),
    (lambda s: changed(s, groups=[None, {}]), ValueError, "every group must be a dict"),
    (lambda s: changed(s, groups=[{}, {}]), ValueError, "its groups hold"),
    (lambda s: changed(s, steps=True), ValueError, "steps and updates must be integers >= 0"),
    (lambda s: changed(s, optimizer="SGD"), ValueError, "it was saved by SGD"),
    (lambda s: changed(s, steps=-1), ValueError, "steps and updates must be integers >= 0"),
    (lambda s: changed(s, updates={"net.a": 1}), ValueError, "updates are of other parameters"),
    (lambda s: changed(s, hyper={"lr": 0.1}), ValueError, "hyperparameters are missing"),
    (lambda s: changed(s, hyper=s["hyper"] | {"lr": -1}), ValueError, "lr must be"),
    (lambda s: changed(s, hyper=s["hyper"] | {"lr": float("nan")}), ValueError, "lr must be"),
    (lambda s: changed(s, hyper=s["hyper"] | {"alpha": 1}), TypeError, "here it is called rho"),
    (lambda s: changed(s, groups=s["groups"][:1]), ValueError, "its groups hold"),
    (lambda s: changed(s, groups=s["groups"][::-1]), ValueError, "its groups hold"),
    (
        lambda s: changed(s, groups=[s["groups"][0] | {"rho": 2}, s["groups"][1]]),
        ValueError,
        "rho must be",
    ),
    (lambda s: changed(s, slots={}), ValueError, "it lacks .*net.a/mean_square"),
    (
        lambda s: changed(s, slots=s["slots"] | {"x/y": np.ones(1)}),
        ValueError,
        "this optimizer has no .*x/y",
    ),
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


@pytest.mark.parametrize("corrupt, error, text", INVALID_STATES)
def test_an_invalid_state_changes_nothing(corrupt, error, text):
    optimizer = build()
    train(optimizer, 2)
    state, other = optimizer.state_dict(), build()
    train(other, 1)
    before = other.state_dict()
    with pytest.raises(error, match=text):
        other.load_state_dict(corrupt(state))
    after = other.state_dict()
    slots = before.pop("slots"), after.pop("slots")
    assert before == after
    assert all(np.array_equal(slots[0][k], slots[1][k]) for k in slots[0] | slots[1])


def test_a_state_written_by_version_0_1_0_loads():
    lr = {"schedule": "Join", "boundaries": [3], "schedules": [
        {"schedule": "LinearWarmup", "value": 0.1, "steps": 3, "start": 0.0},
        {"schedule": "CosineDecay", "value": 0.1, "steps": 9, "end": 0.0},
    ]}  # fmt: skip
    hyper = build(SGD, momentum=0.0).state_dict()["hyper"]
    hyper |= {"lr": lr, "momentum": 0.5, "weight_decay": {"schedule": "FromFunction"}}
    optimizer = build(SGD, weight_decay=lambda t: 0.5)
    optimizer.load_state_dict({
        "optimizer": "SGD",
        "steps": 2,
        "updates": {"net.a": 2, "net/b": 1},
        "hyper": hyper,
        "groups": [{"params": ["net.a"], "weight_decay": 0.25}, {"params": ["net/b"]}],
        "slots": {
            "net.a/momentum_buffer": np.array([1.0, 2.0]),
            "net/b/momentum_buffer": np.array([[3.0]]),
        },
    })  # fmt: skip
    assert repr(vars(optimizer)["lr"]) == repr(vars(build())["lr"])
    assert (optimizer.weight_decay, optimizer.groups[0]["weight_decay"]) == (0.5, 0.25)
    assert (optimizer.steps, optimizer.updates) == (2, {"net.a": 2, "net/b": 1})
    assert np.array_equal(optimizer.slots["net.a"]["momentum_buffer"], [1.0, 2.0])
    assert np.array_equal(optimizer.slots["net/b"]["momentum_buffer"], [[3.0]])


def test_an_optimizer_without_parameters_has_no_state():
    with pytest.raises(RuntimeError, match="no parameters yet"):
        SGD().state_dict()


@pytest.mark.parametrize(
    ("cls", "on", "off"),
    [(SGD, {"momentum": 0.9}, {"momentum": 0.0}), (Adam, {"amsgrad": True}, {"amsgrad": False})],
)
def test_the_slots_of_a_switch_that_was_turned_off_are_loaded(cls, on, off):
    def train(optimizer, p, steps):
        for _ in range(steps):
            p.grad = p.data.copy()
            optimizer.step()

    def turn(optimizer, switches):
        for name, value in switches.items():
            setattr(optimizer, name, value)

    p, q = Parameter(np.ones(3)), Parameter(np.ones(3))
    first, second = cls([p], lr=0.1, **on), cls([q], lr=0.1)
    train(first, p, 2)
    turn(first, off)
    train(first, p, 1)
    second.load_state_dict(first.state_dict())
    q.data[...] = p.data
    for optimizer in (first, second):
        turn(optimizer, on)
    train(first, p, 2)
    train(second, q, 2)
    assert np.array_equal(p.data, q.data)
