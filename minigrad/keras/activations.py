"""keras.activations: functions with Keras's names, defaults and formulas."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import functional, saving
from ..layer import identity
from ..utils import as_float, lookup
from .backend import getattr_for


def relu(x: Any, negative_slope: float = 0.0, max_value: float | None = None,
         threshold: float = 0.0) -> Any:  # fmt: skip
    """Return min(x, max_value) where x ≥ threshold, else negative_slope·(x − threshold)."""
    if not negative_slope and max_value is None and not threshold:
        return functional.relu(x)
    x = as_float(x)
    top = x if max_value is None else np.minimum(x, max_value)
    return np.where(x >= threshold, top, negative_slope * (x - threshold))


def selu(x: Any) -> Any:
    return 1.0507009873554805 * functional.elu(x, 1.6732632423543772)


def hard_sigmoid(x: Any) -> Any:
    return np.clip(as_float(x) / 6 + 0.5, 0, 1)


def leaky_relu(x: Any, negative_slope: float = 0.2) -> Any:
    return functional.leaky_relu(x, negative_slope)


def gelu(x: Any, approximate: bool = False) -> Any:
    return functional.gelu(x, "tanh" if approximate else "none")


ACTIVATIONS: dict[str, Callable] = dict(
    linear=identity, relu=relu, sigmoid=functional.sigmoid, softmax=functional.softmax,
    tanh=np.tanh, elu=functional.elu, selu=selu, gelu=gelu, silu=functional.silu,
    swish=functional.silu, softplus=functional.softplus, leaky_relu=leaky_relu,
    log_softmax=functional.log_softmax, exponential=np.exp, hard_sigmoid=hard_sigmoid,
    softsign=lambda x: x / (1 + np.abs(x)),
    relu6=lambda x: np.clip(x, 0, 6),
    hard_tanh=lambda x: np.clip(x, -1, 1),
    hard_silu=lambda x: x * hard_sigmoid(x),
    hard_swish=lambda x: x * hard_sigmoid(x),
    mish=lambda x: x * np.tanh(functional.softplus(x)),
    log_sigmoid=lambda x: -functional.softplus(-x),
    tanh_shrink=lambda x: x - np.tanh(x),
)  # fmt: skip

saving.FUNCTIONS["keras.activation"] = ACTIVATIONS


def get(identifier: str | Callable | None) -> Callable:
    """Return an activation by its name; a function, such as a layer, as it is; None is linear."""
    if callable(identifier):
        return identifier
    return lookup("activation", "linear" if identifier is None else identifier, ACTIVATIONS)


globals().update(ACTIVATIONS)
__all__ = [*ACTIVATIONS]
__getattr__ = getattr_for("keras.activations", ACTIVATIONS)
