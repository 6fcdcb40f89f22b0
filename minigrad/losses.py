"""Losses and metrics: functions (prediction, target) -> number, and their names.

The prediction comes first, as in PyTorch. Keras has the target first. A loss returns a Tensor, a
metric a float.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from .autograd import Tensor
from .functional import cross_entropy, mean_absolute_error, mean_squared_error
from .utils import lookup


class MeanSquaredError:
    """The loss mean_squared_error as an object, under Keras's name."""

    __call__ = staticmethod(mean_squared_error)


class CategoricalCrossentropy:
    """The loss cross_entropy as an object, under Keras's name; for integer and one-hot labels."""

    __call__ = staticmethod(cross_entropy)


SparseCategoricalCrossentropy = CategoricalCrossentropy


def accuracy(prediction: npt.ArrayLike | Tensor, target: npt.ArrayLike | Tensor) -> float:
    """Return the share of examples whose highest score is that of the target class.

    prediction: (…, classes), at least 2 classes.
    target: integer labels (…), or one-hot rows of the prediction's shape.

    >>> accuracy([[0.1, 0.9], [0.8, 0.2]], [1, 1])
    0.5
    """
    y_hat, y = np.asarray(prediction), np.asarray(target)
    if y_hat.ndim < 2 or y_hat.shape[-1] < 2:
        required = "accuracy: a prediction (…, classes) with 2 or more classes is required"
        raise ValueError(f"{required}, received shape {y_hat.shape}")
    if y.shape == y_hat.shape:
        y = np.argmax(y, axis=-1)
    if y.shape != y_hat.shape[:-1]:
        required = f"labels of shape {y_hat.shape[:-1]} or one-hot rows {y_hat.shape}"
        raise ValueError(f"accuracy: {required} are required, received {y.shape}")
    return float(np.mean(np.argmax(y_hat, axis=-1) == y))


REGRESSION: dict[str, Callable] = {
    "mean_squared_error": mean_squared_error,
    "mse": mean_squared_error,
    "mean_absolute_error": mean_absolute_error,
    "mae": mean_absolute_error,
}
LOSSES = REGRESSION | {
    "categorical_crossentropy": cross_entropy,
    "sparse_categorical_crossentropy": cross_entropy,
    "cross_entropy": cross_entropy,
}
METRICS = REGRESSION | {"accuracy": accuracy, "acc": accuracy}


def get_loss(loss: str | Callable) -> Callable:
    """Return a loss by its name; return a function or object as it is; instantiate a class."""
    if loss in (MeanSquaredError, CategoricalCrossentropy):
        return loss()
    if isinstance(loss, type):
        raise TypeError(f"a loss must be a name, a function or an object, received the {loss!r}")
    return loss if callable(loss) else lookup("loss", loss, LOSSES)


def get_metric(metric: str | Callable) -> Callable:
    """Return a metric by its name; return a function as it is."""
    return metric if callable(metric) else lookup("metric", metric, METRICS)
