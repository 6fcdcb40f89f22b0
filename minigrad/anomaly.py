"""Find the operation that computes the first NaN or infinity."""

import linecache
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from .autograd.conversion import unwrap
from .autograd.recording import anomaly_detector, set_var
from .autograd.tensor import Node
from .utils import user_frame


class AnomalyError(ArithmeticError):
    """A recorded operation or its derivative computed a NaN or an infinity."""


@contextmanager
def detect_anomaly() -> Iterator[None]:
    """Raise AnomalyError at the first NaN or infinity in a forward or backward pass.

    The error names the operation, the shapes and ranges of its operands, and the line of your
    program that called it. Only recorded operations are checked. Run the forward pass inside the
    context, too: then an error in the backward pass can name the line. Outside of the context this
    costs nothing.

    >>> from minigrad import Tensor
    >>> x = Tensor([1.0, -1.0], requires_grad=True)
    >>> with np.errstate(invalid="ignore"), detect_anomaly():
    ...     np.log(x)
    Traceback (most recent call last):
    minigrad.anomaly.AnomalyError: np.log gave NaN, from shape (2,) from -1 to 1; \
called at <doctest minigrad.anomaly.detect_anomaly[2]>:2
    """
    with set_var(anomaly_detector, AnomalyDetector()):
        yield


class AnomalyDetector:
    """Check the outputs of operations and of their derivatives; remember each operation's line."""

    def __init__(self) -> None:
        self.lines: dict[int, str] = {}  # by the node's order

    def forward(self, node: Node, operands: Sequence, out: Any) -> None:
        line = self.lines[node.order] = caller_location()
        if problem := find_nonfinite(out):
            inputs, name = " and ".join(map(shape_and_range, operands)), node.primitive.name
            raise AnomalyError(f"{name} gave {problem}, from {inputs}; called at {line}")

    def backward(self, node: Node, g: Any, derivative: Any) -> None:
        if problem := find_nonfinite(derivative):
            inputs, name = " and ".join(map(shape_and_range, node.operands)), node.primitive.name
            line = self.lines.get(node.order, "a line before detect_anomaly began")
            raise AnomalyError(
                f"the derivative of {name} gave {problem}, from the gradient {shape_and_range(g)} "
                f"and the operands {inputs}; called at {line}"
            )


def find_nonfinite(x: Any) -> str:
    """Return "NaN", "an infinity", or "" if all elements are finite."""
    array = unwrap(x)
    if np.isfinite(array).all():
        return ""
    return "NaN" if np.isnan(array).any() else "an infinity"


def shape_and_range(x: Any) -> str:
    """Return shape and range, such as "shape (2, 3) from -1 to 7.5"; a number as it is."""
    x = unwrap(x)
    if not isinstance(x, (np.ndarray, np.generic)):
        return f"shape {x.shape} (values not kept)" if hasattr(x, "shape") else repr(x)
    is_nan = np.isnan(x)
    numbers = np.asarray(x)[~is_nan]
    span = f" from {numbers.min():g} to {numbers.max():g}" if numbers.size else ""
    return f"shape {x.shape}{span}" + (f" and {is_nan.sum()} NaN" if is_nan.any() else "")


def caller_location() -> str:
    """Return file, line and text of the innermost call outside minigrad and NumPy."""
    frame, _ = user_frame()
    file, line = frame.f_code.co_filename, frame.f_lineno
    text = linecache.getline(file, line).strip()
    return f"{file}:{line}" + (f": {text}" if text and not file.startswith("<") else "")
