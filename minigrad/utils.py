"""Small things that several rooms need."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import numpy as np


def lookup(kind: str, name: Any, table: Mapping[str, Any]) -> Any:
    """What a table holds under a name, in any case; an unknown name is answered with the nearest.

    >>> lookup("color", "Blu", {"blue": 1, "red": 2})
    Traceback (most recent call last):
    ValueError: unknown color 'Blu'; did you mean 'blue'? Available: blue, red
    """
    key = name.lower() if isinstance(name, str) else name
    if isinstance(key, str) and key in table:
        return table[key]
    near = difflib.get_close_matches(str(key), table, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    raise ValueError(f"unknown {kind} {name!r}{hint} Available: {', '.join(sorted(table))}")


def count(text: str) -> int:
    """A positive whole number from the command line: a type for argparse, which says the rest.

    >>> count("3")
    3
    """
    if (n := int(text)) < 1:
        raise ValueError
    return n


def positive_int(what: str, n: Any) -> int:
    """Return n as an int, or raise ValueError if it is not a positive integer."""
    if not isinstance(n, (int, np.integer)) or isinstance(n, bool) or n < 1:
        raise ValueError(f"{what} must be a positive integer, received {n!r}")
    return int(n)


def one_hot(who: str, labels: np.ndarray, classes: int, dtype: Any) -> np.ndarray:
    """Return integer labels (...) as rows (..., classes) with a single 1 each."""
    rows = labels[..., None] == np.arange(classes)
    if np.count_nonzero(rows) != labels.size:
        raise ValueError(
            f"{who}: labels must lie in 0 … {classes - 1} for {classes} classes; "
            f"received {labels.min()} … {labels.max()}"
        )
    return rows.astype(dtype)


def finite_array(what: str, data: Any) -> np.ndarray:
    """Return data as an array, or raise if it is not rows of finite numbers."""
    array = np.asarray(data)
    if array.dtype.kind not in "fbiu" or array.ndim == 0:
        raise TypeError(
            f"{what} must be an array of numbers with one row per example, "
            f"received shape {array.shape}, {array.dtype}"
        )
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(array.sum()):  # the usual case, without a second array
            return array
    bad = np.unique(np.argwhere(~np.isfinite(array))[:, 0])
    if bad.size:
        raise ValueError(
            f"{what} must be finite; received NaN or infinity in {bad.size} rows, "
            f"the first is row {bad[0]}"
        )
    return array


def to_categorical(labels: Any, num_classes: int | None = None) -> np.ndarray:
    """Integer labels (N,) as one-hot rows (N, num_classes) of float32.

    >>> to_categorical([0, 2])
    array([[1., 0., 0.],
           [0., 0., 1.]], dtype=float32)
    """
    labels = np.asarray(labels)
    if labels.dtype.kind not in "iu" or labels.size == 0:
        raise ValueError(f"to_categorical: integer labels are required, received {labels!r:.80}")
    classes = int(labels.max()) + 1 if num_classes is None else num_classes
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"to_categorical: labels must lie in 0 … {classes - 1}; "
            f"received {labels.min()} … {labels.max()}"
        )
    return (labels[..., None] == np.arange(classes)).astype(np.float32)
