"""Values against scipy.special, PyTorch and formulas; derivatives against finite differences."""

import copy
import json
import pickle
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import scipy.special

from minigrad import Tensor, functional, grad, no_grad
from minigrad.gradcheck import gradcheck

rng = np.random.default_rng(0)
X = rng.standard_normal((4, 5))


def numeric(f, x, step=1e-6):
    """Return the gradient of a scalar function by central differences."""
    g = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        d = np.zeros_like(x)
        d[i] = step
        g[i] = (f(x + d) - f(x - d)) / (2 * step)
    return g


@pytest.mark.parametrize(
    ("ours", "truth"),
    [
        (functional.relu, lambda x: np.where(x > 0, x, 0)),
        (functional.sigmoid, scipy.special.expit),
        (functional.softmax, lambda x: scipy.special.softmax(x, axis=-1)),
        (functional.log_softmax, lambda x: scipy.special.log_softmax(x, axis=-1)),
        (functional.logsumexp, lambda x: scipy.special.logsumexp(x, axis=-1)),
    ],
)
def test_values_and_two_derivatives(ours, truth):
    np.testing.assert_allclose(ours(Tensor(X)).data, truth(X), rtol=1e-14)
    np.testing.assert_allclose(ours(Tensor(1e3 * X)).data, truth(1e3 * X), rtol=1e-14)
    weights = rng.standard_normal(truth(X).shape)
    x = Tensor(X, requires_grad=True)
    first = grad(np.sum(weights * ours(x)), x, create_graph=True)
    np.testing.assert_allclose(
        first.data, numeric(lambda x: np.sum(weights * truth(x)), X), atol=1e-8
    )
    direction = rng.standard_normal(X.shape)
    if first.node is None:
        return
    second = grad(np.sum(first * direction), x)

    def slope(x):
        x = Tensor(x, requires_grad=True)
        return np.sum(grad(np.sum(weights * ours(x)), x).data * direction)

    np.testing.assert_allclose(second.data, numeric(slope, X), atol=1e-7)


def test_linear_is_matmul_plus_bias_in_value_and_derivatives():
    for shape in ((6, 4), (2, 3, 4)):
        x, w, b = (
            Tensor(rng.standard_normal(s), requires_grad=True) for s in (shape, (4, 5), (5,))
        )
        g = rng.standard_normal((*shape[:-1], 5))
        one = grad(functional.linear(x, w, b), [x, w, b], g)
        two = grad(x @ w + b, [x, w, b], g)
        for a, b_ in zip(one, two):
            np.testing.assert_allclose(a.data, b_.data, rtol=1e-12)


LABELS = np.array([0, 3, 4, 1])


def truth(z):
    return -np.mean(scipy.special.log_softmax(z, axis=-1)[np.arange(4), LABELS])


def test_cross_entropy_has_a_derivative_by_its_targets():
    z, t = np.array([[1.0, 2.0, 0.5]]), np.array([[0.2, 0.3, 0.5]])
    assert gradcheck(functional.cross_entropy, z, t, order=2)
    z = Tensor([[1.0, 2.0]], requires_grad=True)
    assert functional.cross_entropy(Tensor([[1.0, 0.0]]), functional.softmax(z)).requires_grad


def test_softmax_under_no_grad_gives_no_derivative():
    z = Tensor([[1.0, 2.0]], requires_grad=True)
    with no_grad():
        p = functional.softmax(z)
    assert not functional.cross_entropy(p, [0]).requires_grad


def test_axes_of_logsumexp_and_softmax():
    x = np.array([[1.0, 2.0], [0.5, -1.0]])
    for axis in (None, (0, 1), -2):
        assert gradcheck(lambda x, axis=axis: functional.logsumexp(x, axis), x, order=2)
        np.testing.assert_allclose(functional.softmax(x, axis), scipy.special.softmax(x, axis))


def test_losses_keep_the_dtype_of_the_prediction():
    x = Tensor([1.0, 2.0], requires_grad=True)
    for target in (Tensor(np.arange(2)), Tensor(np.ones(2))):
        assert functional.mean_squared_error(x, target).dtype == np.float32


@pytest.mark.parametrize("rate", [1.0, -0.5, float("nan")])
def test_dropout_refuses_a_wrong_rate(rate):
    with pytest.raises(ValueError, match=r"rate must be a number in \[0, 1\)"):
        functional.dropout(Tensor([1.0]), rate, np.random.default_rng(0))


