"""Initial parameters: functions (shape, rng) -> float32 array, in order of difficulty.

The shape is (inputs, outputs). Names and defaults are Keras's. Sources: Glorot & Bengio 2010, He
et al. 2015.
"""

from collections.abc import Callable

import numpy as np

from .utils import lookup

Shape = tuple[int, ...]
Initializer = Callable[[Shape, np.random.Generator], np.ndarray]


def zeros(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """Return all 0."""
    return np.zeros(shape, np.float32)


def ones(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """Return all 1."""
    return np.ones(shape, np.float32)


def random_normal(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """W ~ N(0, 0.05²)."""
    return (rng.standard_normal(shape) * 0.05).astype(np.float32)


def random_uniform(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """W ~ U(−0.05, 0.05)."""
    return rng.uniform(-0.05, 0.05, shape).astype(np.float32)


def glorot_uniform(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """W ~ U(−a, a) with a = √(6 / (inputs + outputs)).

    Linear and tanh layers then keep the variance of their input.

    >>> abs(glorot_uniform((4, 2), np.random.default_rng(0))).max() <= 1
    np.True_
    """
    a = np.sqrt(6 / (shape[0] + shape[-1]))
    return rng.uniform(-a, a, shape).astype(np.float32)


def glorot_normal(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """W ~ N(0, σ²) with σ² = 2 / (inputs + outputs)."""
    sigma = np.sqrt(2 / (shape[0] + shape[-1]))
    return (rng.standard_normal(shape) * sigma).astype(np.float32)


def he_uniform(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """W ~ U(−a, a) with a = √(6 / inputs). ReLU layers then keep the variance of their input."""
    a = np.sqrt(6 / shape[0])
    return rng.uniform(-a, a, shape).astype(np.float32)


def he_normal(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """W ~ N(0, σ²) with σ² = 2 / inputs. ReLU layers then keep the variance of their input."""
    sigma = np.sqrt(2 / shape[0])
    return (rng.standard_normal(shape) * sigma).astype(np.float32)


INITIALIZERS: dict[str, Initializer] = dict(
    zeros=zeros, ones=ones, random_normal=random_normal, random_uniform=random_uniform,
    normal=random_normal, uniform=random_uniform, glorot_uniform=glorot_uniform,
    glorot_normal=glorot_normal, he_uniform=he_uniform, he_normal=he_normal,
)  # fmt: skip


def get_initializer(initializer: str | Initializer) -> Initializer:
    """Return an initializer by its name; return a function as it is."""
    if callable(initializer):
        return initializer
    return lookup("initializer", initializer, INITIALIZERS)
