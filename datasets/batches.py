"""Mini-batches: a few rows at a time, in a fresh random order every epoch."""

from collections.abc import Iterator
from typing import Any

import numpy as np


class batches:  # lower-case like range, which it resembles: a thing with a length, to loop over
    """The rows of x and y in groups of `batch_size`, the last group perhaps smaller.

    Every loop over it draws a new order from `rng`, so one object serves all epochs; the same seed
    gives the same orders. Shuffled batches are copies, yours to keep and change; with
    `shuffle=False` they are views of x and y. With `y=None` it gives x alone.

    Raises ValueError where x and y differ in length or are empty or `batch_size` is below 1;
    TypeError where `batch_size` is no integer, or `rng` no Generator though one is needed.

    >>> rng = np.random.default_rng(0)
    >>> for x, y in batches(np.arange(5), np.arange(5) ** 2, batch_size=2, rng=rng):
    ...     print(x, y)
    [2 4] [ 4 16]
    [3 0] [9 0]
    [1] [1]
    >>> len(batches(np.zeros((60000, 784)), None, batch_size=128, shuffle=False))
    469
    """

    def __init__(
        self,
        x: Any,
        y: Any,
        batch_size: int,
        rng: np.random.Generator | None = None,
        shuffle: bool = True,
    ) -> None:
        self.arrays = [np.asarray(array) for array in (x, y) if array is not None]
        shapes = [array.shape for array in self.arrays]
        if x is None or 0 in shapes[0][:1] or () in shapes:
            raise ValueError(f"batches: x needs at least one row; the shapes are {shapes}")
        if shapes[0][0] != shapes[-1][0]:
            raise ValueError(f"batches: x and y need the same number of rows; received {shapes}")
        if isinstance(batch_size, bool) or not isinstance(batch_size, int | np.integer):
            raise TypeError(f"batches: batch_size must be an integer, not {batch_size!r}")
        if batch_size < 1:
            raise ValueError(f"batches: batch_size must be at least 1, not {batch_size}")
        if shuffle and not isinstance(rng, np.random.Generator):
            raise TypeError(
                f"batches: rng must be numpy.random.default_rng(seed), not {rng!r}; "
                "or say shuffle=False to keep the order"
            )
        self.batch_size = int(batch_size)
        self.rng = rng if shuffle else None

    def __len__(self) -> int:
        return -(-len(self.arrays[0]) // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        n = len(self.arrays[0])
        order = None if self.rng is None else self.rng.permutation(n)
        for start in range(0, n, self.batch_size):
            rows = slice(start, start + self.batch_size)
            if order is None:
                batch = [array[rows] for array in self.arrays]
            else:
                batch = [array.take(order[rows], axis=0) for array in self.arrays]
            yield tuple(batch) if len(batch) == 2 else batch[0]
