"""NumPy's functions that are composed of the primitives, and so need no derivatives of their own.

In order of difficulty: reductions, shapes, joining and splitting, choosing, products.
Each takes NumPy's arguments; those that it lacks are refused by name.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from .dispatch import ROUTES, bare
from .primitives import composed, placed

# Reductions


def prepared(a: Any, dtype: Any, where: Any, neutral: Any) -> Any:
    """The elements to reduce: in another precision, and those left out made neutral."""
    if dtype is not None:
        a = ROUTES["astype"](a, dtype=dtype)
    return a if where is True else np.where(where, a, neutral)


def count(a: Any, axis: Any, where: Any) -> Any:
    """How many elements go into each result, in a's precision; a Python number if all do."""
    if where is not True:
        where = np.broadcast_to(bare(where), a.shape)
        return np.sum(where, axis=axis, keepdims=True, dtype=a.dtype)
    axes = range(a.ndim) if axis is None else np.atleast_1d(axis)
    return float(np.prod([a.shape[i] for i in axes]))


_sum, _mean, _cumsum = ROUTES[np.sum], ROUTES[np.mean], ROUTES[np.cumsum]


@composed(np.sum)
def sum(
    a: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False, initial: Any = None,
    where: Any = True,
) -> Any:  # fmt: skip
    total = _sum(prepared(a, dtype, where, 0), axis=axis, keepdims=keepdims)
    return total if initial is None else total + initial


@composed(np.mean)
def mean(
    a: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False, where: Any = True
) -> Any:
    a = prepared(a, dtype, True, 0)
    if where is True:
        return _mean(a, axis=axis, keepdims=keepdims)
    result = sum(a, axis, keepdims=True, where=where) / count(a, axis, where)
    return result if keepdims else np.squeeze(result, axis)


@composed(np.var)
def var(
    a: Any, axis: Any = None, dtype: Any = None, ddof: float = 0, keepdims: bool = False,
    where: Any = True,
) -> Any:  # fmt: skip
    a = prepared(a, dtype, True, 0)
    squares = np.square(a - mean(a, axis, keepdims=True, where=where))
    total = sum(squares, axis, keepdims=True, where=where)
    n = count(a, axis, where) - ddof
    result = total / (np.maximum(n, 0) if np.ndim(n) else max(n, 0))
    return result if keepdims else np.squeeze(result, axis)


@composed(np.std)
def std(
    a: Any, axis: Any = None, dtype: Any = None, ddof: float = 0, keepdims: bool = False,
    where: Any = True,
) -> Any:  # fmt: skip
    return np.sqrt(var(a, axis, dtype, ddof, keepdims, where))


@composed(np.average)
def average(
    a: Any, axis: Any = None, weights: Any = None, returned: bool = False, keepdims: bool = False
) -> Any:
    """Σ w·a / Σ w; weights of one axis, or of a's shape."""
    weights = np.ones((1,) * a.ndim, a.dtype) if weights is None else weights
    if np.shape(weights) != a.shape and np.ndim(weights) == 1 and axis is not None:
        weights = np.reshape(weights, [-1 if i == axis % a.ndim else 1 for i in range(a.ndim)])
    weights = np.broadcast_to(weights, a.shape)
    total = np.sum(weights, axis=axis, keepdims=keepdims)
    result = np.sum(a * weights, axis=axis, keepdims=keepdims) / total
    return (result, total) if returned else result


def extreme(function: Callable, pairwise: Callable) -> None:
    """np.max or np.min, with the options `initial` and `where`."""
    primitive = ROUTES[function]

    @composed(function)
    def reduce(
        a: Any, axis: Any = None, keepdims: bool = False, initial: Any = None, where: Any = True
    ) -> Any:
        if where is not True and initial is None:
            raise ValueError(f"np.{function.__name__}: where= needs initial=, for what is left out")
        result = primitive(prepared(a, None, where, initial), axis=axis, keepdims=keepdims)
        return result if initial is None else pairwise(result, initial)


extreme(np.max, np.maximum)
extreme(np.min, np.minimum)
ROUTES[np.amax], ROUTES[np.amin] = ROUTES[np.max], ROUTES[np.min]


