"""NumPy functions composed of the table's rows; they need no vjps of their own.

Sorted by difficulty: reductions, shapes, joining and splitting, choosing, products.
Each has NumPy's signature without the unsupported arguments. The result's dtype is NumPy's.
"""

import math
import operator

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from .conversion import coerce_lists, constant_options, unwrap
from .dispatch import HANDLED_FUNCTIONS
from .numpy_vjps import implements, scatter_add

# Reductions


def cast(a, dtype, at_least=None):
    """Convert a to dtype; without a dtype, widen integers to what the result needs at least."""
    if dtype is None and at_least and a.dtype.kind != "f":
        dtype = np.result_type(a.dtype, at_least)
    return a if dtype is None else HANDLED_FUNCTIONS["astype"](a, dtype=dtype)


def masked(a, where, neutral):
    """Replace the elements that where= leaves out by the neutral element of the reduction."""
    return a if where is True else np.where(np.broadcast_to(unwrap(where), a.shape), a, neutral)


def reduced_size(a, axis, where):
    """Count the elements that go into each result: an integer, or with where= an array."""
    if where is not True:
        where = np.broadcast_to(unwrap(where), a.shape)
        return np.sum(where, axis=axis, keepdims=True, dtype=a.dtype)
    return math.prod(a.shape[i] for i in normalize_axes(a, axis))


def initial_value(initial, result):
    """Convert initial= to a scalar of the result's dtype."""
    return np.reshape(initial, ()).astype(result.dtype)


def normalize_axes(a, axis):
    """Return non-negative axes; None means all."""
    return normalize_axis_tuple(range(a.ndim) if axis is None else axis, a.ndim)


_sum, _mean, _cumsum = map(HANDLED_FUNCTIONS.__getitem__, (np.sum, np.mean, np.cumsum))


@implements(np.sum)
def sum(a, axis=None, dtype=None, keepdims=False, initial=None, where=True):
    if dtype is not None or where is not True:
        a = masked(cast(a, dtype), where, 0)
    total = _sum(a, axis=axis, keepdims=keepdims)
    return total if initial is None else total + initial_value(initial, total)


@implements(np.mean)
def mean(a, axis=None, dtype=None, keepdims=False, where=True):
    a = cast(a, dtype, float)
    if where is True:
        return _mean(a, axis=axis, keepdims=keepdims)
    result = sum(a, axis, keepdims=True, where=where) / reduced_size(a, axis, where)
    return result if keepdims else np.squeeze(result, axis)


@implements(np.var)
def var(a, axis=None, dtype=None, ddof=0, keepdims=False, where=True):
    a = cast(a, dtype, float)
    squares = np.square(a - mean(a, axis, keepdims=True, where=where))
    total = sum(squares, axis, keepdims=True, where=where)
    n = reduced_size(a, axis, where) - ddof
    result = total / (np.maximum(n, 0) if np.ndim(n) else float(max(n, 0)))
    return result if keepdims else np.squeeze(result, axis)


@implements(np.std)
def std(a, axis=None, dtype=None, ddof=0, keepdims=False, where=True):
    return np.sqrt(var(a, axis, dtype, ddof, keepdims, where))


@implements(np.average)
def average(a, axis=None, weights=None, returned=False, keepdims=False):
    """Return Σ w·a / Σ w, with weights of a's shape, or of one axis."""
    a, weights = coerce_lists("np.average", (a, weights))
    a = cast(a, None, float)
    weights = np.ones((1,) * a.ndim, a.dtype) if weights is None else weights
    if np.ndim(weights) != a.ndim:
        if axis is None or np.ndim(weights) != 1:
            raise TypeError("np.average: weights must have a's shape, or one axis with axis= given")
        reduced = normalize_axes(a, axis)
        weights = np.reshape(weights, [-1 if i in reduced else 1 for i in range(a.ndim)])
    weights = np.broadcast_to(weights, a.shape)
    total = np.sum(weights, axis=axis, keepdims=keepdims)
    result = np.sum(a * weights, axis=axis, keepdims=keepdims) / total
    return (result, total) if returned else result


def extreme(function, pairwise):
    """Implement np.max or np.min with the options `initial` and `where`."""
    primitive = HANDLED_FUNCTIONS[function]

    @implements(function)
    def reduce(a, axis=None, keepdims=False, initial=None, where=True):
        if where is not True and initial is None:
            raise ValueError(f"np.{function.__name__}: where= needs initial=")
        if initial is None:
            return primitive(a, axis=axis, keepdims=keepdims)
        initial = initial_value(initial, a)
        return pairwise(primitive(masked(a, where, initial), axis=axis, keepdims=keepdims), initial)


