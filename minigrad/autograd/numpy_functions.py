"""NumPy's reductions, products and differences, composed of the table's rows."""

import math
from functools import partial, wraps

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple

from .conversion import coerce_lists, unwrap
from .dispatch import HANDLED_FUNCTIONS
from .numpy_vjps import defvjp, extreme_vjp, implements

# Reductions. sum, mean, … are NumPy's in this file; max and min are Python's


def convert(a, dtype, integers_to=None):
    """Convert a to dtype. Without a dtype, widen integers: NumPy's mean of integers is a float."""
    if dtype is None and integers_to and a.dtype.kind != "f":
        dtype = np.result_type(a.dtype, integers_to)
    same = dtype is None or a.dtype == dtype
    return a if same else HANDLED_FUNCTIONS["astype"](a, dtype=dtype)


def fill_masked(a, where, neutral):
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


def merge_axes(a, axis):
    """Merge the axes to reduce into one, the first; return the array and the reduced axes."""
    if a.ndim == 0 and axis in (0, -1):  # NumPy permits this for a scalar
        axis = None
    axes = normalize_axes(a, axis)
    rest = [n for i, n in enumerate(a.shape) if i not in axes]
    moved = np.moveaxis(a, axes, range(len(axes)))
    return np.reshape(moved, (math.prod(a.shape[i] for i in axes), *rest)), axes


sum_primitive, mean_primitive = HANDLED_FUNCTIONS[np.sum], HANDLED_FUNCTIONS[np.mean]
cumsum_primitive = HANDLED_FUNCTIONS[np.cumsum]


@implements(np.sum)
def sum(a, axis=None, dtype=None, keepdims=False, initial=None, where=True):
    if dtype is not None or where is not True:
        a = fill_masked(convert(a, dtype), where, 0)
    total = convert(sum_primitive(a, axis=axis, keepdims=keepdims), dtype)
    return total if initial is None else total + initial_value(initial, total)


@implements(np.mean)
def mean(a, axis=None, dtype=None, keepdims=False, where=True):
    a = convert(a, dtype, float)
    if where is True:
        return mean_primitive(a, axis=axis, keepdims=keepdims)
    result = sum(a, axis, keepdims=True, where=where) / reduced_size(a, axis, where)
    return result if keepdims else np.squeeze(result, axis)


@implements(np.var)
def var(a, axis=None, dtype=None, ddof=0, keepdims=False, where=True):
    a = convert(a, dtype, float)
    squares = np.square(a - mean(a, axis, keepdims=True, where=where))
    total = sum(squares, axis, keepdims=True, where=where)
    n = reduced_size(a, axis, where) - ddof
    result = total / (np.maximum(n, 0) if np.ndim(n) else float(max(n, 0)))
    return result if keepdims else np.squeeze(result, axis)


@implements(np.std)
def std(a, axis=None, dtype=None, ddof=0, keepdims=False, where=True):
    return root(var(a, axis, dtype, ddof, keepdims, where))


def root(x, p=2.0):
    """Return x^(1/p). Where x is 0, the derivative is 0, as in PyTorch's std and norms."""
    if not unwrap(x).all():
        return root(np.where(x == 0, 1, x), p) * (x != 0)
    return np.sqrt(x) if p == 2 else x ** (1 / p)


@implements(np.average)
def average(a, axis=None, weights=None, returned=False, keepdims=False):
    """Return Σ w·a / Σ w, with weights of a's shape, or of one axis."""
    a, weights = coerce_lists("np.average", (a, weights))
    a = convert(a, None, float)
    weights = np.ones((1,) * a.ndim, a.dtype) if weights is None else weights
    if np.ndim(weights) != a.ndim:
        if axis is None or np.ndim(weights) != 1:
            raise TypeError("np.average: weights must have a's shape, or one axis with axis= given")
        reduced = normalize_axes(a, axis)
        weights = np.reshape(weights, [-1 if i in reduced else 1 for i in range(a.ndim)])
    weights = np.broadcast_to(weights, a.shape)
    dtype = np.result_type(a.dtype, weights.dtype)
    total = np.sum(weights, axis=axis, dtype=dtype, keepdims=keepdims)
    result = np.sum(a * weights, axis=axis, keepdims=keepdims) / total
    return (result, total) if returned else result


def extreme(primitive, a, axis=None, keepdims=False, initial=None, where=True):
    """Call the primitive of np.max or np.min; handle `initial` and `where`, which it lacks."""
    if where is not True and initial is None:
        raise ValueError(f"{primitive.name}: where= needs initial=")
    if initial is None:
        return primitive(a, axis=axis, keepdims=keepdims)
    initial = initial_value(initial, a)
    x, axes = merge_axes(fill_masked(a, where, initial), axis)
    first = np.broadcast_to(initial, (1, *x.shape[1:]))
    result = primitive(np.concatenate([first, x]), axis=0)
    return np.expand_dims(result, axes) if keepdims else result


