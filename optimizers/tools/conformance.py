"""What every optimizer must hold to. Run it on yours, registered or offered by a package:

    python -m minigrad.optimizers.tools.conformance my_opt
    MINIGRAD_OPTIMIZER=my_opt pytest --pyargs minigrad.optimizers.tools.conformance

or, in a test file of yours, `from minigrad.optimizers.tools.conformance import *` after registering it.
All is derived from the class's own declarations and from available(): there is no list to keep.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from typing import Any

import numpy as np
import pytest

from ..hyperparameters import CHOICES
from ..optimizer import Optimizer
from ..parameters import Parameter
from ..registry import available, find, get
from ..schedules import CosineDecay

CHOSEN = os.environ.get("MINIGRAD_OPTIMIZER", "").split() or list(available())


@pytest.fixture(params=CHOSEN)
def optimizer_name(request: pytest.FixtureRequest) -> str:
    return request.param


def weights(dtype: Any = float) -> list[tuple[str, Parameter]]:
    rng = np.random.default_rng(0)
    shapes = {"scalar": (), "vector": (3,), "matrix": (2, 4)}
    return [(n, Parameter(np.array(rng.standard_normal(s), dtype))) for n, s in shapes.items()]


def walk(optimizer: Optimizer, steps: int) -> list[np.ndarray]:
    """Some steps, on gradients that depend on the number of the step only."""
    for _ in range(steps):
        rng = np.random.default_rng(optimizer.steps)
        for p in optimizer.parameters.values():
            p.grad = np.array(rng.standard_normal(p.data.shape), p.data.dtype)
        optimizer.step()
    return arrays(optimizer)


def arrays(optimizer: Optimizer) -> list[np.ndarray]:
    """Copies of all that a step may write: weights and slots."""
    slots = [a for slots in optimizer.slots.values() for a in slots.values()]
    return [np.copy(a) for a in [p.data for p in optimizer.parameters.values()] + slots]


def equal(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return all(np.array_equal(x, y) and x.dtype == y.dtype for x, y in zip(a, b, strict=True))


def minimum(name: str, start: list[float], value: Any, slope: Any) -> float:
    """The lowest value on the way, for the best of some learning rates."""
    found = [value(np.array(start))]
    for lr in (10.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001):
        w = Parameter(np.array(start))
        optimizer = get(name, [w], lr=lr, on_nonfinite="skip")
        with np.errstate(all="ignore"):
            for _ in range(400):
                w.grad = slope(w.data)
                optimizer.step()
                found.append(value(w.data))
    return float(np.nanmin(found))


def test_descends_on_a_quadratic(optimizer_name: str) -> None:
    a = np.array([0.2, 4.0])
    start = [-5.0, -2.0]
    lowest = minimum(optimizer_name, start, lambda w: a @ w**2 / 2, lambda w: a * w)
    assert lowest < 0.05 * (a @ np.square(start) / 2)


def test_descends_on_rosenbrocks_valley(optimizer_name: str) -> None:
    def value(w):
        return (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2

    def slope(w):
        bend = 200 * (w[1] - w[0] ** 2)
        return np.array([-2 * (1 - w[0]) - 2 * bend * w[0], bend])

    assert minimum(optimizer_name, [-1.5, 2.0], value, slope) < 0.5 * value(np.array([-1.5, 2.0]))


def test_hyperparameters_are_keywords_and_checked(optimizer_name: str) -> None:
    kind: Any = find(optimizer_name)
    with pytest.raises(TypeError, match="positional"):
        kind(weights(), 0.1)
    with pytest.raises(TypeError, match=r"no hyperparameter 'learning_rate'.*lr"):
        kind(weights(), learning_rate=0.1)
    for name, default in kind.defaults.items():
        wrong = "nonsense" if name in CHOICES or isinstance(default, bool) else float("nan")
        with pytest.raises(ValueError, match=name):
            kind(weights(), **{name: wrong})
        optimizer = kind(weights())
        before = repr(optimizer)
        with pytest.raises(ValueError, match=name):
            setattr(optimizer, name, wrong)
        assert repr(optimizer) == before


def test_repr_makes_the_same_optimizer(optimizer_name: str) -> None:
    kind = find(optimizer_name)
    optimizer = kind(lr=0.125, weight_decay=0.5)
    assert "\n" not in repr(optimizer)
    assert repr(eval(repr(optimizer), {kind.__name__: kind})) == repr(optimizer)


def test_resumes_bit_for_bit(optimizer_name: str) -> None:
    def groups(p):
        return [{"params": p[:1], "lr": CosineDecay(0.1, 9)}, {"params": p[1:]}]

    straight = get(optimizer_name, groups(weights()), lr=CosineDecay(0.01, 7), weight_decay=0.01)
    stopped = get(optimizer_name, groups(weights()), lr=CosineDecay(0.01, 7), weight_decay=0.01)
    walk(straight, 3)
    walk(stopped, 3)
    state = stopped.state_dict()
    plain = {k: v for k, v in state.items() if k != "slots"}
    again = [(n, Parameter(p.data.copy())) for n, p in stopped.parameters.items()]
    resumed = get(optimizer_name, groups(again))
    resumed.load_state_dict(json.loads(json.dumps(plain)) | {"slots": state["slots"]})
    assert equal(walk(straight, 4), walk(resumed, 4))
    assert resumed.steps == 7


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_keeps_the_dtype_and_the_arrays(optimizer_name: str, dtype: Any) -> None:
    named = weights(dtype)
    before = [p.data for _, p in named]
    optimizer = get(optimizer_name, named, weight_decay=0.01)
    walk(optimizer, 3)
    assert all(p.data is a and a.dtype == dtype for a, (_, p) in zip(before, named))
    g, slots = np.ones((2, 4), dtype), optimizer.slots["matrix"]
    h = optimizer.hyperparameters_at_step(optimizer.groups[0]) | {"t": 4}
    u = optimizer.direction(
        g, slots, **{k: h[k] for k in optimizer.required_hyperparameters["direction"]}
    )
    for a in (u, *[a for a in slots.values() if a.shape]):
        assert (a.dtype, a.shape) == (g.dtype, g.shape)


def test_never_writes_into_a_gradient(optimizer_name: str) -> None:
    (_, p), *_ = named = weights()[1:]
    p.grad = np.array([1.0, -2.0, 0.0])
    p.grad.flags.writeable = False
    optimizer = get(optimizer_name, named)
    for _ in range(2):
        optimizer.step()
    assert np.array_equal(p.grad, [1.0, -2.0, 0.0])


def test_no_two_arrays_share_memory(optimizer_name: str) -> None:
    optimizer = get(optimizer_name, weights(), momentum=0.5)
    walk(optimizer, 2)
    mine = [a for slots in optimizer.slots.values() for a in slots.values()]
    mine += [a for p in optimizer.parameters.values() for a in (p.data, p.grad)]
    pairs = itertools.combinations(mine, 2)
    assert not any(np.shares_memory(a, b) for a, b in pairs)


def test_zero_gradients_do_no_harm(optimizer_name: str) -> None:
    named = weights()
    optimizer = get(optimizer_name, named)
    for _ in range(3):
        for _, p in named:
            p.grad = np.zeros_like(p.data)
        optimizer.step()
    assert all(np.isfinite(a).all() for a in arrays(optimizer))


def test_a_parameter_without_gradient_stays(optimizer_name: str) -> None:
    named = weights()
    optimizer = get(optimizer_name, named)
    walk(optimizer, 2)
    named[0][1].grad = None
    before = [named[0][1].data.copy(), *map(np.copy, optimizer.slots["scalar"].values())]
    optimizer.step()
    after = [named[0][1].data, *optimizer.slots["scalar"].values()]
    assert equal(before, after)
    assert optimizer.updates == {"scalar": 2, "vector": 3, "matrix": 3}


def test_the_same_steps_give_the_same_bits(optimizer_name: str) -> None:
    a, b = get(optimizer_name, weights()), get(optimizer_name, weights())
    assert equal(walk(a, 3), walk(b, 3))


def test_large_arrays_are_treated_as_small_ones(optimizer_name: str) -> None:
    """The blocks in which a large array is updated must not show."""
    from .. import optimizer as module

    size = module.BLOCK + 5
    g = np.sin(np.arange(size, dtype=float))
    big, tail = Parameter(np.ones(size), g), Parameter(np.ones(size)[-7:].copy(), g[-7:].copy())
    if not find(optimizer_name).elementwise:
        pytest.skip("updated whole, as it does not declare itself elementwise")
    for p in (big, tail):
        optimizer = get(optimizer_name, [p], momentum=0.5)
        optimizer.step()
        optimizer.step()
    assert np.array_equal(big.data[-7:], tail.data)


if __name__ == "__main__":
    os.environ["MINIGRAD_OPTIMIZER"] = " ".join(sys.argv[1:])
    sys.exit(pytest.main(["-q", "--pyargs", "minigrad.optimizers.tools.conformance"]))