@pytest.mark.parametrize("labels", [LABELS, LABELS.tolist(), np.eye(5)[LABELS], Tensor(LABELS)])
def test_cross_entropy_takes_integers_and_one_hot_rows(labels):
    z = Tensor(X, requires_grad=True)
    loss = functional.cross_entropy(z, labels)
    assert loss.item() == pytest.approx(truth(X), rel=1e-14)
    loss.backward()
    np.testing.assert_allclose(z.grad, numeric(truth, X), atol=1e-9)


def test_cross_entropy_has_a_second_derivative():
    direction = rng.standard_normal(X.shape)
    z = Tensor(X, requires_grad=True)
    first = grad(functional.cross_entropy(z, LABELS), z, create_graph=True)
    second = grad(np.sum(first * direction), z)
    p = scipy.special.softmax(X, axis=-1)
    pd = p * direction
    np.testing.assert_allclose(
        second.data, (pd - p * pd.sum(axis=-1, keepdims=True)) / 4, atol=1e-12
    )


def test_cross_entropy_uses_the_logits_of_a_softmax():
    logits = Tensor([[1000.0, 0.0]], requires_grad=True)
    loss = functional.cross_entropy(functional.softmax(logits), [1])
    assert loss.item() == 1000.0
    loss.backward()
    np.testing.assert_array_equal(logits.grad, [[1, -1]])


def test_cross_entropy_keeps_float32_over_a_sequence():
    z = Tensor(rng.standard_normal((2, 3, 5)).astype(np.float32), requires_grad=True)
    loss = functional.cross_entropy(z, np.array([[0, 1, 2], [3, 4, 0]]))
    loss.backward()
    assert loss.dtype == z.grad.dtype == np.float32


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 2, 5], r"0 … 4 for 5 classes; received 0 … 5"),
        ([0, -1, 2, 3], r"received -1 … 3"),
        ([0, 1], r"integer labels of shape \(4,\) or .* received shape \(2,\)"),
        ([0.5, 1, 2, 3], r"received shape \(4,\), float64"),
        (np.zeros((4, 3)), r"received shape \(4, 3\)"),
    ],
)
def test_cross_entropy_refuses_wrong_labels(labels, message):
    with pytest.raises(ValueError, match=message):
        functional.cross_entropy(Tensor(X), labels)


@pytest.mark.parametrize("loss", [functional.mean_squared_error, functional.mean_absolute_error])
def test_regression_losses_refuse_to_broadcast(loss):
    with pytest.raises(ValueError, match=r"received \(3, 1\) and \(3,\)"):
        loss(Tensor(np.zeros((3, 1))), np.zeros(3))


def test_dropout_keeps_the_expectation():
    x = functional.dropout(Tensor(np.ones(100_000)), 0.3, np.random.default_rng(0)).data
    assert set(np.unique(x)) == {0, 1 / 0.7}
    assert np.mean(x == 0) == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / 100_000))


def test_whole_numbers_become_float32():
    counts = np.array([[1, 2, 250]], np.uint8)
    for x in (counts, Tensor(counts), counts.tolist()):
        p = functional.softmax(x)
        np.testing.assert_allclose(
            np.asarray(p), scipy.special.softmax([[1.0, 2, 250]], axis=-1), atol=1e-7
        )
        assert p.dtype == np.float32
    assert functional.mean_squared_error(np.array([1, 2]), [1.5, 2.5]) == 0.25
    assert functional.cross_entropy(counts, [2]).item() == pytest.approx(0, abs=1e-6)
    kept = functional.dropout(Tensor(counts), 0.2, np.random.default_rng(0)).data
    assert np.isin(kept, np.float32([0, 1, 2, 250]) / np.float32(0.8)).all()


@pytest.mark.parametrize("logits", [np.zeros((3, 1)), np.zeros(())])
def test_cross_entropy_needs_two_classes(logits):
    with pytest.raises(ValueError, match="2 or more classes are required"):
        functional.cross_entropy(Tensor(logits), np.zeros((3, 1)))


def test_cross_entropy_takes_narrow_labels_of_many_classes():
    z = Tensor(np.zeros((1, 300)))
    assert functional.cross_entropy(z, np.array([7], np.uint8)).item() == pytest.approx(np.log(300))


FILE = Path(__file__).parents[1] / "golden" / "functional.json"
CASES = json.loads(FILE.read_text(encoding="utf-8"))["cases"]


