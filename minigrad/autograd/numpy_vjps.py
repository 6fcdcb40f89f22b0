"""The table: NumPy functions with their derivatives.

Sorted by difficulty: one operand, two operands, sums, matrix products; below the line more of them,
then shapes, choosing, joining. How to read a row, for example that of out = a·b:

    defvjp(np.multiply, lambda g, _out, _a, b: g * b, lambda g, _out, a, _b: g * a)

The function comes first, then one vjp for each operand. A vjp takes g = ∂(final result)/∂out, then
`out`, then the operands. It returns ∂(final result)/∂operand, the product of g and the Jacobian
∂out/∂operand; for a this is g·b. It needs neither the values of `out` nor those of `a`. A name that
begins with _ says so, and the engine does not keep these values in memory. Of `_a` it keeps shape
and dtype. `*_` stands for all of them.

If an operand was broadcast, `unbroadcast` in tensor.py sums the gradient back to its shape. The
keyword arguments of the first vjp are the options that the function supports. A vjp is written in
NumPy functions that have derivatives, so it has derivatives itself.
"""

import operator
from collections.abc import Callable
from itertools import accumulate
from math import log as ln
from math import pi
from typing import Any

import numpy as np

from .conversion import coerce_lists, unwrap
from .dispatch import HANDLED_FUNCTIONS, NONDIFFERENTIABLE, UFUNC_METHODS, name_of
from .tensor import Primitive, Tensor
from .variadic import VariadicPrimitive


def defvjp(function: Callable, *vjps: Callable | None, forward: Callable | None = None) -> None:
    """Define the vjps of a NumPy function."""
    HANDLED_FUNCTIONS[function] = Primitive(
        forward or function, *vjps, name=name_of(function), is_numeric=True
    )


# One operand, elementwise

defvjp(np.negative, lambda g, *_: -g)
defvjp(np.positive, lambda g, *_: g)
defvjp(np.copy, lambda g, *_: g)
defvjp(np.sign, lambda g, *_: g * 0)
defvjp(np.abs, lambda g, _out, x: g * np.sign(x))
defvjp(np.square, lambda g, _out, x: g * 2 * x)
defvjp(np.sqrt, lambda g, out, _x: g / (2 * out))
defvjp(np.reciprocal, lambda g, out, _x: -g * out * out)
defvjp(np.exp, lambda g, out, _x: g * out)
defvjp(np.expm1, lambda g, _out, x: g * np.exp(x))
defvjp(np.log, lambda g, _out, x: g / x)
defvjp(np.log1p, lambda g, _out, x: g / (1 + x))
defvjp(np.log2, lambda g, _out, x: g / (ln(2) * x))
defvjp(np.log10, lambda g, _out, x: g / (ln(10) * x))
defvjp(np.sin, lambda g, _out, x: g * np.cos(x))
defvjp(np.cos, lambda g, _out, x: -g * np.sin(x))
defvjp(np.tan, lambda g, out, _x: g * (1 + out * out))
defvjp(np.arctan, lambda g, _out, x: g / (1 + x * x))
defvjp(np.sinh, lambda g, _out, x: g * np.cosh(x))
defvjp(np.cosh, lambda g, _out, x: g * np.sinh(x))
defvjp(np.tanh, lambda g, out, _x: g * (1 - out * out))

# Two operands, elementwise

defvjp(np.add, lambda g, *_: g, lambda g, *_: g)
defvjp(np.subtract, lambda g, *_: g, lambda g, *_: -g)
defvjp(np.multiply, lambda g, _out, _a, b: g * b, lambda g, _out, a, _b: g * a)
defvjp(np.divide, lambda g, _out, _a, b: g / b, lambda g, out, _a, b: -g * out / b)


def power_vjp_base(g: Any, _out: Any, x: Any, n: Any) -> Any:
    """Return g · n·xⁿ⁻¹."""
    if not np.all(n):  # where x and n are both 0, x becomes 1: 0 · 0⁻¹ would be NaN
        x = np.where((x == 0) & (n == 0), 1, x)
    return g * n * x ** (n - 1 if isinstance(n, int) else n - 1.0)  # np.uint8(0) − 1 is 255


def power_vjp_exponent(g: Any, out: Any, x: Any, _n: Any) -> Any:
    """Return g · xⁿ·log x."""
    return g * out * np.log(np.where(x == 0, 1.0, x))  # 0ⁿ·log 0 is 0 for n > 0


# For exponents such as 2, −1 and 0.5, the operator ** is faster than np.power
defvjp(np.power, power_vjp_base, power_vjp_exponent, forward=operator.pow)

# Sums: every summed element receives the gradient of the sum


