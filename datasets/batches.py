"""Batches: a few rows at a time, in a new random order every epoch; or one process's share."""

from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
import numpy.typing as npt


@dataclass
class Share:
    """The rows start … stop − 1 of a batch with `rows` rows: the share of one process of several.

    checksum: that of the whole batch, which must be equal in all processes.
    draws: a checksum of the random generators that were used for this batch, such as dropout's.
    """

    start: int
    stop: int
    rows: int
    checksum: int
    draws: int = 0

    def note_draw(self, rng: np.random.Generator) -> None:
        """Add the state of a random generator to the checksum of the draws."""
        self.draws = crc32(str(rng.bit_generator.state).encode(), self.draws)

    @classmethod
    def of(cls, rank: int, ranks: int, rows: int, checksum: int) -> "Share":
        return cls(rows * rank // ranks, rows * (rank + 1) // ranks, rows, checksum)


# The share of the current batch, inside a loop over `batches` with ranks > 1
current_share: ContextVar[Share | None] = ContextVar("current_share", default=None)


class batches:  # lower-case like `range`: an iterable with a length
    """Iterate over the rows of x and y, `batch_size` rows at a time; the last batch may be smaller.

    Every loop draws a new order from `rng`, so one object serves all epochs; the same seed gives
    the same orders. Shuffled batches are copies and may be changed; with `shuffle=False` they are
    views of x and y. With `y=None` a batch is x alone; with weights it is (x, y, weights).

    rank, ranks: yield only share number `rank` of the `ranks` shares of each batch. If all ranks
    give the same data and seed, the shares add up to the batch of a single process. A batch with
    fewer rows than ranks leaves some shares empty. minigrad.distributed uses the shares.
    The attribute `rows` is the number of rows of the whole current batch.

    Raises ValueError if x and y have different lengths or no rows, `batch_size` is below 1, or
    `rank` is not in 0 … ranks − 1; TypeError if `batch_size` is not an integer, or if `shuffle` is
    True and `rng` is not a Generator.

    >>> rng = np.random.default_rng(0)
    >>> for x, y in batches(np.arange(5), np.arange(5) ** 2, batch_size=2, rng=rng):
    ...     print(x, y)
    [2 4] [ 4 16]
    [3 0] [9 0]
    [1] [1]
    >>> len(batches(np.zeros((60000, 784)), None, batch_size=128, shuffle=False))
    469
    """

    def __init__(self, x: npt.ArrayLike, y: npt.ArrayLike | None, batch_size: int,
                 rng: np.random.Generator | None = None, shuffle: bool = True,
                 sample_weight: npt.ArrayLike | None = None,
                 *, rank: int = 0, ranks: int = 1):  # fmt: skip
        arrays = (x, y, sample_weight)
        self.arrays = [np.asarray(array) for array in arrays if array is not None]
        shapes = [array.shape for array in self.arrays]
        if x is None or 0 in shapes[0][:1] or () in shapes:
            needed = "x needs" if y is None else "x and y need"
            raise ValueError(f"batches: {needed} at least one row; received shapes {shapes}")
        if len({shape[0] for shape in shapes}) > 1:
            required = "x, y and sample_weight need equal numbers of rows"
            raise ValueError(f"batches: {required}; received {shapes}")
        if isinstance(batch_size, bool) or not isinstance(batch_size, int | np.integer):
            raise TypeError(f"batches: batch_size must be an integer, not {batch_size!r}")
        if batch_size < 1:
            raise ValueError(f"batches: batch_size must be at least 1, not {batch_size}")
        if shuffle and not isinstance(rng, np.random.Generator):
            advice = "pass rng=numpy.random.default_rng(seed) or shuffle=False"
            raise TypeError(f"batches: rng must be a Generator, not {rng!r}; {advice}")
        if not 0 <= rank < ranks:
            raise ValueError(f"batches: rank must be in 0 … ranks − 1, not {rank} of {ranks}")
        self.rank, self.ranks, self.rows = rank, ranks, 0
        self.batch_size = int(batch_size)
        self.rng = rng if shuffle else None

    def __len__(self) -> int:
        return -(-len(self.arrays[0]) // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        n = len(self.arrays[0])
        order = None if self.rng is None else self.rng.permutation(n)
        shares, before = self.shares(order), current_share.get()
        try:
            for start in range(0, n, self.batch_size):
                self.rows = min(self.batch_size, n - start)
                rows = slice(start, start + self.rows)
                if self.ranks > 1:
                    share = next(shares)
                    current_share.set(share)
                    rows = slice(start + share.start, start + share.stop)
                if order is None:
                    batch = [array[rows] for array in self.arrays]
                else:
                    batch = [array.take(order[rows], axis=0) for array in self.arrays]
                yield tuple(batch) if len(batch) > 1 else batch[0]
        finally:
            if self.ranks > 1:
                current_share.set(before)

    def shares(self, order: np.ndarray | None) -> Iterator[Share]:
        """Yield this process's share of each batch."""
        n, arrays = len(self.arrays[0]), [a for a in self.arrays if not a.dtype.hasobject]
        checksum = crc32(b"".join(array[:: n // 100 + 1].tobytes() for array in arrays))
        for start in range(0, n, self.batch_size):
            stop = min(start + self.batch_size, n)
            chosen = f"{start}".encode() if order is None else order[start:stop].data
            checksum = crc32(chosen, checksum)
            yield Share.of(self.rank, self.ranks, stop - start, checksum)
