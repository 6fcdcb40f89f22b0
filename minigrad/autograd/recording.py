"""Context variables of the engine: recording on or off, and the anomaly detector."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

is_recording: ContextVar[bool] = ContextVar("is_recording", default=True)
anomaly_detector: ContextVar[Any] = ContextVar("anomaly_detector", default=None)  # see anomaly.py


@contextmanager
def recording(on: bool) -> Iterator[None]:
    """Switch recording on or off within this context, in this thread."""
    token = is_recording.set(on)
    try:
        yield
    finally:
        is_recording.reset(token)


@contextmanager
def no_grad() -> Iterator[None]:
    """Record nothing within this context (or decorated function), in this thread.

    Do not decorate a generator, and do not yield inside: that switches at the wrong time.

    >>> from minigrad import Tensor
    >>> x = Tensor(3.0, requires_grad=True)
    >>> with no_grad():
    ...     (x * x).requires_grad
    False
    """
    with recording(False):
        yield