def weighted(x):
    return np.sum(x * np.cos(np.arange(x.size, dtype=x.dtype)).reshape(x.shape))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['name']}-{case['dtype']}")
def test_values_and_derivatives_are_those_of_pytorch(case):
    exact = (
        dict(rtol=1e-8, atol=1e-14) if case["dtype"] == "float64" else dict(rtol=4e-6, atol=4e-8)
    )
    operands = [np.array(x, int if x == [2, 0] else case["dtype"]) for x in case["operands"]]
    n = len(case["first"])
    leaves = [Tensor(x, requires_grad=True) for x in operands[:n]]
    arguments = dict(zip(("x", "weight", "bias"), leaves)) if "norm" in case["name"] else {}
    function = getattr(functional, case["name"])
    value = function(
        *(() if arguments else (*leaves, *operands[n:])), **arguments, **case["options"]
    )
    assert value.dtype == case["dtype"]
    np.testing.assert_allclose(value.data, case["value"], **exact)
    first = grad(weighted(value), leaves, create_graph=True)
    for g, expected in zip(first, case["first"], strict=True):
        np.testing.assert_allclose(g.data, expected, **exact)
    if case["second"] is not None:
        second = grad(weighted(first[0]), leaves[0]).data if first[0].requires_grad else 0
        np.testing.assert_allclose(second, case["second"], **exact)


ACTIVATIONS = ["gelu", "silu", "elu", "leaky_relu", "softplus"]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_take_arrays_and_lists(name):
    f = getattr(functional, name)
    x = np.float32([-1.5, 0.5])
    for same in (f(x), f(x.tolist()), f(Tensor(x)).data):
        assert isinstance(same, np.ndarray) and same.dtype == np.float32
        np.testing.assert_array_equal(same, f(x))
    assert f(np.array([-2, 2])).dtype == np.float32
    with pytest.raises(TypeError, match="numbers is required"):
        f(["one"])


def derivatives_at(f, x):
    x = Tensor(np.float64(x), requires_grad=True)
    first = grad(f(x), x, create_graph=True)
    return first.item(), grad(first, x).item()


def test_derivatives_where_two_formulas_meet():
    assert derivatives_at(functional.elu, 0.0) == (1, 1)
    assert derivatives_at(lambda x: functional.huber_loss(x, 0.0), 0.0) == (0, 1)
    assert derivatives_at(lambda x: functional.huber_loss(x, 0.0, 0.5), 0.5)[0] == 0.5
    assert derivatives_at(functional.softplus, 0.0) == (0.5, 0.25)
    x = Tensor(0.0, requires_grad=True)
    assert grad(functional.leaky_relu(x), x).item() == np.float32(0.01)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softplus_keeps_its_digits_everywhere(dtype):
    z = np.array([-800, -80, -20, -1e-3, 0, 1e-3, 20, 80, 800], dtype)
    x = Tensor(z, requires_grad=True)
    y = functional.softplus(x)
    y.sum().backward()
    exact = dict(rtol=4 * np.finfo(dtype).eps, atol=np.finfo(dtype).tiny)
    np.testing.assert_allclose(y.data, np.logaddexp(z.astype(np.longdouble), 0), **exact)
    steep = np.exp(-np.logaddexp(-z.astype(np.longdouble), 0))
    np.testing.assert_allclose(x.grad, steep, rtol=100 * np.finfo(dtype).eps, atol=exact["atol"])


def test_a_small_loss_keeps_its_digits():
    """Where the sign of a large logit is right, the loss is e⁻ᶻ."""
    z = Tensor(np.float32([20, -30]), requires_grad=True)
    loss = functional.binary_cross_entropy_with_logits(z, [1.0, 0.0])
    assert loss.item() == pytest.approx((np.exp(-20.0) + np.exp(-30.0)) / 2, rel=1e-6)


