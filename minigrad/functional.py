"""What networks need and NumPy lacks: activations, losses, dropout.

In reading order: activations, the linear layer, losses. Each takes and returns tensors, or plain
arrays, in float32 or float64.
"""

from typing import Any

import numpy as np

from .activations import dropout, elu, gelu, layer_norm, leaky_relu, rms_norm, silu, softplus
from .autograd import Tensor, primitive
from .autograd.conversion import unwrap
from .autograd.numpy_vjps import expand_reduced, log_sum_exp
from .utils import TensorLike, TensorOrArray, as_dtype, as_float, one_hot, warn_user, weighted

__all__ = [
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "cross_entropy", "dropout", "elu",
    "gelu", "hinge", "huber_loss", "kl_divergence_with_logits", "layer_norm", "leaky_relu",
    "linear", "log_softmax", "logsumexp", "mean_absolute_error", "mean_squared_error", "nll_loss",
    "relu", "rms_norm", "sigmoid", "silu", "softmax", "softplus",
]  # fmt: skip

# Activations


@primitive(lambda g, out, _x: g * (out > 0))
def relu(x: TensorLike) -> TensorOrArray:
    """max(x, 0). The derivative at 0 is 0, as in PyTorch and Keras.

    >>> relu(Tensor([-1.0, 2.0]))
    Tensor([0., 2.])
    """
    return np.maximum(x, 0)


def sigmoid(x: TensorLike) -> TensorOrArray:
    """1 / (1 + e⁻ˣ), without overflow.

    >>> sigmoid(Tensor([0.0, -1000.0]))
    Tensor([0.5, 0. ])
    """
    from scipy.special import expit  # importing SciPy takes 0.2 s

    z = as_float(x)
    # with_logits adds z to the result: a loss then computes from z, not from a rounded probability
    return with_logits(SigmoidProbabilities, expit(z), z)


# ∂pᵢ/∂xⱼ = pᵢ·(1 − pⱼ) if i = j, else −pᵢ·pⱼ; so the vjp is p·(g − Σ g·p)
@primitive(lambda g, out, _x, axis=-1: out * (g - np.sum(g * out, axis=axis, keepdims=True)))
def _softmax(x: Any, axis: int = -1) -> Any:
    out = np.exp(x - x.max(axis=axis, keepdims=True))
    out /= out.sum(axis=axis, keepdims=True)
    return out


def softmax(x: TensorLike, axis: int = -1) -> TensorOrArray:
    """eˣ / Σ eˣ along an axis, without overflow: numbers from 0 to 1 that sum to 1.

    >>> softmax(Tensor([0.0, 0.0, 1000.0]))
    Tensor([0., 0., 1.])
    """
    z = as_float(x)
    p = _softmax(z, axis=axis)
    return with_logits(SoftmaxProbabilities, p, z) if axis in (-1, z.ndim - 1) else p


# Linear layer


def linear_vjp_x(g: Any, _out: Any, _x: Any, w: Any, _b: Any) -> Any:
    """Return g wᵀ."""
    return g @ w.T


def linear_vjp_w(g: Any, _out: Any, x: Any, _w: Any, _b: Any) -> Any:
    """Return xᵀ g."""
    return np.dot(as_matrix(x).T, as_matrix(g))  # with one row, @ takes eight times as long


def linear_vjp_b(g: Any, *_: Any) -> Any:
    """Return g, summed over the rows."""
    return as_matrix(g).sum(axis=0)


@primitive(linear_vjp_x, linear_vjp_w, linear_vjp_b)
def linear(x: Any, w: Any, b: Any) -> TensorOrArray:
    """x @ w + b as one operation: x (..., n), w (n, m), b (m,) give (..., m).

    >>> linear(Tensor([[1.0, 2.0]]), Tensor([[3.0], [4.0]]), Tensor([5.0]))
    Tensor([[16.]])
    """
    out = x @ w
    out += b
    return out


def as_matrix(x: Any) -> Any:
    """Merge all axes but the last: (..., n) becomes (N, n)."""
    return x if x.ndim == 2 else np.reshape(x, (-1, x.shape[-1]))


# Losses


