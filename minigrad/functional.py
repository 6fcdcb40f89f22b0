"""Functions for networks that NumPy does not have: activations, losses, dropout.

Sorted by difficulty. Each takes and returns tensors, or plain arrays, in float32 or float64.
"""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .autograd import Tensor, primitive
from .autograd.conversion import check_dtype, to_float_array
from .autograd.numpy_vjps import expand_reduced
from .utils import one_hot

TensorLike: TypeAlias = Tensor | npt.ArrayLike
TensorOrArray: TypeAlias = Any  # a Tensor if an argument is a Tensor, otherwise an array

# Activations


@primitive(lambda g, out, _x: g * (out > 0))
def relu(x: TensorLike) -> TensorOrArray:
    """max(x, 0). The derivative at 0 is 0, as in PyTorch and Keras.

    >>> relu(Tensor([-1.0, 2.0]))
    Tensor([0., 2.])
    """
    return np.maximum(x, 0)


@primitive(lambda g, out, _x: g * out * (1 - out))
def sigmoid(x: TensorLike) -> TensorOrArray:
    """1 / (1 + e⁻ˣ), without overflow.

    >>> sigmoid(Tensor([0.0, -1000.0]))
    Tensor([0.5, 0. ])
    """
    from scipy.special import expit  # importing SciPy takes 0.2 s

    return expit(x)


# p = softmax(x) has the vjp p·(g − Σ g·p)
@primitive(lambda g, out, _x, axis=-1: out * (g - np.sum(g * out, axis=axis, keepdims=True)))
def _softmax(x: Any, axis: int = -1) -> Any:
    out = np.exp(x - x.max(axis=axis, keepdims=True))
    out /= out.sum(axis=axis, keepdims=True)
    return out


class Probabilities(Tensor):
    """The result of softmax, which remembers its logits: cross_entropy uses them for precision."""

    __slots__ = ("logits",)
    logits: Tensor


def softmax(x: TensorLike, axis: int = -1) -> TensorOrArray:
    """eˣ / Σ eˣ along an axis, without overflow: numbers from 0 to 1 that sum to 1.

    >>> softmax(Tensor([0.0, 0.0, 1000.0]))
    Tensor([0., 0., 1.])
    """
    z = as_float(x)
    p = _softmax(z, axis=axis)
    if not isinstance(z, Tensor) or axis not in (-1, z.ndim - 1):
        return p
    result = Probabilities(p)
    result.requires_grad, result.node = p.requires_grad, p.node
    result.logits = z if p.requires_grad else z.detach()  # under no_grad, keep no graph
    return result


# Linear layer


def linear_vjp_w(g: Any, _out: Any, x: Any, _w: Any, _b: Any) -> Any:
    """Return xᵀ g. With one row, @ takes ten times as long as np.dot."""
    return np.dot(rows(x).T, rows(g))


@primitive(lambda g, _out, _x, w, _b: g @ w.T, linear_vjp_w, lambda g, *_: rows(g).sum(axis=0))
def linear(x: Any, w: Any, b: Any) -> TensorOrArray:
    """x @ w + b as one operation: x (..., n), w (n, m), b (m,) give (..., m).

    >>> linear(Tensor([[1.0, 2.0]]), Tensor([[3.0], [4.0]]), Tensor([5.0]))
    Tensor([[16.]])
    """
    out = x @ w
    out += b
    return out


def rows(x: Any) -> Any:
    """Join all axes but the last: (..., n) becomes (N, n)."""
    return x if x.ndim == 2 else np.reshape(x, (-1, x.shape[-1]))


# Losses, means over the examples


def cross_entropy_vjp_logits(g: Any, _out: Any, z: Any, t: Any) -> Any:
    """Return g · (softmax(z)·Σt − t) / n for n rows; Σt, the sum of a row of labels, is 1."""
    return g / row_count(z) * (_softmax(z) * t.sum(axis=-1, keepdims=True) - t)


def cross_entropy_vjp_labels(g: Any, _out: Any, z: Any, _t: Any) -> Any:
    """Return −g · log softmax(z) / n."""
    return -g / row_count(z) * log_softmax(z)


def row_count(z: Any) -> int:
    return z.size // z.shape[-1]


@primitive(cross_entropy_vjp_logits, cross_entropy_vjp_labels)
def _cross_entropy(z: Any, t: Any) -> Any:
    z = z - z.max(axis=-1, keepdims=True)  # the largest eᶻ is 1, so nothing overflows
    log_total = np.log(np.exp(z).sum(axis=-1, keepdims=True))
    return (t * (log_total - z)).sum() / row_count(z)


