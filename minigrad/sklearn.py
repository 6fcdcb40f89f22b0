"""The scikit-learn face: MLPClassifier and MLPRegressor, trained by minigrad.

Coming from scikit-learn, write `minigrad.sklearn` for `sklearn.neural_network`.

| | |
|---|---|
| same | parameters, attributes, methods; with one random_state: initial weights, batches, losses |
| more | `solver="lion"`, `solver=AdamW`: any optimizer; its lr is learning_rate_init |
| more | `solver=EMA(Adam(lr=CosineDecay(0.01, 500)))`: an instance; fit trains a copy of it |
| differs | learning_rate acts on all solvers but "adam" and instances; momentum only on "sgd" |
| differs | losses come from logits; "lbfgs" keeps float32, and adds the losses of several targets |
| differs | batches of weight 0 are skipped; momentum=1 and weights below 0 raise ValueError |
"""

import warnings
from copy import deepcopy
from functools import partial
from itertools import pairwise
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse, special

from . import functional as F
from .autograd import Tensor
from .datasets import batches
from .optimizers import Optimizer, Wrapper, get
from .second_order import minimize
from .utils import positive_int, weighted

try:
    from sklearn import base, exceptions, metrics, model_selection, neural_network, preprocessing
    from sklearn.utils import check_random_state, column_or_1d, shuffle
    from sklearn.utils.metaestimators import available_if
    from sklearn.utils.multiclass import type_of_target, unique_labels
    from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
except ImportError as error:
    raise ImportError('scikit-learn 1.7 is needed: pip install "minigrad[sklearn]"') from error

Rows: TypeAlias = npt.ArrayLike | sparse.spmatrix
READ: dict[str, Any] = dict(accept_sparse="csr", dtype=(np.float64, np.float32))
SOLVERS: dict[str, Any] = {"solver": [str, type, Optimizer, Wrapper]}
ACTIVATIONS: dict[str, Any] = dict(identity=lambda z: z, logistic=F.sigmoid, tanh=np.tanh,
                                   relu=F.relu, softmax=F.softmax, exp=np.exp)  # fmt: skip
LOSSES: dict[str, Any] = {  # means over all elements; exp: half of the Poisson deviance
    "identity": lambda z, y, w: F.mean_squared_error(z, y, w) / 2,
    "logistic": lambda z, y, w: F.binary_cross_entropy_with_logits(z, y, sample_weight=w),
    "softmax": lambda z, y, w: F.cross_entropy(z, y, w) / y.shape[1],
    "exp": lambda z, y, w: np.mean(weighted(np.exp(z) - y * z + (special.xlogy(y, y) - y), w)),
}
is_stochastic = available_if(lambda self: str(self.solver).lower() != "lbfgs")


