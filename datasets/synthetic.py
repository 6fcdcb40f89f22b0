"""Data sets made from a generator, small enough to look at: a line, clouds, spirals."""

import numpy as np

Generator = np.random.Generator | np.random.RandomState


def linear(rng: Generator, n: int = 100) -> tuple[np.ndarray, np.ndarray]:
    """y = 4 + 3·x + noise, with x uniform in [0, 2) and standard normal noise; both (n, 1) float64.

    With NumPy's old generator this is, bit for bit, `np.random.seed(0); 2 * np.random.rand(100, 1)`
    and so on, as many tutorials begin; hence both kinds are taken.

    >>> x, y = linear(np.random.RandomState(0))
    >>> np.polynomial.Polynomial.fit(x[:, 0], y[:, 0], 1).convert().coef.round(8).tolist()
    [4.22215108, 2.96846751]
    """
    x = 2 * rng.random((n, 1))
    return x, 4 + 3 * x + rng.standard_normal((n, 1))


def blobs(
    rng: Generator, n: int = 300, classes: int = 3, features: int = 2, spread: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Round clouds: x = centre of the class + spread·noise, with centres uniform in [−5, 5).

    Returns x (n, features) float32 and the classes (n,) int64; row i is of class i mod `classes`.

    >>> x, y = blobs(np.random.default_rng(0), n=6)
    >>> x.shape, x.dtype, y.tolist()
    ((6, 2), dtype('float32'), [0, 1, 2, 0, 1, 2])
    """
    centres = 10 * rng.random((classes, features)) - 5
    y = np.arange(n) % classes
    x = centres[y] + spread * rng.standard_normal((n, features))
    return x.astype(np.float32), y


def spirals(
    rng: Generator, n: int = 300, classes: int = 3, turns: float = 0.75, noise: float = 0.1
) -> tuple[np.ndarray, np.ndarray]:
    """Arms that wind round each other: r uniform in [0, 1), angle = 2π(turns·r + class/classes).

    Normal noise of size `noise` goes on the angle, in radians. No straight line separates them, so
    a linear model fails where one hidden layer succeeds. Returns as `blobs` does, with 2 features.

    >>> x, y = spirals(np.random.default_rng(0), n=300)
    >>> x.shape, float(np.hypot(*x.T).max()) < 1
    ((300, 2), True)
    """
    y = np.arange(n) % classes
    r = rng.random(n)
    angle = 2 * np.pi * (turns * r + y / classes) + noise * rng.standard_normal(n)
    x = np.stack([r * np.cos(angle), r * np.sin(angle)], axis=1)
    return x.astype(np.float32), y