def cross_entropy(logits: TensorLike, labels: TensorLike) -> TensorOrArray:
    """−Σ t·log softmax(z), averaged over the rows: z the logits (..., classes), t the labels.

    labels: integers (...), or for each row of logits a row of probabilities, such as one-hot rows.
    It expects logits, like PyTorch's function and unlike Keras's default. A tensor that `softmax`
    returned (over the last axis) also works: its logits are used, because the logarithm of a
    probability that rounds to 0 is infinite.
    Raises ValueError for fewer than 2 classes, for labels of another shape or out of range.

    >>> z = Tensor([[2.0, 0.0], [0.0, 2.0]])
    >>> cross_entropy(z, [0, 1]), cross_entropy(softmax(z), [[1.0, 0.0], [0.0, 1.0]])
    (Tensor(0.12692805), Tensor(0.12692805))
    """
    z = as_float(logits.logits if isinstance(logits, Probabilities) else logits)
    t: Any = labels if isinstance(labels, Tensor) else np.asarray(labels)
    if z.ndim == 0 or z.shape[-1] < 2:
        raise ValueError(
            f"cross_entropy: logits (…, classes) of 2 or more classes are required, received shape "
            f"{z.shape}; for two classes, let the last layer have 2 units"
        )
    if t.dtype.kind in "iub" and t.shape == z.shape[:-1]:
        t = one_hot("cross_entropy", t, z.shape[-1], z.dtype)
    if t.shape != z.shape:
        raise ValueError(
            f"cross_entropy: logits of shape {z.shape} need integer labels of shape "
            f"{z.shape[:-1]} or rows of shape {z.shape}; received shape {t.shape}, {t.dtype}"
        )
    return _cross_entropy(z, as_dtype(t, z.dtype))


def mean_squared_error(prediction: TensorLike, target: TensorLike) -> TensorOrArray:
    """(ŷ − y)², averaged over all elements. Both must have the same shape; nothing is broadcast.

    >>> mean_squared_error(Tensor([1.0, 2.0]), [1.0, 4.0])
    Tensor(2.)
    """
    y_hat, y = same_shape("mean_squared_error", prediction, target)
    return np.mean(np.square(y_hat - y))


def as_float(x: TensorLike) -> Any:
    """Convert lists and integers to float32; keep float32 and float64."""
    array = x if isinstance(x, (Tensor, np.ndarray)) else to_float_array("minigrad.functional", x)
    check_dtype("minigrad.functional", array)
    return array if array.dtype.kind == "f" else array.astype(np.float32)


def as_dtype(x: TensorLike, dtype: npt.DTypeLike) -> Any:
    """Convert to a dtype, without a copy if x has it."""
    array = x if isinstance(x, Tensor) else np.asarray(x)
    return array if array.dtype == dtype else array.astype(dtype)


def same_shape(who: str, prediction: TensorLike, target: TensorLike) -> tuple[Any, Any]:
    """Return both in the dtype of the prediction; raise ValueError if their shapes differ."""
    y_hat = as_float(prediction)
    y = as_dtype(target, y_hat.dtype)
    if y.shape != y_hat.shape:
        raise ValueError(
            f"{who}: prediction and target need the same shape; received {y_hat.shape} and "
            f"{y.shape}. Reshape the target, for instance with y.reshape({y_hat.shape})"
        )
    return y_hat, y


# ---- For advanced readers ----


def mean_absolute_error(prediction: TensorLike, target: TensorLike) -> TensorOrArray:
    """|ŷ − y|, averaged over all elements. Both must have the same shape; nothing is broadcast.

    >>> mean_absolute_error(Tensor([1.0, 2.0]), [1.0, 4.0])
    Tensor(1.)
    """
    y_hat, y = same_shape("mean_absolute_error", prediction, target)
    return np.mean(np.abs(y_hat - y))


@primitive(
    lambda g, _out, x, axis=-1, keepdims=False: (
        expand_reduced(g, x.shape, axis, keepdims) * _softmax(x, axis=axis)
    )
)
def _logsumexp(x: Any, axis: Any = -1, keepdims: bool = False) -> Any:
    top = np.max(x, axis=axis, keepdims=True)
    out = np.log(np.sum(np.exp(x - top), axis=axis, keepdims=True)) + top
    return out if keepdims else np.squeeze(out, axis)


def logsumexp(
    x: TensorLike, axis: int | tuple[int, ...] | None = -1, keepdims: bool = False
) -> TensorOrArray:
    """log Σ eˣ along an axis, several axes, or all (None), without overflow.

    >>> logsumexp(Tensor([1000.0, 1000.0]))
    Tensor(1000.6932)
    """
    return _logsumexp(as_float(x), axis=axis, keepdims=keepdims)


def log_softmax(x: TensorLike, axis: int = -1) -> TensorOrArray:
    """log(softmax(x)), computed as x − log Σ eˣ: the logarithm of 0 is never taken.

    >>> log_softmax(Tensor([0.0, 1000.0]))
    Tensor([-1000.,     0.])
    """
    z = as_float(x)
    return z - logsumexp(z, axis=axis, keepdims=True)


def dropout(x: TensorLike, rate: float, rng: np.random.Generator) -> TensorOrArray:
    """Set each element to 0 with probability `rate`; multiply the others by 1 / (1 − rate).

    The expectation stays the same, so that no correction is needed at test time
    (Srivastava et al. 2014; "inverted" dropout). Raises ValueError for a rate outside of [0, 1).

    >>> dropout(Tensor([1.0, 1.0, 1.0, 1.0]), 0.5, np.random.default_rng(0))
    Tensor([2., 2., 2., 0.])
    """
    check_rate("dropout", rate)
    values = as_float(x)
    keep = rng.random(values.shape, dtype=np.float32) >= rate
    return values * (keep / np.asarray(1 - rate, values.dtype))


def check_rate(who: str, rate: float) -> None:
    """Raise ValueError if a dropout rate is not a number in [0, 1)."""
    if not isinstance(rate, (float, int, np.number)) or not 0 <= rate < 1:
        raise ValueError(f"{who}: rate must be a number in [0, 1), received {rate!r}")
