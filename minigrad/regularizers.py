"""Regularizers and constraints of parameters.

A regularizer is a penalty that is added to the loss. A constraint changes a parameter after every
step. A layer takes them by the name of the parameter: Dense(8, kernel_regularizer="l2",
bias_constraint=NonNeg()). Names, defaults and formulas are Keras's.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .utils import TensorOrArray, lookup

EPSILON = 1e-7


def scale_norm(
    w: np.ndarray, axis: int | tuple[int, ...] | None, least: float, most: float, rate: float = 1
) -> np.ndarray:
    """w · (rate·min(max(‖w‖, least), most) + (1 − rate)·‖w‖) / (‖w‖ + 1e-7), ‖w‖ over the axis."""
    norm = np.sqrt(np.sum(np.square(w), axis=axis, keepdims=True))
    wanted = rate * np.clip(norm, least, most) + (1 - rate) * norm
    return w * (wanted / (EPSILON + norm))


@dataclass(frozen=True)
class L1L2:
    """l1·Σ|w| + l2·Σw².

    >>> L1L2(l1=0.1, l2=0.01)(np.array([3.0, -4.0])).round(2)
    np.float64(0.95)
    """

    l1: float = 0.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.l1 < np.inf and 0 <= self.l2 < np.inf):
            raise ValueError(f"L1L2: l1 and l2 must be finite numbers ≥ 0, received {self!r}")

    def __call__(self, w: Any) -> TensorOrArray:
        penalty = self.l1 * np.sum(np.abs(w)) if self.l1 else 0.0
        return penalty + self.l2 * np.sum(np.square(w)) if self.l2 else penalty


def l1(l1: float = 0.01) -> L1L2:
    """l1·Σ|w|."""
    return L1L2(l1=l1)


def l2(l2: float = 0.01) -> L1L2:
    """l2·Σw². With adaptive optimizers such as Adam, this differs from their weight_decay."""
    return L1L2(l2=l2)


@dataclass(frozen=True)
class MaxNorm:
    """Scale each column of w (the weights of a unit) down to a norm of at most max_value."""

    max_value: float = 2.0
    axis: int | tuple[int, ...] = 0

    def __call__(self, w: np.ndarray) -> np.ndarray:
        return scale_norm(w, self.axis, 0, self.max_value)


@dataclass(frozen=True)
class NonNeg:
    """max(w, 0)."""

    def __call__(self, w: np.ndarray) -> np.ndarray:
        return np.maximum(w, 0)


REGULARIZERS: dict[str, Callable] = {"l1": l1(), "l2": l2(), "l1_l2": L1L2(0.01, 0.01)}
CONSTRAINTS: dict[str, Callable] = {"max_norm": MaxNorm(), "non_neg": NonNeg()}
TABLES = {"regularizer": REGULARIZERS, "constraint": CONSTRAINTS}


def kinds_of_options(parameters: Iterable[str]) -> dict[str, str]:
    """Return {option: "regularizer" or "constraint"} for a layer with these parameters."""
    known = {f"{name}_{kind}": kind for name in parameters for kind in TABLES}
    return known | {"activity_regularizer": "regularizer"}


def read_options(who: str, names: Iterable[str], options: dict[str, Any]) -> dict[str, Callable]:
    """Return the options that are not None, as functions; names: the parameters that `who` has."""
    kinds, functions = kinds_of_options(names), {}
    for option, f in options.items():
        kind = lookup(f"option of {who}", option, kinds)
        if isinstance(f, type):
            raise TypeError(f"{who}: {option} must be an object; write {f.__name__}()")
        if f is not None:
            functions[option] = f if callable(f) else lookup(kind, f, TABLES[kind])
    return functions
