"""minigrad.sklearn: scikit-learn's numbers, its estimator checks and tools, and our additions."""

import copy
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn")

import scipy.sparse
from joblib import parallel_backend
from sklearn import datasets, neural_network
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import minigrad.sklearn
from minigrad.optimizers import EMA, SGD, Adam, AdamW, CosineDecay, Lion, Optimizer, RMSprop
from minigrad.sklearn import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

IRIS = datasets.load_iris(return_X_y=True)
IRIS = ((IRIS[0] - IRIS[0].mean(axis=0)) / IRIS[0].std(axis=0), IRIS[1])
RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 4))
SUM = X.sum(axis=1)
WEIGHTS = RNG.uniform(0, 2, size=200)
FIXED = dict(hidden_layer_sizes=(8,), random_state=3, max_iter=8, batch_size=32)

TASKS = {
    "classes": (IRIS, {}),
    "two classes": ((X, np.where(SUM > 0, "yes", "no")), {}),
    "labels": ((X, np.stack([SUM > 0, X[:, 0] > 0, X[:, 1] > 1], axis=1).astype(int)), {}),
    "number": ((X, np.sin(SUM)), {}),
    "numbers": ((X, np.stack([SUM, SUM**2], axis=1)), {}),
    "counts": ((X, np.round(np.exp(SUM / 4))), dict(loss="poisson")),
}
SOLVERS = {
    "adam": {},
    "adam's constants": dict(beta_1=0.7, beta_2=0.9, epsilon=0.01, learning_rate_init=0.01),
    "sgd": dict(solver="sgd", learning_rate_init=0.05),
    "sgd, heavy ball": dict(solver="sgd", nesterovs_momentum=False, learning_rate_init=0.05),
    "sgd, plain": dict(solver="sgd", momentum=0, shuffle=False, learning_rate_init=0.05),
    "sgd, invscaling": dict(solver="sgd", learning_rate="invscaling", learning_rate_init=0.1),
    "sgd, adaptive": dict(solver="sgd", learning_rate="adaptive", n_iter_no_change=1, tol=0.5),
    "alpha": dict(alpha=3.0),
    "logistic": dict(activation="logistic", hidden_layer_sizes=(5, 4)),
    "tanh": dict(activation="tanh", hidden_layer_sizes=()),
    "identity": dict(activation="identity"),
    "early": dict(early_stopping=True, validation_fraction=0.2, n_iter_no_change=2),
    "early, tol": dict(early_stopping=True, tol=0.2, n_iter_no_change=1),
    "lbfgs": dict(solver="lbfgs"),
    "lbfgs, tol": dict(solver="lbfgs", tol=0.05, max_iter=200),
    "lbfgs, max_fun": dict(solver="lbfgs", max_fun=4),
}


def pair(task, **options):
    """Return the data of a task, scikit-learn's estimator and ours."""
    data, own = TASKS[task]
    name = "MLPRegressor" if task in ("number", "numbers", "counts") else "MLPClassifier"
    options = FIXED | own | options
    theirs, ours = getattr(neural_network, name), getattr(minigrad.sklearn, name)
    return data, theirs(**options), ours(**options)


def assert_same_estimator(theirs, ours, rtol=1e-7):
    """Compare all attributes of the trained estimators."""
    names = [n for n in vars(theirs) if n.endswith("_") and not n.startswith("_")]
    for name in names:
        a, b = getattr(theirs, name), getattr(ours, name)
        if isinstance(a, list):
            assert len(a) == len(b), name
            for x, y in zip(a, b):
                np.testing.assert_allclose(y, x, rtol, 1e-9, err_msg=name)
        elif isinstance(a, float):
            assert b == pytest.approx(a, rtol, 1e-9), name
        else:
            np.testing.assert_array_equal(b, a, err_msg=name)


