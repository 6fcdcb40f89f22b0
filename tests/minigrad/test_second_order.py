"""minimize gives SciPy's results, and leaves the parameters as it promises."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
import scipy.optimize

import minigrad
from minigrad import Tensor, grad, hessian_vector_product, minimize, no_grad
from minigrad.autograd.conversion import unwrap
from minigrad.functional import cross_entropy, softplus
from minigrad.layers import Dense, Dropout
from minigrad.models import Sequential
from minigrad.second_order import DERIVATIVES

FIRST_ORDER = ["CG", "BFGS", "L-BFGS-B", "TNC", "SLSQP"]
PRODUCTS = ["Newton-CG", "trust-ncg", "trust-krylov", "trust-constr"]
HESSIAN = ["dogleg", "trust-exact"]
GRADIENT_FREE = ["Nelder-Mead", "Powell", "COBYLA"]
if "cobyqa" in scipy.optimize._minimize.MINIMIZE_METHODS:  # since SciPy 1.14
    GRADIENT_FREE.append("COBYQA")
WITH_MANY_STEPS = {"trust-constr", "Powell", "COBYLA", "COBYQA"}
ALL = [
    pytest.param(name, marks=[pytest.mark.slow] if name in WITH_MANY_STEPS else [])
    for name in [*FIRST_ORDER, *PRODUCTS, *HESSIAN, *GRADIENT_FREE]
]

rng = np.random.default_rng(0)
M = rng.standard_normal((4, 4))
A, b = M @ M.T + np.eye(4), rng.standard_normal(4)
START = np.array([-1.2, 1.0, 0.5, 2.0])


class Problem:
    """A function of two parameters, 2 and (1, 2) numbers, that counts its evaluations."""

    def __init__(self, dtype=np.float64):
        self.w = Tensor(START[:2].astype(dtype), requires_grad=True)
        self.c = Tensor(START[2:].reshape(1, 2).astype(dtype), requires_grad=True)
        self.parameters, self.calls = [self.w, self.c], 0

    def x(self):
        return np.concatenate([self.w.data, self.c.data.ravel()])

    def quadratic(self):
        self.calls += 1
        x = np.concatenate([self.w, self.c.ravel()])
        return 0.5 * np.sum(x * (x @ A.astype(x.dtype))) - np.sum(x * b.astype(x.dtype))

    def rosenbrock(self):
        self.calls += 1
        x = np.concatenate([self.w, self.c.ravel()])
        return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def derivatives(method, jac, hess):
    """Return what SciPy needs to be given by hand."""
    if method in GRADIENT_FREE:
        return {}
    if method in PRODUCTS:
        return {"jac": jac, "hessp": lambda x, v: hess(x) @ v}
    return {"jac": jac} | ({"hess": hess} if method in HESSIAN else {})


def minimize_by_hand(name, method, **options):
    """Call SciPy with functions that compute each value, gradient and product anew."""
    problem = Problem()

    def loss_at(x):
        problem.w.data, problem.c.data = split(x.copy())
        return getattr(problem, name)()

    def split(x):
        return [x[:2], x[2:].reshape(1, 2)]

    def join(tensors):
        return np.concatenate([unwrap(t).ravel() for t in tensors])

    def product(x, v):
        return join(hessian_vector_product(loss_at(x), problem.parameters, split(v)))

    functions = {
        "jac": lambda x: join(grad(loss_at(x), problem.parameters)),
        "hessp": product,
        "hess": lambda x: np.stack([product(x, v) for v in np.eye(4)]),
    }
    needed = {key: functions[key] for key in derivatives(method, None, None)}
    return scipy.optimize.minimize(
        lambda x: loss_at(x).item(), START, method=method, **needed, **options
    )


# ---- The optima ----


@pytest.mark.parametrize("method", ALL)
def test_the_minimum_of_a_quadratic_function_solves_a_linear_system(method):
    problem = Problem()
    tol = 1e-20 if method == "SLSQP" else 1e-10
    result = minimize(problem.quadratic, problem.parameters, method, tol=tol)
    accuracy = 1e-6 if method in ["TNC", "L-BFGS-B", *GRADIENT_FREE] else 1e-8
    np.testing.assert_allclose(result.x, np.linalg.solve(A, b), rtol=0, atol=accuracy)
    assert problem.x().tobytes() == result.x.tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("method", ALL)
def test_the_result_is_what_scipy_finds_with_derivatives_by_hand(method):
    problem = Problem()
    result = minimize(problem.quadratic, problem.parameters, method)
    by_hand = derivatives(method, lambda x: A @ x - b, lambda x: A)

    def quadratic(x):
        return 0.5 * np.sum(x * (x @ A)) - np.sum(x * b)

    expected = scipy.optimize.minimize(quadratic, START, method=method, **by_hand)
    np.testing.assert_allclose(result.x, expected.x, rtol=1e-9, atol=1e-9)
    assert result.message == expected.message
    assert (result.nfev, result.get("nit")) == (expected.nfev, expected.get("nit"))


@pytest.mark.slow
@pytest.mark.parametrize("method", ALL)
def test_the_way_along_rosenbrocks_valley_has_the_same_bits_as_by_hand(method):
    problem = Problem()
    options = {"options": {"maxfun" if method == "TNC" else "maxiter": 60}}
    result = minimize(problem.rosenbrock, problem.parameters, method, **options)
    expected = minimize_by_hand("rosenbrock", method, **options)
    assert result.x.tobytes() == expected.x.tobytes() and result.fun == expected.fun
    assert (result.nfev, result.message) == (expected.nfev, expected.message)


def test_logistic_regression_finds_the_maximum_of_the_likelihood():
    """One feature of values 0 and 1: the fitted probabilities are the shares of each group."""
    x = np.repeat([0.0, 1.0], 10)
    y = np.array([1.0] * 2 + [0.0] * 8 + [1.0] * 7 + [0.0] * 3)
    w = Tensor(np.zeros(2), requires_grad=True)

    def negative_log_likelihood():
        z = w[0] + w[1] * x
        return np.sum(softplus(z) - y * z)

    result = minimize(negative_log_likelihood, [w], "trust-exact", tol=1e-10)
    logit = np.log([0.2 / 0.8, 0.7 / 0.3])
    np.testing.assert_allclose(result.x, [logit[0], logit[1] - logit[0]], rtol=1e-10)


@pytest.mark.parametrize("method", ["L-BFGS-B", "Newton-CG", "trust-krylov"])
def test_a_network_with_named_parameters_is_fitted(method):
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    model = Sequential([Dense(8, "tanh", input_shape=(2,)), Dense(2)], seed=0)
    arrays = [p.data for p in model.parameters()]

    def loss():
        return cross_entropy(model(x), [0, 1, 1, 0])

    before = loss().item()
    result = minimize(loss, model.named_parameters(), method, options={"maxiter": 60})
    assert loss().item() == result.fun < 0.01 * before
    for p, array in zip(model.parameters(), arrays, strict=True):
        assert p.data is array and p.dtype == np.float32 and p.grad is None


# ---- The cost ----


@pytest.mark.parametrize("method", [*FIRST_ORDER, "Newton-CG", "Nelder-Mead", "COBYLA"])
@pytest.mark.parametrize("name", ["quadratic", "rosenbrock"])
def test_the_loss_is_computed_once_for_each_evaluation_that_scipy_counts(method, name):
    problem = Problem()
    loss, options = getattr(problem, name), {"maxfun" if method == "TNC" else "maxiter": 100}
    result = minimize(loss, problem.parameters, method, options=options)
    assert problem.calls == result.nfev


@pytest.mark.parametrize("method", ["trust-ncg", "trust-krylov", "trust-exact", "trust-constr"])
def test_a_rejected_step_costs_one_more_evaluation_and_a_product_costs_none(method):
    problem = Problem()
    result = minimize(problem.rosenbrock, problem.parameters, method)
    assert result.nfev <= problem.calls <= 2 * result.nfev

    problem = Problem()
    result = minimize(problem.quadratic, problem.parameters, "trust-krylov")
    assert result.nhev > problem.calls == result.nfev


def test_a_callback_does_not_discard_the_graph():
    problem = Problem()
    minimize(problem.rosenbrock, problem.parameters, "Newton-CG")
    watched = Problem()
    minimize(watched.rosenbrock, watched.parameters, "Newton-CG", callback=lambda x: None)
    assert watched.calls == problem.calls


# ---- Callbacks ----


@pytest.mark.parametrize("method", ALL)
def test_during_the_callback_the_parameters_hold_the_iterate(method):
    problem, seen, expected = Problem(), [], []

    def callback(xk, *state):
        assert len(state) == (method == "trust-constr")
        assert problem.x().tobytes() == xk.tobytes()
        seen.append(xk.copy())

    def by_hand(xk, *state):
        expected.append(xk.copy())

    minimize(problem.quadratic, problem.parameters, method, callback=callback)
    minimize_by_hand("quadratic", method, callback=by_hand)
    assert seen and np.array(seen).tobytes() == np.array(expected).tobytes()


@pytest.mark.parametrize("method", ["BFGS", "L-BFGS-B", "trust-ncg", "trust-constr", "Powell"])
def test_a_callback_can_receive_the_intermediate_result(method):
    problem, values = Problem(), []

    def callback(intermediate_result):
        assert problem.x().tobytes() == intermediate_result.x.tobytes()
        values.append((intermediate_result.fun, problem.rosenbrock().item()))

    minimize(problem.rosenbrock, problem.parameters, method, callback=callback)
    assert values and all(told == computed for told, computed in values)


@pytest.mark.parametrize("method", ["BFGS", "L-BFGS-B", "Newton-CG", "trust-exact", "Powell"])
def test_a_callback_stops_the_minimization_at_its_iterate(method):
    problem = Problem()

    def callback(xk):
        raise StopIteration

    result = minimize(problem.rosenbrock, problem.parameters, method, callback=callback)
    assert not result.success and result.nit <= 1
    assert problem.x().tobytes() == result.x.tobytes()


def test_a_callback_that_writes_into_the_parameters_does_no_harm():
    def callback(xk):
        problem.w.data[...] = 7.0

    problem, plain = Problem(), Problem()
    result = minimize(problem.rosenbrock, problem.parameters, "Newton-CG", callback=callback)
    expected = minimize(plain.rosenbrock, plain.parameters, "Newton-CG")
    assert problem.x().tobytes() == result.x.tobytes() == expected.x.tobytes()


# ---- Options ----


def test_bounds_options_and_constraints_reach_scipy():
    problem = Problem()
    result = minimize(
        problem.quadratic, problem.parameters, bounds=[(0, 0.1)] * 4, options={"maxiter": 7}
    )
    assert result.nit <= 7 and np.all((problem.x() >= 0) & (problem.x() <= 0.1))
    constraint = {"type": "eq", "fun": lambda x: x.sum() - 1, "jac": np.ones_like}
    result = minimize(problem.quadratic, problem.parameters, "SLSQP", constraints=constraint)
    assert abs(problem.x().sum() - 1) < 1e-12


def test_a_custom_hessian_replaces_the_engines():
    problem = Problem()
    result = minimize(problem.quadratic, problem.parameters, "trust-constr",
                      hess=scipy.optimize.BFGS(), options={"gtol": 1e-8})  # fmt: skip
    np.testing.assert_allclose(result.x, np.linalg.solve(A, b), atol=1e-6)


def test_a_linear_loss_has_the_hessian_zero():
    w = Tensor(np.ones(2), requires_grad=True)
    result = minimize(lambda: np.sum(2 * w), [w], "trust-exact", options={"maxiter": 2})
    assert result.hess.tolist() == [[0, 0], [0, 0]] and result.jac.tolist() == [2, 2]
    assert np.array_equal(w.data, result.x) and np.all(w.data < 0)


def test_methods_without_gradients_need_no_derivative():
    w = Tensor(np.array([3.2, 0.5]), requires_grad=True)
    minimize(lambda: Tensor(np.abs(w.data - 1.5).max()), [w], "Nelder-Mead")
    np.testing.assert_allclose(w.data, 1.5, atol=1e-3)


def test_the_table_names_methods_of_scipy():
    known = {*scipy.optimize._minimize.MINIMIZE_METHODS, "cobyqa"}
    assert known - set(map(str.lower, FIRST_ORDER)) == set(DERIVATIVES)


# ---- The parameters ----


def test_float32_parameters_keep_dtype_array_and_memory_order():
    w = Tensor(np.zeros((2, 3), np.float32), requires_grad=True)
    w.data = np.asfortranarray(w.data)
    scale = Tensor(np.float32(0), requires_grad=True)
    target, array = np.arange(6, dtype=np.float32).reshape(2, 3), w.data
    result = minimize(lambda: np.sum((w - target) ** 2) + (scale - 1) ** 2, [w, scale])
    assert w.data is array and w.dtype == scale.dtype == np.float32
    np.testing.assert_allclose(w.data, target, atol=1e-5)
    expected = result.x.astype(np.float32)
    assert w.data.ravel().tolist() == expected[:6].tolist() and scale.item() == expected[6]


def test_gradients_are_left_alone_and_old_graphs_are_refused():
    w = Tensor(np.ones(2), requires_grad=True)
    w.grad = np.full(2, 5.0)
    old = np.sum(w**2)
    minimize(lambda: np.sum((w - 3) ** 2), [w])
    assert w.grad.tolist() == [5, 5]
    with pytest.raises(RuntimeError, match="changed"):
        old.backward()


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_after_an_error_the_parameters_hold_their_starting_values(method, error):
    problem = Problem(np.float32)
    before = problem.x().tobytes()
    call_that_fails = 2 if method in HESSIAN else 4

    def loss():
        if problem.calls == call_that_fails - 1:
            assert problem.x().tobytes() != before
            raise error("stop")
        return problem.quadratic()

    with pytest.raises(error, match="stop"):
        minimize(loss, problem.parameters, method)
    assert problem.x().tobytes() == before


def test_after_an_error_in_the_callback_the_parameters_hold_their_starting_values():
    problem = Problem()

    def callback(xk):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        minimize(problem.rosenbrock, problem.parameters, callback=callback)
    assert problem.x().tobytes() == START.tobytes()


def test_after_an_error_long_doubles_have_all_their_digits():
    start = np.array([1, 2], np.longdouble) / 3
    w = Tensor(start, requires_grad=True)
    with pytest.raises(ValueError, match="bounds"):
        minimize(lambda: np.sum(w**2), [w], bounds=[(0, 1)] * 3)
    assert np.array_equal(w.data, start)


# ---- Errors ----

W = Tensor(np.ones(2), requires_grad=True)


@pytest.mark.parametrize(
    ("parameters", "received"),
    [
        ([W, 3.0], r"\[3.0\]"),
        ([np.ones(2)], "array"),
        ([Tensor([1.0])], r"\[Tensor\(\[1.\]\)\]"),
        ([2 * W], r"\[Tensor\(\[2., 2.\], dtype=float64, requires_grad=True\)\]"),
        (W, r"\[Tensor\(1."),
        ({"w": W}, "'w'"),
    ],
)
def test_parameters_must_be_tensors_that_can_change(parameters, received):
    message = (
        f"minimize: parameters must be distinct tensors that need gradients.*received .*{received}"
    )
    with pytest.raises(ValueError, match=message):
        minimize(lambda: np.sum(W**2), parameters)


def test_an_unbuilt_model_has_no_parameters():
    with pytest.raises(ValueError, match=r"parameters of layers\.0 do not exist yet"):
        minimize(lambda: np.sum(W**2), Sequential([Dense(2)]).parameters())


def test_parameters_must_not_share_memory():
    rows = Tensor(np.ones((2, 3)), requires_grad=True)
    row = Tensor(np.ones(3), requires_grad=True)
    row.data = rows.data[1]
    evens, odds = (Tensor(np.ones(3), requires_grad=True) for _ in range(2))
    evens.data, odds.data = rows.data.ravel()[::2], rows.data.ravel()[1::2]
    for shared in ([rows, row], [W, W], [rows, evens]):
        with pytest.raises(ValueError, match="parameters must be distinct tensors"):
            minimize(lambda: np.sum(rows**2), shared)
    minimize(lambda: np.sum(evens**2) + np.sum(odds**2), [evens, odds])  # interleaved
    assert np.max(np.abs(rows.data)) < 1e-5


@pytest.mark.parametrize("method", ["L-BFGS-B", "Newton-CG", "Nelder-Mead"])
@pytest.mark.parametrize("says_so", [True, False])
def test_the_loss_must_not_change_the_parameters(method, says_so):
    w = Tensor(np.ones(2), requires_grad=True)

    def loss():
        w.data *= 0.9
        if says_so:
            w.version += 1
        return np.sum(w**2)

    with pytest.raises(ValueError, match="loss must not change the parameters"):
        minimize(loss, [w], method)
    assert w.data.tolist() == [1, 1]


def test_loss_and_jac_must_be_functions():
    for jac in ("2-point", True, None):
        with pytest.raises(ValueError, match=f"jac must be a function; received {jac!r}"):
            minimize(lambda: np.sum(W**2), [W], jac=jac)
    with pytest.raises(ValueError, match="loss must be a function; received Tensor"):
        minimize(np.sum(W**2), [W])


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda: 3.0, "minimize: loss must compute a scalar .*; received 3.0"),
        (lambda: None, "minimize: loss must compute a scalar .*; received None"),
        (lambda: Tensor(1.0), r"from the parameters.*; received Tensor\(1.\)"),
        (
            lambda: np.sum(2 * Tensor([1.0], requires_grad=True)),
            "a scalar from the parameters",
        ),
        (lambda: 2 * W, r"a scalar such as a loss is required, received shape \(2,\)"),
    ],
)
def test_the_loss_must_be_a_scalar_that_depends_on_a_parameter(loss, message):
    with pytest.raises(ValueError, match=message):
        minimize(loss, [W])
    assert W.data.tolist() == [1, 1]


def test_a_loss_that_is_not_recorded_is_refused():
    with no_grad(), pytest.raises(ValueError, match="not under no_grad"):
        minimize(lambda: np.sum(W**2), [W])


def test_an_unknown_method_is_scipys_error():
    with pytest.raises(ValueError, match="Unknown solver lbfgs"):
        minimize(lambda: np.sum(W**2), [W], "lbfgs")


def test_scipy_says_what_is_wrong_with_its_options():
    with pytest.raises(TypeError, match="tolerance"):
        minimize(lambda: np.sum(W**2), [W], tolerance=1e-3)
    with pytest.raises(scipy.optimize.OptimizeWarning, match="maxit"), warnings.catch_warnings():
        warnings.simplefilter("error")
        minimize(lambda: np.sum(W**2), [W], options={"maxit": 3})
    assert W.data.tolist() == [1, 1]


def test_a_nan_comes_back_in_the_result():
    w = Tensor(np.ones(2), requires_grad=True)
    result = minimize(lambda: np.sum(w * np.nan), [w], "BFGS")
    assert np.isnan(result.fun) and not result.success


def test_dropout_is_not_random_after_eval():
    model = Sequential([Dense(4, "tanh", input_shape=(2,)), Dropout(0.5), Dense(1)], seed=0)
    x = np.array([[0.0, 1.0], [1.0, 0.0]], np.float32)
    model.eval()
    result = minimize(lambda: np.mean((model(x) - 1) ** 2), model.parameters())
    assert result.fun < 1e-4


def test_scipy_is_imported_when_minimize_is_called():
    code = "import sys, minigrad; print('scipy' in sys.modules, minigrad.minimize.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "False minimize\n", done.stderr
    assert {"minimize", "second_order"} <= {*minigrad.__all__}
