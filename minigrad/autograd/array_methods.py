"""What a Tensor has in common with an array: its form, its conversions, and NumPy's methods.

In order of difficulty: the class, then what becomes an array and what does not.
"""

from __future__ import annotations

import copy
import math
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np


def method(function: Callable) -> Any:
    """NumPy's function as a method."""

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return function(self, *args, **kwargs)

    call.__name__, call.__doc__ = function.__name__, f"np.{function.__name__} of this tensor."
    return call


def operators(ufunc: np.ufunc) -> tuple[Callable, Callable]:
    """x ∘ y, and y ∘ x for a y that knows nothing of tensors."""
    return lambda self, other: ufunc(self, other), lambda self, other: ufunc(other, self)


class ArrayMethods:
    """NumPy's operators and methods, each by way of NumPy's function."""

    __slots__ = ()
    __hash__ = object.__hash__
    data: np.ndarray
    grad: np.ndarray | None
    requires_grad: bool
    node: Any
    __getitem__: Callable

    __add__, __radd__ = operators(np.add)
    __sub__, __rsub__ = operators(np.subtract)
    __mul__, __rmul__ = operators(np.multiply)
    __truediv__, __rtruediv__ = operators(np.divide)
    __pow__, __rpow__ = operators(np.power)
    __matmul__, __rmatmul__ = operators(np.matmul)
    __floordiv__, __rfloordiv__ = operators(np.floor_divide)
    __mod__, __rmod__ = operators(np.remainder)
    __lt__, __gt__ = operators(np.less)
    __le__, __ge__ = operators(np.less_equal)
    __eq__, __ne__ = operators(np.equal)[0], operators(np.not_equal)[0]
    __neg__, __pos__, __abs__ = method(np.negative), method(np.positive), method(np.absolute)

    def _write(self, *_: Any) -> Any:
        raise in_place("an operator such as +=")

    __iadd__ = __isub__ = __imul__ = __itruediv__ = __ipow__ = __imatmul__ = _write

    def __setitem__(self, index: Any, value: Any) -> None:
        raise in_place("tensor[...] = value")

    shape = property(operator.attrgetter("data.shape"))
    dtype = property(operator.attrgetter("data.dtype"))
    ndim = property(operator.attrgetter("data.ndim"))
    size = property(operator.attrgetter("data.size"))

    def __contains__(self, x: Any) -> bool:
        return x in self.data

    def __len__(self) -> int:
        return len(self.data)

    def __bool__(self) -> bool:
        return bool(self.data)

    def __float__(self) -> float:
        return float(self.data)

    def __int__(self) -> int:
        return int(self.data)

    def __index__(self) -> int:
        return operator.index(self.data)

    def __format__(self, spec: str) -> str:
        return format(self.item() if self.size == 1 else self.data, spec) if spec else str(self)

    def __repr__(self) -> str:
        values = np.array2string(self.data, separator=", ", prefix="Tensor(")
        dtype = "" if self.dtype == np.float32 else f", dtype={self.dtype}"
        return f"Tensor({values}{dtype}{', requires_grad=True' if self.requires_grad else ''})"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Out of the graph: so does np.array([x, y]) go, where np.stack stays in it."""
        return np.array(self.data, dtype=dtype, copy=copy)

    def numpy(self) -> np.ndarray:
        """The array itself, without a copy."""
        return self.data

    def item(self) -> float:
        """The value of a tensor of one element, as a Python number."""
        return self.data.item()

    def tolist(self) -> Any:
        return self.data.tolist()

    def __iter__(self) -> Iterator[Any]:
        return map(self.__getitem__, range(len(self.data)))

    def __copy__(self) -> Any:
        return copy.deepcopy(self)

    # NumPy's methods

    @property
    def T(self) -> Any:
        """The transpose, axes reversed."""
        return np.transpose(self)

    def reshape(self, *shape: Any, order: Any = "C") -> Any:
        return np.reshape(self, shape[0] if len(shape) == 1 else shape, order=order)

    def transpose(self, *axes: Any) -> Any:
        return np.transpose(self, (axes[0] if len(axes) == 1 else axes) or None)

    def flatten(self, order: Any = "C") -> Any:
        return np.ravel(self, order)

    copy = method(np.copy)
    sum, mean, prod, cumsum = method(np.sum), method(np.mean), method(np.prod), method(np.cumsum)
    var, std, max, min = method(np.var), method(np.std), method(np.max), method(np.min)
    dot, clip, take, repeat = method(np.dot), method(np.clip), method(np.take), method(np.repeat)
    ravel, squeeze, swapaxes = method(np.ravel), method(np.squeeze), method(np.swapaxes)
    diagonal, trace = method(np.diagonal), method(np.trace)
    argmax, argmin, argsort = method(np.argmax), method(np.argmin), method(np.argsort)
    any, all, nonzero = method(np.any), method(np.all), method(np.nonzero)


class ShapeDtype:
    """What is kept of an operand whose values no derivative reads: its form, and what made it."""

    __slots__ = ("shape", "dtype", "node")
    ndim = property(lambda self: len(self.shape))
    size = property(lambda self: math.prod(self.shape))

    def __init__(self, array: np.ndarray, node: Any):
        self.shape, self.dtype, self.node = array.shape, array.dtype, node


# What becomes an array, and what does not


def in_place(what: str) -> TypeError:
    return TypeError(
        f"{what} would write into a tensor whose values the way back may need. "
        "Write t = t + x for t += x, np.where(mask, x, t) for t[mask] = x; "
        "outside of any graph, write into t.data"
    )


FLOATS, WHOLE = "fdg", "?bBhHiIlLqQ"  # the dtypes of tensors, by NumPy's characters


def check_dtype(who: str, array: Any, requires_grad: bool = False) -> None:
    """Refuse what is no real number, and float16, whose three digits are too few to train in."""
    if array.dtype.char not in FLOATS + WHOLE:
        raise TypeError(
            f"{who}: float32, float64 or whole numbers are required, not {array.dtype}; "
            "convert the data first, with .astype('float32')"
        )
    if requires_grad and array.dtype.char not in FLOATS:
        raise TypeError(
            f"{who}: requires_grad needs floating-point data, received {array.dtype}; "
            "write 3.0 for 3, or convert the data with .astype('float32')"
        )


def plain_options(who: str, options: dict) -> dict:
    """Options are no operands: there is no derivative by them."""
    for name, x in options.items():
        if is_recorded(x):
            raise TypeError(
                f"{who} has no derivative by {name}; to treat it as a constant, pass its .data"
            )
    return {name: x.data if isinstance(x, ArrayMethods) else x for name, x in options.items()}


def to_array(who: str, data: Any, requires_grad: bool) -> np.ndarray:
    """The data of a tensor: an array as it is; a whole number whole; all else in float32."""
    if isinstance(data, ArrayMethods):
        data = data.data
    keeps_dtype = isinstance(data, (np.ndarray, np.generic, int))
    array = np.asarray(data) if keeps_dtype else from_list(who, data)
    check_dtype(who, array, requires_grad)
    return array


def from_list(who: str, data: Any, dtype: Any = np.float32) -> np.ndarray:
    """A number or nested list as an array, unless a tensor in it would lose its graph."""
    if is_recorded(data):
        raise TypeError(
            f"{who}: a list of tensors would lose their derivatives; join them with np.stack"
        )
    try:
        array = np.asarray(data)
        reason = f"of dtype {array.dtype}"
    except (TypeError, ValueError) as error:
        array, reason = np.array(None), str(error)
    if array.dtype.kind not in "biuf":  # of None NumPy would make a NaN, of "3" a 3
        raise TypeError(
            f"{who}: an array, a number or a rectangular list of numbers is required; "
            f"received {data!r:.60} ({reason})"
        )
    return array.astype(dtype, copy=False)


def is_recorded(x: Any) -> bool:
    """Whether it is or holds a tensor that requires a gradient."""
    if isinstance(x, (list, tuple)):
        return any(map(is_recorded, x))
    return isinstance(x, ArrayMethods) and x.requires_grad


def coerce_lists(who: str, operands: Sequence) -> list:
    """The operands with lists and numbers made arrays, as precise as the arrays beside them."""
    floats = [x.dtype for x in operands if hasattr(x, "dtype") and x.dtype.kind == "f"]
    dtype = np.result_type(np.float32, *floats)
    return [from_list(who, x, dtype) if type(x) in (list, tuple, float) else x for x in operands]
