"""NumPy's functions that move, join, split and choose elements, composed of the table's rows.

Sorted by difficulty. Each has NumPy's signature without the unsupported arguments.
"""

import operator

import numpy as np

from .conversion import coerce_lists, constant_options, unwrap
from .numpy_functions import normalize_axes
from .numpy_vjps import implements, scatter_add

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
