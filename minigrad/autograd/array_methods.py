"""What a Tensor has in common with an array: operators, attributes, conversions, methods.

Each operator and method calls the NumPy function of the same name, which dispatches.
"""

import operator
import warnings
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import numpy as np

from .recording import is_recording

HANDLED_FUNCTIONS: dict[Any, Callable] = {}  # NumPy's function → ours, filled by the tables


def method(function: Callable) -> Any:
    """Make a method from a NumPy function."""

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return function(self, *args, **kwargs)

    call.__name__ = function.__name__
    call.__doc__ = f"Return np.{function.__name__} of this tensor."
    return call


def operators(ufunc: np.ufunc) -> tuple[Callable, Callable]:
    """Make the operator x ∘ y and the reflected y ∘ x; Python calls that if y is not a tensor.

    They look our function up themselves: ufunc(x, y) finds the same one, but takes longer.
    """
    return (
        lambda self, other: HANDLED_FUNCTIONS[ufunc](self, other),
        lambda self, other: HANDLED_FUNCTIONS[ufunc](other, self),
    )


def data_method(function: Callable) -> Any:
    """Make a method that calls the function on the array."""
    return lambda self: function(self.data)


def in_place_error(what: str) -> TypeError:
    """Make the error for code that writes into a tensor."""
    return TypeError(
        f"{what} would change values that the backward pass may need. "
        "Write t = t + x for t += x, and np.where(mask, x, t) for t[mask] = x. "
        "Outside of a graph, write into t.data"
    )


def number_conversion(kind: type) -> Any:
    """Make a conversion such as float(tensor); it warns if a gradient is lost, as in PyTorch."""

    def convert(self: Any) -> Any:
        if self.requires_grad and is_recording.get():
            warnings.warn(
                f"{kind.__name__}(tensor) gives a plain number, and its gradient is lost. To "
                "compute with the gradient, use NumPy's functions, such as np.exp for math.exp. "
                "For the number alone, write tensor.item()",
                stacklevel=2,
            )
        return kind(self.data)

    return convert


class ArrayMethods:
    """NumPy's operators and methods for Tensor; each calls the NumPy function of the same name."""

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
    __divmod__, __rdivmod__ = operators(np.divmod)
    __lt__, __gt__ = method(np.less), method(np.greater)  # comparisons give plain arrays
    __le__, __ge__ = method(np.less_equal), method(np.greater_equal)
    __eq__, __ne__ = method(np.equal), method(np.not_equal)
    __neg__, __pos__, __abs__ = method(np.negative), method(np.positive), method(np.absolute)
    __round__ = method(np.round)

    # Writing in place is refused

    def _refuse_in_place(self, *_: Any) -> Any:
        raise in_place_error("an operator such as +=")

    __iadd__ = __isub__ = __imul__ = __itruediv__ = __ipow__ = __imatmul__ = _refuse_in_place
    __ifloordiv__ = __imod__ = _refuse_in_place

    def __setitem__(self, index: Any, value: Any) -> None:
        raise in_place_error("tensor[...] = value")

    def fill(self, value: Any) -> None:
        raise in_place_error("tensor.fill(value)")

    def sort(self, *_: Any, **__: Any) -> None:
        raise TypeError("tensor.sort() would sort in place, as NumPy does; write np.sort(tensor)")

    # Attributes and conversions

    shape = property(operator.attrgetter("data.shape"), doc="The length of each axis.")
    dtype = property(operator.attrgetter("data.dtype"), doc="The type of the elements.")
    ndim = property(operator.attrgetter("data.ndim"), doc="The number of axes.")
    size = property(operator.attrgetter("data.size"), doc="The number of elements.")

    __len__, __bool__, __index__ = data_method(len), data_method(bool), data_method(operator.index)
    __float__, __int__, __complex__ = map(number_conversion, (float, int, complex))

    def __contains__(self, x: Any) -> bool:
        return x in self.data

    def __format__(self, spec: str) -> str:
        if not spec:
            return str(self)
        return format(self.item() if self.size == 1 else self.data, spec)

    def __repr__(self) -> str:
        values = np.array2string(self.data, separator=", ", prefix="Tensor(")
        dtype = "" if self.dtype == np.float32 else f", dtype={self.dtype}"
        return f"Tensor({values}{dtype}{', requires_grad=True' if self.requires_grad else ''})"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Return the values, for a tensor that takes part in no graph.

        Raises TypeError while a gradient is recorded: the array would lose the graph.
        """
        if self.requires_grad and is_recording.get():
            raise TypeError(
                "a tensor that requires a gradient cannot become a plain array: its gradient would "
                "be lost. To keep the gradient, call a NumPy function on the tensor itself, such "
                "as X @ w for X.dot(w), or np.stack([a, b]) for np.array([a, b]). For the values "
                "alone, pass x.data, x.detach() or the number loss.item(), or use no_grad()"
            )
        return np.array(self.data, dtype=dtype, copy=copy)

    def numpy(self) -> np.ndarray:
        """Return the array itself, without a copy."""
        return self.data

    def item(self) -> float:
        """Return the value of a tensor with one element as a Python number."""
        return self.data.item()

    def tolist(self) -> list | float:
        """Return the values as a nested list of Python numbers."""
        return self.data.tolist()

    def __iter__(self) -> Iterator[Any]:
        return map(self.__getitem__, range(len(self.data)))

    __copy__ = deepcopy

    # NumPy's methods

    def reshape(self, *shape: Any, order: Any = "C") -> Any:
        """Return np.reshape of this tensor; the shape is one tuple or several integers."""
        return np.reshape(self, shape[0] if len(shape) == 1 else shape, order=order)

    def transpose(self, *axes: Any) -> Any:
        """Return np.transpose of this tensor; the axes are one tuple or several integers."""
        return np.transpose(self, (axes[0] if len(axes) == 1 else axes) or None)

    T = property(method(np.transpose), doc="The transpose: all axes in reverse order.")
    mT = property(lambda self: np.swapaxes(self, -1, -2), doc="The matrices, transposed.")
    real = property(method(np.real), doc="The tensor itself: its numbers are real.")
    copy = method(np.copy)
    sum, mean, prod, cumsum = method(np.sum), method(np.mean), method(np.prod), method(np.cumsum)
    cumprod, round = method(np.cumprod), method(np.round)
    conj = conjugate = method(np.conjugate)
    var, std, max, min = method(np.var), method(np.std), method(np.max), method(np.min)
    dot, clip, take, repeat = method(np.dot), method(np.clip), method(np.take), method(np.repeat)
    squeeze, swapaxes = method(np.squeeze), method(np.swapaxes)
    ravel = flatten = method(np.ravel)
    diagonal, trace = method(np.diagonal), method(np.trace)
    argmax, argmin, argsort = method(np.argmax), method(np.argmin), method(np.argsort)
    any, all, nonzero = method(np.any), method(np.all), method(np.nonzero)