# ---- The numbers of scikit-learn ----


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize(
    ("task", "solver"),
    [
        (task, solver)
        for task in TASKS
        for solver in SOLVERS
        # For several targets, the gradient of scikit-learn's lbfgs is not that of its loss; see
        # test_several_targets_share_one_loss_in_lbfgs.
        if task != "numbers" or not solver.startswith("lbfgs")
    ],
)
def test_training_gives_scikit_learns_numbers(task, solver, weighted):
    (x, y), theirs, ours = pair(task, **SOLVERS[solver])
    if task == "two classes" and solver.startswith("early"):
        y = (y == "yes").astype(int)  # with strings, scikit-learn 1.7 cannot stop early
    w = WEIGHTS[: len(x)] if weighted else None
    theirs.fit(x, y, w)
    ours.fit(x, y, w)
    assert_same_estimator(theirs, ours)
    a, b = theirs.predict(x), ours.predict(x)
    assert a.dtype == b.dtype
    if a.dtype.kind == "f":
        np.testing.assert_allclose(b, a, 1e-6, 1e-8)
    else:
        np.testing.assert_array_equal(b, a)
        np.testing.assert_allclose(ours.predict_proba(x), theirs.predict_proba(x), 1e-6, 1e-8)
        with np.errstate(divide="ignore"):
            logs = theirs.predict_log_proba(x), ours.predict_log_proba(x)
        np.testing.assert_allclose(*logs, 1e-6, 1e-8)
    assert ours.score(x, y) == pytest.approx(theirs.score(x, y))


def test_the_learning_rate_adapts_until_it_is_small():
    options = dict(solver="sgd", learning_rate="adaptive", tol=10.0, n_iter_no_change=1)
    (x, y), theirs, ours = pair("classes", **options, max_iter=40)
    assert theirs.fit(x, y).n_iter_ < 40
    assert ours.fit(x, y).n_iter_ == theirs.n_iter_


def test_several_targets_share_one_loss_in_lbfgs():
    (x, y), _, ours = pair("numbers", solver="lbfgs", max_iter=300, tol=1e-6, alpha=0)
    residuals = ours.fit(x, y).predict(x) - y
    assert ours.loss_ == pytest.approx(np.mean(residuals**2) / 2)
    gradient = residuals.sum(axis=0) / len(x)  # of the sum of the losses, by the last biases
    np.testing.assert_allclose(gradient, 0, atol=1e-4)


@pytest.mark.parametrize("task", ["classes", "two classes", "number", "labels"])
def test_partial_fit_gives_scikit_learns_numbers(task):
    (x, y), theirs, ours = pair(task, batch_size=8)
    classes = {"classes": [0, 1, 2], "two classes": ["yes", "no"], "labels": [0, 1, 2]}.get(task)
    first = {} if classes is None else dict(classes=classes)
    for i in range(4):
        part = slice(20 * i, 20 * i + 20)
        theirs.partial_fit(x[part], y[part], **first)
        ours.partial_fit(x[part], y[part], **first)
        assert_same_estimator(theirs, ours)


def test_partial_fit_continues_at_the_best_weights_of_early_stopping():
    x, y = IRIS
    model = MLPClassifier(**FIXED, solver=SGD(lr=0.5), early_stopping=True).fit(x, y)
    best = [w.copy() for w in model.coefs_]
    model.set_params(early_stopping=False)
    model._optimizer.lr = 0.0
    np.testing.assert_array_equal(model.partial_fit(x, y).coefs_[0], best[0])


def test_warm_start_gives_scikit_learns_numbers():
    (x, y), theirs, ours = pair("classes", warm_start=True, max_iter=3)
    for _ in range(3):
        assert_same_estimator(theirs.fit(x, y), ours.fit(x, y))
    assert len(ours.loss_curve_) == 9


