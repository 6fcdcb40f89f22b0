"""Losses and metrics by name: functions (prediction, target) -> number.

Unlike in Keras, the prediction comes first, as in PyTorch; a loss gives a Tensor, a metric a float.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .functional import cross_entropy, mean_absolute_error, mean_squared_error
from .utils import lookup


class MeanSquaredError:
    """Keras's name for mean_squared_error, as an object."""

    def __call__(self, prediction: Any, target: Any) -> Any:
        return mean_squared_error(prediction, target)


class CategoricalCrossentropy:
    """Keras's name for cross_entropy, as an object; takes integer labels and one-hot rows."""

    def __call__(self, prediction: Any, target: Any) -> Any:
        return cross_entropy(prediction, target)


SparseCategoricalCrossentropy = CategoricalCrossentropy

LOSSES: dict[str, Callable] = {
    "categorical_crossentropy": cross_entropy,
    "sparse_categorical_crossentropy": cross_entropy,
    "cross_entropy": cross_entropy,
    "mean_squared_error": mean_squared_error,
    "mse": mean_squared_error,
    "mean_absolute_error": mean_absolute_error,
    "mae": mean_absolute_error,
}


def accuracy(prediction: Any, target: Any) -> float:
    """The share of rows whose largest element is the target's: integer labels or one-hot rows.

    >>> accuracy([[0.1, 0.9], [0.8, 0.2]], [1, 1])
    0.5
    """
    prediction, target = np.asarray(prediction), np.asarray(target)
    if prediction.ndim < 2 or prediction.shape[-1] < 2:
        raise ValueError(
            "accuracy: a row with a number for each of 2 or more classes is required for each "
            f"example, received shape {prediction.shape}"
        )
    if target.shape == prediction.shape:
        target = np.argmax(target, axis=-1)
    if target.shape != prediction.shape[:-1]:
        raise ValueError(
            f"accuracy: labels of shape {prediction.shape[:-1]} or rows of shape "
            f"{prediction.shape} are required, received {target.shape}"
        )
    return float(np.mean(np.argmax(prediction, axis=-1) == target))


METRICS: dict[str, Callable] = {
    "accuracy": accuracy,
    "acc": accuracy,
    "mean_squared_error": mean_squared_error,
    "mse": mean_squared_error,
    "mean_absolute_error": mean_absolute_error,
    "mae": mean_absolute_error,
}


def get(loss: Any) -> Callable:
    """A loss by its name; a function or object is handed through, one of the classes is called."""
    if loss in (MeanSquaredError, CategoricalCrossentropy):
        return loss()
    if isinstance(loss, type):
        raise TypeError(f"a loss is a name, a function or an object, received the {loss!r}")
    return loss if callable(loss) else lookup("loss", loss, LOSSES)


def get_metric(metric: Any) -> Callable:
    """A metric by its name; a function is handed through."""
    return metric if callable(metric) else lookup("metric", metric, METRICS)
