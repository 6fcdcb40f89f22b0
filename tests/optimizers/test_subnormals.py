"""Subnormal numbers in the state are set to 0, and no other numbers."""

import numpy as np
import pytest

from minigrad.optimizers import RMSprop
from minigrad.optimizers.optimizer import FLUSH_EVERY
from minigrad.optimizers.parameters import Parameter

FLUSH = 13 * FLUSH_EVERY  # 0.9 ** 832 is below TINY; at 12 * FLUSH_EVERY it was not yet
TINY = np.finfo(np.float32).tiny


def after(steps, eps=1e-8, dtype=np.float32):
    """Return w and the mean square after a step with g = (1, 1), then steps with g = (0, 1)."""
    w = Parameter(np.zeros(2, dtype), np.ones(2, dtype))
    optimizer = RMSprop([w], rho=0.9, eps=eps)
    for _ in range(steps):
        optimizer.step()
        w.grad = np.array([0, 1], dtype)
    return w.data, optimizer.slots["0"]["mean_square"]


def test_a_subnormal_number_becomes_zero():
    assert 0 < after(FLUSH - 1)[1][0] < TINY
    _, v = after(FLUSH)
    assert v[0] == 0 and v[1] == pytest.approx(1)


def test_normal_numbers_are_not_changed():
    _, v = after(FLUSH, dtype=np.float64)
    assert v[0] == pytest.approx(0.1 * 0.9 ** (FLUSH - 1), rel=1e-12, abs=0)


def test_without_eps_no_zero_is_divided_by_zero():
    w, _ = after(FLUSH + 1, eps=0.0)
    assert np.isfinite(w).all()