def test_weights_count_as_repeated_rows():
    x, y = IRIS
    counts = np.arange(len(y)) % 3
    options = FIXED | dict(batch_size=1000, alpha=1.0, shuffle=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        weighted = MLPClassifier(**options).fit(x, y, counts)
        repeated = MLPClassifier(**options).fit(np.repeat(x, counts, 0), np.repeat(y, counts))
    np.testing.assert_allclose(weighted.coefs_[0], repeated.coefs_[0], 1e-9)


def test_a_batch_without_weight_is_skipped():
    x, y = IRIS
    w = (np.arange(len(y)) < 32).astype(float)
    model = MLPClassifier(**FIXED | dict(shuffle=False, max_iter=1), solver=SGD(lr=0.1))
    model.fit(x, y, w)
    assert model._optimizer.steps == 1
    assert model.loss_ > 0


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_sparse_rows_are_dense_rows(solver):
    x, y = IRIS
    x = np.where(x > 0, x, 0)
    expected = MLPClassifier(**FIXED, solver=solver).fit(x, y).predict_proba(np.tile(x, (9, 1)))
    for kind in (scipy.sparse.csr_array, scipy.sparse.csc_matrix):
        model = MLPClassifier(**FIXED, solver=solver).fit(kind(x), y)
        many = kind(np.tile(x, (9, 1)))  # more than a piece
        np.testing.assert_allclose(model.predict_proba(many), expected, 1e-9)


def test_sparse_labels_are_dense_labels():
    (x, y), _, ours = pair("labels")
    expected = clone(ours).fit(x, y).coefs_[0]
    np.testing.assert_array_equal(ours.fit(x, scipy.sparse.csr_array(y)).coefs_[0], expected)


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs", "lion"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_and_predictions_have_the_dtype_of_x(solver, dtype):
    (x, y), _, ours = pair("number", solver=solver, alpha=0.1)
    ours.fit(x.astype(dtype), y, WEIGHTS[: len(x)])
    twin = clone(ours).set_params(alpha=np.float64(0.1))  # as a search over a logspace sets it
    assert twin.fit(x.astype(dtype), y, WEIGHTS[: len(x)]).loss_ == ours.loss_
    assert {a.dtype for a in ours.coefs_ + ours.intercepts_} == {np.dtype(dtype)}
    assert ours.predict(x.astype(dtype)).dtype == dtype


def test_names_of_columns_are_kept():
    pandas = pytest.importorskip("pandas")
    model = MLPRegressor(**FIXED).fit(pandas.DataFrame(X, columns=[*"abcd"]), SUM)
    assert [*model.feature_names_in_] == [*"abcd"]


def test_the_parameters_are_known():
    """A new parameter of scikit-learn would be accepted and not used."""
    known = """activation alpha batch_size beta_1 beta_2 early_stopping epsilon hidden_layer_sizes
    learning_rate learning_rate_init max_fun max_iter momentum n_iter_no_change nesterovs_momentum
    power_t random_state shuffle solver tol validation_fraction verbose warm_start""".split()
    assert sorted(MLPClassifier().get_params()) == known
    assert sorted(MLPRegressor().get_params()) == sorted([*known, "loss"])


def test_nothing_of_scikit_learns_training_runs(monkeypatch):
    base = neural_network.MLPClassifier.__mro__[2]
    assert {"_fit", "_backprop", "_forward_pass_fast"} <= vars(base).keys()
    for cls in (base, neural_network.MLPClassifier, neural_network.MLPRegressor):
        for name in {*vars(cls)} - {"_parameter_constraints"}:
            if not name.startswith("__") and not name.startswith("set_"):
                monkeypatch.setattr(cls, name, None)
    for task in TASKS:
        (x, y), _, ours = pair(task, early_stopping=True)
        ours.fit(x, y).score(x, y)
        ours.set_params(early_stopping=False).partial_fit(x, y).predict(x)


# ---- The tools of scikit-learn ----


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [
    MLPClassifier(), MLPRegressor(), MLPClassifier(solver="lion"),
    MLPRegressor(solver=EMA(RMSprop(lr=CosineDecay(0.01, 500)))), MLPRegressor(solver="lbfgs"),
])  # fmt: skip
@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_own_checks(estimator):
    check_estimator(estimator)


def test_a_pipeline_and_a_search():
    x, y = IRIS
    steps = make_pipeline(StandardScaler(), MLPClassifier(**FIXED))
    solvers = ["adam", "lbfgs", "lion", RMSprop(lr=0.05), AdamW]
    search = GridSearchCV(steps, {"mlpclassifier__solver": solvers}, cv=3)
    with parallel_backend("threading", n_jobs=2):
        search.fit(x, y)
    assert search.best_score_ > 0.9
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    alone = cross_val_score(search.best_estimator_, x, y, cv=3).mean()
    assert alone == pytest.approx(search.best_score_)


