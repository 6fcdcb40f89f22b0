"""Losses and metrics: their names, Keras's classes, accuracy.

Our functions take (prediction, target), as in PyTorch. Every other function, and every object, is
called f(y_true, y_pred), as in Keras and scikit-learn: the target comes first. A loss returns a
Tensor. A metric returns a number; each loss is a metric, too.
"""

import warnings
from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt

from . import functional
from .autograd import Tensor
from .autograd.conversion import unwrap
from .functional import Probabilities, cross_entropy, mean_squared_error, nll_loss, rows_of_labels
from .utils import TensorLike, TensorOrArray, as_float, lookup, user_frame


class MeanSquaredError:
    """(ŷ − y)², averaged over all elements; called (y_true, y_pred), as in Keras."""

    def __call__(self, y_true: TensorLike, y_pred: TensorLike) -> TensorOrArray:
        return mean_squared_error(y_pred, y_true)


class CategoricalCrossentropy:
    """−Σ t·log p, averaged over the rows; called (y_true, y_pred), as in Keras.

    y_true: integers or one-hot rows. y_pred: rows of probabilities; with from_logits, of logits.
    Each row is divided by its sum, then clipped to 1e-7 … 1 − 1e-7: a smaller probability counts as
    1e-7 and receives no gradient. The result of a softmax still has its logits: they are used,
    without this limit.
    """

    def __init__(self, from_logits: bool = False):
        self.from_logits = from_logits

    def __call__(self, y_true: TensorLike, y_pred: TensorLike) -> TensorOrArray:
        if self.from_logits or isinstance(y_pred, Probabilities):
            return cross_entropy(y_pred, y_true)
        p = as_float(y_pred)
        if np.any(p < 0):
            warnings.warn(
                "categorical_crossentropy: probabilities are required, received negative numbers. "
                "End the network with a softmax, or pass CategoricalCrossentropy(from_logits=True)",
                stacklevel=user_frame()[1],
            )
        t = rows_of_labels(type(self).__name__, p, y_true)
        p = p / np.sum(p, axis=-1, keepdims=True)
        return nll_loss(np.log(np.clip(p, 1e-7, 1 - 1e-7)), t)


SparseCategoricalCrossentropy = CategoricalCrossentropy
OF_KERAS = (MeanSquaredError, CategoricalCrossentropy)


def accuracy(prediction: TensorLike, target: TensorLike) -> float:
    """Return the share of examples whose highest score is that of the target class.

    prediction: (…, classes), at least 2 classes.
    target: integer labels (…), or one-hot rows of the prediction's shape.

    >>> accuracy([[0.1, 0.9], [0.8, 0.2]], [1, 1])
    0.5
    """
    y_hat, y = np.asarray(unwrap(prediction)), np.asarray(unwrap(target))
    if y_hat.ndim < 2 or y_hat.shape[-1] < 2:
        required = "accuracy: a prediction (…, classes) with 2 or more classes is required"
        raise ValueError(f"{required}, received shape {y_hat.shape}")
    if y.shape == y_hat.shape:
        y = np.argmax(y, axis=-1)
    if y.shape != y_hat.shape[:-1]:
        required = f"labels of shape {y_hat.shape[:-1]} or one-hot rows {y_hat.shape}"
        raise ValueError(f"accuracy: {required} are required, received {y.shape}")
    return float((y_hat.argmax(axis=-1) == y).sum() / y.size)


class TargetFirst:
    """Call f(y_true, y_pred) as a function of (prediction, target), our order.

    arrays: pass plain arrays to f, as scikit-learn's metrics require.
    """

    def __init__(self, f: Callable, name: str | None = None, arrays: bool = False):
        self.f, self.__name__, self.arrays = f, name or name_of(f), arrays

    def __call__(self, prediction: Tensor, target: npt.ArrayLike) -> TensorOrArray:
        if self.arrays:
            return self.f(np.asarray(unwrap(target)), unwrap(prediction))
        return self.f(target, prediction)


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
    "categorical_crossentropy": KERAS_CROSSENTROPY,
    "sparse_categorical_crossentropy": KERAS_CROSSENTROPY,
}
METRICS = LOSSES | {"accuracy": accuracy, "acc": accuracy}


def get_loss(loss: str | Callable) -> Callable:
    """Return a loss, by its name, as a function of (prediction, target); instantiate a class.

    Our functions, also with functools.partial, stay as they are. See TargetFirst for all others.
    """
    return resolve("loss", loss, LOSSES, arrays=False)


def get_metric(metric: str | Callable) -> Callable:
    """Return a metric as `get_loss` returns a loss; a function of the user receives arrays."""
    return resolve("metric", metric, METRICS, arrays=True)


def resolve(kind: str, f: str | Callable, table: dict[str, Callable], arrays: bool) -> Callable:
    """Look up a name; wrap a function or an object that is not ours."""
    if not callable(f):
        return lookup(kind, f, table)
    f = f() if f in OF_KERAS else f
    if isinstance(f, type):
        raise TypeError(f"a {kind} must be a name, a function or an object, received the {f!r}")
    ours = f.func if isinstance(f, partial) else f
    if isinstance(f, TargetFirst) or ours in METRICS.values():
        return f
    return TargetFirst(f, arrays=arrays and not isinstance(f, OF_KERAS))