def cross_entropy_vjp_logits(g: Any, _out: Any, z: Any, t: Any) -> Any:
    """Return g · (softmax(z)·Σt − t) / n for n rows, with z the logits and t the labels.

    Σt, the sum of a row of labels, is 1, or the sample weight of the row.
    """
    return g / row_count(z) * (_softmax(z) * t.sum(axis=-1, keepdims=True) - t)


def cross_entropy_vjp_labels(g: Any, _out: Any, z: Any, _t: Any) -> Any:
    """Return −g · log softmax(z) / n, if the labels are the output of another network."""
    return -g / row_count(z) * log_softmax(z)


def row_count(z: Any) -> int:
    return z.size // z.shape[-1]


@primitive(cross_entropy_vjp_logits, cross_entropy_vjp_labels)
def _cross_entropy(z: Any, t: Any) -> Any:
    z = z - z.max(axis=-1, keepdims=True)  # the largest eᶻ is 1, so nothing overflows
    log_total = np.log(np.exp(z).sum(axis=-1, keepdims=True))
    return (t * np.where(t == 0, 0, log_total - z)).sum() / row_count(z)  # z may be −∞ where t is 0


def cross_entropy(
    logits: TensorLike, labels: TensorLike, sample_weight: TensorLike | None = None
) -> TensorOrArray:
    """−Σ t·log softmax(z), averaged over the rows: z the logits (..., classes), t the labels.

    labels: an integer for each row of logits, or a row of probabilities, such as a one-hot row.
    sample_weight: a factor for each row; the sum is still divided by the number of rows.
    The function expects logits, like PyTorch's and unlike Keras's default. A tensor that `softmax`
    returned (over the last axis) also works: its logits are used, because the logarithm of a
    probability that rounds to 0 is infinite. Other rows that are probabilities cause a warning.
    Raises ValueError for fewer than 2 classes, for labels of another shape or out of range.

    >>> z = Tensor([[2.0, 0.0], [0.0, 2.0]])
    >>> cross_entropy(z, [0, 1]), cross_entropy(softmax(z), [[1.0, 0.0], [0.0, 1.0]])
    (Tensor(0.12692805), Tensor(0.12692805))
    """
    z = logits_of("cross_entropy", logits)
    return _cross_entropy(z, weighted(rows_of_labels("cross_entropy", z, labels), sample_weight))


def mean_squared_error(
    prediction: TensorLike, target: TensorLike, sample_weight: TensorLike | None = None
) -> TensorOrArray:
    """(ŷ − y)², averaged over all elements. Both must have the same shape; nothing is broadcast.

    >>> mean_squared_error(Tensor([1.0, 2.0]), [1.0, 4.0])
    Tensor(2.)
    """
    y_hat, y = same_shape("mean_squared_error", prediction, target)
    return np.mean(weighted(np.square(y_hat - y), sample_weight))


def same_shape(who: str, prediction: TensorLike, target: TensorLike) -> tuple[Any, Any]:
    """Return both in the dtype of the prediction; raise ValueError if their shapes differ."""
    y_hat = as_float(prediction)
    y = as_dtype(target, y_hat.dtype)
    if y.shape != y_hat.shape:
        shape = ", ".join(map(str, (-1, *y_hat.shape[1:])))
        advice = f". Reshape the target: y.reshape({shape})" if y.size == y_hat.size else ""
        required = f"{who}: prediction and target need the same shape"
        raise ValueError(f"{required}; received {y_hat.shape} and {y.shape}{advice}")
    return y_hat, y


# ---- For advanced readers ----


class Probabilities(Tensor):
    """The result of sigmoid or softmax; it keeps its logits, which are more precise in a loss."""

    __slots__ = ("logits",)
    logits: Tensor


class SigmoidProbabilities(Probabilities): ...


class SoftmaxProbabilities(Probabilities): ...


def with_logits(cls: type[Probabilities], p: Any, z: Any) -> Any:
    """Return the tensor p with its logits z; an array stays an array."""
    if not isinstance(z, Tensor):
        return p
    result = cls(p.data)
    result.requires_grad, result.node = p.requires_grad, p.node
    result.logits = z if p.requires_grad else z.detach()  # under no_grad, keep no graph
    return result


# Losses, means over all elements


