"""Generated sets: shapes, dtypes, the tutorial's numbers, and how hard they are to separate."""

import numpy as np
import pytest

from minigrad.datasets import synthetic


def test_linear_gives_the_bits_of_the_tutorial():
    np.random.seed(0)
    x = 2 * np.random.rand(100, 1)
    y = 4 + 3 * x + np.random.randn(100, 1)
    start = np.random.randn(2, 1)
    rng = np.random.RandomState(0)
    ours_x, ours_y = synthetic.linear(rng)
    assert np.array_equal(ours_x, x)
    assert np.array_equal(ours_y, y)
    assert np.array_equal(rng.standard_normal((2, 1)), start)


@pytest.mark.parametrize("make", [synthetic.blobs, synthetic.spirals])
def test_shapes_dtypes_seeds_and_class_counts(make):
    x, y = make(np.random.default_rng(3), n=100, classes=4)
    again, _ = make(np.random.default_rng(3), n=100, classes=4)
    other, _ = make(np.random.default_rng(4), n=100, classes=4)
    assert x.shape == (100, 2) and x.dtype == np.float32 and y.dtype == np.int64
    assert np.array_equal(x, again) and not np.array_equal(x, other)
    assert np.bincount(y).tolist() == [25] * 4


def test_blobs_have_the_given_spread():
    x, y = synthetic.blobs(np.random.default_rng(0), n=30_000, features=3, spread=0.5)
    deviations = [x[y == c].std(axis=0) for c in range(3)]
    assert np.allclose(deviations, 0.5, atol=0.02)  # four standard errors


def linear_accuracy(x, y):
    """Return the training accuracy of least squares on one-hot classes."""
    a = np.c_[x, np.ones(len(x))]
    weights = np.linalg.lstsq(a, np.eye(3)[y], rcond=None)[0]
    return np.mean((a @ weights).argmax(axis=1) == y)


def neighbour_accuracy(x, y):
    """Return the share of points whose nearest other point has the same class."""
    distance = ((x[:, None] - x) ** 2).sum(axis=-1)
    np.fill_diagonal(distance, np.inf)
    return np.mean(y[distance.argmin(axis=1)] == y)


def test_spirals_need_a_nonlinear_classifier():
    x, y = synthetic.spirals(np.random.default_rng(0), n=600)
    assert linear_accuracy(x, y) < 0.75
    assert neighbour_accuracy(x, y) > 0.95
