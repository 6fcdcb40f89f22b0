"""NumPy's functions, each beside its derivatives, in order of difficulty.

A line reads: the function, then a derivative per operand, (g, out, *operands) -> g · ∂out/∂operand,
where g is the derivative of the final result by out. A name that begins with _ is not read, and so
not kept in memory; the keywords of the first derivative are the options that the function supports.
What was broadcast is summed back by the sweep. Derivatives are written in NumPy's functions, and so
have derivatives themselves. What NumPy has beside these is composed of them, in numpy_functions.py;
Einstein's sums have a file of their own, einsum.py.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import accumulate
from math import log as ln
from typing import Any

import numpy as np

from .dispatch import HANDLED_FUNCTIONS, NONDIFFERENTIABLE, unwrap
from .tensor import Primitive, Tensor


def defvjp(function: Callable, *vjps: Callable | None, forward: Callable | None = None) -> None:
    """Give one of NumPy's functions its derivatives."""
    HANDLED_FUNCTIONS[function] = Primitive(
        forward or function, *vjps, name=f"np.{function.__name__}"
    )


def implements(function: Callable) -> Callable:
    """Let the decorated function, written in differentiable ones, stand in for NumPy's.

    Its parameters have NumPy's names; those that it lacks are refused by name.
    """

    def register(ours: Callable) -> Callable:
        HANDLED_FUNCTIONS[function] = ours
        return ours

    return register


# One operand, elementwise

defvjp(np.negative, lambda g, *_: -g)
defvjp(np.positive, lambda g, *_: g)
defvjp(np.copy, lambda g, *_: g)
defvjp(np.sign, lambda g, *_: g * 0)
defvjp(np.abs, lambda g, _, x: g * np.sign(x))
defvjp(np.square, lambda g, _, x: g * 2 * x)
defvjp(np.sqrt, lambda g, out, _: g / (2 * out))
defvjp(np.reciprocal, lambda g, out, _: -g * out * out)
defvjp(np.exp, lambda g, out, _: g * out)
defvjp(np.expm1, lambda g, out, _: g * (out + 1))
defvjp(np.log, lambda g, _, x: g / x)
defvjp(np.log1p, lambda g, _, x: g / (1 + x))
defvjp(np.log2, lambda g, _, x: g / (ln(2) * x))
defvjp(np.log10, lambda g, _, x: g / (ln(10) * x))
defvjp(np.sin, lambda g, _, x: g * np.cos(x))
defvjp(np.cos, lambda g, _, x: -g * np.sin(x))
defvjp(np.tan, lambda g, out, _: g * (1 + out * out))
defvjp(np.arctan, lambda g, _, x: g / (1 + x * x))
defvjp(np.sinh, lambda g, _, x: g * np.cosh(x))
defvjp(np.cosh, lambda g, _, x: g * np.sinh(x))
defvjp(np.tanh, lambda g, out, _: g * (1 - out * out))

# Two operands, elementwise; where they are equal, maximum and minimum give half to each

defvjp(np.add, lambda g, *_: g, lambda g, *_: g)
defvjp(np.subtract, lambda g, *_: g, lambda g, *_: -g)
defvjp(np.multiply, lambda g, _, _a, b: g * b, lambda g, _, a, _b: g * a)
defvjp(np.divide, lambda g, _, _a, b: g / b, lambda g, out, _a, b: -g * out / b)
defvjp(
    np.maximum,
    lambda g, _, a, b: (g * (a > b) + g * (a >= b)) / 2,
    lambda g, _, a, b: (g * (b > a) + g * (b >= a)) / 2,
)
defvjp(
    np.minimum,
    lambda g, _, a, b: (g * (a < b) + g * (a <= b)) / 2,
    lambda g, _, a, b: (g * (b < a) + g * (b <= a)) / 2,
)
defvjp(  # where x and n are 0, the 0 of n is not to meet 0⁻¹
    np.power,
    lambda g, _, x, n: g * n * (x if np.all(n) else x + ((x == 0) & (n == 0))) ** (n - 1),
    lambda g, out, x, _n: g * out * np.log(np.where(x == 0, 1, x)),
    forward=lambda x, n: x**n,
)