def mean_absolute_error(
    prediction: TensorLike, target: TensorLike, sample_weight: TensorLike | None = None
) -> TensorOrArray:
    """|ŷ − y|, averaged over all elements. Both must have the same shape; nothing is broadcast.

    >>> mean_absolute_error(Tensor([1.0, 2.0]), [1.0, 4.0])
    Tensor(1.)
    """
    y_hat, y = same_shape("mean_absolute_error", prediction, target)
    return np.mean(weighted(np.abs(y_hat - y), sample_weight))


def huber_loss(
    prediction: TensorLike, target: TensorLike, delta: float = 1.0,
    sample_weight: TensorLike | None = None,
) -> TensorOrArray:  # fmt: skip
    """d²/2 where |d| ≤ δ, otherwise δ·(|d| − δ/2), with d = ŷ − y."""
    if not delta > 0:
        raise ValueError(f"huber_loss: delta must be greater than 0, received {delta!r}")
    y_hat, y = same_shape("huber_loss", prediction, target)
    d = y_hat - y
    clipped = np.clip(d, -delta, delta)
    return np.mean(weighted(clipped * (d - clipped / 2), sample_weight))


def hinge(
    prediction: TensorLike, target: TensorLike, sample_weight: TensorLike | None = None
) -> TensorOrArray:
    """max(0, 1 − t·ŷ), labels t of −1 and 1. Labels of 0 and 1 are converted, as in Keras."""
    y_hat, t = same_shape("hinge", prediction, target)
    if np.isin(unwrap(t), (0, 1)).all():
        t = 2 * t - 1
    if not np.isin(unwrap(t), (-1, 1)).all():
        required = "hinge: labels of −1 and 1, or of 0 and 1, are required"
        raise ValueError(f"{required}; received {unwrap(t)!r:.80}")
    return np.mean(weighted(np.maximum(0, 1 - t * y_hat), sample_weight))


@primitive(
    lambda g, _out, p, t: g * (p - t) / np.maximum(p * (1 - p), 1e-12),
    lambda g, _out, p, _t: g * (np.log1p(-p) - np.log(p)),
)
def _binary_cross_entropy(p: Any, t: Any) -> Any:
    with np.errstate(divide="ignore"):
        log_p, log_q = np.maximum(np.log(p), -100), np.maximum(np.log1p(-p), -100)
    return -(t * log_p + (1 - t) * log_q)


def check_targets(who: str, t: Any) -> None:
    """Raise ValueError if targets, probabilities of label 1, lie outside of 0 … 1."""
    if not np.all((t >= 0) & (t <= 1)):
        raise ValueError(f"{who}: targets from 0 to 1 are required; received {unwrap(t)!r:.80}")


def binary_cross_entropy(
    prediction: TensorLike, target: TensorLike, sample_weight: TensorLike | None = None
) -> TensorOrArray:
    """−t·log p − (1 − t)·log(1 − p), p the probability of label 1, t from 0 to 1.

    As in PyTorch, a logarithm below −100 counts as −100. The function of logits has no such limit.
    """
    p, t = same_shape("binary_cross_entropy", prediction, target)
    check_targets("binary_cross_entropy", t)
    if not np.all((p >= 0) & (p <= 1)):
        required = "binary_cross_entropy: probabilities from 0 to 1 are required"
        received = f"received {unwrap(p)!r:.80}"
        raise ValueError(f"{required}, {received}; or call binary_cross_entropy_with_logits")
    return np.mean(weighted(_binary_cross_entropy(p, t), sample_weight))


def binary_cross_entropy_with_logits(
    prediction: TensorLike, target: TensorLike, pos_weight: Any = 1,
    sample_weight: TensorLike | None = None,
) -> TensorOrArray:  # fmt: skip
    """−w·t·log p − (1 − t)·log(1 − p), p = sigmoid(ŷ), w = pos_weight: a number, or an array."""
    z = prediction.logits if isinstance(prediction, SigmoidProbabilities) else prediction
    z, t = same_shape("binary_cross_entropy_with_logits", z, target)
    check_targets("binary_cross_entropy_with_logits", t)
    losses = as_dtype(pos_weight, z.dtype) * t * softplus(-z) + (1 - t) * softplus(z)
    return np.mean(weighted(losses, sample_weight))


