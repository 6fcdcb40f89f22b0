"""Batches: every row appears once, in a new order each epoch, with its label."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.datasets import batches


@given(n=st.integers(1, 60), batch_size=st.integers(1, 70), seed=st.integers(0, 9))
def test_every_row_appears_once_with_its_label(n, batch_size, seed):
    x = np.arange(2 * n).reshape(n, 2)
    loop = batches(x, x[:, 0] * 10, batch_size, np.random.default_rng(seed))
    parts = list(loop)  # keep all batches: a later one must not overwrite an earlier one
    assert len(parts) == len(loop) == -(-n // batch_size)
    assert all(len(a) == len(b) == batch_size for a, b in parts[:-1])
    assert 1 <= len(parts[-1][0]) <= batch_size
    all_x, all_y = (np.concatenate(column) for column in zip(*parts, strict=True))
    assert np.array_equal(all_x[:, 0] * 10, all_y)
    assert np.array_equal(np.sort(all_x, axis=0), x)


def test_the_seed_fixes_the_order_and_each_epoch_has_a_new_one():
    def epochs(seed):
        loop = batches(np.arange(100), None, 7, np.random.default_rng(seed))
        return [np.concatenate(list(loop)).tolist() for _ in range(2)]

    first, second = epochs(0)
    assert epochs(0) == [first, second]
    assert first != second != epochs(1)[1]
    rng = np.random.default_rng(0)
    assert first == rng.permutation(100).tolist()
    assert second == rng.permutation(100).tolist()


def test_a_shuffled_batch_is_a_copy():
    x = np.ones((6, 2), np.float32)
    for (batch,) in zip(batches(x, None, 6, np.random.default_rng(0)), strict=True):
        assert batch.dtype == np.float32
        batch[:] = 0
    assert x.all()


def test_unshuffled_batches_are_views_in_order():
    x = np.arange(10)
    parts = list(batches(x, None, 4, shuffle=False))
    assert [part.tolist() for part in parts] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert all(np.shares_memory(part, x) for part in parts)


@pytest.mark.parametrize(
    "arguments, error, words",
    [
        (dict(batch_size=0), ValueError, "batch_size must be at least 1, not 0"),
        (dict(batch_size=-3), ValueError, "batch_size must be at least 1, not -3"),
        (dict(batch_size=2.0), TypeError, "batch_size must be an integer, not 2.0"),
        (dict(batch_size=True), TypeError, "batch_size must be an integer, not True"),
        (dict(y=np.zeros(3)), ValueError, "equal numbers of rows; received [(4, 2), (3,)]"),
        (dict(y=np.zeros(())), ValueError, "x and y need at least one row"),
        (dict(x=None), ValueError, "x and y need at least one row"),
        (dict(x=np.zeros((0, 2)), y=np.zeros(0)), ValueError, "x and y need at least one row"),
        (dict(x=np.float64(1)), ValueError, "x and y need at least one row"),
        (dict(rng=None), TypeError, "Generator, not None; pass rng=numpy.random.default_rng(seed)"),
        (dict(rng=0), TypeError, "rng must be a Generator, not 0; pass rng="),
    ],
)
def test_invalid_arguments_are_refused(arguments, error, words):
    good = dict(x=np.zeros((4, 2)), y=np.zeros(4), batch_size=2, rng=np.random.default_rng(0))
    with pytest.raises(error, match=re.escape(words)):
        batches(**good | arguments)


def test_batch_size_may_be_a_numpy_integer():
    assert len(batches(np.zeros(5), None, np.int64(2), shuffle=False)) == 3
