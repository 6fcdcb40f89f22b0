"""NumPy's functions that move, join, split and choose elements, composed of the table's rows.

Sorted by difficulty; lines, polynomials and convolution come last. Many functions only move or
repeat elements: they let NumPy move the numbers 0, 1, 2, … of the elements, and use the result as
an index.
"""

import operator
from functools import partial

import numpy as np

from .conversion import coerce_lists, constant_options, unwrap, unwrap_nested
from .numpy_functions import convert, normalize_axes
from .numpy_vjps import implements, scatter_add
from .tensor import Primitive, Tensor

# The same elements in another shape or order

implements(np.ravel)(lambda a, order="C": np.reshape(a, -1, order=order))
implements(np.flipud)(lambda m: np.flip(m, 0))
implements(np.fliplr)(lambda m: np.flip(m, 1))
implements(np.matrix_transpose)(lambda x: np.swapaxes(x, -1, -2))
implements(np.real)(lambda val: val)
implements(np.astype)(lambda x, dtype: x.astype(dtype))


@implements(np.moveaxis)
def moveaxis(a, source, destination):
    # the shape of this array is (0, 1, 2, …); after np.moveaxis it is the permutation
    numbered = np.empty(range(a.ndim))
    return np.transpose(a, np.moveaxis(numbered, source, destination).shape)


def positions_of(a):
    """Return the numbers 0, 1, 2, … of a's elements, in a's shape."""
    return np.arange(np.size(a)).reshape(np.shape(a))


def move_elements(a, function, *args, **options):
    """Return function(a, …) for a NumPy function that only moves or repeats elements."""
    return np.ravel(a)[function(positions_of(a), *map(unwrap, args), **options)]


implements(np.rot90)(lambda m, k=1, axes=(0, 1): move_elements(m, np.rot90, k, axes))
implements(np.rollaxis)(lambda a, axis, start=0: move_elements(a, np.rollaxis, axis, start))


def reshape_each(function, *arys):
    """Return each array in the shape that NumPy's function gives it."""
    arrays = coerce_lists(f"np.{function.__name__}", arys)
    shapes = [function(np.broadcast_to(0, np.shape(x))).shape for x in arrays]
    reshaped = [x if np.shape(x) == s else np.reshape(x, s) for x, s in zip(arrays, shapes)]
    return tuple(reshaped) if len(arrays) > 1 else reshaped[0]


for at_least in (np.atleast_1d, np.atleast_2d, np.atleast_3d):
    implements(at_least)(partial(reshape_each, at_least))


@implements(np.broadcast_arrays)
def broadcast_arrays(*args):
    shape = np.broadcast_shapes(*map(np.shape, args))
    return tuple(np.broadcast_to(x, shape) for x in coerce_lists("np.broadcast_arrays", args))


@implements(np.meshgrid)
def meshgrid(*xi, sparse=False, indexing="xy"):
    axes = coerce_lists("np.meshgrid", xi)
    numbers = np.meshgrid(*map(positions_of, axes), sparse=True, indexing=indexing)
    grids = [np.reshape(x, n.shape) for x, n in zip(axes, numbers)]
    return tuple(grids) if sparse else np.broadcast_arrays(*grids)


@implements(np.tile)
def tile(A, reps):
    reps = tuple(np.atleast_1d(unwrap(reps)).tolist())
    shape = (1,) * (len(reps) - A.ndim) + A.shape
    reps = (1,) * (len(shape) - len(reps)) + reps
    with_copies = np.reshape(A, [n for size in shape for n in (1, size)])
    repeated = np.broadcast_to(with_copies, [n for pair in zip(reps, shape) for n in pair])
    return np.reshape(repeated, [r * n for r, n in zip(reps, shape)])


@implements(np.pad)
def pad(array, pad_width, mode="constant", constant_values=None):
    if isinstance(pad_width, dict):  # width by axis
        by_axis = {normalize_axes(array, axis)[0]: width for axis, width in pad_width.items()}
        pad_width = [np.broadcast_to(by_axis.get(i, 0), 2) for i in range(array.ndim)]
    given = {} if constant_values is None else dict(constant_values=constant_values)
    given, pad_width = constant_options("np.pad", given), unwrap(pad_width)
    if mode in ("edge", "reflect", "symmetric", "wrap"):
        return move_elements(array, np.pad, pad_width, mode, **given)
    if mode != "constant":
        modes = "'constant', 'edge', 'reflect', 'symmetric' and 'wrap'"
        raise TypeError(f"np.pad: minigrad supports the modes {modes}, received mode={mode!r}")
    frame = np.pad(np.zeros_like(array), pad_width, **given)
    widths = np.broadcast_to(pad_width, (array.ndim, 2)).tolist()
    inside = tuple(slice(before, before + n) for (before, _), n in zip(widths, array.shape))
    return scatter_add(array, index=inside, shape=frame.shape) + frame


# Joining and splitting


