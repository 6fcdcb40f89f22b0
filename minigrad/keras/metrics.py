"""keras.metrics: a metric computes `values` for each example and keeps their weighted mean.

`result_of` computes the metric from this mean. So the Precision of an epoch is that of all its
examples, not a mean over batches.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import losses as native
from .. import saving
from ..utils import lookup
from . import losses
from .backend import SavesArguments, Scalar, getattr_for, options_of, snake_case
from .losses import EPSILON, pair, unit


class Metric(SavesArguments):
    """The weighted mean of `values(t, p)`: one number for each example, or several."""

    is_weighted = False  # compile(weighted_metrics=…) sets it

    def __init__(self, name: str | None = None, dtype: Any = None):
        self.name = self.__name__ = name or snake_case(type(self).__name__)
        self.reset_state()

    def values(self, t: Any, p: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define values(self, t, p)")

    def result_of(self, mean: Any) -> Any:
        """Return the metric for this weighted mean of the values."""
        return mean if np.ndim(mean) == 0 or mean.size > 1 else mean[0]

    def statistics(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> np.ndarray:
        """Return a row (w·values, w) for each example."""
        t, p = pair(np.atleast_1d(y_true), np.atleast_1d(y_pred))
        values = np.atleast_1d(np.asarray(self.values(t, p), float))
        rows = values.reshape(len(values), -1)
        w = np.ones(len(rows)) if sample_weight is None else np.ravel(sample_weight)
        return np.column_stack([rows * w[:, None], w])

    def finish(self, mean: Any) -> Any:
        return self.result_of(mean[:-1] / mean[-1] if mean[-1] else mean[:-1])

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.total += self.statistics(y_true, y_pred, sample_weight).sum(axis=0)

    def result(self) -> Any:
        found = self.finish(np.atleast_1d(self.total)) if np.ndim(self.total) else 0.0
        return found if np.ndim(found) else Scalar(found)

    def reset_state(self) -> None:
        self.total: Any = 0.0

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        self.update_state(y_true, y_pred, sample_weight)
        return self.result()


class Precision(Metric):
    """tp / (tp + fp), at outputs above a threshold, 0.5."""

    column = 1  # of (tp, positives predicted, positives)

    def __init__(self, thresholds: Any = None, top_k: None = None, class_id: int | None = None,
                 name: str | None = None, dtype: Any = None):  # fmt: skip
        if top_k is not None:
            raise ValueError(f"{type(self).__name__}: top_k is not supported")
        super().__init__(name)
        self.thresholds = np.ravel(0.5 if thresholds is None else thresholds)
        self.class_id = class_id

    def values(self, t: Any, p: Any) -> Any:
        if t.shape != p.shape:
            how = "for integer labels, make one-hot rows with to_categorical"
            raise ValueError(f"{self.name}: targets must have the shape {p.shape}; {how}")
        rows = (slice(None),) if self.class_id is None else (slice(None), [self.class_id])
        t, p = (x[rows].reshape(len(x), -1, 1) for x in (t, p))
        above = p > self.thresholds.astype(p.dtype)
        return np.stack([np.sum(x, axis=1) for x in (above * t, above, t + 0 * above)], axis=1)

    def result_of(self, mean: Any) -> Any:
        counts = mean.reshape(3, -1)
        whole = counts[self.column]
        ratio = np.divide(counts[0], whole, out=np.zeros_like(whole), where=whole > 0)
        return ratio if ratio.size > 1 else ratio[0]


class Recall(Precision):
    """tp / (tp + fn), at outputs above a threshold, 0.5."""

    column = 2


class AUC(Precision):
    """The area under the ROC curve, by the trapezoidal rule over 200 thresholds, as in Keras."""

    def __init__(self, num_thresholds: int = 200, curve: str = "ROC",
                 summation_method: str = "interpolation", name: str | None = None,
                 dtype: Any = None, thresholds: Any = None):  # fmt: skip
        if curve != "ROC" or summation_method != "interpolation":
            raise ValueError('AUC: curve must be "ROC", summation_method "interpolation"')
        inner = np.arange(1, num_thresholds - 1) / (num_thresholds - 1)
        inner = inner if thresholds is None else np.sort(thresholds)
        super().__init__([-EPSILON, *inner, 1 + EPSILON], name=name)

    def values(self, t: Any, p: Any) -> Any:
        return super().values(t, np.clip(p, 0, 1))

    def result_of(self, mean: Any) -> Any:
        tp, above, positives = mean.reshape(3, -1)
        fp = above - tp
        y, x = tp / max(positives[0], EPSILON), fp / max(fp[0], EPSILON)  # fp[0]: all negatives
        return np.sum((x[:-1] - x[1:]) * (y[:-1] + y[1:]) / 2)


def labels(t: Any, p: Any) -> Any:
    """Return integer labels (N,) as they are, one-hot rows and columns as integer labels."""
    if t.ndim == p.ndim:
        t = t[..., 0] if t.shape[-1] == 1 else t.argmax(axis=-1)
    return t.astype(int)


def top_k(t: Any, p: Any, k: int = 5) -> Any:
    return np.sum(p > np.take_along_axis(p, labels(t, p)[:, None], axis=-1), axis=-1) < k


def binary_accuracy(t: Any, p: Any, threshold: float = 0.5) -> Any:
    return np.mean((p > threshold) == t, axis=-1)


def categorical_accuracy(t: Any, p: Any) -> Any:
    return p.argmax(axis=-1) == labels(t, p)


# Functions of targets t and predictions p: a number for each example
VALUES: dict[str, Callable] = dict(
    Accuracy=lambda t, p: np.mean(t == p, axis=-1),
    BinaryAccuracy=binary_accuracy,
    CategoricalAccuracy=categorical_accuracy,
    SparseCategoricalAccuracy=categorical_accuracy,
    TopKCategoricalAccuracy=top_k,
    SparseTopKCategoricalAccuracy=top_k,
    CosineSimilarity=lambda t, p: np.sum(unit(t) * unit(p), axis=-1),
)


def accuracy_by_shapes(t: Any, p: Any) -> Any:
    """Return the "accuracy" that suits the outputs: binary for one, categorical for several."""
    return binary_accuracy(t, p) if p.shape[-1] == 1 else categorical_accuracy(t, p)


def make_class(name: str, f: Callable | None, loss: Any = None, root: bool = False) -> type[Metric]:
    """Return the class of a metric: the mean of a function f or of a loss, or the root of it."""

    class FormulaMetric(Metric):
        def __init__(self, *args: Any, name: str | None = None, dtype: Any = None, **options: Any):
            super().__init__(name)
            if f:
                self.options = options_of(type(self).__name__, f, 2, args, options)
            self.loss = loss and loss(*args, **options)

        def values(self, t: Any, p: Any) -> Any:
            return f(t, p, **self.options) if f else self.loss.call(t, p)

        def result_of(self, mean: Any) -> Any:
            return np.sqrt(np.mean(mean)) if root else np.mean(mean)

    FormulaMetric.__name__ = name
    return FormulaMetric


class FunctionMetric(Metric):
    """The mean of what a user's function returns: a number for each example, or one for a batch."""

    def __init__(self, function: Callable):
        super().__init__(getattr(function, "__name__", "metric"))
        self.function = function

    def statistics(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> np.ndarray:
        values = np.asarray(self.function(*pair(y_true, y_pred)), float)
        if values.ndim and len(values) == len(y_pred):
            values = values.reshape(len(values), -1).mean(axis=1)
            return np.column_stack([values, np.ones(len(values))])
        return np.tile([values.mean(), 1.0], (len(y_pred), 1)) / len(y_pred)


CLASSES: dict[str, Any] = {k: make_class(k, None, cls) for k, cls in losses.CLASSES.items()}
CLASSES |= {name: make_class(name, f) for name, f in VALUES.items()}
CLASSES |= dict(Precision=Precision, Recall=Recall, AUC=AUC)
CLASSES["RootMeanSquaredError"] = make_class(
    "RootMeanSquaredError", lambda t, p: np.mean(np.square(t - p), axis=-1), root=True
)
saving.CLASSES |= {f"keras.metrics.{name}": cls for name, cls in CLASSES.items()}
BY_NAME = {snake_case(name): cls for name, cls in CLASSES.items()}
BY_NAME |= {alias: CLASSES[name] for alias, name in losses.ALIASES.items()}
BY_NAME |= dict.fromkeys(["accuracy", "acc"], make_class("accuracy", accuracy_by_shapes))


def get(identifier: Any) -> Any:
    """Return a metric by its name; a class as an object; a function (y_true, y_pred) as it is."""
    if isinstance(identifier, str):
        return lookup("metric", snake_case(identifier), BY_NAME)(name=identifier)
    metric = identifier() if isinstance(identifier, type) else identifier
    return metric if isinstance(metric, Metric | native.Loss) else FunctionMetric(metric)


globals().update(CLASSES)
__all__ = [*CLASSES]
__getattr__ = getattr_for("keras.metrics", losses.FUNCTIONS | CLASSES)
