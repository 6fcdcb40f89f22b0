"""What the ranks of a training exchange in a step: gradients and numbers, as one array."""

from itertools import pairwise
from typing import Any

import numpy as np

from .autograd.conversion import unwrap


class ClosureResult:
    """The numbers that a closure returns, as one flat array; `unflatten` undoes this."""

    def __init__(self, result: Any):
        self.is_list = isinstance(result, list | tuple)
        parts = [] if result is None else result if self.is_list else [result]
        for part in parts:  # a Tensor of several numbers, such as logits, has no mean to report
            if not isinstance(part, np.ndarray | float | int) and np.size(unwrap(part)) != 1:
                required = "a closure must return a number or a list of numbers"
                raise TypeError(f"DataParallel: {required}, received {part!r:.60}")
        arrays = [np.asarray(unwrap(part), float) for part in parts]
        self.shapes = [array.shape for array in arrays]
        self.flat = np.concatenate([[], *[array.reshape(-1) for array in arrays]])

    def unflatten(self, flat: np.ndarray | None = None) -> Any:
        """Return numbers in the form of the result."""
        flat = self.flat if flat is None else flat
        ends = np.cumsum([np.prod(shape, dtype=int) for shape in self.shapes])
        parts = [p.reshape(s) for p, s in zip(np.split(flat, ends[:-1]), self.shapes)]
        plain = [part if part.ndim else part.item() for part in parts]
        return plain if self.is_list else plain[0] if plain else None


class Buffer:
    """The array that the ranks add up in a step: all gradients in one vector, then a tail.

    shard=False    one row:             | all gradients            | tail |
    shard=True     a row for each rank: | its part of the gradients | tail |

    tail: the number of what the rank does; the weight of each parameter's gradient, 0 if it has
    none; the closure's numbers. With shard=True only rank r receives the sums of row r.
    """

    def __init__(self, parallel: Any, count: int):
        self.parallel, self.count = parallel, count
        arrays = [parameter.data for parameter in parallel.parameters.values()]
        ends = np.cumsum([0, *[w.size for w in arrays]]).tolist()
        n, ranks = ends[-1], parallel.ranks
        per_rank = -(-n // ranks)  # gradient elements of a rank, rounded up
        tail = 1 + len(arrays) + count
        self.array = np.zeros((ranks, per_rank + tail), arrays[0].dtype)
        self.received = np.zeros_like(self.array) if parallel.deterministic else None
        self.summed_row = np.zeros_like(self.array[0])
        if parallel.shard:
            first, width = parallel.rank * per_rank, per_rank  # the gradient elements to receive
            rows, sums = self.array, self.summed_row
            shapes: list[Any] = [(-1,) for _ in arrays]
        else:
            first, width = 0, n
            rows = self.array.reshape(1, -1)
            sums = rows[0]  # the sums replace what was added
            shapes = [w.shape for w in arrays]
        self.gradient_rows, self.tails = rows[:, :width], rows[:, width : width + tail]
        self.summed_gradients, self.summed_tail = sums[:width], sums[width : width + tail]
        self.targets = [self.targets_of(start, stop) for start, stop in pairwise(ends)]
        limits = np.clip(np.array(ends) - first, 0, width)  # of each parameter's elements
        self.sum_of_each = [
            self.summed_gradients[start:stop].reshape(shape)
            for (start, stop), shape in zip(pairwise(limits), shapes)
        ]

    def targets_of(self, start: int, stop: int) -> list[tuple[slice, np.ndarray]]:
        """Return where the elements start … stop − 1 of the vector of all gradients are written.

        If its elements belong to several ranks, there is a pair (elements, target) for each rank.
        """
        width, found = self.gradient_rows.shape[1], []
        for rank, row in enumerate(self.gradient_rows):
            low, high = max(start, rank * width), min(stop, (rank + 1) * width)
            if low < high:
                target = row[low - rank * width : high - rank * width]
                found.append((slice(low - start, high - start), target))
        return found

    @np.errstate(all="ignore")  # the optimizer looks for NaN and inf
    def add_up(self, weight: float, numbers: np.ndarray, action: int = 0) -> tuple:
        """Add up what all ranks have; return the sums of actions, gradients' weights, numbers."""
        parameters = self.parallel.parameters
        gradients = [p.grad if weight else None for p in parameters.values()]
        for (name, parameter), g, targets in zip(parameters.items(), gradients, self.targets):
            w = parameter.data
            if g is not None and (g.shape, g.dtype) != (w.shape, w.dtype):
                required = f"the gradient of {name!r} must be {w.dtype} of shape {w.shape}"
                raise ValueError(f"DataParallel: {required}; received {g.dtype} {g.shape}")
            for elements, target in targets:
                if g is None:
                    target.fill(0)
                else:
                    np.multiply(g.reshape(-1)[elements], weight, out=target)
        weights = [weight * (g is not None) for g in gradients]
        self.tails[...] = [action, *weights, *numbers]
        self.all_reduce()
        actions, *others = self.summed_tail.astype(float)
        return actions, others[: len(parameters)], np.array(others[len(parameters) :])

    def all_reduce(self) -> None:
        comm, shard = self.parallel.comm, self.parallel.shard
        if self.received is not None:
            comm.Alltoall(self.array, self.received)
            self.summed_row[...] = self.received[0]
            for row in self.received[1:]:  # in the order of the ranks
                self.summed_row += row
            if not shard:
                comm.Allgather(self.summed_row, self.array)
        elif shard:
            comm.Reduce_scatter_block(self.array, self.summed_row)
        else:
            comm.Allreduce(None, self.array)