@composed(np.prod)
def prod(
    a: Any, axis: Any = None, dtype: Any = None, keepdims: bool = False, initial: Any = None,
    where: Any = True,
) -> Any:  # fmt: skip
    """Half the elements times the other half, until one is left: exact where some are 0, too."""
    a = prepared(a, dtype, where, 1)
    axes = tuple(range(a.ndim)) if axis is None else tuple(np.atleast_1d(axis) % max(a.ndim, 1))
    rest = [n for i, n in enumerate(a.shape) if i not in axes]
    x = np.reshape(np.moveaxis(a, axes, range(len(axes))), (int(count(a, axes, True)), *rest))
    while len(x) > 1:
        half = len(x) // 2
        x = np.concatenate([x[:half] * x[half : 2 * half], x[2 * half :]])
    result = x[0] if len(x) else np.sum(x, axis=0) + 1
    if keepdims:
        result = np.expand_dims(result, axes)
    return result if initial is None else result * initial


@composed(np.cumsum)
def cumsum(a: Any, axis: int | None = None, dtype: Any = None) -> Any:
    a = np.ravel(a) if axis is None else a
    return _cumsum(prepared(a, dtype, True, 0), axis=axis or 0)


@composed(np.linalg.norm)
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """Of vectors (Σ|x|^p)^(1/p), ord = p; of matrices Frobenius's. NaN derivative at 0."""
    of_vectors = np.ndim(axis) == 0 and (axis is not None or x.ndim == 1)
    if ord is None or (ord == 2 and of_vectors) or (ord == "fro" and not of_vectors):
        return np.sqrt(np.sum(np.square(x), axis=axis, keepdims=keepdims))
    if not of_vectors or isinstance(ord, str) or ord == 0:
        raise TypeError(
            f"np.linalg.norm: minigrad does not support ord={ord!r} for this axis; supported: "
            "None, p and ±inf for vectors (axis an integer), None and 'fro' for matrices"
        )
    if np.isinf(ord):
        return (np.max if ord > 0 else np.min)(np.abs(x), axis=axis, keepdims=keepdims)
    return np.sum(np.abs(x) ** ord, axis=axis, keepdims=keepdims) ** (1 / ord)


# The same elements in another shape or order


@composed(np.ravel)
def ravel(a: Any, order: Any = "C") -> Any:
    return np.reshape(a, -1, order=order)


@composed(np.moveaxis)
def moveaxis(a: Any, source: Any, destination: Any) -> Any:
    sources, targets = ([i % a.ndim for i in np.atleast_1d(x)] for x in (source, destination))
    order = [i for i in range(a.ndim) if i not in sources]
    for target, axis in sorted(zip(targets, sources)):
        order.insert(target, axis)
    return np.transpose(a, order)


@composed(np.tile)
def tile(A: Any, reps: Any) -> Any:
    reps = tuple(np.atleast_1d(reps).tolist())
    shape = (1,) * (len(reps) - A.ndim) + A.shape
    reps = (1,) * (len(shape) - len(reps)) + reps
    apart = np.reshape(A, [n for size in shape for n in (1, size)])
    repeated = np.broadcast_to(apart, [n for pair in zip(reps, shape) for n in pair])
    return np.reshape(repeated, [r * n for r, n in zip(reps, shape)])


@composed(np.pad)
def pad(array: Any, pad_width: Any, mode: str = "constant", constant_values: Any = 0) -> Any:
    if mode != "constant":
        raise TypeError(f"np.pad: minigrad supports mode='constant' alone, received {mode!r}")
    widths = np.broadcast_to(pad_width, (array.ndim, 2)).tolist()
    inside = tuple(slice(before, before + n) for (before, _), n in zip(widths, array.shape))
    frame = np.pad(np.zeros_like(array), pad_width, constant_values=constant_values)
    return placed(array, index=inside, shape=frame.shape) + frame


# Joining and splitting


@composed(np.stack)
def stack(arrays: Any, axis: int = 0) -> Any:
    return np.concatenate([np.expand_dims(x, axis) for x in arrays], axis)


@composed(np.hstack)
def hstack(tup: Any) -> Any:
    rows = [np.reshape(x, -1) if np.ndim(x) == 0 else x for x in tup]
    return np.concatenate(rows, 0 if np.ndim(rows[0]) == 1 else 1)


@composed(np.vstack)
def vstack(tup: Any) -> Any:
    return np.concatenate([np.reshape(x, (1, -1)) if np.ndim(x) < 2 else x for x in tup])


