"""Losses and metrics: their names, Keras's classes, accuracy.

minigrad's functions take (prediction, target), as in PyTorch. Your own functions and objects are
called f(y_true, y_pred), as in Keras and scikit-learn: the target comes first. A loss returns a
Tensor: one number, or one for each example. A metric returns a number. Every loss is also a metric.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np

from . import functional
from .autograd import Tensor, no_grad
from .autograd.conversion import unwrap
from .functional import cross_entropy, log_softmax, mean_squared_error, rows_of_labels, same_shape
from .training_data import match_target
from .utils import TensorLike, TensorOrArray, as_float, lookup, warn_user, weighted

EPSILON = 1e-7  # Keras's: probabilities are clipped to ε … 1 − ε


class Loss:
    """Base of losses of Keras's form: loss(y_true, y_pred, sample_weight=None).

    A subclass defines call(y_true, y_pred), which returns one number for each example.
    """

    def call(self, y_true: TensorLike, y_pred: TensorLike) -> TensorOrArray:
        raise NotImplementedError(f"{type(self).__name__} must define call(self, y_true, y_pred)")

    def __call__(
        self, y_true: TensorLike, y_pred: TensorLike, sample_weight: TensorLike | None = None
    ) -> TensorOrArray:
        return np.mean(weighted(self.call(y_true, y_pred), sample_weight))


class MeanSquaredError(Loss):
    """(ŷ − y)², averaged over all elements; called (y_true, y_pred), as in Keras."""

    def call(self, y_true: TensorLike, y_pred: TensorLike) -> TensorOrArray:
        y_hat, y = same_shape(type(self).__name__, y_pred, y_true)
        return np.square(y_hat - y)


class BinaryCrossentropy(Loss):
    """−t·log p − (1 − t)·log(1 − p), averaged; called (y_true, y_pred), as in Keras.

    y_true: t, 0 or 1, or between. y_pred: probabilities p; with from_logits, logits.
    label_smoothing = s: t ← t·(1 − s) + s/2.
    p is clipped to 1e-7 … 1 − 1e-7: a smaller probability counts as 1e-7 and receives no gradient.
    The result of a sigmoid still has its logits: they are used, without this limit.
    """

    def __init__(self, from_logits: bool = False, label_smoothing: float = 0.0):
        self.from_logits, self.label_smoothing = from_logits, label_smoothing

    def call(self, y_true: TensorLike, y_pred: TensorLike) -> TensorOrArray:
        logits = y_pred.logits if isinstance(y_pred, functional.SigmoidProbabilities) else None
        outputs = y_pred if logits is None else logits
        outputs, t = same_shape(type(self).__name__, outputs, y_true)
        functional.check_targets(type(self).__name__, t)
        t = t * (1 - self.label_smoothing) + self.label_smoothing / 2
        if self.from_logits or logits is not None:
            z = outputs
            return t * functional.softplus(-z) + (1 - t) * functional.softplus(z)
        warn_of_negative("BinaryCrossentropy", "sigmoid", outputs)
        p = np.clip(outputs, EPSILON, 1 - EPSILON)
        return -(t * np.log(p) + (1 - t) * np.log(1 - p))


class CategoricalCrossentropy(Loss):
    """−Σ t·log p, averaged over the rows; called (y_true, y_pred), as in Keras.

    y_true: integers or one-hot rows. y_pred: rows of probabilities; with from_logits, of logits.
    label_smoothing = s: t ← t·(1 − s) + s / classes.
    Each row is divided by its sum, then clipped to 1e-7 … 1 − 1e-7: a smaller probability counts as
    1e-7 and receives no gradient. The result of a softmax still has its logits: they are used,
    without this limit.
    """

    def __init__(self, from_logits: bool = False, label_smoothing: float = 0.0):
        self.from_logits, self.label_smoothing = from_logits, label_smoothing

    def call(self, y_true: TensorLike, y_pred: TensorLike) -> TensorOrArray:
        logits = y_pred.logits if isinstance(y_pred, functional.SoftmaxProbabilities) else None
        outputs = as_float(y_pred if logits is None else logits)
        t, s = rows_of_labels(type(self).__name__, outputs, y_true), self.label_smoothing
        t = t * (1 - s) + s / outputs.shape[-1] if s else t
        if self.from_logits or logits is not None:
            log_p = log_softmax(outputs)
        else:
            warn_of_negative("CategoricalCrossentropy", "softmax", outputs)
            p = outputs / np.sum(outputs, axis=-1, keepdims=True)
            log_p = np.log(np.clip(p, EPSILON, 1 - EPSILON))
        return -np.sum(t * np.where(t == 0, 0, log_p), axis=-1)

    def __call__(
        self, y_true: TensorLike, y_pred: TensorLike, sample_weight: TensorLike | None = None
    ) -> TensorOrArray:
        has_logits = self.from_logits or isinstance(y_pred, functional.SoftmaxProbabilities)
        if has_logits and not self.label_smoothing:
            return cross_entropy(y_pred, y_true, sample_weight)  # one operation
        return super().__call__(y_true, y_pred, sample_weight)


SparseCategoricalCrossentropy = CategoricalCrossentropy


def warn_of_negative(loss: str, activation: str, p: Any) -> None:
    """Warn if probabilities are negative: they must be logits."""
    if np.any(p < 0):
        warn_user(
            f"{loss}: probabilities are required, received negative numbers. End the network with "
            f"a {activation}, or pass {loss}(from_logits=True)"
        )


def accuracy(prediction: TensorLike, target: TensorLike) -> float:
    """Return the fraction of examples whose highest score is the score of the target class.

    prediction: (…, classes); or the probability of class 1, (N,) or (N, 1), whose threshold is 0.5.
    target: integer labels (…), or one-hot rows of the prediction's shape.

    >>> accuracy([[0.1, 0.9], [0.8, 0.2]], [1, 1])
    0.5
    >>> accuracy([[0.9], [0.2]], [1, 1])
    0.5
    """
    y_hat, y = np.asarray(unwrap(prediction)), np.asarray(unwrap(target))
    if y_hat.ndim < 2 or y_hat.shape[-1] < 2:
        if np.any((y_hat < 0) | (y_hat > 1)):
            required = "accuracy: probabilities from 0 to 1 are required for one output"
            how = "for logits, use partial(binary_accuracy, threshold=0)"
            raise ValueError(f"{required}, received {y_hat!r:.80}; {how}")
        return binary_accuracy(y_hat, match_target(y_hat, y))
    if y.shape == y_hat.shape:
        if np.any(np.abs(y.sum(axis=-1) - 1) > 0.01):
            how = "for several labels an example, use binary_accuracy"
            raise ValueError(f"accuracy: one-hot rows are required, received {y!r:.80}; {how}")
        y = np.argmax(y, axis=-1)
    elif y.shape == (*y_hat.shape[:-1], 1):
        y = y[..., 0]
    if y.shape != y_hat.shape[:-1]:
        required = f"labels of shape {y_hat.shape[:-1]} or one-hot rows {y_hat.shape}"
        raise ValueError(f"accuracy: {required} are required, received {y.shape}")
    return float((y_hat.argmax(axis=-1) == y).sum() / y.size)


def binary_accuracy(prediction: TensorLike, target: TensorLike, threshold: float = 0.5) -> float:
    """Return the fraction of outputs for which (output > threshold) equals the label, 0 or 1.

    Both have the same shape, such as (N, 1), or (N, labels) where an example has several labels.

    >>> binary_accuracy([[0.9, 0.2], [0.4, 0.3]], [[1, 0], [1, 0]])
    0.75
    """
    y_hat, y = np.asarray(unwrap(prediction)), np.asarray(unwrap(target))
    if y.shape != y_hat.shape:
        required = f"binary_accuracy: labels of shape {y_hat.shape} are required"
        raise ValueError(f"{required}, received {y.shape}")
    if np.any((y != 0) & (y != 1)):
        raise ValueError(f"binary_accuracy: labels 0 and 1 are required, received {y!r:.80}")
    return float(((y_hat > threshold) == y).sum() / y.size)


class TargetFirst:
    """Call f(y_true, y_pred) as a function of (prediction, target), our order.

    If f returns one number for each example, return their mean.
    is_metric: pass plain arrays to f, as scikit-learn's metrics require.

    A metric that is not a mean over the examples, such as the area under a curve, has two methods:
    `statistics(y_true, y_pred)` returns a row of numbers for each example; `finish(mean)` computes
    the metric from the mean of these rows.
    """

    def __init__(self, f: Callable, name: str | None = None, is_metric: bool = False):
        self.f: Any = f
        self.__name__, self.is_metric = name or name_of(f), is_metric
        self.finish = getattr(f, "finish", None)
        self.is_weighted = getattr(f, "is_weighted", False)  # statistics(…, sample_weight)

    def __call__(
        self, prediction: Any, target: Any, sample_weight: TensorLike | None = None
    ) -> TensorOrArray:
        if self.is_metric:
            arrays = np.asarray(unwrap(target)), np.asarray(unwrap(prediction))
            if self.finish:
                weight = (sample_weight,) if self.is_weighted else ()
                return np.mean(self.f.statistics(*arrays, *weight), axis=0)
            values = unwrap(self.f(*arrays))
            return np.mean(values) if isinstance(values, np.ndarray) else values
        if isinstance(self.f, Loss):
            return self.f(target, prediction, sample_weight)
        values = self.f(target, prediction)
        if sample_weight is not None and np.shape(unwrap(values))[:1] != (len(prediction),):
            required = "a loss of your own must return one number for each example"
            raise ValueError(f"{self.__name__}: with weights, {required}; received {values!r:.80}")
        is_scalar = not isinstance(values, Tensor) or values.ndim == 0
        return values if is_scalar else np.mean(weighted(values, sample_weight))


def has_statistics(f: Callable) -> bool:
    """Return whether a metric is made of statistics of each example: see TargetFirst."""
    return getattr(f, "finish", None) is not None


def needs_all_examples(f: Callable) -> bool:
    """Return whether a metric must see all examples at once: a function of the user."""
    return getattr(f, "is_metric", False) and not has_statistics(f)


def compute_metrics(
    metrics: dict[str, Callable], prediction: Any, y: Any, sample_weight: Any = None
) -> dict[str, Any]:
    """Return each metric as a number; a metric with statistics (see TargetFirst) as an array."""
    numbers: dict[str, Any] = {}
    for name, f in metrics.items():
        with no_grad():
            weight = (sample_weight,) if getattr(f, "is_weighted", False) else ()
            value = unwrap(f(prediction, y, *weight))
        fits = has_statistics(f) or np.size(value) == 1
        if not fits or np.asarray(value).dtype.kind not in "fbiu":
            raise TypeError(f"the metric {name!r} must return a number, not {value!r:.80}")
        numbers[name] = value if has_statistics(f) else float(np.ravel(value)[0])
    return numbers


def finish_metrics(metrics: dict[str, Any], means: dict[str, Any]) -> dict[str, float]:
    """Return the loss and the metrics as numbers, from the means of what compute_metrics gave."""
    finished = {k: float(f.finish(means[k])) for k, f in metrics.items() if has_statistics(f)}
    return means | finished


def name_of(f: Callable) -> str:
    """Return the name of a loss or metric in logs and checkpoints: "huber_loss(delta=2.0)"."""
    if isinstance(f, partial):
        return f"{name_of(f.func)}({', '.join(f'{k}={x!r}' for k, x in f.keywords.items())})"
    return getattr(f, "__name__", type(f).__name__)


OURS = """mean_squared_error mean_absolute_error huber_loss hinge binary_cross_entropy
binary_cross_entropy_with_logits cross_entropy nll_loss kl_divergence_with_logits""".split()
KERAS_CROSSENTROPY = TargetFirst(CategoricalCrossentropy(), "cross_entropy")  # for checkpoints
LOSSES: dict[str, Callable] = {name: getattr(functional, name) for name in OURS} | {
    "mse": mean_squared_error,
    "mae": functional.mean_absolute_error,
    "huber": functional.huber_loss,
    "binary_crossentropy": TargetFirst(BinaryCrossentropy(), "binary_crossentropy"),
    "categorical_crossentropy": KERAS_CROSSENTROPY,
    "sparse_categorical_crossentropy": KERAS_CROSSENTROPY,
}
METRICS = LOSSES | {"accuracy": accuracy, "acc": accuracy, "binary_accuracy": binary_accuracy}


def get_loss(loss: str | Callable) -> Callable:
    """Return a loss, by its name, as a function of (prediction, target); instantiate a class.

    minigrad's functions stay as they are, also in functools.partial. See TargetFirst for others.
    """
    return resolve("loss", loss, LOSSES, is_metric=False)


def get_metric(metric: str | Callable) -> Callable:
    """Return a metric as a function of (prediction, target); a user's function receives arrays."""
    return resolve("metric", metric, METRICS, is_metric=True)


