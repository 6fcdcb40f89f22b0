"""keras.wrappers.scikit_learn: a Keras model as a scikit-learn estimator, as in Keras 2."""

import inspect
from typing import Any

import numpy as np

from ...losses import name_of
from ..backend import snake_case

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
except ImportError as error:
    how = 'pip install "minigrad[sklearn]"'
    raise ImportError(f"keras.wrappers.scikit_learn needs scikit-learn: {how}") from error


def arguments_of(function: Any, options: dict[str, Any]) -> dict[str, Any]:
    names = inspect.signature(function).parameters
    return {name: value for name, value in options.items() if name in names}


class BaseWrapper(BaseEstimator):
    """build_fn makes the compiled model. options: arguments of build_fn and of fit."""

    def __init__(self, build_fn: Any = None, model: Any = None, **options: Any):
        self.build_fn, self.options = build_fn or model, options

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        return {"build_fn": self.build_fn, **self.options}

    def set_params(self, **params: Any) -> Any:
        self.build_fn = params.pop("build_fn", self.build_fn)
        self.options |= params
        return self

    def fit(self, x: Any, y: Any, **options: Any) -> Any:
        given = {name.removeprefix("model__"): value for name, value in self.options.items()}
        own = arguments_of(self.build_fn, given)
        self.model_ = self.build_fn(**own)
        of_fit = arguments_of(self.model_.fit, given)
        if unknown := given.keys() - own.keys() - of_fit.keys():
            raise TypeError(f"neither build_fn nor fit has the arguments {sorted(unknown)}")
        self.model_.fit(x, self.targets(y), **(of_fit | options))
        return self

    def targets(self, y: Any) -> Any:
        return np.asarray(y)

    def predict(self, x: Any, **_: Any) -> Any:
        p = self.model_.predict(x)
        return p[:, 0] if p.shape[1:] == (1,) else p


class KerasRegressor(RegressorMixin, BaseWrapper):
    """A model with one output or several; score is R²."""


class KerasClassifier(ClassifierMixin, BaseWrapper):
    """A model whose outputs are probabilities; score is the accuracy."""

    def targets(self, y: Any) -> Any:
        if np.ndim(y) == 2 and np.shape(y)[1] > 1:  # one-hot rows
            self.classes_ = np.arange(np.shape(y)[1])
            return np.asarray(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        loss = snake_case(name_of(self.model_.loss))  # given as a name, a function or an object
        one_hot = loss == "categorical_crossentropy"
        return np.eye(len(self.classes_))[labels] if one_hot else labels

    def predict_proba(self, x: Any, **_: Any) -> Any:
        p = self.model_.predict(x)
        return np.hstack([1 - p, p]) if p.shape[1] == 1 else p

    def predict(self, x: Any, **_: Any) -> Any:
        return self.classes_[self.predict_proba(x).argmax(axis=-1)]

    def score(self, x: Any, y: Any, **_: Any) -> float:
        labels = np.argmax(y, axis=-1) if np.ndim(y) == 2 else y
        return super().score(x, labels)
