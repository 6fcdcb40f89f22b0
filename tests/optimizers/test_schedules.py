"""Schedules at points computed by hand."""

import json
from math import pi

import numpy as np
import pytest

from minigrad.optimizers import (
    SGD,
    Constant,
    CosineDecay,
    ExponentialDecay,
    InverseTimeDecay,
    Join,
    LinearWarmup,
    OneCycle,
    Parameter,
    StepDecay,
)
from minigrad.optimizers.state import from_plain, to_plain

BY_HAND = [
    (Constant(0.5), {0: 0.5, 9: 0.5}),
    (StepDecay(1.0, factor=0.1, every=3), {0: 1.0, 2: 1.0, 3: 0.1, 6: 0.01}),
    (ExponentialDecay(2.0, rate=0.5, steps=10), {0: 2.0, 10: 1.0, 5: 2 * 0.5**0.5}),
    (InverseTimeDecay(1.0, rate=0.5), {0: 1.0, 2: 0.5, 6: 0.25}),
    (InverseTimeDecay(1.0, rate=1.0, steps=4), {4: 0.5}),
    (LinearWarmup(1.0, steps=4, start=0.2), {0: 0.2, 2: 0.6, 4: 1.0, 100: 1.0}),
    (CosineDecay(1.0, steps=6), {0: 1.0, 3: 0.5, 2: (1 + np.cos(pi / 3)) / 2, 6: 0.0, 7: 0.0}),
    (CosineDecay(1.0, steps=2, end=0.5), {1: 0.75, 2: 0.5}),
    # optax 0.2.8: cosine_onecycle_schedule(10, 1.0), run once
    (OneCycle(1.0, steps=10), {0: 0.04, 3: 1.0, 5: 0.8117456539497631, 10: 4e-06, 20: 4e-06}),
    (Join((LinearWarmup(1.0, 2), StepDecay(1.0, 0.5, 2)), (2,)), {0: 0, 1: 0.5, 2: 1, 4: 0.5}),
    (Join((Constant(3.0), lambda t: 1.0 + t, Constant(7.0)), (1, 3)), {0: 3, 1: 1, 2: 2, 3: 7}),
]


@pytest.mark.parametrize("schedule, points", BY_HAND)
def test_each_schedule_has_the_values_computed_by_hand(schedule, points):
    assert {t: schedule(t) for t in points} == pytest.approx(points, rel=1e-12)
    values = schedule.values(max(points) + 1)
    assert values.dtype == float
    assert [values[t] for t in points] == pytest.approx(list(points.values()), rel=1e-12)


@pytest.mark.parametrize("schedule", [schedule for schedule, _ in BY_HAND[:-1]])
def test_repr_and_plain_values_restore_the_schedule(schedule):
    assert eval(repr(schedule)) == schedule
    assert from_plain(json.loads(json.dumps(to_plain(schedule))), None) == schedule


def test_numbers_of_numpy_can_be_saved():
    schedule = CosineDecay(np.float32(0.5), np.int64(3))
    assert json.dumps(to_plain(schedule)) == json.dumps(to_plain(CosineDecay(0.5, 3)))


def test_the_value_depends_on_the_step_number_only():
    schedule = CosineDecay(1.0, 10)
    forwards = [schedule(t) for t in range(12)]
    assert [schedule(t) for t in reversed(range(12))] == forwards[::-1]


def test_an_optimizer_uses_the_values_in_order():
    w = Parameter(np.zeros(1), np.ones(1))
    optimizer, schedule = SGD([w], lr=StepDecay(1.0, 0.5, every=2)), StepDecay(1.0, 0.5, every=2)
    for t in range(5):
        assert optimizer.lr == schedule(t)
        optimizer.step()
    assert w.data[0] == -schedule.values(5).sum()


@pytest.mark.parametrize(
    "make, text",
    [
        (lambda: StepDecay(0.1, every=0), "StepDecay: every must be a number of at least 1"),
        (lambda: CosineDecay(0.1, steps=-1), "steps must be a number of at least 1"),
        (lambda: CosineDecay(0.1, steps="3"), "steps must be a number of at least 1, received '3'"),
        (lambda: Constant(np.float32(-1)), "value must be finite and not negative"),
        (lambda: Constant(None), "value must be finite and not negative, received None"),
        (lambda: OneCycle(1.0, 10, warmup=1.0), "warmup must be below 1"),
        (lambda: OneCycle(1.0, 10, end_factor=0), "both factors above 0"),
        (lambda: from_plain({"value": 0.1}, None), "unknown schedule None"),
        (lambda: Constant(float("nan")), "value must be finite and not negative, received nan"),
        (lambda: LinearWarmup(-0.1, 3), "value must be finite and not negative"),
        (lambda: Join((Constant(1.0),), (3,)), "one boundary between two neighbouring"),
        (lambda: Join((Constant(1.0),) * 3, (3, 2)), "one boundary between two neighbouring"),
        (lambda: from_plain({"schedule": "Magic"}, None), "unknown schedule 'Magic'"),
    ],
)
def test_invalid_arguments_are_refused(make, text):
    with pytest.raises(ValueError, match=text):
        make()
