"""Regularizers in the loss, constraints after each step."""

import numpy as np
import pytest

from minigrad import optimizers
from minigrad.initializers import get_initializer
from minigrad.layers import BatchNormalization, Dense, Embedding, Layer, SimpleRNN
from minigrad.models import Sequential, load_model
from minigrad.regularizers import L1L2, MaxNorm, NonNeg, l1, l2
from tests.minigrad.helpers import assert_same_state

X = np.random.default_rng(0).normal(size=(16, 3)).astype(np.float32)
Y = np.random.default_rng(1).normal(size=(16, 2)).astype(np.float32)


def regularized(**options):
    model = Sequential([Dense(2, input_shape=(3,), **options)], seed=0)
    model.compile(optimizers.SGD(lr=0.1), "mse")
    return model


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"kernel_regularizer": l2(0.3)}, lambda w, b, out: 0.3 * np.sum(w**2)),
        ({"kernel_regularizer": "l1"}, lambda w, b, out: 0.01 * np.sum(np.abs(w))),
        ({"bias_regularizer": L1L2(0.1, 0.2)}, lambda w, b, out: 0 * w.sum()),
        ({"activity_regularizer": l1(0.5)}, lambda w, b, out: 0.5 * np.sum(np.abs(out)) / 16),
        ({"kernel_regularizer": lambda w: np.sum(w**4)}, lambda w, b, out: np.sum(w**4)),
    ],
)
def test_the_loss_of_evaluate_and_of_a_step_holds_the_penalty(options, expected):
    model, plain = regularized(**options), regularized()
    w, b = (x.data.copy() for x in plain.parameters())
    out = plain.predict(X)
    penalty = expected(w, b, out)
    assert model.evaluate(X, Y) == pytest.approx(plain.evaluate(X, Y) + penalty, rel=1e-5)
    assert model.train_on_batch(X, Y)["loss"] == pytest.approx(
        np.mean((out - Y) ** 2) + penalty, rel=1e-5
    )


def test_the_gradient_of_the_penalty_moves_the_weights():
    model, plain = regularized(kernel_regularizer=l2(0.3)), regularized()
    w = plain.layers[0].kernel.data.copy()
    model.train_on_batch(X, Y)
    plain.train_on_batch(X, Y)
    expected = plain.layers[0].kernel.data - 0.1 * 0.6 * w
    np.testing.assert_allclose(model.layers[0].kernel.data, expected, rtol=1e-5)


def test_a_frozen_layer_has_no_penalty():
    model = regularized(kernel_regularizer=l2(0.3))
    assert model.penalty().item() > 0
    model.layers[0].trainable = False
    assert model.penalty() == 0


def test_a_frozen_block_keeps_everything(tmp_path):
    options = dict(kernel_regularizer="l2", kernel_constraint=NonNeg())
    block = Sequential([Dense(2, input_shape=(3,), **options), BatchNormalization(momentum=0.5)])
    model = Sequential([block, Dense(2)], seed=0)
    block.trainable = False
    assert [x.trainable for x in model.sublayers()] == [True, False, False, False, True]
    before = block.state_dict()
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0)
    assert_same_state(block.state_dict(), before)
    assert model.penalty() == 0
    loaded = load_model(model.save(tmp_path / "frozen.npz"))
    assert not loaded.layers[0].trainable and not loaded.layers[0].layers[1].trainable
    assert loaded.train_on_batch(X, Y) == model.train_on_batch(X, Y)


@pytest.mark.parametrize(
    "layer", [Dense(1, use_bias=False, bias_regularizer="l2", input_shape=(3,)),
              BatchNormalization(scale=False, gamma_regularizer="l2", input_shape=(3,))],
)  # fmt: skip
def test_an_option_of_a_parameter_that_does_not_exist_has_no_effect(layer):
    layer.apply_constraints()
    assert layer.penalty() == 0


def test_constraints_hold_after_every_step():
    options = {"kernel_constraint": MaxNorm(0.5), "bias_constraint": NonNeg()}
    model = regularized(**options)
    model.fit(X, Y - 3, epochs=3, verbose=0)
    kernel, bias = (x.data for x in model.parameters())
    assert np.linalg.norm(kernel, axis=0).max() <= 0.5 + 1e-6
    assert (bias >= 0).all()
    np.testing.assert_allclose(MaxNorm(5.0)(np.array([[3.0], [4.0]])), [[3], [4]], rtol=1e-6)
    np.testing.assert_allclose(MaxNorm(1.0)(np.array([[3.0], [4.0]])), [[0.6], [0.8]], rtol=1e-6)


def test_every_layer_with_parameters_takes_options_by_their_names():
    rnn = SimpleRNN(4, recurrent_regularizer=l2(1.0), input_shape=(5, 3)).seed(0)
    assert rnn.penalty().item() == pytest.approx(4, rel=1e-5)  # orthogonal: four rows of norm 1
    table = Embedding(5, 2, embeddings_constraint="non_neg", input_shape=(3,))
    table.apply_constraints()
    assert (table.embeddings.data >= 0).all()


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"kernel_regulariser": "l2"}, ValueError, "unknown option .* 'kernel_regularizer'"),
        ({"gamma_regularizer": "l2"}, ValueError, "unknown option of Dense"),
        ({"kernel_regularizer": "l3"}, ValueError, "unknown regularizer 'l3'"),
        ({"kernel_constraint": MaxNorm}, TypeError, r"write MaxNorm\(\)"),
    ],
)
def test_mistyped_options_are_refused(options, error, message):
    with pytest.raises(error, match=message):
        Dense(2, **options)


def test_a_negative_factor_is_refused():
    with pytest.raises(ValueError, match="finite numbers ≥ 0"):
        l2(-1.0)


def test_recurrent_options_of_a_custom_layer_act_on_its_recurrent_kernel():
    class Custom(Layer):
        parameter_names = ("kernel", "recurrent")

        def build(self, input_shape):
            self.recurrent_kernel = self.make_parameter(get_initializer("ones"), (2, 2))

        def forward(self, x):
            return x @ self.recurrent_kernel

    layer = Custom(recurrent_regularizer=lambda w: np.sum(w))
    layer(np.ones((1, 2)))
    assert layer.penalty().item() == 4
