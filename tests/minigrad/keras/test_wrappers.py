"""keras.wrappers.scikit_learn: models in cross validation, pipelines and searches."""

import importlib
import sys

import numpy as np
import pytest

from minigrad import keras
from minigrad.keras import layers

X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
LABELS = np.where(X[:, 0] > 0, "yes", "no")


def build(units=8, lr=0.05):
    model = keras.Sequential([layers.Dense(units, activation="relu"), layers.Dense(1, "sigmoid")])
    model.compile(keras.optimizers.Adam(lr), "binary_crossentropy", metrics=["accuracy"])
    return model


def build_softmax():
    model = keras.Sequential([layers.Dense(3, activation="softmax")])
    model.compile("adam", "categorical_crossentropy")
    return model


def build_regressor():
    model = keras.Sequential([layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    return model


@pytest.fixture
def wrappers():
    pytest.importorskip("sklearn", reason="needs the extra sklearn")
    from minigrad.keras.wrappers import scikit_learn

    return scikit_learn


def test_a_classifier_in_cross_validation_a_pipeline_and_a_search(wrappers):
    from sklearn.model_selection import GridSearchCV, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    keras.utils.set_random_seed(0)
    classifier = wrappers.KerasClassifier(build_fn=build, epochs=20, batch_size=10, verbose=0)
    pipeline = make_pipeline(StandardScaler(), classifier)
    assert cross_val_score(pipeline, X, LABELS, cv=3).mean() > 0.8
    search = GridSearchCV(classifier, {"units": [2, 4], "lr": [0.1]}, cv=2, n_jobs=1).fit(X, LABELS)
    assert search.best_params_["lr"] == 0.1
    best = search.best_estimator_
    assert best.model_.layers[0].units == search.best_params_["units"]
    assert best.predict_proba(X).shape == (60, 2) and set(best.predict(X)) <= {"yes", "no"}


def test_classes_as_one_hot_rows_or_labels(wrappers):
    classes = np.arange(60) % 3
    for y in (classes, np.eye(3)[classes]):
        classifier = wrappers.KerasClassifier(build_softmax, epochs=2, verbose=0).fit(X, y)
        assert classifier.predict(X).shape == (60,)
        assert 0 <= classifier.score(X, y) <= 1


def test_an_option_that_nobody_takes_is_refused(wrappers):
    with pytest.raises(TypeError, match=r"neither build_fn nor fit has .*\['epoch'\]"):
        wrappers.KerasClassifier(build, epoch=2).fit(X, LABELS)
    fitted = wrappers.KerasClassifier(build, model__units=3, verbose=0).fit(X, LABELS)
    assert fitted.model_.layers[0].units == 3


def test_the_loss_of_a_classifier_can_be_an_object(wrappers):
    def build_with_an_object():
        model = build_softmax()
        model.compile("adam", keras.losses.CategoricalCrossentropy())
        return model

    fitted = wrappers.KerasClassifier(build_with_an_object, verbose=0).fit(X, np.arange(60) % 3)
    assert {*fitted.predict(X)} <= {0, 1, 2}


def test_a_regressor_learns_a_linear_function(wrappers):
    keras.utils.set_random_seed(0)
    y = X @ [1.0, -2.0, 0.5, 0.0] + 1
    regressor = wrappers.KerasRegressor(build_fn=build_regressor, epochs=30, verbose=0).fit(X, y)
    assert regressor.predict(X).shape == (60,)
    assert regressor.score(X, y) > 0.99
    assert regressor.get_params() == {"build_fn": build_regressor, "epochs": 30, "verbose": 0}


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.base", None)
    monkeypatch.delitem(sys.modules, "minigrad.keras.wrappers.scikit_learn", raising=False)
    with pytest.raises(ImportError, match=r'pip install "minigrad\[sklearn\]"'):
        importlib.import_module("minigrad.keras.wrappers.scikit_learn")
