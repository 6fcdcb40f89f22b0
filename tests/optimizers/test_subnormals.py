"""State that has faded below the normal range is let go of, and nothing else is."""

import numpy as np
import pytest

from minigrad.optimizers import RMSprop
from minigrad.optimizers.optimizer import FLUSH_EVERY
from minigrad.optimizers.parameters import Parameter

LOOK = 13 * FLUSH_EVERY  # 0.9 ** 832 is the first of these looks at less than TINY
TINY = np.finfo(np.float32).tiny


def after(steps, eps=1e-8, dtype=np.float32):
    """One step with the gradients (1, 1), then only (0, 1); the mean square."""
    w = Parameter(np.zeros(2, dtype), np.ones(2, dtype))
    optimizer = RMSprop([w], rho=0.9, eps=eps)
    for _ in range(steps):
        optimizer.step()
        w.grad = np.array([0, 1], dtype)
    return w.data, optimizer.slots["0"]["mean_square"]


def test_a_faded_trace_becomes_zero():
    assert 0 < after(LOOK - 1)[1][0] < TINY
    _, v = after(LOOK)
    assert v[0] == 0 and v[1] == pytest.approx(1)


def test_normal_numbers_are_left_alone_to_the_bit():
    _, v = after(LOOK, dtype=np.float64)
    assert v[0] == pytest.approx(0.1 * 0.9 ** (LOOK - 1), rel=1e-12, abs=0)


def test_without_eps_no_zero_is_divided_by_zero():
    w, _ = after(LOOK + 1, eps=0.0)
    assert np.isfinite(w).all()
