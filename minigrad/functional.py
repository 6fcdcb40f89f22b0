"""What networks need and NumPy has no function for, in order of difficulty.

Each works on tensors (and, like NumPy's functions, on plain arrays), in float32 or float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .autograd.numpy_vjps import expand_reduced
from .autograd.tensor import Tensor, primitive


def real(x: Any) -> Any:
    """x as floating-point numbers: lists and whole numbers become float32."""
    x = x if isinstance(x, (Tensor, np.ndarray)) else np.asarray(x, np.float32)
    return x if x.dtype.kind == "f" else x.astype(np.float32)


def in_dtype(x: Any, dtype: np.dtype) -> Any:
    x = x if isinstance(x, Tensor) else np.asarray(x)
    return x if x.dtype == dtype else x.astype(dtype)


@primitive(lambda g, out, _: g * (out > 0))
def relu(x: Any) -> Any:
    """max(x, 0), with derivative 0 at 0 as in PyTorch and Keras.

    >>> relu(Tensor([-1.0, 2.0]))
    Tensor([0., 2.])
    """
    return np.maximum(x, 0)


@primitive(lambda g, out, _: g * out * (1 - out))
def sigmoid(x: Any) -> Any:
    """1 / (1 + e⁻ˣ), without overflow (scipy.special.expit).

    >>> sigmoid(Tensor([0.0, -1000.0]))
    Tensor([0.5, 0. ])
    """
    from scipy.special import expit

    return expit(x)


@primitive(
    lambda g, _, _x, w, _b: g @ w.T,
    lambda g, _, x, _w, _b: np.dot(rows(x).T, rows(g)),  # for one row ten times as fast as @
    lambda g, *_: rows(g).sum(axis=0),
)
def linear(x: Any, w: Any, b: Any) -> Any:
    """x @ w + b as one operation: x (..., n), w (n, m), b (m,) give (..., m).

    >>> linear(Tensor([[1.0, 2.0]]), Tensor([[3.0], [4.0]]), Tensor([5.0]))
    Tensor([[16.]])
    """
    out = x @ w
    out += b
    return out


def rows(x: Any) -> Any:
    """All axes but the last as one: (..., n) becomes (N, n)."""
    return x if x.ndim == 2 else np.reshape(x, (-1, x.shape[-1]))


@primitive(lambda g, out, _, axis=-1: out * (g - np.sum(g * out, axis=axis, keepdims=True)))
def _softmax(x: Any, axis: int = -1) -> Any:
    out = np.exp(x - x.max(axis=axis, keepdims=True))
    out /= out.sum(axis=axis, keepdims=True)
    return out


class Probabilities(Tensor):
    """What softmax returns: a tensor that remembers its logits, where cross_entropy begins."""

    __slots__ = ("logits",)
    logits: Tensor


def softmax(x: Any, axis: int = -1) -> Any:
    """eˣ / Σ eˣ along an axis, without overflow: positive numbers that sum to 1.

    >>> softmax(Tensor([0.0, 0.0, 1000.0]))
    Tensor([0., 0., 1.])
    """
    x = real(x)
    p = _softmax(x, axis=axis)
    if not isinstance(x, Tensor) or axis not in (-1, x.ndim - 1):
        return p
    result = Probabilities(p)
    result.requires_grad, result.node = p.requires_grad, p.node
    result.logits = x if p.requires_grad else x.detach()  # not recorded is not recorded
    return result


@primitive(
    lambda g, _, x, axis=-1, keepdims=False: (
        expand_reduced(g, x.shape, axis, keepdims) * _softmax(x, axis=axis)
    )
)
def _logsumexp(x: Any, axis: Any = -1, keepdims: bool = False) -> Any:
    top = np.max(x, axis=axis, keepdims=True)
    out = np.log(np.sum(np.exp(x - top), axis=axis, keepdims=True)) + top
    return out if keepdims else np.squeeze(out, axis)


def logsumexp(x: Any, axis: Any = -1, keepdims: bool = False) -> Any:
    """log Σ eˣ along an axis, several or (None) all, without overflow.

    >>> logsumexp(Tensor([1000.0, 1000.0]))
    Tensor(1000.6932)
    """
    return _logsumexp(real(x), axis=axis, keepdims=keepdims)


def log_softmax(x: Any, axis: int = -1) -> Any:
    """log(softmax(x)), computed as x − log Σ eˣ, which never takes the logarithm of 0.

    >>> log_softmax(Tensor([0.0, 1000.0]))
    Tensor([-1000.,     0.])
    """
    return x - logsumexp(x, axis=axis, keepdims=True)


@primitive(
    lambda g, _, z, t: (
        (g / (z.size // z.shape[-1])) * (_softmax(z) * t.sum(axis=-1, keepdims=True) - t)
    ),
    lambda g, _, z, _t: (-g / (z.size // z.shape[-1])) * log_softmax(z),
)
def _cross_entropy(z: Any, t: Any) -> Any:
    z = z - z.max(axis=-1, keepdims=True)
    log_total = np.log(np.exp(z).sum(axis=-1, keepdims=True))
    return (t * (log_total - z)).sum() / (z.size // z.shape[-1])


def cross_entropy(logits: Any, labels: Any) -> Any:
    """Mean of −Σ t·log softmax(z) over the rows: z the logits (..., classes), t the labels.

    labels: integers (...), or a row of probabilities for each row of logits, such as one-hot rows.
    What comes out of softmax is taken back to its logits: log(softmax) is never computed.
    Like PyTorch's, unlike Keras's default, it expects logits.

    >>> z = Tensor([[2.0, 0.0], [0.0, 2.0]])
    >>> cross_entropy(z, [0, 1]), cross_entropy(softmax(z), [[1.0, 0.0], [0.0, 1.0]])
    (Tensor(0.12692805), Tensor(0.12692805))
    """
    logits = real(logits.logits if isinstance(logits, Probabilities) else logits)
    labels = labels if isinstance(labels, Tensor) else np.asarray(labels)
    if logits.ndim == 0 or logits.shape[-1] < 2:
        raise ValueError(
            f"cross_entropy: logits (…, classes) of 2 or more classes are required, received shape "
            f"{logits.shape}; for two classes, let the last layer have 2 units"
        )
    if labels.dtype.kind in "iub" and labels.shape == logits.shape[:-1]:
        labels = one_hot(labels, logits)
    if labels.shape != logits.shape:
        raise ValueError(
            f"cross_entropy: logits of shape {logits.shape} need integer labels of shape "
            f"{logits.shape[:-1]} or rows of shape {logits.shape}; received shape {labels.shape}, "
            f"{labels.dtype}"
        )
    return _cross_entropy(logits, in_dtype(labels, logits.dtype))


def one_hot(labels: Any, logits: Any) -> np.ndarray:
    """Integer labels (...) as rows (..., classes) with a 1 each, in the form of the logits."""
    classes = logits.shape[-1]
    hot = labels[..., None] == np.arange(classes)
    if np.count_nonzero(hot) != labels.size:
        raise ValueError(
            f"cross_entropy: labels must lie in 0 … {classes - 1} for {classes} classes; "
            f"received {labels.min()} … {labels.max()}"
        )
    return hot.astype(logits.dtype)


def mean_squared_error(prediction: Any, target: Any) -> Any:
    """Mean of (ŷ − y)² over all elements; both must have the same shape, for nothing is broadcast.

    >>> mean_squared_error(Tensor([1.0, 2.0]), [1.0, 4.0])
    Tensor(2.)
    """
    prediction, target = matching("mean_squared_error", prediction, target)
    return np.mean(np.square(prediction - target))


def mean_absolute_error(prediction: Any, target: Any) -> Any:
    """Mean of |ŷ − y| over all elements; both must have the same shape.

    >>> mean_absolute_error(Tensor([1.0, 2.0]), [1.0, 4.0])
    Tensor(1.)
    """
    prediction, target = matching("mean_absolute_error", prediction, target)
    return np.mean(np.abs(prediction - target))


def matching(who: str, prediction: Any, target: Any) -> Any:
    """Both in the dtype of the prediction, if their shapes are the same."""
    prediction = real(prediction)
    target = in_dtype(target, prediction.dtype)
    if target.shape != prediction.shape:
        raise ValueError(
            f"{who}: prediction and target need the same shape; received {prediction.shape} and "
            f"{target.shape}. Reshape the target, for instance with y.reshape({prediction.shape})"
        )
    return prediction, target


def dropout(x: Any, rate: float, rng: np.random.Generator) -> Any:
    """x with each element set to 0 with probability `rate`, the others scaled by 1 / (1 − rate).

    The expectation stays the same, so that nothing need be done at test time
    (Srivastava et al. 2014; "inverted" dropout).

    >>> dropout(Tensor([1.0, 1.0, 1.0, 1.0]), 0.5, np.random.default_rng(0))
    Tensor([2., 2., 2., 0.])
    """
    if not 0 <= rate < 1:
        raise ValueError(f"dropout: rate must lie in [0, 1), received {rate!r}")
    x = real(x)
    keep = rng.random(x.shape, dtype=np.float32) >= rate
    return x * (keep / np.asarray(1 - rate, x.dtype))