@composed(np.array_split)
def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list:
    n = ary.shape[axis]
    if np.ndim(indices_or_sections):
        inner = list(indices_or_sections)
    else:
        parts = operator.index(indices_or_sections)
        inner = np.cumsum([n // parts + (i < n % parts) for i in range(parts)]).tolist()[:-1]
    before = (slice(None),) * (axis % ary.ndim)
    return [ary[(*before, slice(a, b))] for a, b in zip([0, *inner], [*inner, n])]


@composed(np.split)
def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list:
    if np.ndim(indices_or_sections) == 0 and ary.shape[axis] % indices_or_sections:
        raise ValueError(
            f"np.split: {ary.shape[axis]} rows of axis {axis} don't divide into "
            f"{indices_or_sections} equal parts; np.array_split makes unequal ones"
        )
    return array_split(ary, indices_or_sections, axis)


# Choosing among elements


def along(a: Any, axis: int, index: Any) -> Any:
    """a[:, …, index, …, :] with the index on that axis."""
    return a[(slice(None),) * (axis % a.ndim) + (index,)]


@composed(np.take)
def take(a: Any, indices: Any, axis: int | None = None) -> Any:
    indices = np.asarray(bare(indices))
    return np.ravel(a)[indices] if axis is None else along(a, axis, indices)


@composed(np.repeat)
def repeat(a: Any, repeats: Any, axis: int | None = None) -> Any:
    a, axis = (np.ravel(a), 0) if axis is None else (a, axis)
    return along(a, axis, np.repeat(np.arange(a.shape[axis]), repeats))


@composed(np.take_along_axis)
def take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Any:
    if axis is None:
        return np.ravel(arr)[bare(indices)]
    index: list = list(np.ogrid[tuple(map(slice, arr.shape))])
    index[axis] = bare(indices)
    return arr[tuple(index)]


@composed(np.sort)
def sort(a: Any, axis: int | None = -1, kind: Any = None, stable: Any = None) -> Any:
    a, axis = (np.ravel(a), 0) if axis is None else (a, axis)
    return take_along_axis(a, np.argsort(a, axis, kind=kind, stable=stable), axis)


@composed(np.diagonal)
def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    a = np.moveaxis(a, (axis1, axis2), (-2, -1))
    rows = np.arange(max(0, -offset), max(0, -offset, min(a.shape[-2], a.shape[-1] - offset)))
    return a[..., rows, rows + offset]


@composed(np.trace)
def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None) -> Any:
    return np.sum(np.diagonal(a, offset, axis1, axis2), axis=-1, dtype=dtype)


@composed(np.tril)
def tril(m: Any, k: int = 0) -> Any:
    return np.where(np.tri(m.shape[-2], m.shape[-1], k, dtype=bool), m, 0)


@composed(np.triu)
def triu(m: Any, k: int = 0) -> Any:
    return np.where(np.tri(m.shape[-2], m.shape[-1], k - 1, dtype=bool), 0, m)


# Products


@composed(np.outer)
def outer(a: Any, b: Any) -> Any:
    return np.reshape(a, (-1, 1)) * np.reshape(b, -1)


@composed(np.dot)
def dot(a: Any, b: Any) -> Any:
    if 0 in (np.ndim(a), np.ndim(b)):
        return a * b
    return np.matmul(a, b) if np.ndim(b) <= 2 else np.tensordot(a, b, (-1, -2))


@composed(np.tensordot)
def tensordot(a: Any, b: Any, axes: Any = 2) -> Any:
    """As one matrix product: the axes to be summed go last in a, first in b."""
    if np.ndim(axes) == 0:
        axes = (range(a.ndim - axes, a.ndim), range(axes))
    of_a, of_b = ([i % x.ndim for i in np.atleast_1d(one)] for x, one in zip((a, b), axes))
    if [a.shape[i] for i in of_a] != [b.shape[i] for i in of_b]:
        raise ValueError(f"np.tensordot of {a.shape} and {b.shape}: axes {of_a}, {of_b} differ")
    rows = [i for i in range(a.ndim) if i not in of_a]
    columns = [i for i in range(b.ndim) if i not in of_b]
    shape = [a.shape[i] for i in rows] + [b.shape[i] for i in columns]
    n, m = (int(np.prod(x)) for x in (shape[: len(rows)], shape[len(rows) :]))
    k = int(np.prod([a.shape[i] for i in of_a]))
    left = np.reshape(np.transpose(a, rows + of_a), (n, k))
    right = np.reshape(np.transpose(b, of_b + columns), (k, m))
    return np.reshape(left @ right, shape)