for _function, _alias in ((np.max, np.amax), (np.min, np.amin)):
    _implementation = partial(extreme, HANDLED_FUNCTIONS[_function])
    HANDLED_FUNCTIONS[_function] = HANDLED_FUNCTIONS[_alias] = _implementation


@implements(np.ptp)
def ptp(a, axis=None, keepdims=False):
    return np.max(a, axis=axis, keepdims=keepdims) - np.min(a, axis=axis, keepdims=keepdims)


@implements(np.prod)
def prod(a, axis=None, dtype=None, keepdims=False, initial=None, where=True):
    """Multiply pairs until one number is left. The derivative is correct for elements 0, too."""
    a = convert(a, dtype, np.uint if a.dtype.kind == "u" else int)
    x, axes = merge_axes(fill_masked(a, where, 1), axis)
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
    return convert(cumsum_primitive(convert(a, dtype), axis=axis or 0), dtype)


def cumprod_vjp(g, out, x, axis=None, dtype=None):
    """Return out[i−1]·s[i] with s[i] = g[i] + x[i+1]·s[i+1]; correct for elements 0, too."""
    y, out, s = (np.moveaxis(z, axis or 0, 0) for z in (np.reshape(x, out.shape), out, g))
    before = np.concatenate([np.ones_like(y[:1]), out[:-1]])
    factor, k = y[1:], 1
    while k < len(y):  # s[i] has k terms of its sum, factor[i] is x[i+1]·…·x[i+k]
        s = np.concatenate([s[:-k] + factor * s[k:], s[-k:]])
        factor, k = factor[:-k] * factor[k:], 2 * k
    return np.reshape(np.moveaxis(before * s, 0, axis or 0), x.shape)


defvjp(np.cumprod, cumprod_vjp)


def skip_nan(plain):
    """Make np.nansum from np.sum, and so on. An element that is NaN has the gradient 0."""

    @wraps(plain)
    def reduce(a, *args, where=True, **options):
        where = ~np.isnan(a) & unwrap(where)
        return plain(np.where(where, a, 0), *args, where=where, **options)

    return reduce


for _name in ("sum", "mean", "var", "std", "prod"):
    implements(getattr(np, f"nan{_name}"))(skip_nan(HANDLED_FUNCTIONS[getattr(np, _name)]))
defvjp(np.nanmax, extreme_vjp)
defvjp(np.nanmin, extreme_vjp)


@implements(np.nan_to_num)
def nan_to_num(x, nan=0.0, posinf=None, neginf=None):
    return np.where(np.isfinite(x), x, np.nan_to_num(unwrap(x), True, nan, posinf, neginf))


# Products


@implements(np.outer)
def outer(a, b):
    a, b = coerce_lists("np.outer", (a, b))
    return np.reshape(a, (-1, 1)) * np.reshape(b, -1)


def with_dtype(x):
    """Convert a Python number to an array: in np.dot its dtype counts."""
    return np.asarray(x) if isinstance(x, (int, float)) else x


@implements(np.dot)
def dot(a, b):
    if 0 in (np.ndim(a), np.ndim(b)):
        return with_dtype(a) * with_dtype(b)
    return np.matmul(a, b) if np.ndim(b) <= 2 else np.tensordot(a, b, (-1, -2))


@implements(np.tensordot)
def tensordot(a, b, axes=2):
    """Compute one matrix product: move the summed axes last in a and first in b."""
    a, b = coerce_lists("np.tensordot", (a, b))
    if np.ndim(axes) == 0:
        axes = (range(a.ndim - axes, a.ndim), range(axes))
    of_a, of_b = list(normalize_axes(a, axes[0])), list(normalize_axes(b, axes[1]))
    if [a.shape[i] for i in of_a] != [b.shape[i] for i in of_b]:
        who = f"np.tensordot of {a.shape} and {b.shape}"
        raise ValueError(f"{who}: axes {of_a}, {of_b} must have equal lengths")
    k = len(of_a)
    a, b = np.moveaxis(a, of_a, range(-k, 0)), np.moveaxis(b, of_b, range(k))
    rows, summed, columns = a.shape[: a.ndim - k], b.shape[:k], b.shape[k:]
    left = np.reshape(a, (math.prod(rows), math.prod(summed)))
    right = np.reshape(b, (math.prod(summed), math.prod(columns)))
    return np.reshape(left @ right, rows + columns)


@implements(np.inner)
def inner(a, b):
    return np.dot(a, b) if 0 in (np.ndim(a), np.ndim(b)) else np.tensordot(a, b, (-1, -1))


