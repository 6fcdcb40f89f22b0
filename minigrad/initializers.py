"""How parameters begin: functions (shape, rng) -> float32 array, in order of difficulty.

A shape is (inputs, outputs). Sources: Glorot & Bengio 2010; He et al. 2015; defaults as in Keras.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .utils import lookup

Shape = tuple[int, ...]


def zeros(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """All 0."""
    return np.zeros(shape, np.float32)


def ones(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """All 1."""
    return np.ones(shape, np.float32)


def glorot_uniform(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """Uniform in ±√(6 / (inputs + outputs)): keeps the variance through a linear or tanh layer.

    >>> abs(glorot_uniform((4, 2), np.random.default_rng(0))).max() <= 1
    np.True_
    """
    limit = np.sqrt(6 / (shape[0] + shape[-1]))
    return rng.uniform(-limit, limit, shape).astype(np.float32)


def glorot_normal(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """Normal with variance 2 / (inputs + outputs)."""
    return (rng.standard_normal(shape) * np.sqrt(2 / (shape[0] + shape[-1]))).astype(np.float32)


def he_uniform(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """Uniform in ±√(6 / inputs): keeps the variance through a ReLU layer."""
    limit = np.sqrt(6 / shape[0])
    return rng.uniform(-limit, limit, shape).astype(np.float32)


def he_normal(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """Normal with variance 2 / inputs: keeps the variance through a ReLU layer."""
    return (rng.standard_normal(shape) * np.sqrt(2 / shape[0])).astype(np.float32)


INITIALIZERS = {
    f.__name__: f for f in (zeros, ones, glorot_uniform, glorot_normal, he_uniform, he_normal)
}


def get_initializer(initializer: Any) -> Callable[[Shape, np.random.Generator], np.ndarray]:
    """An initializer by its name; a function is handed through."""
    return (
        initializer if callable(initializer) else lookup("initializer", initializer, INITIALIZERS)
    )