def expand_reduced(g: Any, shape: tuple, axis: Any, keepdims: bool) -> Any:
    """Repeat g along the axes that were reduced."""
    if shape and axis is not None and not keepdims:  # a 0-d array has no axis
        g = np.expand_dims(g, axis)
    return np.broadcast_to(g, shape)


def sum_vjp(g: Any, _out: Any, _x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Return g, broadcast back to x's shape."""
    return expand_reduced(g, _x.shape, axis, keepdims)


def mean_vjp(g: Any, _out: Any, _x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Return g / k, broadcast back to x's shape; each mean is that of k elements."""
    weight = g.size / max(_x.size, 1)  # 1 / k
    return expand_reduced(g * weight, _x.shape, axis, keepdims)


defvjp(np.sum, sum_vjp)
defvjp(np.mean, mean_vjp)

# Matrix products: with G the gradient of A B, A receives G Bᵀ and B receives Aᵀ G


def matmul_vjp_left(g: Any, _out: Any, _a: Any, b: Any) -> Any:
    """Return G Bᵀ; a vector takes part as a row (left) or as a column (right)."""
    if b.ndim == 1:
        return np.expand_dims(g, -1) * b
    if _a.ndim == 1:
        return np.squeeze(np.expand_dims(g, -2) @ np.swapaxes(b, -1, -2), -2)
    return g @ np.swapaxes(b, -1, -2)


def matmul_vjp_right(g: Any, _out: Any, a: Any, _b: Any) -> Any:
    """Return Aᵀ G."""
    if a.ndim == 1:
        return np.expand_dims(a, -1) * np.expand_dims(g, -2) if _b.ndim > 1 else g * a
    if _b.ndim == 1:
        return np.squeeze(np.swapaxes(a, -1, -2) @ np.expand_dims(g, -1), -1)
    return np.swapaxes(a, -1, -2) @ g


defvjp(np.matmul, matmul_vjp_left, matmul_vjp_right)

# ---- For advanced readers ----


def implements(function: Any) -> Callable:
    """Register the decorated function as the implementation of a NumPy function.

    Its parameters have NumPy's names. It may lack some: using one of these raises TypeError.
    """

    def register(ours: Callable) -> Callable:
        HANDLED_FUNCTIONS[function] = ours
        return ours

    return register


# More of one operand, elementwise; the derivative of a step function is 0

for step_function in (np.floor, np.ceil, np.trunc, np.rint):
    defvjp(step_function, lambda g, *_: g * 0)
defvjp(np.round, lambda g, _out, _x, decimals=0: g * 0)
HANDLED_FUNCTIONS[np.around] = HANDLED_FUNCTIONS[np.round]
defvjp(np.conjugate, lambda g, *_: g)
defvjp(np.fabs, lambda g, _out, x: g * np.sign(x))
defvjp(np.exp2, lambda g, out, _x: g * ln(2) * out)
defvjp(np.cbrt, lambda g, out, _x: g / (3 * out * out))
defvjp(np.arcsin, lambda g, _out, x: g / np.sqrt((1 - x) * (1 + x)))
defvjp(np.arccos, lambda g, _out, x: -g / np.sqrt((1 - x) * (1 + x)))
defvjp(np.arcsinh, lambda g, _out, x: g / np.hypot(1, x))
defvjp(np.arccosh, lambda g, _out, x: g / (np.sqrt(x - 1) * np.sqrt(x + 1)))
defvjp(np.arctanh, lambda g, _out, x: g / ((1 - x) * (1 + x)))
for to_radians, to_degrees in ((np.deg2rad, np.rad2deg), (np.radians, np.degrees)):
    defvjp(to_radians, lambda g, *_: g * (pi / 180))
    defvjp(to_degrees, lambda g, *_: g * (180 / pi))

POINTS, WEIGHTS = np.polynomial.legendre.leggauss(10)  # Gauss's rule for ∫ from −1 to 1


def sinc_vjp(g: Any, out: Any, x: Any) -> Any:
    """Return g·(cos πx − sinc x) / x. Near 0, where digits cancel: −g·π/2·∫ t·sin πxt dt."""
    near = np.abs(x) < 0.5  # sinc x = ½ ∫ cos πxt dt
    integral = np.sin(pi * np.expand_dims(x, -1) * POINTS) @ (POINTS * WEIGHTS)
    quotient = (np.cos(pi * x) - out) / np.where(near, 1, x)
    return g * np.where(near, -pi / 2 * integral, quotient)


defvjp(np.sinc, sinc_vjp)

# More of two operands


def ratio(x: Any, y: Any) -> Any:
    """Return x / y, and 0 where both are 0."""
    return x / np.where((x == 0) & (y == 0), 1, y)


defvjp(np.hypot, lambda g, out, x, _y: g * ratio(x, out), lambda g, out, _x, y: g * ratio(y, out))


def over_r_squared(a: Any, y: Any, x: Any) -> Any:
    """Return a / r² with r = √(x² + y²); divide by r twice, because r² can overflow."""
    r = np.hypot(x, y)
    return ratio(ratio(a, r), r)


defvjp(
    np.arctan2,
    lambda g, _out, y, x: g * over_r_squared(x, y, x),
    lambda g, _out, y, x: -g * over_r_squared(y, y, x),
)

# Equal operands receive half of g each. In fmax and fmin a NaN is never `out`: it gets 0

for extreme in (np.maximum, np.minimum, np.fmax, np.fmin):
    defvjp(
        extreme,
        lambda g, out, a, b: (g + g * (a != b)) * (a == out) / 2,
        lambda g, out, a, b: (g + g * (a != b)) * (b == out) / 2,
    )
defvjp(
    np.logaddexp,
    lambda g, out, a, _b: g * np.exp(a - out),
    lambda g, out, _a, b: g * np.exp(b - out),
)
defvjp(
    np.logaddexp2,
    lambda g, out, a, _b: g * np.exp2(a - out),
    lambda g, out, _a, b: g * np.exp2(b - out),
)
defvjp(np.float_power, power_vjp_base, power_vjp_exponent)
defvjp(np.floor_divide, lambda g, *_: g * 0, lambda g, *_: g * 0)
defvjp(np.remainder, lambda g, *_: g, lambda g, _out, a, b: -g * (a // b))
defvjp(np.fmod, lambda g, *_: g, lambda g, out, a, b: -g * np.rint((a - out) / b))
implements(np.divmod)(lambda a, b: (a // b, a % b))
defvjp(np.heaviside, lambda g, *_: g * 0, lambda g, _out, x, _at_0: g * (x == 0))
defvjp(np.copysign, lambda g, _out, x, y: g * np.sign(x) * np.copysign(1, y), lambda g, *_: g * 0)

# More reductions. Element i contributes to the cumulative sums i, i + 1, …. Equal maxima share g

defvjp(np.cumsum, lambda g, _out, _x, axis=0: np.flip(np.cumsum(np.flip(g, axis), axis), axis))


def extreme_vjp(g: Any, out: Any, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    is_extreme = x == expand_reduced(out, x.shape, axis, keepdims)
    n = np.sum(is_extreme, axis=axis, keepdims=True)
    share = np.true_divide(is_extreme, n, dtype=x.dtype)
    return expand_reduced(g, x.shape, axis, keepdims) * share


defvjp(np.max, extreme_vjp)
defvjp(np.min, extreme_vjp)


def log_sum_exp(
    a: Any, axis: Any, keepdims: bool = False, initial: Any = None, where: Any = True
) -> Any:
    """Return log Σ eᵃ. Subtracting the maximum first avoids overflow."""
    a = a if where is True else np.where(where, a, -np.inf)
    largest = np.max(unwrap(a), axis=axis, keepdims=True, initial=-np.inf)
    largest = np.where(np.isinf(largest), 0, largest)  # ∞ − ∞ would be NaN
    with np.errstate(divide="ignore", over="ignore"):  # log 0 is −inf, e^∞ is ∞
        total = np.log(np.sum(np.exp(a - largest), axis=axis, keepdims=keepdims))
    total = total + np.reshape(largest, total.shape)
    return total if initial is None else np.logaddexp(total, initial)


UFUNC_METHODS["reduce"][np.logaddexp] = log_sum_exp

# The same elements in another shape, order or dtype


def reshape(x: Any, shape: Any, order: Any = "C") -> Any:
    if order not in ("C", "F"):
        raise ValueError(f"order must be 'C' or 'F', received {order!r}")
    return np.reshape(x, shape, order=order)


def reshape_vjp(g: Any, _out: Any, _x: Any, shape: Any = None, order: Any = "C") -> Any:
    return np.reshape(g, _x.shape, order=order)


def transpose_vjp(g: Any, _out: Any, _x: Any, axes: Any = None) -> Any:
    inverse = None if axes is None else np.argsort(np.atleast_1d(axes) % _x.ndim)
    return np.transpose(g, inverse)


def roll_vjp(g: Any, _out: Any, _x: Any, shift: Any = 0, axis: Any = None) -> Any:
    return np.roll(g, (-np.asarray(shift, int)).tolist(), axis)


defvjp(np.reshape, reshape_vjp, forward=reshape)
defvjp(np.expand_dims, lambda g, _out, _x, axis=None: np.reshape(g, _x.shape))
defvjp(np.squeeze, lambda g, _out, _x, axis=None: np.reshape(g, _x.shape))
defvjp(np.swapaxes, lambda g, _out, _x, axis1=0, axis2=1: np.swapaxes(g, axis1, axis2))
defvjp(np.transpose, transpose_vjp)
defvjp(np.broadcast_to, lambda g, _out, _x, shape=None: g)
defvjp(np.flip, lambda g, _out, _x, axis=None: np.flip(g, axis))
defvjp(np.roll, roll_vjp)
HANDLED_FUNCTIONS["astype"] = Primitive(
    lambda x, dtype: x.astype(dtype), lambda g, _out, _x, dtype=None: g, name="astype"
)

# Choosing among elements

where_primitive = Primitive(
    np.where,
    None,
    lambda g, _out, condition, *_ab: np.where(condition, g, 0),
    lambda g, _out, condition, *_ab: np.where(condition, 0, g),
    name="np.where",
)


@implements(np.where)
def where(condition: Any, x: Any = None, y: Any = None) -> Any:
    return np.nonzero(condition) if x is None else where_primitive(unwrap(condition), x, y)


def where_clipped(x: Any, low: Any, high: Any) -> tuple[Any, Any]:
    """Return where the result is `high`, and where it is `low`. If the bounds cross, high wins."""
    low, high = -np.inf if low is None else low, np.inf if high is None else high
    above = np.maximum(x, low) > high
    return above, (x < low) & ~above


clip_primitive = Primitive(
    np.clip,
    lambda g, _out, x, low, high: np.where(np.logical_or(*where_clipped(x, low, high)), 0, g),
    lambda g, _out, x, low, high: g * where_clipped(x, low, high)[1],
    lambda g, _out, x, low, high: g * where_clipped(x, low, high)[0],
    name="np.clip",
)


@implements(np.clip)
def clip(a: Any, a_min: Any = None, a_max: Any = None, min: Any = None, max: Any = None) -> Any:
    return clip_primitive(a, a_min if min is None else min, a_max if max is None else max)


BASIC_INDEX = (int, np.integer, slice, type(None), type(Ellipsis))  # selects no element twice


def add_at(g: np.ndarray, index: Any, shape: tuple) -> np.ndarray:
    """Return zeros of that shape with g added at [index]; repeated indices add up."""
    x = np.zeros(shape, g.dtype)
    parts = index if isinstance(index, tuple) else (index,)
    if all(isinstance(i, BASIC_INDEX) or np.asarray(i).dtype == bool for i in parts):
        x[index] = g
    else:
        np.add.at(x, index, g)
    return x


scatter_add = Primitive(add_at, lambda g, _out, _x, index=None, shape=None: g[index])
gather = Primitive(
    lambda x, index: x[index],
    lambda g, _out, _x, index=None: scatter_add(g, index=index, shape=_x.shape),
    name="indexing",
)


@implements("getitem")
def getitem(x: Tensor, index: Any) -> Tensor:
    parts = tuple(map(unwrap, index)) if isinstance(index, tuple) else unwrap(index)
    return gather(x, index=parts)


# Joining: each array receives its slice of g


def concatenate_vjp(g: Any, _out: Any, _arrays: Any, i: int, axis: int = 0, ends: Any = ()) -> Any:
    """Return the slice of g for array i, which ends at ends[i] of the joined axis."""
    start = ends[i - 1] if i else 0
    return g[(slice(None),) * (axis % g.ndim) + (slice(start, ends[i]),)]


concatenate_primitive = VariadicPrimitive(
    lambda *arrays, axis, ends: np.concatenate(arrays, axis), concatenate_vjp, name="np.concatenate"
)


@implements(np.concatenate)
def concatenate(arrays: Any, axis: int | None = 0) -> Any:
    arrays = list(arrays)
    if axis is None:  # as a list, an int such as 16 does not widen float32 to float64
        numbers = [[x] if type(x) is int else x for x in arrays]
        arrays, axis = [np.reshape(x, -1) for x in coerce_lists("np.concatenate", numbers)], 0
    # 0 if there is no such axis: NumPy then raises its own error
    lengths = [(np.shape(unwrap(x))[axis:] or (0,))[0] for x in arrays]
    return concatenate_primitive(*arrays, axis=axis, ends=list(accumulate(lengths)))


# Without a derivative: constant almost everywhere, or not a number. They return plain arrays

NONDIFFERENTIABLE.update(
    getattr(np, name)
    for name in (
        "equal not_equal less less_equal greater greater_equal isnan isinf isfinite signbit "
        "isposinf isneginf isreal iscomplex isrealobj iscomplexobj imag isin array_equiv "
        "logical_not logical_and logical_or logical_xor any all argmax argmin argsort argwhere "
        "argpartition nanargmax nanargmin nonzero flatnonzero count_nonzero searchsorted digitize "
        "lexsort ix_ einsum_path shape ndim size allclose isclose array_equal zeros_like ones_like "
        "empty_like result_type array_repr array_str array2string save shares_memory "
        "may_share_memory"
    ).split()
)