@implements(np.vdot)
def vdot(a, b):
    a, b = coerce_lists("np.vdot", (with_dtype(a), with_dtype(b)))
    return np.matmul(np.reshape(a, -1), np.reshape(b, -1))


def vecdot_vjp(g, _out, _x, y, axis=-1):
    gx = np.expand_dims(g, -1) * np.moveaxis(y, axis, -1)
    return np.moveaxis(gx, -1, axis - _x.ndim if axis >= 0 else axis)


defvjp(np.vecdot, vecdot_vjp, lambda g, _out, x, _y, axis=-1: vecdot_vjp(g, _out, _y, x, axis))


@implements(np.kron)
def kron(a, b):
    """Multiply all pairs: each axis of a beside the same axis of b, then merged with it."""
    a, b = coerce_lists("np.kron", (a, b))
    n = max(np.ndim(a), np.ndim(b))
    of_a, of_b = ((1,) * (n - np.ndim(x)) + np.shape(x) for x in (a, b))
    a = np.reshape(a, [k for m in of_a for k in (m, 1)])
    b = np.reshape(b, [k for m in of_b for k in (1, m)])
    return np.reshape(a * b, [m * k for m, k in zip(of_a, of_b)])


@implements(np.cross)
def cross(a, b, axisa=-1, axisb=-1, axisc=-1, axis=None):
    """Return Σ aᵢbⱼ·(eᵢ × eⱼ), with NumPy's table of eᵢ × eⱼ."""
    axisa, axisb, axisc = (axisa, axisb, axisc) if axis is None else (axis, axis, axis)
    a, b = coerce_lists("np.cross", (a, b))
    a, b = np.moveaxis(a, axisa, -1), np.moveaxis(b, axisb, -1)
    units = [np.eye(min(3, x.shape[-1]), x.shape[-1], dtype=x.dtype) for x in (a, b)]
    table = np.cross(units[0][:, None], units[1])  # numbers instead of vectors for length 2
    c = np.tensordot(np.expand_dims(a, -1) * np.expand_dims(b, -2), table, 2)
    return c if table.ndim == 2 else np.moveaxis(c, -1, axisc)


# Differences


@implements(np.diff)
def diff(a, n=1, axis=-1, prepend=None, append=None):
    """Subtract neighbours, n times. prepend, append: arrays, or a number for a whole slice."""
    if n < 0:
        raise ValueError(f"np.diff: n must be 0 or more, received {n}")
    if n == 0:
        return a
    before, a, after = coerce_lists("np.diff", (prepend, a, append))
    x = np.moveaxis(a, axis, -1)
    column = np.zeros((*x.shape[:-1], 1), x.dtype)
    parts = [y for y in (before, a, after) if y is not None]
    parts = [np.moveaxis(y, axis, -1) if np.ndim(y) else column + y for y in parts]
    x = np.concatenate(parts, -1) if len(parts) > 1 else x
    for _ in range(n):
        x = (np.not_equal if x.dtype == bool else np.subtract)(x[..., 1:], x[..., :-1])
    return np.moveaxis(x, -1, axis)


@implements(np.trapezoid)
def trapezoid(y, x=None, dx=1.0, axis=-1):
    y, x = coerce_lists("np.trapezoid", (y, x))
    if x is not None:
        dx = np.diff(x) if np.ndim(x) == 1 else np.moveaxis(np.diff(x, axis=axis), axis, -1)
    y = np.moveaxis(y, axis, -1)
    return np.sum(dx * (y[..., 1:] + y[..., :-1]) / 2, axis=-1)


@implements(np.gradient)
def gradient(f, *varargs, axis=None, edge_order=1):
    """Return the mean of the slopes on both sides, each weighted by the width of the other side."""
    np.gradient(unwrap(f), *map(unwrap, varargs), axis=axis, edge_order=edge_order)  # checks them
    f, *spacings = coerce_lists("np.gradient", (f, *(varargs or (1.0,))))
    f, axes, results = convert(f, None, float), normalize_axes(f, axis), []
    for i, h in zip(axes, spacings if len(spacings) == len(axes) else spacings * len(axes)):
        h = np.diff(1.0 * h) if np.ndim(h) else np.broadcast_to(1.0 * h, f.shape[i] - 1)
        slope = np.diff(np.moveaxis(f, i, -1)) / h
        middle = (h[1:] * slope[..., :-1] + h[:-1] * slope[..., 1:]) / (h[1:] + h[:-1])
        first, last = slope[..., :1], slope[..., -1:]
        if edge_order == 2:  # from the parabola through three points
            first, last = 2 * first - middle[..., :1], 2 * last - middle[..., -1:]
        along = np.concatenate([first, middle, last], -1)
        results.append(convert(np.moveaxis(along, -1, i), f.dtype))
    return results[0] if len(axes) == 1 else tuple(results)
