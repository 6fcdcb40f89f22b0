"""Conversions to arrays, and their checks: the data of tensors, operands and options.

Sorted by difficulty: unwrap, the dtypes, the conversions, an error with shapes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .array_methods import ArrayMethods

FLOATS, INTEGERS = "fdg", "?bBhHiIlLqQ"  # the dtypes of tensors, as NumPy's characters
PLAIN_TYPES = {np.ndarray, bool, int, float, complex, type(None), *np.sctypeDict.values()}


def unwrap(x: Any) -> Any:
    """Return the array of a tensor, and anything else unchanged."""
    return x.data if isinstance(x, ArrayMethods) else x


def unwrap_nested(x: Any) -> Any:
    """Unwrap a tensor, or the tensors in nested lists."""
    return type(x)(map(unwrap_nested, x)) if type(x) in (list, tuple) else unwrap(x)


def is_recorded(x: Any) -> bool:
    """Return whether x is, or holds, a tensor that requires a gradient."""
    if isinstance(x, (list, tuple)):
        return any(map(is_recorded, x))
    return isinstance(x, ArrayMethods) and x.requires_grad


def check_dtype(who: str, array: Any, requires_grad: bool = False) -> None:
    """Raise TypeError for complex, object and float16 data, and with requires_grad for integers."""
    if array.dtype.char not in FLOATS + INTEGERS:  # float16 has too few digits for training
        raise TypeError(
            f"{who}: float32, float64 or integers are required, received {array.dtype}; "
            "convert the data first, with .astype('float32')"
        )
    if requires_grad and array.dtype.char not in FLOATS:
        raise TypeError(
            f"{who}: requires_grad needs floating-point data, received {array.dtype}; "
            "write 3.0 for 3, or convert the data with .astype('float32')"
        )


def to_array(who: str, data: Any, requires_grad: bool) -> np.ndarray:
    """Convert the data of a tensor: arrays and integers keep their dtype, the rest is float32."""
    if isinstance(data, ArrayMethods):
        data = np.asarray(data)  # raises an error if a gradient would be lost
    keeps_dtype = isinstance(data, (np.ndarray, np.generic, int))
    array = plain_array(who, data) if keeps_dtype else to_float_array(who, data)
    check_dtype(who, array, requires_grad)
    return array


def to_float_array(who: str, data: Any, dtype: Any = np.float32) -> np.ndarray:
    """Convert a number or nested list; raise TypeError if a tensor in it would lose its graph."""
    if is_recorded(data):
        problem = "a list of tensors would lose their gradients; join them with np.stack"
        raise TypeError(f"{who}: {problem}")
    required = "an array, a number or a rectangular list of numbers is required"
    try:
        array = np.asarray(data)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{who}: {required}; received {data!r:.60} ({error})") from error
    if array.dtype.kind not in "biuf":  # NumPy would convert None to NaN and "3" to 3
        raise TypeError(f"{who}: {required}; received {data!r:.60} (of dtype {array.dtype})")
    return array.astype(dtype, copy=False)


def is_array_like(x: Any) -> bool:
    """Return whether NumPy would make an array of x: a list, or an array of another library."""
    return isinstance(x, (list, tuple)) or hasattr(x, "__array__") or hasattr(x, "toarray")


def plain_operands(who: str, operands: Sequence) -> list:
    """Convert lists and arrays of other libraries; raise TypeError for sparse or masked ones."""
    plain = [plain_array(who, x) if is_array_like(x) else x for x in operands]
    return coerce_lists(who, plain)


def plain_array(who: str, x: Any) -> Any:
    """Convert an array of another library or a subclass; leave tensors and lists."""
    if hasattr(x, "toarray") or isinstance(x, (np.ma.MaskedArray, np.matrix)):
        raise TypeError(
            f"{who}: an ordinary array is required, received a {type(x).__name__}; convert it with "
            ".toarray() if it is sparse, with .filled(0) if it is masked, with np.asarray if it is "
            "a matrix"
        )
    return x if isinstance(x, (ArrayMethods, list, tuple)) else np.asarray(x)


def coerce_lists(who: str, operands: Sequence) -> list:
    """Convert lists and Python floats to the widest float dtype among the other operands."""
    floats = [x.dtype for x in operands if hasattr(x, "dtype") and x.dtype.kind == "f"]
    dtype = np.result_type(np.float32, *floats)
    python_types = (list, tuple, float)
    return [to_float_array(who, x, dtype) if type(x) in python_types else x for x in operands]


def constant_options(who: str, options: dict) -> dict:
    """Unwrap tensors among the options; raise TypeError if one requires a gradient."""
    constants = {}
    for name, x in options.items():
        if isinstance(x, (ArrayMethods, list, tuple)):
            if is_recorded(x):
                advice = "to use it as a constant, pass its .data"
                raise TypeError(f"{who} has no derivative with respect to {name}; {advice}")
            x = unwrap(x)
        constants[name] = x
    return constants


def with_shapes(error: ValueError, who: str, arrays: Sequence) -> ValueError:
    """Return the error again, with the shapes of the arrays in its message."""
    shapes = " and ".join(str(np.shape(x)) for x in arrays[:9])
    kind = np.linalg.LinAlgError if isinstance(error, np.linalg.LinAlgError) else ValueError
    return kind(f"{who} of shapes {shapes}: {error}")
