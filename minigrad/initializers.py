"""Initial parameters: functions (shape, rng) -> float32 array, in order of difficulty.

The shape is (inputs, outputs). Names, defaults and formulas are Keras's. For another width, use
functools.partial(random_normal, stddev=0.01). Sources: LeCun et al. 1998, Glorot & Bengio 2010, He
et al. 2015, Saxe et al. 2014.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import sqrt

import numpy as np

from .utils import lookup

Shape = tuple[int, ...]
Initializer = Callable[[Shape, np.random.Generator], np.ndarray]


def zeros(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """Return zeros."""
    return np.zeros(shape, np.float32)


def ones(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """Return ones."""
    return np.ones(shape, np.float32)


def constant(shape: Shape, rng: np.random.Generator, value: float = 0.0) -> np.ndarray:
    """Return an array filled with `value`."""
    return np.full(shape, value, np.float32)


def random_normal(
    shape: Shape, rng: np.random.Generator, mean: float = 0.0, stddev: float = 0.05
) -> np.ndarray:
    """W ~ N(mean, stddev²)."""
    return (mean + rng.standard_normal(shape) * stddev).astype(np.float32)


def random_uniform(
    shape: Shape, rng: np.random.Generator, minval: float = -0.05, maxval: float = 0.05
) -> np.ndarray:
    """W ~ U(minval, maxval)."""
    return rng.uniform(minval, maxval, shape).astype(np.float32)


def truncated_normal(
    shape: Shape, rng: np.random.Generator, mean: float = 0.0, stddev: float = 0.05
) -> np.ndarray:
    """W ~ N(mean, stddev²), without the numbers further than 2·stddev from the mean."""
    from scipy.special import ndtr, ndtri  # importing SciPy takes 0.2 s

    p = rng.uniform(ndtr(-2.0), ndtr(2.0), shape)  # the probability of a smaller number than W
    return (mean + stddev * ndtri(p)).astype(np.float32)


def variance_scaling(
    shape: Shape, rng: np.random.Generator, scale: float = 1.0, mode: str = "fan_in",
    distribution: str = "truncated_normal",
) -> np.ndarray:  # fmt: skip
    """W with variance scale / n, n the inputs (fan_in), the outputs (fan_out) or their mean.

    distribution: "uniform", "truncated_normal" or "untruncated_normal".
    """
    fans = {"fan_in": shape[0], "fan_out": shape[-1], "fan_avg": (shape[0] + shape[-1]) / 2}
    sigma = np.sqrt(scale / lookup("mode of variance_scaling", mode, fans))
    cut_sigma = 0.87962566103423978  # the standard deviation of N(0, 1), cut at ±2
    draws: dict[str, Callable[[], np.ndarray]] = {
        "uniform": lambda: random_uniform(shape, rng, -sqrt(3) * sigma, sqrt(3) * sigma),
        "truncated_normal": lambda: truncated_normal(shape, rng, stddev=sigma / cut_sigma),
        "untruncated_normal": lambda: random_normal(shape, rng, stddev=sigma),
    }
    return lookup("distribution of variance_scaling", distribution, draws)()


def glorot_uniform(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """W ~ U(−a, a) with a = √(6 / (inputs + outputs)).

    Linear and tanh layers then keep the variance of their input.

    >>> abs(glorot_uniform((4, 2), np.random.default_rng(0))).max() <= 1
    np.True_
    """
    a = np.sqrt(6 / (shape[0] + shape[-1]))
    return random_uniform(shape, rng, -a, a)


def glorot_normal(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """W of variance 2 / (inputs + outputs), normal, cut at two standard deviations."""
    return variance_scaling(shape, rng, 1.0, "fan_avg")


def he_uniform(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """W ~ U(−a, a) with a = √(6 / inputs). ReLU layers then keep the variance of their input."""
    a = np.sqrt(6 / shape[0])
    return random_uniform(shape, rng, -a, a)


def he_normal(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """W of variance 2 / inputs, normal, cut at two standard deviations."""
    return variance_scaling(shape, rng, 2.0)


def lecun_uniform(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """W ~ U(−a, a) with a = √(3 / inputs). SELU layers need this variance."""
    a = np.sqrt(3 / shape[0])
    return random_uniform(shape, rng, -a, a)


def lecun_normal(shape: Shape, rng: np.random.Generator) -> np.ndarray:
    """W of variance 1 / inputs, normal, cut at two standard deviations."""
    return variance_scaling(shape, rng, 1.0)


def orthogonal(shape: Shape, rng: np.random.Generator, gain: float = 1.0) -> np.ndarray:
    """Return gain times a random matrix with orthonormal rows or columns."""
    rows, columns = int(np.prod(shape[:-1])), shape[-1]
    q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
    q = q * np.sign(np.diag(r))  # makes q uniform among these matrices
    return (gain * (q if rows >= columns else q.T)).reshape(shape).astype(np.float32)


def identity(shape: Shape, rng: np.random.Generator, gain: float = 1.0) -> np.ndarray:
    """Return gain times the identity matrix."""
    return gain * np.eye(*shape, dtype=np.float32)


INITIALIZERS: dict[str, Initializer] = dict(
    zeros=zeros, ones=ones, constant=constant, random_normal=random_normal,
    random_uniform=random_uniform, truncated_normal=truncated_normal,
    variance_scaling=variance_scaling, glorot_uniform=glorot_uniform, glorot_normal=glorot_normal,
    he_uniform=he_uniform, he_normal=he_normal, lecun_uniform=lecun_uniform,
    lecun_normal=lecun_normal, orthogonal=orthogonal, identity=identity,
    zero=zeros, one=ones, normal=random_normal, uniform=random_uniform,
)  # fmt: skip


def get_initializer(initializer: str | Initializer) -> Initializer:
    """Return an initializer by its name; return a function as it is."""
    if callable(initializer):
        return initializer
    return lookup("initializer", initializer, INITIALIZERS)


# Random generators of new layers

_process_rng: np.random.Generator | None = None  # see set_random_seed


def set_random_seed(seed: int) -> None:
    """Fix parameters, order of the examples and dropout of all models made after this call."""
    global _process_rng
    _process_rng = np.random.default_rng(seed)


def new_rng(seed: int | None = None) -> np.random.Generator:
    """Return a generator from a seed; without one, from set_random_seed, or from the system."""
    if seed is None and _process_rng is not None:
        seed = int(_process_rng.integers(2**63))
    return np.random.default_rng(seed)


@contextmanager
def unseeded() -> Iterator[None]:
    """Ignore set_random_seed within this context."""
    global _process_rng
    saved, _process_rng = _process_rng, None
    try:
        yield
    finally:
        _process_rng = saved
