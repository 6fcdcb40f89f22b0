"""Gradient clipping, by value, by norm, and by the norm of all gradients together.

The base class does the same inside a step: `clip_value=`, `clip_norm=`, `clip_global_norm=`.
None of them writes into a gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import hypot, isfinite

import numpy as np


def norm(g: np.ndarray) -> float:
    """‖g‖ in one reduction, and in others only if that overflows; inf or NaN if an element is."""
    flat = g.ravel(order="K")
    total = float(np.vdot(flat, flat))  # unlike np.dot, it warns of nothing
    if isfinite(total):
        return total**0.5
    with np.errstate(over="ignore", invalid="ignore"):
        largest = float(np.abs(flat).max())
        return largest * norm(flat / flat.dtype.type(largest)) if isfinite(largest) else largest


def clip_by_value(g: np.ndarray, limit: float) -> np.ndarray:
    """min(max(g, −limit), limit)

    >>> clip_by_value(np.array([-3.0, 0.5]), 1.0)
    array([-1. ,  0.5])
    """
    return np.clip(g, -limit, limit)


def clip_by_norm(g: np.ndarray, limit: float) -> np.ndarray:
    """g · min(1, limit / ‖g‖)

    >>> clip_by_norm(np.array([3.0, 4.0]), 1.0)
    array([0.6, 0.8])
    """
    return clip_by_global_norm([g], limit)[0][0]


def clip_by_global_norm(
    gradients: Sequence[np.ndarray], limit: float
) -> tuple[list[np.ndarray], float]:
    """Every g · min(1, limit / ‖all g‖), and ‖all g‖ (Pascanu et al. 2013).

    >>> clip_by_global_norm([np.array([3.0]), np.array([4.0])], 1.0)
    ([array([0.6]), array([0.8])], 5.0)
    """
    total = hypot(*map(norm, gradients))
    return [g * (limit / total) if total > limit else g for g in gradients], total