defvjp(
    np.logaddexp, lambda g, out, a, _: g * np.exp(a - out), lambda g, out, _, b: g * np.exp(b - out)
)
defvjp(
    np.arctan2,
    lambda g, _, y, x: g * x / (x * x + y * y),
    lambda g, _, y, x: -g * y / (x * x + y * y),
)

# Sums and means: each element that went in receives the gradient of what came out


def expand_reduced(g: Any, shape: tuple, axis: Any, keepdims: bool) -> Any:
    """Repeat g along the axes that were reduced."""
    if axis is not None and not keepdims:
        g = np.expand_dims(g, axis)
    return np.broadcast_to(g, shape)


defvjp(
    np.sum, lambda g, _, _x, axis=None, keepdims=False: expand_reduced(g, _x.shape, axis, keepdims)
)
defvjp(
    np.mean,
    lambda g, _, _x, axis=None, keepdims=False: expand_reduced(
        g * (g.size / max(_x.size, 1)), _x.shape, axis, keepdims
    ),
)
defvjp(  # each element is in all sums from its own on
    np.cumsum, lambda g, _, _x, axis=0: np.flip(np.cumsum(np.flip(g, axis), axis), axis)
)

# Extremes: the elements that attain it share the gradient


def to_extremes(g: Any, out: Any, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    hit = x == expand_reduced(out, x.shape, axis, keepdims)
    share = np.true_divide(hit, np.sum(hit, axis=axis, keepdims=True), dtype=x.dtype)
    return expand_reduced(g, x.shape, axis, keepdims) * share


defvjp(np.max, to_extremes)
defvjp(np.min, to_extremes)

# The same elements in another shape, order or precision


def reshape(x: Any, shape: Any, order: Any = "C") -> Any:
    if order not in ("C", "F"):
        raise ValueError(f"the order must be 'C' or 'F', received {order!r}")
    return np.reshape(x, shape, order=order)


defvjp(
    np.reshape,
    lambda g, _, _x, shape=None, order="C": np.reshape(g, _x.shape, order=order),
    forward=reshape,
)
defvjp(np.expand_dims, lambda g, _, _x, axis=None: np.reshape(g, _x.shape))
defvjp(np.squeeze, lambda g, _, _x, axis=None: np.reshape(g, _x.shape))
defvjp(np.swapaxes, lambda g, _, _x, axis1=0, axis2=1: np.swapaxes(g, axis1, axis2))
defvjp(
    np.transpose,
    lambda g, _, _x, axes=None: np.transpose(
        g, None if axes is None else np.argsort([i % _x.ndim for i in axes])
    ),
)
defvjp(np.broadcast_to, lambda g, _, _x, shape=None: g)
defvjp(np.flip, lambda g, _, _x, axis=None: np.flip(g, axis))
defvjp(np.roll, lambda g, _, _x, shift=0, axis=None: np.roll(g, np.negative(shift).tolist(), axis))
HANDLED_FUNCTIONS["astype"] = Primitive(
    lambda x, dtype: x.astype(dtype), lambda g, _, _x, dtype=None: g, name="astype"
)

# Choosing among elements

choice = Primitive(
    np.where,
    None,
    lambda g, _, condition, *_ab: np.where(condition, g, 0),
    lambda g, _, condition, *_ab: np.where(condition, 0, g),
    name="np.where",
)


@implements(np.where)
def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    return np.nonzero(condition) if x is None else choice(unwrap(condition), x, y)


def bound(x: Any, low: Any, high: Any) -> tuple[Any, Any]:
    """Where the upper bound is what comes out, and where the lower is; if they cross, the upper."""
    low, high = -np.inf if low is None else low, np.inf if high is None else high
    above = np.maximum(x, low) > high
    return above, (x < low) & ~above


bounded = Primitive(
    np.clip,
    lambda g, _, x, low, high: np.where(np.logical_or(*bound(x, low, high)), 0, g),
    lambda g, _, x, low, high: g * bound(x, low, high)[1],
    lambda g, _, x, low, high: g * bound(x, low, high)[0],
    name="np.clip",
)


@implements(np.clip)
def clip(
    a: Tensor, a_min: Any = None, a_max: Any = None, min: Any = None, max: Any = None
) -> Tensor:
    return bounded(a, a_min if min is None else min, a_max if max is None else max)


ONCE = (int, np.integer, slice, type(None), type(Ellipsis))  # what picks no element twice


def place(g: np.ndarray, index: Any, shape: tuple) -> np.ndarray:
    """Zeros of that shape, with g added at [index]: an index that repeats adds up."""
    x = np.zeros(shape, g.dtype)
    parts = index if isinstance(index, tuple) else (index,)
    if all(isinstance(i, ONCE) or np.asarray(i).dtype == bool for i in parts):
        x[index] = g
    else:
        np.add.at(x, index, g)
    return x


scatter_add = Primitive(place, lambda g, _, _x, index=None, shape=None: g[index])
pick = Primitive(
    lambda x, index: x[index],
    lambda g, _, _x, index=None: scatter_add(g, index=index, shape=_x.shape),
    name="indexing",
)


def getitem(x: Tensor, index: Any) -> Tensor:
    return pick(x, index=tuple(map(unwrap, index)) if isinstance(index, tuple) else unwrap(index))


HANDLED_FUNCTIONS["getitem"] = getitem

# Joining


@cache
def concatenation(count: int) -> Primitive:
    """np.concatenate for so many arrays, which end at `ends`: each receives its slice of g."""

    def slice_of(i: int) -> Callable:
        def vjp(g: Any, _: Any, *_arrays: Any, axis: int = 0, ends: Any = ()) -> Any:
            piece = slice(ends[i - 1] if i else 0, ends[i])
            return g[(slice(None),) * (axis % g.ndim) + (piece,)]

        return vjp

    def join(*arrays: Any, axis: int, ends: Any) -> Any:
        return np.concatenate(arrays, axis)

    return Primitive(join, *map(slice_of, range(count)), name="np.concatenate")


@implements(np.concatenate)
def concatenate(arrays: Any, axis: int | None = 0) -> Tensor:
    arrays = list(arrays) if axis is not None else [np.reshape(x, -1) for x in arrays]
    axis = axis or 0
    sizes = [(np.shape(unwrap(x))[axis:] or (0,))[0] for x in arrays]
    return concatenation(len(arrays))(*arrays, axis=axis, ends=list(accumulate(sizes)))


# Matrix products: with G the gradient of A @ B, A receives G Bᵀ and B receives Aᵀ G


def matmul_left(g: Any, _: Any, _a: Any, b: Any) -> Any:
    if b.ndim == 1:
        return np.expand_dims(g, -1) * b
    if _a.ndim == 1:
        return np.squeeze(np.expand_dims(g, -2) @ np.swapaxes(b, -1, -2), -2)
    return g @ np.swapaxes(b, -1, -2)


def matmul_right(g: Any, _: Any, a: Any, _b: Any) -> Any:
    if a.ndim == 1:
        return np.expand_dims(a, -1) * np.expand_dims(g, -2) if _b.ndim > 1 else g * a
    if _b.ndim == 1:
        return np.squeeze(np.swapaxes(a, -1, -2) @ np.expand_dims(g, -1), -1)
    return np.swapaxes(a, -1, -2) @ g


defvjp(np.matmul, matmul_left, matmul_right)

# Without a derivative, because they are constant almost everywhere or no numbers: plain arrays

NONDIFFERENTIABLE.update(
    getattr(np, name)
    for name in (
        "equal not_equal less less_equal greater greater_equal isnan isinf isfinite signbit "
        "logical_not logical_and logical_or logical_xor any all argmax argmin argsort argwhere "
        "argpartition nonzero count_nonzero searchsorted unique shape ndim size allclose isclose "
        "array_equal zeros_like ones_like full_like empty_like result_type array_repr array_str "
        "array2string save shares_memory may_share_memory"
    ).split()
)
