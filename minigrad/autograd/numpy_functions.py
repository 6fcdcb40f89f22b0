"""NumPy's reductions and products, composed of the table's rows; they need no vjps of their own.

Each has NumPy's signature without the unsupported arguments. The result's dtype is NumPy's.
"""

import math

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from .conversion import coerce_lists, unwrap
from .dispatch import HANDLED_FUNCTIONS
from .numpy_vjps import implements

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
