"""Gradient clipping by value, by norm, and by the norm of all gradients together.

Inside a step, the base class clips with `clip_value=`, `clip_norm=` or `clip_global_norm=`.
No function here writes into a gradient.
"""

from collections.abc import Iterable
from math import hypot, isfinite

import numpy as np


def l2_norm(g: np.ndarray) -> float:
    """Return ‖g‖, even if the sum of squares overflows; inf or NaN if an element is inf or NaN."""
    flat = np.ravel(g, order="K")
    if flat.dtype.kind != "f" or flat.itemsize < 4:  # integers and float16 overflow early
        flat = flat.astype(float)
    total = float(np.vdot(flat, flat))  # np.dot would warn of an overflow
    if isfinite(total):
        return total**0.5
    with np.errstate(over="ignore", invalid="ignore"):
        largest = float(np.abs(flat).max())
        return largest * l2_norm(flat / flat.dtype.type(largest)) if isfinite(largest) else largest


def clip_by_value(g: np.ndarray, limit: float) -> np.ndarray:
    """Return min(max(g, −limit), limit).

    >>> clip_by_value(np.array([-3.0, 0.5]), 1.0)
    array([-1. ,  0.5])
    """
    limit = _positive(limit)
    return np.clip(g, -limit, limit)


def clip_by_norm(g: np.ndarray, limit: float) -> np.ndarray:
    """Return g · min(1, limit / ‖g‖).

    >>> clip_by_norm(np.array([3.0, 4.0]), 1.0)
    array([0.6, 0.8])
    """
    return clip_by_global_norm([g], limit)[0][0]


def clip_by_global_norm(
    gradients: Iterable[np.ndarray], limit: float
) -> tuple[list[np.ndarray], float]:
    """Return g · min(1, limit / ‖all g‖) for every g, and ‖all g‖ (Pascanu et al. 2013).

    >>> clip_by_global_norm([np.array([3.0]), np.array([4.0])], 1.0)
    ([array([0.6]), array([0.8])], 5.0)
    """
    gradients, limit = [*gradients], _positive(limit)
    total = hypot(*map(l2_norm, gradients))
    return [np.multiply(g, limit / total) if total > limit else g for g in gradients], total


def _positive(limit: float) -> float:
    """Return the limit as a Python float, which keeps float32; raise ValueError unless above 0."""
    if not limit > 0:
        raise ValueError(f"clipping needs a limit above 0, received {limit!r}")
    return float(limit)
