"""Helpers that several modules share: conversions, checks, lookup by name, running a file."""

import difflib
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .autograd import Tensor
from .autograd.conversion import check_dtype, to_float_array, unwrap

TensorLike: TypeAlias = Tensor | npt.ArrayLike
TensorOrArray: TypeAlias = Any  # a Tensor if an argument is a Tensor, otherwise an array
LIBRARIES = tuple(os.path.dirname(path) + os.sep for path in (__file__, np.__file__))


_find_share: Callable[[], Any] | None = None


def use_shares_of(find_share: Callable[[], Any]) -> None:
    """Let random layers ask for this process's share of a batch; minigrad.distributed calls it."""
    global _find_share
    _find_share = find_share


def share_of_batch() -> Any:
    """Return this process's share of the current batch; None if it computes whole batches."""
    return _find_share() if _find_share else None


def draw_rows(draw: Callable[..., Any], rng: np.random.Generator, shape: Any) -> np.ndarray:
    """Return draw(shape), random numbers for a batch.

    A process that has a share of a batch draws for the whole batch and keeps its rows. So all
    processes together use the numbers of a single process.
    """
    share = share_of_batch()
    if share is None or not shape:
        return draw(shape)
    share.note_draw(rng)
    # an example can have become several rows, as in (N, T, …) reshaped to (N·T, …)
    per_row, rest = divmod(shape[0], max(share.stop - share.start, 1))
    if rest or not per_row:
        return draw(shape)
    whole = draw((per_row * share.rows, *shape[1:]))
    return whole[per_row * share.start : per_row * share.stop]


def user_frame() -> tuple[Any, int]:
    """Return the innermost frame outside minigrad and NumPy, and its stacklevel in our caller."""
    frame, level = sys._getframe(1), 1
    while frame.f_back and frame.f_code.co_filename.startswith(LIBRARIES):
        frame, level = frame.f_back, level + 1
    return frame, level


def warn_user(message: str) -> None:
    """Warn, and name the line of the user's program that called minigrad."""
    warnings.warn(message, stacklevel=user_frame()[1])


def as_float(x: TensorLike) -> Any:
    """Convert lists and integers to float32; keep float32 and float64."""
    array = x if isinstance(x, (Tensor, np.ndarray)) else to_float_array("minigrad.functional", x)
    check_dtype("minigrad.functional", array)
    return array if array.dtype.kind == "f" else array.astype(np.float32)


def as_dtype(x: TensorLike, dtype: npt.DTypeLike) -> Any:
    """Convert to a dtype, without a copy if x has it."""
    array = x if isinstance(x, Tensor) else np.asarray(x)
    return array if array.dtype == dtype else array.astype(dtype)


def weighted(values: Any, sample_weight: TensorLike | None) -> Any:
    """Return values (N, …) multiplied by a weight for each example (N,), or for each value.

    Raises ValueError for other shapes, or weights that are negative, infinite or NaN.
    """
    if sample_weight is None:
        return values
    w = as_dtype(sample_weight, values.dtype)
    if w.shape[1:] == (1,) and values.ndim > 1:
        w = w[:, 0]
    if not w.ndim or w.shape != values.shape[: w.ndim]:
        required = f"an array of shape {values.shape[:1]} is required"
        raise ValueError(f"sample_weight: {required}, received {w.shape}")
    if not (np.all(unwrap(w) >= 0) and np.all(np.isfinite(unwrap(w)))):
        raise ValueError(f"sample_weight: finite numbers ≥ 0 are required, received {w!r:.80}")
    return values * np.reshape(w, (*w.shape, *[1] * (values.ndim - w.ndim)))


def positive_int(what: str, n: Any) -> int:
    """Return n as an int, or raise ValueError if it is not a positive integer."""
    if not isinstance(n, (int, np.integer)) or isinstance(n, bool) or n < 1:
        raise ValueError(f"{what} must be a positive integer, received {n!r}")
    return int(n)


def is_finite_number(x: Any) -> bool:
    """Return whether x is a finite real number; a bool is not one."""
    return isinstance(x, (int, float, np.number)) and not isinstance(x, bool) and np.isfinite(x)


def lookup(kind: str, name: Any, table: Mapping[str, Any]) -> Any:
    """Return the table's value for a name, ignoring case.

    Raise ValueError for an unknown name; the message suggests the most similar one.

    >>> lookup("color", "Blu", {"blue": 1, "red": 2})
    Traceback (most recent call last):
    ValueError: unknown color 'Blu'; did you mean 'blue'? Available: blue, red
    """
    key = name.lower() if isinstance(name, str) else ""
    if key not in table:
        raise unknown_name(kind, name, table)
    return table[key]


