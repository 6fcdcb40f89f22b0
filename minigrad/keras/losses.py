"""keras.losses: functions of (y_true, y_pred) with a number for each example, and their classes."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import losses as native
from .. import saving
from ..autograd import Tensor
from ..autograd.conversion import unwrap
from ..functional import softplus
from ..training_data import match_target
from ..utils import as_dtype, as_float, lookup, weighted
from .backend import SavesArguments, getattr_for, options_of, snake_case

EPSILON = native.EPSILON


def pair(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    """Return both in the dtype of y_pred; targets (N,) become (N, 1) for outputs (N, 1)."""
    p = as_float(y_pred)
    t = match_target(p, as_dtype(y_true, p.dtype))
    if t.ndim == p.ndim + 1 and t.shape[-1] == 1:
        t = t[..., 0]
    return t, p


def signs(t: Any) -> Any:
    """Return labels 0 and 1 as −1 and 1; others as they are."""
    return 2 * t - 1 if np.isin(unwrap(t), (0, 1)).all() else t


def clip(x: Any) -> Any:
    return np.clip(x, EPSILON, 1)


def positive(x: Any) -> Any:
    return np.maximum(x, EPSILON)


def unit(x: Any) -> Any:
    return x / np.sqrt(positive(np.sum(np.square(x), axis=-1, keepdims=True)))


def huber(t: Any, p: Any, delta: float = 1.0) -> Any:
    near = np.clip(p - t, -delta, delta)
    return near * (p - t - near / 2)


# Of targets t and predictions p. MEANS: the mean over the last axis follows; SUMS: the sum.
MEANS: dict[str, Callable] = dict(
    MeanSquaredError=lambda t, p: np.square(t - p),
    MeanAbsoluteError=lambda t, p: np.abs(t - p),
    MeanAbsolutePercentageError=lambda t, p: 100 * np.abs((t - p) / positive(np.abs(t))),
    MeanSquaredLogarithmicError=lambda t, p: np.square(
        np.log(positive(p) + 1) - np.log(positive(t) + 1)
    ),
    Huber=huber,
    LogCosh=lambda t, p: (p - t) + softplus(-2 * (p - t)) - float(np.log(2)),
    Hinge=lambda t, p: np.maximum(1 - signs(t) * p, 0),
    SquaredHinge=lambda t, p: np.square(np.maximum(1 - signs(t) * p, 0)),
    Poisson=lambda t, p: p - t * np.log(p + EPSILON),
)
SUMS: dict[str, Callable] = dict(
    KLDivergence=lambda t, p: clip(t) * np.log(clip(t) / clip(p)),
    CosineSimilarity=lambda t, p: -unit(t) * unit(p),
)
ALIASES = {
    "mse": "MeanSquaredError", "mae": "MeanAbsoluteError", "mape": "MeanAbsolutePercentageError",
    "msle": "MeanSquaredLogarithmicError", "bce": "BinaryCrossentropy", "kld": "KLDivergence",
}  # fmt: skip


class Loss(SavesArguments, native.Loss):
    """Base of losses; a call gives a Tensor. reduction: "sum_over_batch_size", "sum", "none"."""

    def __init__(self, name: str | None = None, reduction: str | None = "sum_over_batch_size",
                 dtype: Any = None):  # fmt: skip
        reductions = ("sum_over_batch_size", "mean", "sum", "none", None)
        if reduction not in reductions:
            raise ValueError(f"{type(self).__name__}: reduction must be one of {reductions}")
        self.name, self.reduction = name, reduction

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        t, p = pair(y_true, y_pred)
        values = weighted(self.call(t, p if isinstance(p, Tensor) else Tensor(p)), sample_weight)
        if self.reduction in ("none", None):
            return values
        return np.sum(values) if self.reduction == "sum" else np.mean(values)


def make_class(name: str, values: Callable, reduce: Callable) -> type[Loss]:
    """Return the class of a formula; its first arguments are those of the formula."""

    class FormulaLoss(Loss):
        def __init__(self, *args: Any, reduction: str | None = "sum_over_batch_size",
                     name: str | None = None, dtype: Any = None, **options: Any):  # fmt: skip
            super().__init__(name, reduction)
            self.options = options_of(type(self).__name__, values, 2, args, options)

        def call(self, y_true: Any, y_pred: Any) -> Any:
            return reduce(values(y_true, y_pred, **self.options), axis=-1)

    FormulaLoss.__name__ = name
    return FormulaLoss


def refuse_axis(loss: Loss, axis: int) -> None:
    if axis != -1:
        raise ValueError(f"{type(loss).__name__}: axis must be -1, the last; received {axis}")


class BinaryCrossentropy(Loss):
    """See minigrad.losses.BinaryCrossentropy."""

    def __init__(self, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1,
                 reduction: str = "sum_over_batch_size", name: str | None = None):  # fmt: skip
        super().__init__(name, reduction)
        self.native = native.BinaryCrossentropy(from_logits, label_smoothing)
        refuse_axis(self, axis)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return np.mean(self.native.call(y_true, y_pred), axis=-1)


class CategoricalCrossentropy(Loss):
    """See minigrad.losses.CategoricalCrossentropy; here it refuses integer labels."""

    def __init__(self, from_logits: bool = False, label_smoothing: float = 0.0, axis: int = -1,
                 reduction: str = "sum_over_batch_size", name: str | None = None):  # fmt: skip
        super().__init__(name, reduction)
        self.native = native.CategoricalCrossentropy(from_logits, label_smoothing)
        refuse_axis(self, axis)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        if y_true.shape != y_pred.shape:
            required = f"one-hot rows of shape {y_pred.shape} are required"
            how = 'for integer labels use the loss "sparse_categorical_crossentropy"'
            problem = f"categorical_crossentropy: {required}, received {y_true.shape}"
            raise ValueError(f"{problem}; {how}")
        return self.native.call(y_true, y_pred)


class SparseCategoricalCrossentropy(CategoricalCrossentropy):
    """See minigrad.losses.CategoricalCrossentropy; for integer labels (N,) or (N, 1) only."""

    def __init__(self, from_logits: bool = False, ignore_class: None = None,
                 reduction: str = "sum_over_batch_size", axis: int = -1,
                 name: str | None = None):  # fmt: skip
        if ignore_class is not None:
            raise ValueError("SparseCategoricalCrossentropy: for ignore_class use sample_weight")
        super().__init__(from_logits, 0.0, axis, reduction, name)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        if y_true.ndim == y_pred.ndim and y_true.shape[-1] == 1:
            y_true = y_true[..., 0]
        if y_true.ndim == y_pred.ndim or np.any(unwrap(y_true) % 1):
            how = 'for one-hot rows use the loss "categorical_crossentropy"'
            raise ValueError(f"sparse_categorical_crossentropy: integer labels are required; {how}")
        return self.native.call(y_true.astype(int), y_pred)


CLASSES: dict[str, Any] = {name: make_class(name, f, np.mean) for name, f in MEANS.items()}
CLASSES |= {name: make_class(name, f, np.sum) for name, f in SUMS.items()}
CLASSES |= {cls.__name__: cls for cls in (
    BinaryCrossentropy, CategoricalCrossentropy, SparseCategoricalCrossentropy)}  # fmt: skip
saving.CLASSES |= {f"keras.losses.{name}": cls for name, cls in CLASSES.items()}
BY_NAME = {snake_case(name): cls for name, cls in CLASSES.items()}
BY_NAME |= {alias: CLASSES[name] for alias, name in ALIASES.items()}


def get(identifier: Any) -> Any:
    """Return a loss by its name; a class as an object; a function (y_true, y_pred) as it is."""
    if isinstance(identifier, str):
        return lookup("loss", snake_case(identifier), BY_NAME)()
    return identifier() if isinstance(identifier, type) else identifier


def function_of(cls: Any) -> Callable[..., Any]:
    """Return the function (y_true, y_pred, …) of a class: one number for each example."""

    def function(y_true: Any, y_pred: Any, **options: Any) -> Any:
        return cls(reduction=None, **options)(y_true, y_pred)

    function.__name__ = next(name for name, c in BY_NAME.items() if c is cls)
    return function


FUNCTIONS = {name: function_of(cls) for name, cls in BY_NAME.items()}
FUNCTIONS |= {name.upper(): function_of(CLASSES[cls]) for name, cls in ALIASES.items()}
globals().update(CLASSES)
__all__ = [*CLASSES]
__getattr__ = getattr_for("keras.losses", CLASSES | FUNCTIONS)