class MultilayerPerceptron(base.BaseEstimator):
    """Training and prediction. The constructor is that of scikit-learn's class, the second base.

    A subclass defines _encode (targets to numbers; it also sets out_activation_), _decode (numbers
    to targets) and _metric (for early stopping). In `weights` all coefs precede all intercepts.
    """

    _parameter_constraints = neural_network.MLPRegressor._parameter_constraints | SOLVERS

    def fit(self, X: Rows, y: Rows, sample_weight: npt.ArrayLike | None = None) -> Self:
        """Train from new weights, or with warm_start from the current ones; return self."""
        return self._fit(X, y, sample_weight)

    def predict(self, X: Rows) -> np.ndarray:
        """Return a label or a number for each row; rows of them for several labels or targets."""
        return self._decode(self._outputs(X))

    def _outputs(self, X: Any) -> Any:
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, **READ)
        return ACTIVATIONS[self.out_activation_](self._logits(X, self.coefs_ + self.intercepts_))

    def _fit(self, X: Any, y: Any, sample_weight: Any, incremental: bool = False) -> Self:
        self._validate_params()
        who, optimizer = type(self).__name__, self._new_optimizer()
        sizes = [positive_int("hidden_layer_sizes", n) for n in np.ravel(self.hidden_layer_sizes)]
        if incremental and self.early_stopping:
            raise ValueError(f"{who}: partial_fit cannot stop early; set early_stopping=False")
        is_new = not hasattr(self, "coefs_") or not (self.warm_start or incremental)
        checks = dict(multi_output=True, y_numeric=not base.is_classifier(self), reset=is_new)
        X, y = validate_data(self, X, y, **checks, **READ)
        w = _check_sample_weight(sample_weight, X, dtype=X.dtype, ensure_non_negative=True)
        y = column_or_1d(y, warn=True) if y.shape[1:] == (1,) else y
        y = self._encode(y, is_new and not incremental).astype(X.dtype).reshape(X.shape[0], -1)
        units, rng = [X.shape[1], *sizes, y.shape[1]], check_random_state(self.random_state)
        if is_new:
            self.n_iter_, self.t_, self.n_outputs_, self.n_layers_ = 0, 0, units[-1], len(units)
            self.coefs_, self.intercepts_ = [], []
            for shape in pairwise(units):
                bound = np.sqrt((2 if self.activation == "logistic" else 6) / sum(shape))
                self.coefs_.append(rng.uniform(-bound, bound, shape).astype(X.dtype))
                self.intercepts_.append(rng.uniform(-bound, bound, shape[1]).astype(X.dtype))
        elif units != (now := [*map(len, self.coefs_), self.n_outputs_]):
            raise ValueError(f"{who}: layers have {now} units, not {units}; set warm_start=False")
        tensors = [Tensor(a, requires_grad=True) for a in self.coefs_ + self.intercepts_]
        if not (incremental and getattr(self, "_optimizer", None)):
            self._optimizer = optimizer and optimizer.bind(tensors)  # None for "lbfgs"
        elif not self._optimizer.has_evaluation_weights:  # a user may have assigned coefs_
            for p, tensor in zip(self._optimizer.parameters.values(), tensors):
                p.data[...] = tensor.data
        if optimizer is None:
            weights = self._fit_lbfgs(tensors, X.toarray() if sparse.issparse(X) else X, y, w)
        else:
            weights = self._fit_stochastic((X, y, w), rng, is_new, incremental)
        self.coefs_, self.intercepts_ = weights[: len(units) - 1], weights[len(units) - 1 :]
        if not all(np.isfinite(a).all() for a in weights):
            raise ValueError(f"{who}: weights became non-finite; scale the data or lower the lr")
        return self

    def _logits(self, x: Any, weights: Any) -> Any:
        """Return the last layer before its activation; a sparse x is made dense in pieces."""
        if sparse.issparse(x):
            pieces = batches(np.arange(x.shape[0]), None, 1000, shuffle=False)
            return np.concatenate([self._logits(x[rows].toarray(), weights) for rows in pieces])
        n, activation = len(weights) // 2, ACTIVATIONS[self.activation]
        for i, (coef, intercept) in enumerate(zip(weights[:n], weights[n:])):
            x = F.linear(activation(x) if i else x, coef, intercept)
        return x

    def _loss(self, weights: list[Tensor], x: Any, y: Any, w: Any) -> Any:
        """L = (Σ wᵢ·lᵢ + α/2·‖W‖²) / Σ wᵢ, with lᵢ summed over the outputs.

        Return L and the loss that scikit-learn reports: squared errors averaged over targets.
        """
        (rows, outputs), total, z = y.shape, float(w.sum()), self._logits(x, weights)
        mean = LOSSES[self.out_activation_](z, y, w * (rows / total))
        squares = sum(np.sum(np.square(coef)) for coef in weights[: len(weights) // 2])
        loss = mean * outputs + float(self.alpha) / 2 / total * squares
        surplus = outputs - 1 if self.out_activation_ == "identity" else 0
        return loss, loss.item() - surplus * mean.item()

    def _new_optimizer(self) -> Any:
        """Return the optimizer, without parameters; None for "lbfgs"."""
        if isinstance(self.solver, Optimizer | Wrapper):
            return deepcopy(self.solver)
        name, nesterov = str(self.solver).lower(), self.nesterovs_momentum and self.momentum > 0
        adam = dict(beta1=self.beta_1, beta2=self.beta_2, eps=self.epsilon, eps_hat=True)
        sgd = dict(momentum=self.momentum, nesterov=nesterov, lr_in_momentum=True)
        options: Any = {"adam": adam, "sgd": sgd}.get(name, {}) | dict(on_nonfinite="ignore")
        return None if name == "lbfgs" else get(self.solver, lr=self.learning_rate_init, **options)

    def _fit_lbfgs(self, weights: list[Tensor], *data: Any) -> list[np.ndarray]:
        options = dict(maxiter=self.max_iter, maxfun=self.max_fun, gtol=self.tol)
        result = minimize(lambda: self._loss(weights, *data)[0], weights, options=options)
        self.n_iter_, self.loss_ = result.nit, self._loss(weights, *data)[1]
        state = f"{self.n_iter_} iterations, loss = {self.loss_:.8f}, {result.message}"
        if self.verbose:
            print(f"lbfgs: {state}")
        if result.status != 0:
            what = f"lbfgs did not converge: {state}; raise max_iter or max_fun, or scale the data"
            warnings.warn(what, exceptions.ConvergenceWarning, stacklevel=4)
        return [tensor.data for tensor in weights]

    def _fit_stochastic(self, data: Any, rng: Any, is_new: bool, incremental: bool) -> Any:
        train, held_out, optimizer = data, None, self._optimizer
        if self.early_stopping:
            strata = data[1] if base.is_classifier(self) and self.n_outputs_ == 1 else None
            options = dict(test_size=self.validation_fraction, random_state=rng, stratify=strata)
            parts = model_selection.train_test_split(*data, **options)
            train, held_out = parts[::2], parts[1::2]
            if len(held_out[1]) < 2:
                raise ValueError("early_stopping needs 2 rows; raise validation_fraction")
        if is_new or getattr(self, "_stops_early", None) != self.early_stopping:
            self._stops_early, self._idle_epochs = self.early_stopping, 0
            self.loss_curve_: list[float] = []
            self.validation_scores_: Any = [] if held_out else None
            self.best_loss_: Any = None if held_out else np.inf
            self.best_validation_score_: Any = -np.inf if held_out else None
            self._best_weights = [a.copy() for a in self.coefs_ + self.intercepts_]
        parameters, n = [*optimizer.parameters.values()], len(train[1])
        order = np.arange(n)
        batch_size = min(200, n) if self.batch_size == "auto" else self.batch_size
        if batch_size > n:
            warnings.warn(f"batch_size is {batch_size}, more than {n} rows", stacklevel=4)
        has_schedule = isinstance(self.solver, str | type) and str(self.solver).lower() != "adam"
        schedule = self.learning_rate if has_schedule else "constant"
        self.n_iter_ = 0
        try:
            for _ in range(1 if incremental else self.max_iter):
                order = shuffle(order, random_state=rng) if self.shuffle else order
                self.loss_ = self._train_epoch(train, order, batch_size)
                self.n_iter_, self.t_ = self.n_iter_ + 1, self.t_ + n
                with optimizer.evaluating():
                    improved = self._record_epoch(held_out, [p.data for p in parameters])
                if self.verbose:
                    score = f", score = {self.validation_scores_[-1]:.6f}" if held_out else ""
                    print(f"Iteration {self.n_iter_}, loss = {self.loss_:.8f}{score}")
                self._idle_epochs = 0 if improved else self._idle_epochs + 1
                if schedule == "invscaling":
                    optimizer.lr = self.learning_rate_init / (self.t_ + 1) ** self.power_t
                if self._idle_epochs > self.n_iter_no_change:
                    if schedule != "adaptive" or optimizer.lr <= 1e-6:
                        break
                    optimizer.lr, self._idle_epochs = optimizer.lr / 5, 0
            else:
                if not incremental:
                    what = f"training did not converge in max_iter={self.max_iter} epochs"
                    warnings.warn(what, exceptions.ConvergenceWarning, stacklevel=4)
        except KeyboardInterrupt:
            warnings.warn("training was interrupted by the user", stacklevel=4)
        if held_out and not np.isfinite(self.best_validation_score_):
            raise ValueError("no epoch had a finite validation score; lower the learning rate")
        optimizer.zero_grad()  # a pickle is then smaller
        with optimizer.evaluating():
            return self._best_weights if held_out else [p.data.copy() for p in parameters]

    def _train_epoch(self, data: Any, order: np.ndarray, batch_size: int) -> float:
        """Take a step with each batch of the rows in this order; return the mean loss."""
        (X, y, sample_weight), optimizer = data, self._optimizer
        parameters, total, seen = [*optimizer.parameters.values()], 0.0, 0

        def closure(*batch: Any) -> float:
            optimizer.zero_grad()
            loss, reported = self._loss(parameters, *batch)
            loss.backward()
            return reported

        for rows in batches(order, None, batch_size, shuffle=False):
            if (w := sample_weight[rows]).any():
                seen += len(rows)
                total += len(rows) * optimizer.step(partial(closure, X[rows], y[rows], w))
        return total / max(seen, 1)

    def _record_epoch(self, held_out: Any, weights: list[np.ndarray]) -> bool:
        """Record the epoch, keep the best one; return whether it is better by tol."""
        self.loss_curve_.append(self.loss_)
        if held_out is None:
            best, self.best_loss_ = self.best_loss_, min(self.best_loss_, self.loss_)
            return self.loss_ <= best - self.tol
        (x, y, w), best, score = held_out, self.best_validation_score_, np.nan
        outputs = ACTIVATIONS[self.out_activation_](self._logits(x, weights))
        if np.isfinite(outputs).all():
            score = self._metric(self._decode(y), self._decode(outputs), sample_weight=w)
        self.validation_scores_.append(score)
        if score > best:
            self.best_validation_score_, self._best_weights = score, [a.copy() for a in weights]
        return score >= best + self.tol


class MLPClassifier(MultilayerPerceptron, neural_network.MLPClassifier):
    """A network for classes, or for several labels at once.

    >>> X, y = [[0.0], [1.0], [2.0], [3.0]], ["low", "low", "high", "high"]
    >>> MLPClassifier(solver="lbfgs", random_state=0).fit(X, y).predict([[0.5], [2.5]])
    array(['low', 'high'], dtype='<U4')
    """

    _metric = staticmethod(metrics.accuracy_score)

    @is_stochastic
    def partial_fit(self, X: Rows, y: Rows, sample_weight: npt.ArrayLike | None = None,
                    classes: npt.ArrayLike | None = None) -> Self:  # fmt: skip
        """Train one epoch; return self. The first call needs `classes`: all that can occur."""
        if not hasattr(self, "classes_"):
            if classes is None:
                raise ValueError("MLPClassifier: the first call of partial_fit needs classes")
            self._encode(y if type_of_target(y).startswith("multilabel") else classes, is_new=True)
        elif classes is not None and not np.array_equal(unique_labels(classes), self.classes_):
            raise ValueError(f"MLPClassifier: classes must be {self.classes_}, as before")
        return self._fit(X, y, sample_weight, incremental=True)

    def predict_proba(self, X: Rows) -> np.ndarray:
        """Return a column of probabilities for each class, or for each of several labels."""
        p = self._outputs(X)
        return np.hstack([1 - p, p]) if self.n_outputs_ == 1 else p

    def _encode(self, y: Any, is_new: bool) -> np.ndarray:
        if is_new:
            self._labels = preprocessing.LabelBinarizer().fit(y)
            self.classes_ = self._labels.classes_
        labels, known = {*unique_labels(y)}, {*self.classes_}
        if not labels <= known or (self.warm_start and labels < known):
            raise ValueError(f"MLPClassifier: the classes are {self.classes_}; y has {labels}")
        self.out_activation_ = "softmax" if self._labels.y_type_ == "multiclass" else "logistic"
        return self._labels.transform(y)

    def _decode(self, outputs: Any) -> np.ndarray:
        return self._labels.inverse_transform(outputs)


class MLPRegressor(MultilayerPerceptron, neural_network.MLPRegressor):
    """A network for numbers, one or several for each row.

    >>> X, y = [[0.0], [1.0], [2.0], [3.0]], [1.0, 3.0, 5.0, 7.0]
    >>> MLPRegressor(solver="lbfgs", random_state=0).fit(X, y).predict([[1.5]]).round(2)
    array([4.])
    """

    _metric = staticmethod(metrics.r2_score)

    @is_stochastic
    def partial_fit(self, X: Rows, y: Rows, sample_weight: npt.ArrayLike | None = None) -> Self:
        """Train one epoch; return self."""
        return self._fit(X, y, sample_weight, incremental=True)

    def _encode(self, y: Any, is_new: bool) -> np.ndarray:
        self.out_activation_ = "exp" if self.loss == "poisson" else "identity"
        if self.loss == "poisson" and y.min() < 0:
            raise ValueError(f'MLPRegressor: loss="poisson" needs y ≥ 0; received {y.min()}')
        return y

    def _decode(self, outputs: Any) -> np.ndarray:
        return outputs.ravel() if self.n_outputs_ == 1 else outputs