extreme(np.max, np.maximum)
extreme(np.min, np.minimum)
HANDLED_FUNCTIONS |= {f: HANDLED_FUNCTIONS[g] for f, g in ((np.amax, np.max), (np.amin, np.min))}


@implements(np.prod)
def prod(a, axis=None, dtype=None, keepdims=False, initial=None, where=True):
    """Multiply in pairs, which halves the length each time; right even if an element is 0."""
    a = masked(cast(a, dtype, int), where, 1)
    axes = normalize_axes(a, axis)
    rest = [n for i, n in enumerate(a.shape) if i not in axes]
    x = np.reshape(np.moveaxis(a, axes, range(len(axes))), (reduced_size(a, axes, True), *rest))
    while len(x) > 1:
        half = len(x) // 2
        x = np.concatenate([x[:half] * x[half : 2 * half], x[2 * half :]])
    result = x[0] if len(x) else np.sum(x, axis=0) + 1
    if keepdims:
        result = np.expand_dims(result, axes)
    return result if initial is None else result * initial_value(initial, result)


@implements(np.cumsum)
def cumsum(a, axis=None, dtype=None):
    a = np.ravel(a) if axis is None else a
    return _cumsum(cast(a, dtype), axis=axis or 0)


@implements(np.linalg.norm)
def norm(x, ord=None, axis=None, keepdims=False):
    """(Σ|x|ᵖ)^(1/p) for vectors, ord = p; Frobenius for matrices. The derivative at 0 is NaN."""
    x = cast(x, None, float)
    of_vectors = np.ndim(axis) == 0 and (axis is not None or x.ndim == 1)
    if ord in (None, 2 if of_vectors else "fro"):
        return np.sqrt(np.sum(np.square(x), axis=axis, keepdims=keepdims))
    if not of_vectors or isinstance(ord, str) or ord == 0:
        raise TypeError(
            f"np.linalg.norm: minigrad does not support ord={ord!r} for this axis; supported: "
            "None, p and ±inf for vectors (axis an integer), None and 'fro' for matrices"
        )
    if np.isinf(ord):
        return (np.max if ord > 0 else np.min)(np.abs(x), axis=axis, keepdims=keepdims)
    p = float(ord)
    return np.sum(np.abs(x) ** p, axis=axis, keepdims=keepdims) ** (1 / p)


# The same elements in another shape or order


implements(np.ravel)(lambda a, order="C": np.reshape(a, -1, order=order))


@implements(np.moveaxis)
def moveaxis(a, source, destination):
    numbered = np.empty(range(a.ndim))  # shape (0, 1, 2, …): moved, it is the permutation
    return np.transpose(a, np.moveaxis(numbered, source, destination).shape)


@implements(np.tile)
def tile(A, reps):
    reps = tuple(np.atleast_1d(unwrap(reps)).tolist())
    shape = (1,) * (len(reps) - A.ndim) + A.shape
    reps = (1,) * (len(shape) - len(reps)) + reps
    with_copies = np.reshape(A, [n for size in shape for n in (1, size)])
    repeated = np.broadcast_to(with_copies, [n for pair in zip(reps, shape) for n in pair])
    return np.reshape(repeated, [r * n for r, n in zip(reps, shape)])


@implements(np.pad)
def pad(array, pad_width, mode="constant", constant_values=0):
    if mode != "constant":
        raise TypeError(f"np.pad: minigrad supports only mode='constant', received {mode!r}")
    widths = np.broadcast_to(pad_width, (array.ndim, 2)).tolist()
    inside = tuple(slice(before, before + n) for (before, _), n in zip(widths, array.shape))
    constant = constant_options("np.pad", dict(constant_values=constant_values))
    frame = np.pad(np.zeros_like(array), widths, **constant)
    return scatter_add(array, index=inside, shape=frame.shape) + frame


# Joining and splitting


@implements(np.stack)
def stack(arrays, axis=0):
    return np.concatenate([np.expand_dims(x, axis) for x in coerce_lists("np.stack", arrays)], axis)


@implements(np.hstack)
def hstack(tup):
    rows = [np.reshape(x, -1) if np.ndim(x) == 0 else x for x in coerce_lists("np.hstack", tup)]
    return np.concatenate(rows, 0 if np.ndim(rows[0]) == 1 else 1)


@implements(np.vstack)
def vstack(tup):
    rows = coerce_lists("np.vstack", tup)
    return np.concatenate([np.reshape(x, (1, -1)) if np.ndim(x) < 2 else x for x in rows])


