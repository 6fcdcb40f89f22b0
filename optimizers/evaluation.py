"""Weights for evaluation: some optimizers train at one point and evaluate at another.

Schedule-Free and EMA do. Optimizer has these functions as methods, and Wrapper shares some.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import wraps
from threading import RLock
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from .declaration import check_array

# of the optimizers; they are not attributes, because a lock cannot be copied or pickled
EVALUATION_LOCKS: WeakKeyDictionary[Any, RLock] = WeakKeyDictionary()


@contextmanager
def evaluating(optimizer: Any, *, recording: bool = True) -> Iterator[None]:
    """Within this context, the parameters hold the weights for evaluation.

    At the end they hold the training weights again, bit for bit, even after an error. For most
    optimizers both are the same, and nothing is copied. `fit`, `evaluate`, `predict` and
    `save_weights` of a model use this context themselves.

    recording: pass False if the block records no graph, as in no_grad(). Then backward() still
    works for losses from before the block. Inside the context step() and state_dict() raise a
    RuntimeError. Another thread that evaluates, or calls step(closure), waits until it ends.
    """
    with lock_of(optimizer):
        if optimizer.is_evaluating or not optimizer.has_evaluation_weights:
            yield
            return
        training_weights = {name: p.data.copy() for name, p in optimizer.parameters.items()}
        optimizer.is_evaluating = True
        try:
            weights = optimizer.evaluation_weights()
            for name, w in weights.items():
                check_array(optimizer, "evaluation_weight", w, training_weights[name], "w")
            write_weights(optimizer, weights, recording)
            yield
        finally:
            optimizer.is_evaluating = False
            write_weights(optimizer, training_weights, recording)


def locked(step: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a step, so that it waits while another thread evaluates."""

    @wraps(step)
    def locked_step(optimizer: Any, closure: Callable[[], Any] | None = None) -> Any:
        with lock_of(optimizer):
            return step(optimizer, closure)

    return locked_step


def evaluation_weights(optimizer: Any) -> dict[str, np.ndarray]:
    """Return the weights for evaluation by name, for each parameter that has others."""
    weights = {}
    for group in optimizer.groups:
        for name in group.names:
            if optimizer.updates[name] and optimizer.has_evaluation_weights:
                h = optimizer.hyperparameters_at_step(group) | {"t": optimizer.updates[name]}
                w, slots = optimizer.parameters[name].data, optimizer.slots[name]
                weights[name] = optimizer.call("evaluation_weight", h, w, slots, w=w)
    return weights


def forget_weights(optimizer: Any) -> None:
    """Start averages of the weights anew at the present weights. Moments and momentum stay.

    Call this after load_state_dict of a layer. A model calls it in its own load_state_dict.
    """
    for group in optimizer.groups if optimizer.has_evaluation_weights else ():
        for name in group.names:
            optimizer.updates[name] = 0
            optimizer.slots[name] |= optimizer.init_slots(optimizer.parameters[name].data, group)


def lock_of(optimizer: Any) -> AbstractContextManager[Any]:
    """Return the lock of an optimizer and its wrappers, if they have weights for evaluation."""
    if not optimizer.has_evaluation_weights:
        return nullcontext()
    return EVALUATION_LOCKS.setdefault(optimizer.innermost, RLock())


def write_weights(optimizer: Any, arrays: Mapping[str, np.ndarray], recording: bool) -> None:
    for name, array in arrays.items():
        optimizer.parameters[name].data[...] = array
        if recording:
            mark_as_changed(optimizer.parameters[name])


def mark_as_changed(parameter: Any) -> None:
    """Tell the engine that the array has changed, if the parameter is a Tensor."""
    if hasattr(type(parameter), "version"):
        parameter.version += 1


def check_not_evaluating(optimizer: Any, what: str) -> None:
    if optimizer.is_evaluating:
        who = f"{type(optimizer).__name__}: {what} needs the training weights"
        raise RuntimeError(f"{who}; call it after the block `with optimizer.evaluating():`")


def run_closure(optimizer: Any, closure: Callable[[], Any] | None) -> Any:
    """Return closure(), or None without one; raise TypeError if the optimizer needs a closure."""
    check_not_evaluating(optimizer, "step()")
    if closure is None and not optimizer.needs_closure:
        return None
    if not callable(closure):
        who = f"{type(optimizer).__name__}: call step(closure)"
        how = "where closure() computes the loss and calls backward()"
        raise TypeError(f"{who}, {how}; received {closure!r:.60}")
    return closure()
