"""More functions of minigrad.functional: activations, normalization, dropout.

Each takes and returns tensors, or plain arrays, in float32 or float64.
"""

from functools import partial
from math import pi, sqrt

import numpy as np

from .autograd import primitive
from .utils import TensorLike, TensorOrArray, as_float, draw_rows


def gelu(x: TensorLike, approximate: str = "none") -> TensorOrArray:
    """x·Φ(x), where Φ is the cumulative normal distribution; approximate="tanh" is GPT-2's."""
    from scipy.special import expit, ndtr  # importing SciPy takes 0.2 s

    z = as_float(x)
    if approximate == "tanh":  # (1 + tanh u) / 2 is expit(2u), the sigmoid
        return z * expit(2 * sqrt(2 / pi) * (z + 0.044715 * z**3))
    if approximate != "none":
        raise ValueError(f'gelu: approximate must be "none" or "tanh", received {approximate!r}')
    return z * ndtr(z)


def silu(x: TensorLike) -> TensorOrArray:
    """x / (1 + e⁻ˣ) = x·sigmoid(x), also called swish."""
    from scipy.special import expit

    z = as_float(x)
    return z * expit(z)


def elu(x: TensorLike, alpha: float = 1.0) -> TensorOrArray:
    """x where x > 0, otherwise α·(eˣ − 1)."""
    z = as_float(x)
    return np.where(z > 0, z, alpha * np.expm1(np.where(z > 0, 0, z)))


def leaky_relu(x: TensorLike, negative_slope: float = 0.01) -> TensorOrArray:
    """x where x > 0, otherwise negative_slope·x. The default is PyTorch's; Keras's is 0.2."""
    z = as_float(x)
    return np.where(z > 0, z, negative_slope * z)


@primitive(lambda g, out, x: g * np.exp(x - out))  # eˣ / (1 + eˣ)
def softplus(x: TensorLike) -> TensorOrArray:
    """log(1 + eˣ), without overflow."""
    z = as_float(x)  # max(z, 0) + log(1 + e^−|z|) is several times as fast as np.logaddexp(z, 0)
    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))


# Normalization over the last axes, whose lengths are `normalized_shape`, as in PyTorch


def layer_norm(
    x: TensorLike, normalized_shape: int | tuple[int, ...], weight: TensorLike | None = None,
    bias: TensorLike | None = None, eps: float = 1e-5,
) -> TensorOrArray:  # fmt: skip
    """(x − μ) / √(σ² + ε) · weight + bias, with mean μ and variance σ². Keras's ε is 1e-3."""
    z = as_float(x)
    centered = z - np.mean(z, axis=last_axes("layer_norm", z, normalized_shape), keepdims=True)
    out = rms_norm(centered, normalized_shape, weight, eps)
    return out if bias is None else out + bias


def rms_norm(
    x: TensorLike, normalized_shape: int | tuple[int, ...], weight: TensorLike | None = None,
    eps: float | None = None,
) -> TensorOrArray:  # fmt: skip
    """x / √(mean(x²) + ε) · weight; ε is the machine epsilon of the dtype if eps is None."""
    z = as_float(x)
    axes = last_axes("rms_norm", z, normalized_shape)
    eps = float(np.finfo(z.dtype).eps) if eps is None else eps
    out = z / np.sqrt(np.mean(np.square(z), axis=axes, keepdims=True) + eps)
    return out if weight is None else out * weight


def last_axes(
    who: str, z: TensorOrArray, normalized_shape: int | tuple[int, ...]
) -> tuple[int, ...]:
    """Return the axes −1, −2, … with these lengths."""
    shape = tuple(np.ravel(normalized_shape).tolist())
    if z.shape[-len(shape) :] != shape:
        raise ValueError(f"{who}: the last axes must have the lengths {shape}, received {z.shape}")
    return tuple(range(-len(shape), 0))


# Dropout


def dropout(x: TensorLike, rate: float, rng: np.random.Generator) -> TensorOrArray:
    """Set each element to 0 with probability `rate`; multiply the others by 1 / (1 − rate).

    This keeps the expectation, so nothing needs to change at test time ("inverted" dropout;
    Srivastava et al. 2014). Raises ValueError for a rate outside of [0, 1).

    >>> from minigrad import Tensor
    >>> dropout(Tensor([1.0, 1.0, 1.0, 1.0]), 0.5, np.random.default_rng(0))
    Tensor([2., 2., 2., 0.])
    """
    check_rate("dropout", rate)
    values = as_float(x)
    keep = draw_rows(partial(rng.random, dtype=np.float32), rng, values.shape) >= rate
    return values * (keep / np.asarray(1 - rate, values.dtype))


def check_rate(who: str, rate: float) -> None:
    """Raise ValueError if a dropout rate is not a number in [0, 1)."""
    if not isinstance(rate, (float, int, np.number)) or not 0 <= rate < 1:
        raise ValueError(f"{who}: rate must be a number in [0, 1), received {rate!r}")
