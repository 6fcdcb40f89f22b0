"""Values against scipy.special and direct formulas; derivatives against finite differences."""

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
        ([[0], [1], [2], [3]], r"received shape \(4, 1\)"),
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


@pytest.mark.parametrize("function", [functional.softmax, functional.log_softmax])
@pytest.mark.parametrize("x", [None, "3", [1.0, None], np.array([None])])
def test_what_is_no_number_is_refused(function, x):
    with pytest.raises(TypeError, match=r"minigrad\.functional: .* required"):
        function(x)