@pytest.mark.slow
def test_a_search_on_two_processes():
    options = FIXED | dict(solver=EMA(Adam(lr=CosineDecay(0.05, 100)), decay=0.9), max_iter=40)
    search = GridSearchCV(MLPClassifier(**options), {"alpha": [1e-4, 1e-2]}, cv=3, n_jobs=2)
    assert search.fit(*IRIS).best_score_ > 0.9


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
@pytest.mark.parametrize("solver", ["adam", "lbfgs", EMA(SGD(lr=0.1, momentum=0.9))])
def test_a_copy_continues_with_the_same_bits(duplicate, solver):
    x, y = IRIS
    model = MLPClassifier(**FIXED, solver=solver).fit(x, y)
    twin = duplicate(model)
    np.testing.assert_array_equal(twin.predict_proba(x), model.predict_proba(x))
    if solver != "lbfgs":
        model.partial_fit(x, y)
        np.testing.assert_array_equal(twin.partial_fit(x, y).coefs_[0], model.coefs_[0])


def test_fit_leaves_no_gradients():
    model = MLPClassifier(**FIXED).fit(*IRIS)
    assert all(p.grad is None for p in model._optimizer.parameters.values())


# ---- What is ours ----


class Twice(Optimizer):
    """Compute the gradient twice in each step, at the same weights."""

    needs_closure = True

    def step(self, closure=None):
        closure()
        return super().step(closure)

    def direction(self, g, slots):
        return g


@pytest.mark.parametrize("solver", [
    "lion", "RMSprop", "ema", AdamW, Lion(lr=0.01), Twice(lr=0.1), SGD(lr=lambda t: 0.5 / (1 + t)),
    EMA(RMSprop(lr=CosineDecay(0.01, 500), clip_norm=1.0)),
])  # fmt: skip
@pytest.mark.parametrize("task", ["classes", "number"])
def test_any_optimizer_trains_and_is_not_changed(task, solver):
    (x, y), _, ours = pair(task, solver=solver, max_iter=20)
    before = pickle.dumps(solver) if isinstance(solver, EMA) else repr(solver)
    ours.fit(x, y)
    assert ours.loss_curve_[-1] < ours.loss_curve_[0]
    assert before == (pickle.dumps(solver) if isinstance(solver, EMA) else repr(solver))
    assert not getattr(solver, "parameters", None) or isinstance(solver, type)
    coefs = ours.coefs_[0]
    np.testing.assert_array_equal(ours.fit(x, y).coefs_[0], coefs)
    np.testing.assert_array_equal(clone(ours).fit(x, y).coefs_[0], coefs)


def test_an_instance_takes_the_steps_of_the_name():
    x, y = IRIS
    by_name = MLPClassifier(**FIXED, solver="lion", learning_rate_init=0.01).fit(x, y)
    for solver in (Lion, Lion(lr=0.01)):
        model = MLPClassifier(**FIXED, solver=solver, learning_rate_init=0.01).fit(x, y)
        assert model.loss_curve_ == by_name.loss_curve_


def test_names_ignore_case():
    x, y = IRIS
    for name, lower in (("Adam", "adam"), ("SGD", "sgd")):
        model, other = [MLPClassifier(**FIXED, solver=s).fit(x, y) for s in (name, lower)]
        assert model.loss_curve_ == other.loss_curve_
    assert not hasattr(MLPClassifier(solver="LBFGS").fit(x, y), "loss_curve_")


@pytest.mark.parametrize(("solver", "lr"), [
    ("rmsprop", [0.1 / 151, 0.1 / 301]), (SGD, [0.1 / 151, 0.1 / 301]),
    ("adam", [0.1] * 2), (SGD(lr=0.2), [0.2] * 2),
])  # fmt: skip
def test_learning_rate_acts_on_names_and_classes(solver, lr):
    model = MLPClassifier(
        **FIXED, solver=solver, learning_rate="invscaling", power_t=1, learning_rate_init=0.1
    )
    seen = []
    for _ in range(2):
        model.partial_fit(*IRIS, classes=[0, 1, 2])
        seen.append(model._optimizer.lr)
    assert seen == pytest.approx(lr)


def test_predictions_use_averaged_weights():
    x, y = IRIS
    model = MLPClassifier(**FIXED, solver=EMA(SGD(lr=0.5), decay=0.9)).fit(x, y)
    training = [p.data for p in model._optimizer.parameters.values()]
    with model._optimizer.evaluating():
        averages = [p.data.copy() for p in model._optimizer.parameters.values()]
    np.testing.assert_array_equal(model.coefs_[0], averages[0])
    assert abs(model.coefs_[0] - training[0]).max() > 1e-3
    plain = MLPClassifier(**FIXED, solver=SGD(lr=0.5)).fit(x, y)
    assert model.loss_curve_ == plain.loss_curve_  # training itself goes on as without averages
    assert model.partial_fit(x, y).loss_ == pytest.approx(plain.partial_fit(x, y).loss_)


