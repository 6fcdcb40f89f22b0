"""Where did the NaN come from? detect_anomaly watches every operation and stops at the first."""

from __future__ import annotations

import linecache
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from .autograd.conversion import ShapeDtype, unwrap
from .autograd.recording import anomaly_detector
from .autograd.tensor import Node

LIBRARIES = tuple(os.path.dirname(path) + os.sep for path in (__file__, np.__file__))


class AnomalyError(ArithmeticError):
    """A NaN or an infinity came up in a recorded operation or in its derivative."""


@contextmanager
def detect_anomaly() -> Iterator[None]:
    """Within this context, the first NaN or infinity in forward or backward raises AnomalyError.

    The error names the operation, its operands' shapes and ranges, and the line of your program
    that made it. Watched are the operations that are recorded; the forward pass must run within
    the context too, so that a derivative knows its line. Outside of it nothing is spent.

    >>> from minigrad import Tensor
    >>> x = Tensor([1.0, -1.0], requires_grad=True)
    >>> with np.errstate(invalid="ignore"), detect_anomaly():
    ...     np.log(x)
    Traceback (most recent call last):
    minigrad.anomaly.AnomalyError: np.log gave NaN, from shape (2,) from -1 to 1; \
made at <doctest minigrad.anomaly.detect_anomaly[2]>:2
    """
    token = anomaly_detector.set(Watch())
    try:
        yield
    finally:
        anomaly_detector.reset(token)


class Watch:
    """Looks at what operations and their derivatives give; remembers where they were called."""

    def __init__(self) -> None:
        self.places: dict[int, str] = {}  # node's order -> the line that made it

    def forward(self, node: Node, operands: Sequence, out: Any) -> None:
        place = self.places[node.order] = caller_location()
        if trouble := what_is_wrong(out):
            seen = " and ".join(map(describe, operands))
            raise AnomalyError(
                f"{node.primitive.name} gave {trouble}, from {seen}; made at {place}"
            )

    def backward(self, node: Node, g: Any, derivative: Any) -> None:
        if trouble := what_is_wrong(derivative):
            seen = " and ".join(map(describe, node.operands))
            place = self.places.get(node.order, "a line before detect_anomaly began")
            raise AnomalyError(
                f"the derivative of {node.primitive.name} gave {trouble}, from the gradient "
                f"{describe(g)} and the operands {seen}; made at {place}"
            )


def what_is_wrong(array: Any) -> str:
    values = unwrap(array)
    if np.isfinite(values).all():
        return ""
    return "NaN" if np.isnan(values).any() else "an infinity"


def describe(x: Any) -> str:
    """shape (2, 3) from -1 to 7.5"""
    x = unwrap(x)
    if not isinstance(x, (np.ndarray, np.generic)):
        return f"shape {x.shape} (values not kept)" if isinstance(x, ShapeDtype) else repr(x)
    nan = np.isnan(x)
    numbers = np.asarray(x)[~nan]
    span = f" from {numbers.min():g} to {numbers.max():g}" if numbers.size else ""
    return f"shape {x.shape}{span}" + (f" and {nan.sum()} NaN" if nan.any() else "")


def caller_location() -> str:
    """The innermost line of the program that is neither ours nor NumPy's."""
    frame: Any = sys._getframe(1)
    while frame.f_back and frame.f_code.co_filename.startswith(LIBRARIES):
        frame = frame.f_back
    name, line = frame.f_code.co_filename, frame.f_lineno
    text = linecache.getline(name, line).strip()
    return f"{name}:{line}" + (f": {text}" if text and not name.startswith("<") else "")