@implements(np.array_split)
def array_split(ary, indices_or_sections, axis=0):
    sections = unwrap(indices_or_sections)
    if np.ndim(sections) == 0 and operator.index(sections) < 1:
        raise ValueError(f"np.array_split: at least 1 part is required, received {sections}")
    parts = np.array_split(np.arange(ary.shape[axis]), sections)
    return [index_axis(ary, axis, slice(p[0], p[-1] + 1) if len(p) else slice(0)) for p in parts]


@implements(np.split)
def split(ary, indices_or_sections, axis=0):
    pieces = array_split(ary, indices_or_sections, axis)
    if np.ndim(indices_or_sections) == 0 and len({x.shape for x in pieces}) > 1:
        raise ValueError(
            f"np.split: axis {axis} of length {ary.shape[axis]} cannot be split into "
            f"{indices_or_sections} equal parts; np.array_split makes unequal parts"
        )
    return pieces


# Choosing among elements


def index_axis(a, axis, index):
    """Return a[:, …, index, …, :] with the index on that axis."""
    return a[(slice(None),) * normalize_axes(a, axis)[0] + (index,)]


@implements(np.take)
def take(a, indices, axis=None):
    indices = np.asarray(unwrap(indices))
    return np.ravel(a)[indices] if axis is None else index_axis(a, axis, indices)


@implements(np.repeat)
def repeat(a, repeats, axis=None):
    a, axis = (np.ravel(a), 0) if axis is None else (a, axis)
    return index_axis(a, axis, np.repeat(np.arange(a.shape[axis]), repeats))


@implements(np.take_along_axis)
def take_along_axis(arr, indices, axis=-1):
    if axis is None:
        return np.ravel(arr)[unwrap(indices)]
    index = list(np.ogrid[tuple(map(slice, arr.shape))])
    index[axis] = unwrap(indices)
    return arr[tuple(index)]


@implements(np.sort)
def sort(a, axis=-1, kind=None, stable=None):
    a, axis = (np.ravel(a), 0) if axis is None else (a, axis)
    return take_along_axis(a, np.argsort(a, axis, kind=kind, stable=stable), axis)


@implements(np.diagonal)
def diagonal(a, offset=0, axis1=0, axis2=1):
    a = np.moveaxis(a, (axis1, axis2), (-2, -1))
    rows = np.arange(max(0, -offset), max(0, -offset, min(a.shape[-2], a.shape[-1] - offset)))
    return a[..., rows, rows + offset]


@implements(np.trace)
def trace(a, offset=0, axis1=0, axis2=1, dtype=None):
    return np.sum(np.diagonal(a, offset, axis1, axis2), axis=-1, dtype=dtype)


implements(np.tril)(lambda m, k=0: np.where(np.tril(np.ones(m.shape[-2:], bool), k), m, 0))
implements(np.triu)(lambda m, k=0: np.where(np.triu(np.ones(m.shape[-2:], bool), k), m, 0))


# Products


@implements(np.outer)
def outer(a, b):
    a, b = coerce_lists("np.outer", (a, b))
    return np.reshape(a, (-1, 1)) * np.reshape(b, -1)


@implements(np.dot)
def dot(a, b):
    if 0 in (np.ndim(a), np.ndim(b)):
        return a * b
    return np.matmul(a, b) if np.ndim(b) <= 2 else np.tensordot(a, b, (-1, -2))


@implements(np.tensordot)
def tensordot(a, b, axes=2):
    """Compute one matrix product: move the summed axes last in a and first in b."""
    a, b = coerce_lists("np.tensordot", (a, b))
    if np.ndim(axes) == 0:
        axes = (range(a.ndim - axes, a.ndim), range(axes))
    of_a, of_b = list(normalize_axes(a, axes[0])), list(normalize_axes(b, axes[1]))
    if [a.shape[i] for i in of_a] != [b.shape[i] for i in of_b]:
        raise ValueError(
            f"np.tensordot of {a.shape} and {b.shape}: axes {of_a}, {of_b} must have equal lengths"
        )
    rows = [i for i in range(a.ndim) if i not in of_a]
    columns = [i for i in range(b.ndim) if i not in of_b]
    shape = [a.shape[i] for i in rows] + [b.shape[i] for i in columns]
    n, m = math.prod(shape[: len(rows)]), math.prod(shape[len(rows) :])
    k = math.prod(a.shape[i] for i in of_a)
    left = np.reshape(np.transpose(a, rows + of_a), (n, k))
    right = np.reshape(np.transpose(b, of_b + columns), (k, m))
    return np.reshape(left @ right, shape)