# Losses, means over the rows


def nll_loss(
    log_probabilities: TensorLike, labels: TensorLike, sample_weight: TensorLike | None = None
) -> TensorOrArray:
    """−Σ t·log p, t labels as in cross_entropy. For log p = log_softmax(z) both are equal."""
    log_p = as_float(log_probabilities)
    t = rows_of_labels("nll_loss", log_p, labels)
    return -np.sum(weighted(t * np.where(t == 0, 0, log_p), sample_weight)) / row_count(log_p)


def kl_divergence_with_logits(
    logits: TensorLike, target: TensorLike, sample_weight: TensorLike | None = None
) -> TensorOrArray:
    """Σ t·log(t / p), averaged over the rows: KL(t ‖ p), the divergence of t from p = softmax(z).

    It is PyTorch's kl_div(log_softmax(z), t, reduction="batchmean"). With p instead of the logits,
    it is np.sum(scipy.special.rel_entr(t, p)) / n for n rows.
    """
    from scipy.special import entr

    who = "kl_divergence_with_logits"
    z, t = same_shape(who, logits_of(who, logits), target)
    t = rows_of_labels(who, z, t)  # raises ValueError for fewer than 2 classes
    entropy = np.sum(weighted(entr(t), sample_weight)) / row_count(z)
    return _cross_entropy(z, weighted(t, sample_weight)) - entropy


def logits_of(who: str, x: TensorLike) -> Any:
    """Return the logits that a result of softmax keeps, or x itself; warn if x is probabilities."""
    if isinstance(x, SoftmaxProbabilities):
        return x.logits
    z = as_float(x)
    if are_probabilities(unwrap(z)):
        warn_user(
            f"{who}: logits are required, the numbers before the softmax; received probabilities "
            "(each row sums to 1). Leave out the softmax, or pass its result as it is. For "
            'probabilities there is the loss "categorical_crossentropy"'
        )
    return z


def are_probabilities(z: np.ndarray) -> bool:
    """Return whether all numbers are ≥ 0 and each row sums to 1. One-hot rows may be logits."""
    if not z.size or not z.ndim or z.min() < 0 or z.max() > 2:  # the usual case, and cheap
        return False
    tolerance = 1e-3 if row_count(z) > 1 else 1e-6  # the logits of one row may sum to nearly 1
    return bool(np.allclose(z.sum(axis=-1), 1, rtol=0, atol=tolerance) and np.any(z % 1))


def rows_of_labels(who: str, z: Any, labels: TensorLike) -> Any:
    """Return labels as rows with the shape and dtype of z: integers as one-hot rows."""
    t: Any = labels if isinstance(labels, Tensor) else np.asarray(labels)
    if z.ndim == 0 or z.shape[-1] < 2:
        required = f"{who}: rows of 2 or more classes are required, received shape {z.shape}"
        raise ValueError(f"{required}; for two classes, let the last layer have 2 units")
    if t.dtype.kind in "iub" and t.shape == (*z.shape[:-1], 1):
        t = t[..., 0]  # a column of labels
    if t.dtype.kind in "iub" and t.shape == z.shape[:-1]:
        return one_hot(who, unwrap(t), z.shape[-1], z.dtype)
    if t.shape != z.shape:
        required = f"rows of shape {z.shape} need integer labels of shape {z.shape[:-1]}"
        received = f"received shape {t.shape}, {t.dtype}"
        raise ValueError(f"{who}: {required} or rows of shape {z.shape}; {received}")
    return as_dtype(t, z.dtype)


# Logarithms of sums


@primitive(
    lambda g, _out, x, axis=-1, keepdims=False: (
        expand_reduced(g, x.shape, axis, keepdims) * _softmax(x, axis=axis)
    )
)
def _logsumexp(x: Any, axis: Any = -1, keepdims: bool = False) -> Any:
    return log_sum_exp(x, axis, keepdims)


def logsumexp(
    x: TensorLike, axis: int | tuple[int, ...] | None = -1, keepdims: bool = False
) -> TensorOrArray:
    """log Σ eˣ along an axis, several axes, or all (None), without overflow.

    The logarithm of a sum of zeros, all x being −∞, is −∞; its gradient is NaN, as in PyTorch.

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