def join_as_matrices(who, arrays, axis, shape):
    """Join arrays along the axis; first reshape numbers and vectors to matrices of this shape."""
    arrays = [np.reshape(x, shape) if np.ndim(x) < 2 else x for x in coerce_lists(who, arrays)]
    return np.concatenate(arrays, axis)


implements(np.vstack)(lambda tup: join_as_matrices("np.vstack", tup, 0, (1, -1)))
implements(np.column_stack)(lambda tup: join_as_matrices("np.column_stack", tup, 1, (-1, 1)))


@implements(np.dstack)
def dstack(tup):
    return np.concatenate([np.atleast_3d(x) for x in coerce_lists("np.dstack", tup)], 2)


@implements(np.stack)
def stack(arrays, axis=0):
    return np.concatenate([np.expand_dims(x, axis) for x in coerce_lists("np.stack", arrays)], axis)


@implements(np.hstack)
def hstack(tup):
    rows = [np.reshape(x, -1) if np.ndim(x) == 0 else x for x in coerce_lists("np.hstack", tup)]
    return np.concatenate(rows, 0 if np.ndim(rows[0]) == 1 else 1)


@implements(np.append)
def append(arr, values, axis=None):
    return np.concatenate(coerce_lists("np.append", (arr, values)), axis)


@implements(np.block)
def block(arrays):
    leaves = []

    def number(x):
        if isinstance(x, (list, tuple)):
            return type(x)(map(number, x))
        leaves.append(x)
        return sum(map(np.size, leaves[:-1])) + positions_of(x)

    numbers = np.block(number(arrays))
    return np.concatenate(coerce_lists("np.block", leaves), None)[numbers]


def split_slices(function, ary, indices_or_sections, axis=None):
    """Return the slices into which NumPy's function cuts ary."""
    name, where = f"np.{function.__name__}", unwrap(indices_or_sections)
    if np.ndim(where) == 0 and operator.index(where) < 1:
        raise ValueError(f"{name}: at least 1 part is required, received {where}")
    try:
        numbers = function(positions_of(ary), where, **({} if axis is None else dict(axis=axis)))
    except ValueError as error:
        advice = "np.array_split makes unequal parts"
        raise ValueError(f"{name}: {error}, shape {ary.shape}; {advice}") from error
    results = []
    for n in numbers:  # a slice of ary: from the element with the first number, of this shape
        start = np.unravel_index(n.flat[0], ary.shape) if n.size else (0,) * n.ndim
        results.append(ary[tuple(map(slice, start, np.add(start, n.shape)))])
    return results


for split_function in (np.split, np.array_split, np.hsplit, np.vsplit, np.dsplit):
    implements(split_function)(partial(split_slices, split_function))
if hasattr(np, "unstack"):  # from NumPy 2.1
    implements(np.unstack)(lambda x, axis=0: tuple(np.moveaxis(x, axis, 0)))

# Choosing among elements


def take_chosen(a, axis, choose):
    """Return a[:, …, choose([0, 1, 2, …]), …, :] with the index on that axis."""
    a, axis = (np.reshape(a, -1), axis or 0) if axis is None or a.ndim == 0 else (a, axis)
    axis = normalize_axes(a, axis)[0]
    return a[(slice(None),) * axis + (choose(np.arange(a.shape[axis])),)]


@implements(np.take)
def take(a, indices, axis=None, mode="raise"):
    return take_chosen(a, axis, lambda numbers: np.take(numbers, unwrap(indices), mode=mode))


@implements(np.repeat)
def repeat(a, repeats, axis=None):
    return take_chosen(a, axis, lambda numbers: np.repeat(numbers, unwrap(repeats)))


@implements(np.take_along_axis)
def take_along_axis(arr, indices, axis=-1):
    arr, axis = (np.ravel(arr), 0) if axis is None else (arr, axis)
    if np.ndim(indices) != arr.ndim:
        who = f"np.take_along_axis of shape {arr.shape}"
        raise ValueError(f"{who}: as many axes are required, received {np.shape(indices)}")
    index = list(np.ogrid[tuple(map(slice, arr.shape))])
    index[normalize_axes(arr, axis)[0]] = unwrap(indices)
    return arr[tuple(index)]


@implements(np.sort)
def sort(a, axis=-1, kind=None, stable=None):
    return np.take_along_axis(a, np.argsort(a, axis, kind=kind, stable=stable), axis)


@implements(np.partition)
def partition(a, kth, axis=-1, kind="introselect"):
    return np.take_along_axis(a, np.argpartition(a, kth, axis, kind), axis)


@implements(np.diagonal)
def diagonal(a, offset=0, axis1=0, axis2=1):
    length = np.diagonal(np.broadcast_to(0, a.shape), offset, axis1, axis2).shape[-1]
    rows = np.arange(length) + max(-offset, 0)
    return np.moveaxis(a, (axis1, axis2), (-2, -1))[..., rows, rows + offset]


@implements(np.trace)
def trace(a, offset=0, axis1=0, axis2=1, dtype=None):
    return np.sum(np.diagonal(a, offset, axis1, axis2), axis=-1, dtype=dtype)


