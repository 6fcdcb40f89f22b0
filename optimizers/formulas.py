"""Formulas that several rules share: a moving average, a root with ε, the flush to 0.

KERAS holds the switches that all optimizers of Keras share.
"""

from collections.abc import Iterable

import numpy as np

KERAS = dict(lr_in_momentum=True, decoupled_weight_decay=True)


def ema(mean: np.ndarray, x: np.ndarray, rho: float) -> np.ndarray:
    """mean ← ρ·mean + (1 − ρ)·x, in place: an exponential moving average."""
    mean *= rho
    mean += (1 - rho) * x
    return mean


def root(v: np.ndarray, eps: float, eps_in_sqrt: bool) -> np.ndarray:
    """√v + ε, or √(v + ε): the line in which the frameworks differ most."""
    return np.sqrt(v + eps) if eps_in_sqrt else np.sqrt(v) + eps


def flush_subnormals(arrays: Iterable[np.ndarray]) -> None:
    """Set subnormals, numbers below 1e-38 in float32, to 0: they slow arithmetic.

    Leave float16 alone: there 1e-5 is subnormal, but still a useful number.
    """
    for array in arrays:
        if array.ndim and array.dtype.kind == "f" and array.itemsize > 2:
            array[np.abs(array) < np.finfo(array.dtype).tiny] = 0