def test_losses_of_logits_agree_with_losses_of_probabilities():
    z, t = X, rng.uniform(size=X.shape)
    one = functional.binary_cross_entropy_with_logits(z, t)
    assert one == pytest.approx(functional.binary_cross_entropy(scipy.special.expit(z), t))
    weights = rng.uniform(1, 2, 5)
    weighted_one = functional.binary_cross_entropy_with_logits(z, t, weights)
    log_p, log_q = scipy.special.log_expit(z), scipy.special.log_expit(-z)
    assert weighted_one == pytest.approx(-np.mean(weights * t * log_p + (1 - t) * log_q))
    t, p = (scipy.special.softmax(x, -1) for x in (t, z))
    divergence = scipy.special.rel_entr(t, p).sum() / len(t)
    for logits in (z, functional.softmax(Tensor(z)), scipy.special.log_softmax(z, -1)):
        found = functional.kl_divergence_with_logits(logits, t)
        np.testing.assert_allclose(np.asarray(found), divergence, rtol=1e-12)
    assert functional.kl_divergence_with_logits(z, p) == pytest.approx(0, abs=1e-15)
    one_hot = np.eye(5)[LABELS]
    assert functional.kl_divergence_with_logits(z, one_hot) == pytest.approx(truth(z), rel=1e-12)
    assert functional.nll_loss(scipy.special.log_softmax(z, -1), LABELS) == pytest.approx(truth(z))


def test_hinge_takes_labels_of_both_kinds():
    scores = Tensor([0.5, -2.0, 3.0])
    for labels in ([1, -1, -1], [1, 0, 0], np.array([True, False, False])):
        assert functional.hinge(scores, labels).item() == pytest.approx((0.5 + 0 + 4) / 3)
    for labels in ([1, 2, 0], [1, 0, -1]):
        with pytest.raises(ValueError, match="labels of −1 and 1, or of 0 and 1, are required"):
            functional.hinge(scores, labels)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: functional.binary_cross_entropy([0.5, 1.5], [0, 1]), "from 0 to 1 .*_with_logits"),
        (lambda: functional.binary_cross_entropy([np.nan], [0]), "from 0 to 1 are required"),
        (
            lambda: functional.huber_loss([1.0], [1.0], 0),
            "delta must be greater than 0, received 0",
        ),
        (lambda: functional.kl_divergence_with_logits(X, LABELS), r"same shape; received \(4, 5\)"),
        (lambda: functional.gelu(X, approximate="sigmoid"), '"none" or "tanh", received'),
        (lambda: functional.layer_norm(X, 4), r"layer_norm: .* lengths \(4,\), received \(4, 5\)"),
        (lambda: functional.layer_norm(X, (2, 4, 5)), r"lengths \(2, 4, 5\), received \(4, 5\)"),
        (lambda: functional.rms_norm(X, (5, 5)), r"rms_norm: .* lengths \(5, 5\), received"),
        (lambda: functional.nll_loss(X, [0, 1, 5, 2]), "nll_loss: labels must lie in 0 … 4"),
    ],
)
def test_wrong_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("labels", [[0, 0], np.eye(3)[[0, 0]]])
def test_cross_entropy_of_classes_that_are_excluded(labels):
    """Logits of −∞; numbers of torch 2.13, for integer labels: for one-hot rows it gives NaN."""
    z = Tensor([[1.0, -np.inf, 2.0], [1.0, -np.inf, 2.0]], requires_grad=True)
    loss = functional.cross_entropy(z, labels)
    assert loss.item() == pytest.approx(1.3132617)
    loss.backward()
    np.testing.assert_allclose(2 * z.grad, 2 * [[-0.7310586, 0, 0.7310586]], rtol=1e-6)
    log_p = functional.log_softmax(z)
    assert functional.nll_loss(log_p, labels).item() == pytest.approx(1.3132617)
    np.testing.assert_array_equal(functional.softmax(z).data[:, 1], 0)
    assert functional.cross_entropy(z, [1, 1]).item() == np.inf


def test_logsumexp_of_infinities():
    rows = [[-np.inf, -np.inf], [np.inf, 1000.0], [-np.inf, 3.0], [1000.0, 1000.0]]
    expected = [-np.inf, np.inf, 3.0, 1000 + np.log(2)]
    for dtype in (np.float32, np.float64):
        x = np.array(rows, dtype)
        np.testing.assert_allclose(functional.logsumexp(x), expected, rtol=1e-6)
    x = Tensor(rows[2], requires_grad=True)
    functional.logsumexp(x).backward()
    np.testing.assert_array_equal(x.grad, [0, 1])


Z3 = Tensor([[2.0, -1.0, 0.5], [-0.3, 0.4, 1.1]], requires_grad=True)
LOST = [  # probabilities that have lost their logits
    lambda p: p + 1e-9,
    lambda p: np.clip(p, 1e-7, 1 - 1e-7),
    lambda p: p[:1],
    lambda p: np.reshape(p, (2, 3)),
    lambda p: p.detach(),
    lambda p: p.data,
    lambda p: pickle.loads(pickle.dumps(p)),
    lambda p: copy.copy(p),
    lambda p: p.data.tolist(),
]


