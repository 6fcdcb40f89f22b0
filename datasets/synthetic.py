"""Small generated data sets: a line with noise, round clusters, spirals."""

import numpy as np

Generator = np.random.Generator | np.random.RandomState


def linear(rng: Generator, n: int = 100) -> tuple[np.ndarray, np.ndarray]:
    """Return x and y = 4 + 3·x + noise, both (n, 1) float64.

    x is uniform in [0, 2), the noise standard normal. `RandomState(0)` gives the same bits as
    `np.random.seed(0); x = 2 * np.random.rand(100, 1); …`, the first lines of many tutorials.

    >>> x, y = linear(np.random.RandomState(0))
    >>> np.polynomial.Polynomial.fit(x[:, 0], y[:, 0], 1).convert().coef.round(8).tolist()
    [4.22215108, 2.96846751]
    """
    x = 2 * rng.random((n, 1))
    return x, 4 + 3 * x + rng.standard_normal((n, 1))


def blobs(
    rng: Generator, n: int = 300, classes: int = 3, features: int = 2, spread: float = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return x = center of the class + spread·noise, and the classes y.

    The centers are uniform in [−5, 5), the noise standard normal. x is (n, features) float32, y
    is (n,) int64; row i has class i mod `classes`.

    >>> x, y = blobs(np.random.default_rng(0), n=6)
    >>> x.shape, x.dtype, y.tolist()
    ((6, 2), dtype('float32'), [0, 1, 2, 0, 1, 2])
    """
    centers = 10 * rng.random((classes, features)) - 5
    y = np.arange(n) % classes
    x = centers[y] + spread * rng.standard_normal((n, features))
    return x.astype(np.float32), y


def spirals(
    rng: Generator, n: int = 300, classes: int = 3, turns: float = 0.75, noise: float = 0.1
) -> tuple[np.ndarray, np.ndarray]:
    """Return x = r·(cos φ, sin φ) with φ = 2π·(turns·r + y/classes) + noise, and the classes y.

    r is uniform in [0, 1). The noise is normal with deviation `noise`, in radians. Straight lines
    cannot separate the classes: a linear model fails, and one hidden layer succeeds.
    Shapes and dtypes are those of `blobs` with 2 features.

    >>> x, y = spirals(np.random.default_rng(0), n=300)
    >>> x.shape, float(np.hypot(*x.T).max()) < 1
    ((300, 2), True)
    """
    y = np.arange(n) % classes
    r = rng.random(n)
    angle = 2 * np.pi * (turns * r + y / classes) + noise * rng.standard_normal(n)
    x = np.stack([r * np.cos(angle), r * np.sin(angle)], axis=1)
    return x.astype(np.float32), y
