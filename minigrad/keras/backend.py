"""keras.backend, keras.ops and keras.random: the float type, names of layers, NumPy's functions."""

import difflib
import inspect
import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .. import activations as more
from .. import functional
from ..autograd import Tensor
from ..autograd.conversion import unwrap

_float = "float32"
_names: Counter[str] = Counter()


def floatx() -> str:
    """Return the dtype of new parameters and of float inputs."""
    return _float


def set_floatx(dtype: str) -> None:
    """Set what floatx() returns: "float32" or "float64"."""
    global _float
    if dtype not in ("float32", "float64"):
        raise ValueError(f'set_floatx: "float32" or "float64" is required, received {dtype!r}')
    _float = dtype


def epsilon() -> float:
    return 1e-7


def clear_session() -> None:
    """Start the numbers in the names of layers again: the next is "dense", not "dense_1"."""
    _names.clear()


def disable_traceback_filtering() -> None:
    """Do nothing: no traceback is filtered here."""


def snake_case(name: str) -> str:
    """Return "mean_squared_error" for "MeanSquaredError", "p_re_lu" for "PReLU", as Keras does."""
    return re.sub("([a-z])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)).lower()


def new_name(class_name: str) -> str:
    """Return "dense", then "dense_1", … for "Dense"."""
    name = snake_case(class_name)
    _names[name] += 1
    return f"{name}_{_names[name] - 1}" if _names[name] > 1 else name


def as_floatx(x: Any) -> Any:
    """Return numbers as an array; floats get the dtype floatx."""
    array = unwrap(x) if isinstance(x, Tensor) else np.asarray(x)
    return array.astype(_float, copy=False) if array.dtype.kind == "f" else array


class NotThere:
    """A missing name of Keras. It can be imported; its use raises an ImportError."""

    def __init__(self, message: str):
        self.message = message

    def __call__(self, *_: Any, **__: Any) -> Any:
        raise ImportError(self.message)

    __mro_entries__ = __call__  # as the base of a class

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name) if name.startswith("__") else ImportError(self.message)


def getattr_for(
    module: str, table: Mapping[str, Any] | list[str], missing: str = "", instead: str = ""
) -> Callable[[str], Any]:
    """Return a module's __getattr__: it looks a name up in the table.

    missing: names that only Keras has; using one raises ImportError with the advice `instead`.
    """

    def look_up(name: str) -> Any:
        if isinstance(table, Mapping) and name in table:
            return table[name]
        known = ", ".join(sorted(table)) if len(table) < 99 else "the functions of NumPy"
        near = difflib.get_close_matches(name, list(table), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ";"
        if name in missing.split():
            return NotThere(f"minigrad.{module} has no {name}; {instead} It has: {known}")
        raise AttributeError(f"minigrad.{module} has no {name}{hint} It has: {known}")

    return look_up


def docstring_without_example(item: Any) -> str:
    """Return a docstring without its example, which names minigrad's own arguments."""
    return (item.__doc__ or "").partition(">>>")[0].rstrip()


class Scalar(float):
    """A number that also has numpy(), as Keras's results have."""

    def numpy(self) -> float:
        return float(self)


class SavesArguments:
    """Keep the arguments of __init__, so that an object can be saved."""

    def __new__(cls, *args: Any, **options: Any) -> Any:
        item: Any = super().__new__(cls)
        item.arguments = {"args": list(args), "options": options}
        return item

    def get_config(self: Any) -> dict[str, Any]:
        return self.arguments

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return cls(*config["args"], **config["options"])


def options_of(who: str, function: Callable, skip: int, args: Any, options: Any) -> dict[str, Any]:
    """Return the options of a function by name; its first `skip` parameters are not options."""
    names = list(inspect.signature(function).parameters)[skip:]
    if len(args) > len(names) or not options.keys() <= {*names}:
        received = ", ".join([*map(repr, args[len(names) :]), *(options.keys() - {*names})])
        raise TypeError(f"{who} has the arguments {', '.join(names)}; received {received}")
    return dict(zip(names, args)) | options


def get_value(x: Any) -> Any:
    return x.numpy() if hasattr(x, "numpy") else x


def set_value(x: Any, value: Any) -> None:
    """Assign to optimizer.learning_rate, or to a weight."""
    if isinstance(x, Tensor):
        x.data[...] = value
        x.version += 1
    else:
        x.assign(value)


def cast(x: Any, dtype: str) -> Any:
    return x.astype(dtype) if isinstance(x, Tensor) else np.asarray(x, dtype)


# Keras's names of NumPy's functions; every other name is NumPy's, or an activation
RENAMED = {
    "dot": np.dot, "pow": np.power, "convert_to_tensor": np.asarray, "cast": cast,
    "softmax": functional.softmax, "sigmoid": functional.sigmoid, "relu": functional.relu,
    "softplus": more.softplus, "silu": more.silu, "logsumexp": functional.logsumexp,
    "convert_to_numpy": unwrap, "shape": np.shape, "constant": np.asarray, "flatten": np.ravel,
}  # fmt: skip

FUNCTIONS = {n: f for n, f in vars(np).items() if callable(f) and not n.startswith("_")} | RENAMED
__getattr__ = getattr_for("keras.backend", FUNCTIONS)