def metrics_by_name(metrics: Any) -> dict[str, Callable]:
    """Return the metrics for compile: one, or a list of them, as names, functions or objects."""
    is_one = isinstance(metrics, str) or callable(metrics)
    if not is_one and not isinstance(metrics, Iterable) and metrics is not None:
        required = "metrics must be a name, a function, or a list of them"
        raise TypeError(f"compile: {required}; received {metrics!r}")
    found: dict[str, Callable] = {}
    for metric in [metrics] if is_one else metrics or ():
        name = metric if isinstance(metric, str) else name_of(metric)
        if name in found or name == "loss":
            required = "compile: each metric needs its own name (its __name__)"
            raise ValueError(f"{required}; {name!r} is taken")
        found[name] = get_metric(metric)
    return found


def resolve(kind: str, f: str | Callable, table: dict[str, Callable], is_metric: bool) -> Callable:
    """Look up a name; wrap a function or an object that is not ours."""
    if not callable(f):
        return lookup(kind, f, table)
    f = f() if isinstance(f, type) and issubclass(f, Loss) else f
    if isinstance(f, type):
        raise TypeError(f"a {kind} must be a name, a function or an object, received the {f!r}")
    ours = f.func if isinstance(f, partial) else f
    if isinstance(f, TargetFirst) or ours in METRICS.values():
        return f
    return TargetFirst(f, is_metric=is_metric and not isinstance(f, Loss))
