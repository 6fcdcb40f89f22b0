"""What the ranks of a training exchange in a step: gradients and numbers, as one array."""

from itertools import pairwise
from typing import Any

import numpy as np

from .autograd.conversion import unwrap


class Numbers:
    """The numbers that a closure returns, as one array; `restored` gives them their form again."""

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

    def restored(self, flat: np.ndarray | None = None) -> Any:
        """Return numbers in the form of the result."""
        flat = self.flat if flat is None else flat
        ends = np.cumsum([np.prod(shape, dtype=int) for shape in self.shapes])
        parts = [p.reshape(s) for p, s in zip(np.split(flat, ends[:-1]), self.shapes)]
        plain = [part if part.ndim else part.item() for part in parts]
        return plain if self.is_list else plain[0] if plain else None


class Buffer:
    """The array that the ranks add up in a step: the gradients, then a tail of numbers.

    With shard=True it has a row for each rank: gradients of its part of the weights, and a tail.
    tail: what the ranks meet for, the weight of each gradient that exists, closure's numbers.
    """

    def __init__(self, parallel: Any, count: int):
        self.parallel, self.count = parallel, count
        arrays = [parameter.data for parameter in parallel.parameters.values()]
        ends = np.cumsum([0, *[w.size for w in arrays]]).tolist()
        n, tail, ranks = ends[-1], 1 + len(arrays) + count, parallel.ranks
        width, rank = -(-n // ranks), parallel.rank
        self.array = np.zeros((ranks, width + tail), arrays[0].dtype)
        self.part = np.zeros_like(self.array[0])  # the sums of this rank's row
        self.received = np.zeros_like(self.array) if parallel.deterministic else None
        if parallel.shard:
            self.rows, self.tails = self.array[:, :width], self.array[:, width:]
            self.own, self.sum_of_tails = self.part[:width], self.part[width:]
            shapes: list[Any] = [(-1,) for _ in arrays]
        else:
            flat = self.array.reshape(1, -1)
            self.rows, self.tails, rank = flat[:, :n], flat[:, n : n + tail], 0
            self.own, self.sum_of_tails = flat[0, :n], flat[0, n : n + tail]
            shapes = [w.shape for w in arrays]
        self.pieces = [self.cut(low, high) for low, high in pairwise(ends)]
        limits = np.clip(np.array(ends) - rank * width, 0, len(self.own))
        self.sums = [
            self.own[a:b].reshape(shape) for (a, b), shape in zip(pairwise(limits), shapes)
        ]

    def cut(self, low: int, high: int) -> list[tuple[slice, np.ndarray]]:
        """Return where the elements low … high − 1 of all gradients lie in the rows."""
        width, found = self.rows.shape[1], []
        for r, row in enumerate(self.rows):
            a, b = max(low, r * width), min(high, (r + 1) * width)
            if a < b:
                found.append((slice(a - low, b - low), row[a - r * width : b - r * width]))
        return found

    @np.errstate(all="ignore")  # the optimizer looks for NaN and inf
    def add_up(self, weight: float, numbers: np.ndarray, what: int = 0) -> tuple:
        """Add up the weighted gradients and numbers of all ranks; return the parts of the tail."""
        parameters = [*self.parallel.parameters.values()]
        gradients = [parameter.grad if weight else None for parameter in parameters]
        for name, g, pieces in zip(self.parallel.parameters, gradients, self.pieces):
            w = self.parallel.parameters[name].data
            if g is not None and (g.shape, g.dtype) != (w.shape, w.dtype):
                required = f"the gradient of {name!r} must be {w.dtype} of shape {w.shape}"
                raise ValueError(f"DataParallel: {required}; received {g.dtype} {g.shape}")
            for elements, out in pieces:
                if g is None:
                    out.fill(0)
                else:
                    np.multiply(g.reshape(-1)[elements], weight, out=out)
        has_gradient = [weight * (g is not None) for g in gradients]
        self.tails[...] = [what, *has_gradient, *numbers]
        self.exchange()
        met, *others = self.sum_of_tails.astype(float)
        return met, others[: len(parameters)], np.array(others[len(parameters) :])

    def exchange(self) -> None:
        comm, shard = self.parallel.comm, self.parallel.shard
        if self.received is not None:
            comm.Alltoall(self.array, self.received)
            self.part[...] = self.received[0]
            for row in self.received[1:]:  # in the order of the ranks
                self.part += row
            if not shard:
                comm.Allgather(self.part, self.array)
        elif shard:
            comm.Reduce_scatter_block(self.array, self.part)
        else:
            comm.Allreduce(None, self.array)
