"""BatchNormalization, LayerNormalization, Normalization against their formulas."""

import numpy as np
import pytest

from minigrad import Tensor, grad
from minigrad.gradcheck import gradcheck
from minigrad.layers import BatchNormalization, Dense, LayerNormalization, Normalization
from minigrad.models import Sequential
from tests.minigrad.helpers import assert_same_state

X = np.random.default_rng(0).normal(2.0, 3.0, (8, 3))


def test_normalization_has_mean_0_and_variance_1_after_adapt():
    layer = Normalization().adapt(X)
    out = layer(X).data
    np.testing.assert_allclose(out.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(out.var(axis=0), 1, rtol=1e-6)
    assert sorted(layer.state_dict()) == ["mean", "variance"] and layer.parameters() == []


def test_adapt_keeps_the_digits_of_float64():
    data = 1e8 + np.array([[1.0], [2.0], [3.0]])
    out = Normalization().adapt(data)(data).data
    np.testing.assert_allclose(out, [[-1.5**0.5], [0], [1.5**0.5]], atol=1e-7)


def test_normalization_with_given_numbers_and_without():
    out = Normalization(mean=1.0, variance=[4.0, 1.0])([[3.0, 3.0]])
    np.testing.assert_array_equal(out.data, [[1.0, 2.0]])
    with pytest.raises(RuntimeError, match=r"Normalization: call adapt\(data\)"):
        Normalization()(X)
    with pytest.raises(ValueError, match="both mean and variance"):
        Normalization(mean=1.0)
    constant = Normalization().adapt(np.ones((4, 1)))
    np.testing.assert_array_equal(constant(np.ones((2, 1))).data, [[0.0], [0.0]])


def test_layer_normalization_equals_its_formula():
    layer = LayerNormalization(epsilon=0.1)
    layer(X)
    layer.gamma.data[...] = [1.0, 2.0, 3.0]
    layer.beta.data[...] = [0.5, 0.0, -1.0]
    x = X - X.mean(axis=-1, keepdims=True)
    expected = x / np.sqrt(X.var(axis=-1, keepdims=True) + 0.1) * [1, 2, 3] + [0.5, 0, -1]
    np.testing.assert_allclose(layer(X).data, expected, rtol=1e-6)
    plain = LayerNormalization(center=False, scale=False)
    assert plain(X).shape == X.shape and plain.parameters() == []


def test_batch_normalization_uses_the_batch_in_training_and_its_averages_outside():
    layer = BatchNormalization(momentum=0.9, epsilon=0.01)
    np.testing.assert_allclose(layer(X).data, X / np.sqrt(1.01), rtol=1e-6)
    out = layer(X, training=True).data
    np.testing.assert_allclose(out, (X - X.mean(0)) / np.sqrt(X.var(0) + 0.01), rtol=1e-5)
    np.testing.assert_allclose(layer.moving_mean.data, 0.1 * X.mean(0), rtol=1e-6)
    np.testing.assert_allclose(layer.moving_variance.data, 0.9 + 0.1 * X.var(0), rtol=1e-6)
    mean, variance = layer.moving_mean.data.copy(), layer.moving_variance.data.copy()
    expected = (X - mean) / np.sqrt(variance + 0.01)
    np.testing.assert_allclose(layer(X).data, expected, rtol=1e-5)
    np.testing.assert_array_equal(layer.moving_mean.data, mean)


def test_the_gradient_of_batch_normalization_flows_through_mean_and_variance():
    layer = BatchNormalization()
    layer.dtype = np.float64
    weights = np.random.default_rng(1).normal(size=X.shape)
    gradcheck(lambda x: np.sum(weights * layer(x, training=True)), X)
    x = Tensor(X, requires_grad=True)
    g = grad(np.sum(weights * layer(x, training=True)), x)
    np.testing.assert_allclose(g.sum(axis=0), 0, atol=1e-12)  # a shift of the batch has no effect


def test_a_frozen_batch_normalization_uses_and_keeps_its_averages():
    layer = BatchNormalization()
    layer(X)
    layer.trainable = False
    before = layer.state_dict()
    np.testing.assert_array_equal(layer(X, training=True).data, layer(X).data)
    assert_same_state(layer.state_dict(), before)


def test_an_empty_batch_leaves_the_averages():
    layer = BatchNormalization()
    layer(X, training=True)
    before = layer.state_dict()
    assert layer(X[:0], training=True).shape == (0, 3)
    np.testing.assert_array_equal(layer.moving_mean.data, before["moving_mean"])


def test_fit_updates_the_averages_once_a_batch_and_summary_counts_them():
    model = Sequential([BatchNormalization(momentum=0.5, input_shape=(3,)), Dense(1)], seed=0)
    model.compile("sgd", "mse")
    model.fit(X, X[:, :1], batch_size=4, epochs=1, shuffle=False, verbose=0)
    mean = 0.5 * (0.5 * X[:4].mean(0)) + 0.5 * X[4:].mean(0)
    np.testing.assert_allclose(model.layers[0].moving_mean.data, mean, rtol=1e-5)
    assert model.summary().splitlines()[-1].split() == "of these not trainable 6".split()
    with pytest.raises(ValueError, match=r"momentum must be in \[0, 1\]"):
        BatchNormalization(momentum=1.5)


@pytest.mark.parametrize(
    "layer", [BatchNormalization(), LayerNormalization(), Normalization().adapt(X)]
)
def test_normalizing_layers_refuse_another_number_of_features(layer):
    layer(X)
    for wrong in (np.ones((4, 1)), np.ones(3)):
        with pytest.raises(ValueError, match=r"input of shape \(batch, …, 3\) is required"):
            layer(wrong)