implements(np.tril)(lambda m, k=0: np.where(np.tril(np.ones(m.shape[-2:], bool), k), m, False))
implements(np.triu)(lambda m, k=0: np.where(np.triu(np.ones(m.shape[-2:], bool), k), m, False))


@implements(np.full_like)
def full_like(a, fill_value, dtype=None, shape=None):
    """Return a plain array, as np.zeros_like does, unless the fill value is a tensor."""
    if not isinstance(fill_value, Tensor):
        return np.full_like(unwrap(a), fill_value, dtype, shape=shape)
    filled = np.broadcast_to(fill_value, a.shape if shape is None else shape)
    return filled.astype(a.dtype if dtype is None else dtype)


@implements(np.select)
def select(condlist, choicelist, default=0):
    which = np.select(unwrap_nested(condlist), [*range(len(choicelist))], len(choicelist))
    choices = coerce_lists("np.select", [*choicelist, default])
    result = np.zeros((), np.result_type(*choices))
    for i, x in enumerate(choices):
        result = np.where(which == i, x, result)
    return result


@implements(np.piecewise)
def piecewise(x, condlist, funclist):
    numbers = range(1, len(funclist) + 1)
    which = np.piecewise(np.zeros(x.shape, int), unwrap_nested(condlist), [*numbers])
    y = Tensor(np.zeros_like(x))
    for number, f in zip(numbers, funclist):
        part = x[which == number]
        if part.size:
            values = np.broadcast_to(f(part) if callable(f) else f, part.shape).astype(x.dtype)
            y = y + scatter_add(values, index=which == number, shape=x.shape)
    return y


# Lines, polynomials, convolution


@implements(np.linspace)
def linspace(start, stop, num=50, endpoint=True, retstep=False, axis=0):
    start, stop = coerce_lists("np.linspace", (start, stop))
    dtype = np.result_type(start, stop, 1.0)
    start, stop = 1.0 * start, 1.0 * stop
    steps = num - 1 if endpoint else num
    step = (stop - start) / max(steps, 1)
    number = np.linspace(0, num, num, endpoint=False, dtype=step.dtype)  # 0, 1, 2, …
    number = np.expand_dims(number, tuple(range(1, step.ndim + 1)))
    y = np.where(number == max(steps, 1), stop, start + number * step)
    y = convert(np.moveaxis(y, 0, axis), dtype)
    return (y, step if steps > 0 else np.nan) if retstep else y


@implements(np.interp)
def interp(x, xp, fp, left=None, right=None):
    """Return fp[i] + (x − xp[i])·slope, where x lies between xp[i] and xp[j], j = i + 1.

    The result of float32 is float32; NumPy's is float64.
    """
    x, xp, fp = coerce_lists("np.interp", (x, xp, fp))
    if np.ndim(xp) != 1 or np.shape(xp) != np.shape(fp) or np.size(xp) == 0:
        received = f"received the shapes {np.shape(xp)} and {np.shape(fp)}"
        raise ValueError(f"np.interp: xp and fp must be vectors of equal length, {received}")
    xp, fp = (convert(y, None, np.float32) for y in (xp, fp))  # differences of int8 would wrap
    right_of = np.searchsorted(xp, x, "right")
    i, j = np.maximum(right_of - 1, 0), np.minimum(right_of, len(xp) - 1)
    slope = (fp[j] - fp[i]) / np.where(i < j, xp[j] - xp[i], 1)  # 0 outside of the points
    y = fp[i] + np.where((i < j) | np.isnan(x), x - xp[i], 0) * slope
    y = y if left is None else np.where(x < xp[0], left, y)
    return y if right is None else np.where(x > xp[-1], right, y)


@implements(np.polyval)
def polyval(p, x):
    """Return (…(p₀·x + p₁)·x + …)·x + pₙ, by Horner's rule."""
    p, x = coerce_lists("np.polyval", (p, x))
    y = np.zeros_like(x)
    for coefficient in p:
        y = y * x + coefficient
    return y


convolve_primitive = Primitive(  # of a longer and a shorter vector
    np.convolve,
    lambda g, _out, _a, v, mode="full": np.convolve(
        g, v[::-1], "valid" if mode == "full" else "full"
    ),
    lambda g, _out, a, _v, mode="full": np.convolve(g, a[::-1], "valid"),
    name="np.convolve",
)


@implements(np.convolve)
def convolve(a, v, mode="full"):
    """Return Σⱼ a[i−j]·v[j]; 'same' is the middle of 'full', as long as the longer operand."""
    if mode not in ("full", "same", "valid"):
        raise ValueError(f"np.convolve: mode must be 'full', 'same' or 'valid', received {mode!r}")
    short, long = sorted(map(np.atleast_1d, coerce_lists("np.convolve", (a, v))), key=np.size)
    first = (short.size - 1) // 2
    if mode == "same":
        return convolve_primitive(long, short, mode="full")[first : first + long.size]
    return convolve_primitive(long, short, mode=mode)
