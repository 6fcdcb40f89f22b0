"""Batches: every row appears once, in a new order each epoch, with its label."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.datasets import batches
from minigrad.datasets.batches import current_share


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
        (dict(rank=2, ranks=2), ValueError, "rank must be in 0 … ranks − 1, not 2 of 2"),
        (dict(rank=-1, ranks=2), ValueError, "rank must be in 0 … ranks − 1, not -1 of 2"),
        (dict(ranks=0), ValueError, "rank must be in 0 … ranks − 1, not 0 of 0"),
    ],
)
def test_invalid_arguments_are_refused(arguments, error, words):
    good = dict(x=np.zeros((4, 2)), y=np.zeros(4), batch_size=2, rng=np.random.default_rng(0))
    with pytest.raises(error, match=re.escape(words)):
        batches(**good | arguments)


def test_batch_size_may_be_a_numpy_integer():
    assert len(batches(np.zeros(5), None, np.int64(2), shuffle=False)) == 3


# ---- The shares of several processes ----


@given(
    n=st.integers(1, 40),
    batch_size=st.integers(1, 45),
    ranks=st.integers(1, 7),
    shuffle=st.booleans(),
    weighted=st.booleans(),
)
def test_the_shares_of_all_ranks_make_up_the_batch_of_one_process(
    n, batch_size, ranks, shuffle, weighted
):
    x, weights = np.arange(2 * n).reshape(n, 2), np.arange(n) * 0.5 if weighted else None

    def two_epochs(**part):
        loop = batches(
            x, x[:, 0] * 10, batch_size, np.random.default_rng(4), shuffle, weights, **part
        )
        return [(len(loop), loop.rows, batch) for _ in range(2) for batch in loop]

    every = [two_epochs(rank=rank, ranks=ranks) for rank in range(ranks)]
    for (count, rows, whole), *others in zip(two_epochs(), *every, strict=True):
        assert {(count, rows)} == {other[:2] for other in others}
        parts = [other[2] for other in others]
        joined = [np.concatenate(column) for column in zip(*parts, strict=True)]
        assert all(map(np.array_equal, whole, joined)) and len(whole) == 2 + weighted
        sizes = [len(part[0]) for part in parts]
        assert max(sizes) - min(sizes) <= 1
        assert rows == len(whole[0])


def test_a_loop_over_shares_says_which_share_it_is_at():
    shares, x = [], np.arange(7)
    for part in batches(x, None, 4, shuffle=False, rank=1, ranks=2):
        share = current_share.get()
        shares.append((share.start, share.stop, share.rows))
        assert share.stop - share.start == len(part)
    assert shares == [(2, 4, 4), (1, 3, 3)]
    assert current_share.get() is None
    for _ in batches(x, None, 4, shuffle=False):
        assert current_share.get() is None


def test_after_an_inner_loop_the_share_is_that_of_the_outer_loop():
    for _ in batches(np.arange(7), None, 4, shuffle=False, rank=1, ranks=2):
        outer = current_share.get()
        for _ in batches(np.arange(9), None, 3, shuffle=False, rank=1, ranks=2):
            assert current_share.get() != outer
        assert current_share.get() == outer


def test_break_leaves_no_share_behind():
    for _ in batches(np.arange(7), None, 4, shuffle=False, rank=0, ranks=2):
        break
    assert current_share.get() is None


def checksums(x, seed=0, shuffle=True):
    loop = batches(x, None, 4, np.random.default_rng(seed), shuffle, rank=0, ranks=2)
    return [current_share.get().checksum for _ in loop]


def test_the_checksum_tells_other_data_and_orders_apart():
    x = np.arange(20.0)
    other = np.where(x == 19, 0, x)
    assert checksums(x) == checksums(x.copy())
    assert not {*checksums(x)} & {*checksums(other)}
    assert not {*checksums(x)} & {*checksums(x, seed=1)}
    assert not {*checksums(x)} & {*checksums(x, shuffle=False)}