@pytest.mark.parametrize("lose", LOST)
def test_cross_entropy_warns_of_probabilities(lose):
    p = lose(functional.softmax(Z3))
    with pytest.warns(UserWarning, match="cross_entropy: logits are required.*probabilities"):
        functional.cross_entropy(p, [0] * len(p))
    with pytest.warns(UserWarning, match="kl_divergence_with_logits: logits are required"):
        functional.kl_divergence_with_logits(p, np.full(np.shape(getattr(p, "data", p)), 1 / 3))


@pytest.mark.parametrize(
    "logits",
    [
        functional.softmax(Z3),
        Z3,
        [[0.25, 0.75], [0.5, 0.75]],  # only the first row sums to 1
        [[2.0, -1.0], [0.5, 0.5]],
        [[1.0, 0.0], [0.0, 1.0]],  # whole numbers
    ],
)
def test_cross_entropy_does_not_warn_of_logits(logits):
    functional.cross_entropy(logits, [0, 0])  # a warning is an error in the tests


def test_the_warning_names_the_line_of_the_user_and_comes_once():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            functional.cross_entropy([[0.25, 0.75]], [0])
    assert [x.filename for x in caught] == [__file__]


@pytest.mark.parametrize(
    ("shape", "target", "advice"),
    [((3, 1), (3,), r"y\.reshape\(-1, 1\)"), ((3,), (3, 1), r"y\.reshape\(-1\)")],
)
def test_the_advice_for_a_target_holds_for_the_whole_data(shape, target, advice):
    with pytest.raises(ValueError, match=rf"received .*\. Reshape the target: {advice}$"):
        functional.mean_squared_error(np.zeros(shape), np.zeros(target))
    with pytest.raises(ValueError, match=r"received \(3, 2\) and \(3,\)$"):
        functional.mean_squared_error(np.zeros((3, 2)), np.zeros(3))


@pytest.mark.parametrize("function", [functional.softmax, functional.log_softmax])
@pytest.mark.parametrize("x", [None, "3", [1.0, None], np.array([None])])
def test_what_is_no_number_is_refused(function, x):
    with pytest.raises(TypeError, match=r"minigrad\.functional: .* required"):
        function(x)


# ---- Weights of examples ----

WEIGHTS = np.array([0.0, 1.0, 2.5, 3.0])
Z4, T4 = np.random.default_rng(3).normal(size=(2, 4, 3))
P4 = scipy.special.softmax(Z4, axis=-1)
WEIGHTED = [
    (functional.mean_squared_error, Z4, T4),
    (functional.mean_absolute_error, Z4, T4),
    (partial(functional.huber_loss, delta=0.5), Z4, T4),
    (functional.hinge, Z4, np.sign(T4)),
    (functional.binary_cross_entropy, P4, T4 > 0),
    (functional.binary_cross_entropy_with_logits, Z4, T4 > 0),
    (functional.cross_entropy, Z4, np.array([0, 2, 1, 1])),
    (functional.nll_loss, np.log(P4), P4[::-1]),
    (functional.kl_divergence_with_logits, Z4, P4[::-1]),
]


@pytest.mark.parametrize(("loss", "prediction", "target"), WEIGHTED)
def test_a_weight_multiplies_the_loss_of_its_example(loss, prediction, target):
    single = [loss(prediction[i : i + 1], target[i : i + 1]) for i in range(4)]
    x = Tensor(prediction, requires_grad=True)
    weighted = loss(x, target, sample_weight=WEIGHTS)
    assert weighted.item() == pytest.approx(np.mean(WEIGHTS * single), rel=1e-12)
    gradcheck(lambda z: loss(z, target, sample_weight=WEIGHTS), prediction)


@pytest.mark.parametrize(
    "weight", [1.0, [1.0, 2.0], np.ones((4, 2)), [1, 1, 1, -1], [1, 1, 1, np.nan]]
)
def test_a_weight_of_another_shape_or_sign_is_refused(weight):
    with pytest.raises(ValueError, match="sample_weight: "):
        functional.mean_squared_error(Z4, T4, sample_weight=weight)


def test_a_column_of_labels_counts_as_labels():
    z = Tensor(Z4)
    labels = np.array([0, 2, 1, 1])
    by_column = functional.cross_entropy(z, labels[:, None])
    assert by_column.item() == functional.cross_entropy(z, labels).item()