def test_early_stopping_judges_averaged_weights():
    x, y = IRIS
    solver = EMA(SGD(lr=0.5), decay=0.9)
    model = MLPClassifier(**FIXED | dict(max_iter=1), solver=solver, early_stopping=True).fit(x, y)
    with model._optimizer.evaluating():
        averages = [p.data.copy() for p in model._optimizer.parameters.values()]
    np.testing.assert_array_equal(model.coefs_[0], averages[0])


def test_losses_are_not_clipped():
    """If a probability rounds to 0, scikit-learn clips the loss to 36.04; ours is exact."""
    x, y = np.array([[1.0], [-1.0]]), np.array([0, 1])
    model = MLPClassifier((), alpha=0, max_iter=1, solver=SGD(lr=0.0), random_state=0).fit(x, y)
    model.coefs_[0][:], model.intercepts_[0][:] = 100.0, 0
    assert model.partial_fit(x, y).loss_ == pytest.approx(100)


def test_values_of_coefs_that_a_user_writes_are_the_next_start():
    x, y = IRIS
    model = MLPClassifier(**FIXED, solver=SGD(lr=0.0)).fit(x, y)
    model.coefs_ = [np.zeros_like(a) for a in model.coefs_]
    model.intercepts_ = [np.zeros_like(a) for a in model.intercepts_]
    assert model.partial_fit(x, y).loss_ == pytest.approx(np.log(3))


def test_another_solver_starts_without_the_old_optimizer():
    x, y = IRIS
    model = MLPClassifier(**FIXED).fit(x, y).set_params(solver="lbfgs", hidden_layer_sizes=(3,))
    model.fit(x, y).set_params(solver="adam").partial_fit(x, y)
    assert model.coefs_[0].shape == (4, 3)


def test_a_warm_start_can_begin_to_stop_early():
    x, y = IRIS
    model = MLPClassifier(**FIXED, warm_start=True).fit(x, y).set_params(early_stopping=True)
    assert len(model.fit(x, y).validation_scores_) == len(model.loss_curve_) > 0
    assert model.best_validation_score_ == max(model.validation_scores_)


# ---- Warnings, interruptions, errors ----


@pytest.mark.parametrize("solver", ["adam", "lbfgs", "lion"])
def test_too_few_iterations_cause_a_warning(solver):
    with pytest.warns(ConvergenceWarning, match="converge") as caught:
        MLPClassifier(**FIXED, solver=solver).fit(*IRIS)
    assert caught[0].filename == __file__


def test_convergence_and_partial_fit_cause_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MLPClassifier(solver="lbfgs", alpha=1, max_iter=500).fit(*IRIS)
        MLPClassifier(max_iter=500, tol=0.1, n_iter_no_change=2).fit(*IRIS)
        MLPClassifier(max_iter=1).partial_fit(*IRIS, classes=[0, 1, 2])


def test_a_large_batch_causes_a_warning():
    with pytest.warns(UserWarning, match="batch_size is 1000, more than 150 rows"):
        MLPClassifier(max_iter=1, batch_size=1000).fit(*IRIS)


def test_an_interruption_keeps_what_was_trained():
    class Interrupted(SGD):
        def direction(self, g, slots, *, t):
            if t == 9:
                raise KeyboardInterrupt
            return g

    model = MLPClassifier(**FIXED, solver=Interrupted(lr=0.1))
    with pytest.warns(UserWarning, match="interrupted by the user"):
        model.fit(*IRIS)
    assert model.n_iter_ == len(model.loss_curve_) == 1  # five batches an epoch
    assert model.score(*IRIS) > 0.3


def test_progress_is_printed(capsys):
    MLPClassifier(**FIXED | dict(max_iter=2), early_stopping=True, verbose=True).fit(*IRIS)
    MLPClassifier(**FIXED, solver="lbfgs", verbose=True).fit(*IRIS)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" =")[0] for line in lines] == [
        "Iteration 1, loss", "Iteration 2, loss", "lbfgs: 8 iterations, loss"
    ]  # fmt: skip
    assert "score = 0." in lines[0]


@pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")
def test_divergence_is_an_error():
    x = X * 1e200
    for solver in ("adam", "rmsprop"):
        with pytest.raises(ValueError, match="non-finite"):
            MLPRegressor(**FIXED, solver=solver, alpha=1e300).fit(x, SUM)
    with pytest.raises(FloatingPointError, match="nothing was updated"):
        MLPRegressor(**FIXED, solver=SGD(lr=1.0)).fit(x, SUM)


@pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")
def test_divergence_with_early_stopping_ends_at_finite_weights():
    options = dict(solver="sgd", learning_rate_init=1e3, activation="identity", max_iter=20)
    model = MLPRegressor(**FIXED | options, early_stopping=True).fit(X, SUM)
    assert np.isnan(model.validation_scores_[-1])
    assert np.isfinite(model.coefs_[0]).all()


@pytest.mark.parametrize(("options", "error"), [
    (dict(solver="adm"), "unknown optimizer 'adm'; did you mean 'adam'"),
    (dict(solver=3), "'solver' parameter of MLPClassifier"),
    (dict(solver=int), "an optimizer must be"),
    (dict(alpha=-1), "'alpha' parameter"),
    (dict(solver="sgd", momentum=1.0), "momentum must be a finite number in"),
    (dict(hidden_layer_sizes=(3, 0)), "hidden_layer_sizes must be a positive integer"),
    (dict(hidden_layer_sizes=[2.5]), "hidden_layer_sizes must be a positive integer"),
    (dict(activation="gelu"), "'activation' parameter"),
    (dict(early_stopping=True, validation_fraction=0.001), "raise validation_fraction"),
])  # fmt: skip
def test_wrong_parameters_are_refused(options, error):
    model = MLPClassifier(**options)
    with pytest.raises((ValueError, TypeError), match=error):
        model.fit(*IRIS)


def test_a_wrong_solver_is_found_before_anything_is_set():
    model = MLPClassifier(solver="adm")
    with pytest.raises(ValueError, match="did you mean"):
        model.fit(*IRIS)
    assert vars(model) == vars(MLPClassifier(solver="adm"))


def test_wrong_calls_are_refused():
    x, y = IRIS
    model = MLPClassifier(**FIXED)
    for method in (model.predict, model.predict_proba, model.predict_log_proba):
        with pytest.raises(NotFittedError):
            method(x)
    with pytest.raises(ValueError, match="first call of partial_fit needs classes"):
        model.partial_fit(x, y)
    model.partial_fit(x, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="classes must be"):
        model.partial_fit(x, y, classes=[0, 1])
    with pytest.raises(ValueError, match="y has"):
        model.partial_fit(x, y + 1)
    with pytest.raises(ValueError, match="cannot stop early"):
        model.set_params(early_stopping=True).partial_fit(x, y)
    with pytest.raises(ValueError, match="Negative"):
        clone(model).fit(x, y, -np.ones(len(y)))
    with pytest.raises(ValueError, match='loss="poisson" needs y ≥ 0; received -1'):
        MLPRegressor(loss="poisson").fit(x, y - 1.0)
    bound = SGD(model._optimizer.parameters.items())
    with pytest.raises(RuntimeError, match="already has parameters"):
        MLPClassifier(solver=bound).fit(x, y)


def test_a_warm_start_keeps_layers_and_classes():
    x, y = IRIS
    model = MLPClassifier(**FIXED, warm_start=True).fit(x, y)
    with pytest.raises(ValueError, match="the classes are"):
        model.fit(x[:100], y[:100])
    model.set_params(hidden_layer_sizes=(5,))
    with pytest.raises(ValueError, match=r"layers have \[4, 8, 3\] units, not \[4, 5, 3\]"):
        model.fit(x, y)
    assert model.set_params(warm_start=False).fit(x, y).coefs_[0].shape == (4, 5)


def test_lbfgs_has_no_partial_fit():
    assert hasattr(MLPClassifier(), "partial_fit")
    assert not hasattr(MLPClassifier(solver="lbfgs"), "partial_fit")
    assert not hasattr(MLPRegressor(solver="lbfgs"), "partial_fit")


def test_a_missing_scikit_learn_is_named():
    code = "import sys; sys.modules['sklearn'] = None; import minigrad.sklearn"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert 'pip install "minigrad[sklearn]"' in done.stderr