def unknown_name(kind: str, name: Any, known: Iterable[str]) -> ValueError:
    """Return the error for a name that is not known; it suggests the most similar one."""
    by_lower_case = {word.lower(): word for word in sorted(known)}
    similar = difflib.get_close_matches(str(name).lower(), by_lower_case, n=1)
    hint = f"; did you mean {by_lower_case[similar[0]]!r}?" if similar else "."
    return ValueError(
        f"unknown {kind} {name!r}{hint} Available: {', '.join(by_lower_case.values())}"
    )


def one_hot(who: str, labels: np.ndarray, classes: int, dtype: npt.DTypeLike) -> np.ndarray:
    """Return integer labels (…) as rows (…, classes): 1 at the label, 0 elsewhere.

    who: the function named in the ValueError for a label outside 0 … classes − 1.
    """
    rows = labels[..., None] == np.arange(classes)
    if np.count_nonzero(rows) != labels.size:
        required = f"labels must lie in 0 … {classes - 1} for {classes} classes"
        raise ValueError(f"{who}: {required}; received {labels.min()} … {labels.max()}")
    return rows.astype(dtype)


def to_categorical(labels: npt.ArrayLike, num_classes: int | None = None) -> np.ndarray:
    """Return integer labels (N,) as one-hot rows (N, num_classes) of float32.

    num_classes: by default the largest label + 1, as in Keras.

    >>> to_categorical([0, 2])
    array([[1., 0., 0.],
           [0., 0., 1.]], dtype=float32)
    """
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu" or labels.size == 0:
        raise ValueError(f"to_categorical: integer labels are required, received {labels!r:.80}")
    classes = int(labels.max()) + 1 if num_classes is None else num_classes
    return one_hot("to_categorical", labels, classes, np.float32)


def to_numbers(data: Any) -> np.ndarray:
    """Return data as an array; columns of several dtypes, as in a table, become floats."""
    array = np.asarray(data)
    if array.dtype.kind == "O" and not any(isinstance(x, str) for x in array.flat):
        with suppress(TypeError, ValueError):
            return array.astype(float)
    return array


def finite_array(what: str, data: Any) -> np.ndarray:
    """Return data as an array; raise TypeError or ValueError unless its rows are finite numbers."""
    array = to_numbers(data)
    if array.dtype.kind not in "fbiu" or array.ndim == 0:
        received = f"received shape {array.shape}, {array.dtype}"
        raise TypeError(f"{what} must be an array of numbers, one row per example; {received}")
    with np.errstate(over="ignore", invalid="ignore"):
        finite = np.isfinite(array.sum())  # the usual case, without a second array
    if not finite and (bad := np.unique(np.argwhere(~np.isfinite(array))[:, 0])).size:
        received = f"NaN or infinity in {bad.size} rows, the first is row {bad[0]}"
        raise ValueError(f"{what} must be finite; received {received}")
    return array


def mismatches(
    saved: Mapping[str, Any], own: Mapping[str, np.ndarray], casting: Any = "equiv"
) -> list[str]:
    """Return a phrase for each array that is missing, unknown, or of another shape or dtype."""
    problems = [f"{name} is missing" for name in own if name not in saved]
    for name, x in saved.items():
        y: Any = own.get(name)
        same_shape = isinstance(x, np.ndarray) and x.shape == np.shape(y)
        if y is None:
            problems.append(f"{name} is unknown to this model")
        elif not (same_shape and np.can_cast(x.dtype, y.dtype, casting)):
            problems.append(f"{name} must be {describe_array(y)}, received {describe_array(x)}")
    return problems


def describe_array(array: Any) -> str:
    return f"{array.dtype.name} {array.shape}" if isinstance(array, np.ndarray) else repr(array)


def run_file(path: str) -> ModuleType:
    """Run a Python file as a module, unless another file has imported it; return the module."""
    file = Path(path).resolve()
    if file.suffix != ".py" or file.is_dir():
        kind = "is a folder" if file.is_dir() else "does not"
        raise ValueError(f"a file must end in .py; {path} {kind}")
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    sys.path.append(str(file.parent))  # it may import the files beside it, and they this file
    loaded = sys.modules.get(file.stem)
    spec = None if loaded else PathFinder.find_spec(file.stem)
    found = getattr(loaded, "__file__", None) or getattr(spec, "origin", None)
    is_importable = found == str(file)  # another module can have the same name
    if loaded and is_importable and loaded.__spec__:  # another file has imported it
        return loaded
    module = ModuleType(file.stem if is_importable else str(file.with_suffix("")))
    module.__file__ = str(file)
    sys.modules[module.__name__] = module  # dataclasses look their module up
    try:
        exec(compile(file.read_bytes(), path, "exec", dont_inherit=True), vars(module))
    except SystemExit as error:
        raise RuntimeError(f"{path} ended the program with sys.exit({error.code!r})") from error
    return module
