"""Context variables of the engine: recording on or off, and the anomaly detector."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

is_recording: ContextVar[bool] = ContextVar("is_recording", default=True)
anomaly_detector: ContextVar[Any] = ContextVar("anomaly_detector", default=None)  # see anomaly.py


@contextmanager
def set_var(variable: ContextVar, value: Any) -> Iterator[None]:
    """Set a context variable within this context, in this thread."""
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


@contextmanager
def no_grad() -> Iterator[None]:
    """Record nothing within this context (or decorated function), in this thread.

    Do not decorate a generator, and do not yield inside: recording would stay off in the caller.

    >>> from minigrad import Tensor
    >>> x = Tensor(3.0, requires_grad=True)
    >>> with no_grad():
    ...     (x * x).requires_grad
    False
    """
    with set_var(is_recording, False):
        yield
