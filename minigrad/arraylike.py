"""What a Tensor has in common with an array: its form, its conversions, and NumPy's methods."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .tensor import Tensor


class ArrayLike(np.lib.mixins.NDArrayOperatorsMixin):
    """NumPy's operators (from the mixin) and methods, each by way of NumPy's function."""

    __slots__ = ()
    __hash__ = object.__hash__
    data: np.ndarray
    requires_grad: bool

    shape = property(lambda self: self.data.shape)
    dtype = property(lambda self: self.data.dtype)
    ndim = property(lambda self: self.data.ndim)
    size = property(lambda self: self.data.size)

    def __len__(self) -> int:
        return len(self.data)

    def __bool__(self) -> bool:
        return bool(self.data)

    def __float__(self) -> float:
        return float(self.data)

    def __int__(self) -> int:
        return int(self.data)

    def __format__(self, spec: str) -> str:
        return format(self.item() if self.size == 1 else self.data, spec) if spec else str(self)

    def __repr__(self) -> str:
        values = np.array2string(self.data, separator=", ", prefix="Tensor(")
        dtype = "" if self.dtype == np.float32 else f", dtype={self.dtype}"
        return f"Tensor({values}{dtype}{', requires_grad=True' if self.requires_grad else ''})"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.data, dtype=dtype, copy=copy)

    def numpy(self) -> np.ndarray:
        """The array itself, without a copy."""
        return self.data

    def item(self) -> float:
        """The value of a tensor of one element, as a Python number."""
        return self.data.item()

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self.data)))

    # NumPy's methods

    @property
    def T(self) -> Tensor:
        """The transpose, axes reversed."""
        return np.transpose(self)

    def reshape(self, *shape: Any) -> Tensor:
        return np.reshape(self, shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes: Any) -> Tensor:
        return np.transpose(self, (axes[0] if len(axes) == 1 else axes) or None)

    def sum(self, *args: Any, **kwargs: Any) -> Tensor:
        return np.sum(self, *args, **kwargs)

    def mean(self, *args: Any, **kwargs: Any) -> Tensor:
        return np.mean(self, *args, **kwargs)

    def var(self, *args: Any, **kwargs: Any) -> Tensor:
        return np.var(self, *args, **kwargs)

    def max(self, *args: Any, **kwargs: Any) -> Tensor:
        return np.max(self, *args, **kwargs)

    def min(self, *args: Any, **kwargs: Any) -> Tensor:
        return np.min(self, *args, **kwargs)

    def clip(self, *args: Any, **kwargs: Any) -> Tensor:
        return np.clip(self, *args, **kwargs)

    def swapaxes(self, axis1: int, axis2: int) -> Tensor:
        return np.swapaxes(self, axis1, axis2)

    def squeeze(self, axis: Any = None) -> Tensor:
        return np.squeeze(self, axis)

    def argmax(self, axis: int | None = None) -> np.ndarray:
        return np.argmax(self.data, axis)
