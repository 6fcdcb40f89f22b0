"""Losses and metrics: lookup by name, the order of the arguments, Keras's formulas, accuracy."""

import pickle
from functools import partial

import numpy as np
import pytest
import scipy.special

from minigrad import Tensor, functional, losses, optimizers
from minigrad.layers import Dense, Flatten
from minigrad.models import Sequential


def test_accuracy_of_integer_and_one_hot_labels():
    p = np.array([[0.2, 0.8], [0.9, 0.1], [0.4, 0.6]])
    assert losses.accuracy(Tensor(p), [1, 0, 0]) == pytest.approx(2 / 3)
    assert losses.accuracy(p, np.eye(2)[[1, 0, 0]]) == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match=r"labels of shape \(3,\)"):
        losses.accuracy(p, [1, 0])


def test_accuracy_takes_what_a_model_returned(monkeypatch):
    def refuse(*_, **__):
        raise TypeError("this tensor would leave the graph")

    monkeypatch.setattr(Tensor, "__array__", refuse)
    p = functional.softmax(Tensor([[0.2, 0.8], [0.9, 0.1]], requires_grad=True))
    assert losses.accuracy(p, Tensor([1, 1])) == 0.5


def test_a_loss_may_be_a_name_a_class_an_object_or_a_function():
    prediction, target = Tensor([[1.0], [2.0]]), np.array([[0.0], [0.0]])
    for loss in ("MSE", losses.MeanSquaredError, losses.MeanSquaredError()):
        assert losses.get_loss(loss)(prediction, target).item() == 2.5
    assert losses.get_loss(losses.cross_entropy) is losses.cross_entropy
    with pytest.raises(TypeError, match="a loss must be a name, a function or an object"):
        losses.get_loss(dict)


@pytest.mark.parametrize(
    ("get", "name", "message"),
    [
        (losses.get_loss, "mean_squared_eror", "unknown loss .* did you mean 'mean_squared_error'"),
        (losses.get_loss, "binary_crossentropi", "did you mean 'binary_crossentropy'"),
        (losses.get_metric, "acuracy", "unknown metric .* did you mean 'accuracy'"),
        (losses.get_loss, 3, "unknown loss 3"),
    ],
)
def test_unknown_names_get_a_suggestion(get, name, message):
    with pytest.raises(ValueError, match=message):
        get(name)


def test_accuracy_of_one_sigmoid_unit():
    p = np.array([[0.9], [0.5], [0.2], [0.7]])
    y = np.array([[1], [0], [1], [1]])
    assert losses.accuracy(Tensor(p), y) == losses.binary_accuracy(p, y) == 0.75
    assert losses.accuracy(p[:, 0], y[:, 0]) == 0.75
    assert losses.binary_accuracy(p, y, threshold=0.8) == 0.5


@pytest.mark.parametrize(
    ("prediction", "target", "message"),
    [
        ([[0.9], [0.1]], [[0.9], [0.1]], "labels 0 and 1 are required"),
        ([3.0, -1.0], [1, 0], r"for logits, use partial\(binary_accuracy, threshold=0\)"),
        ([[0.9], [0.1]], [1], r"labels of shape \(2, 1\) are required, received \(1,\)"),
        ([[0.9, 0.8]], [[1, 1]], "for several labels an example, use binary_accuracy"),
    ],
)
def test_accuracy_refuses_what_it_cannot_count(prediction, target, message):
    with pytest.raises(ValueError, match=message):
        losses.accuracy(prediction, target)


# ---- Under Keras's names ----


rng = np.random.default_rng(1)
Z = rng.normal(size=(6, 3)).astype(np.float32)
LABELS = np.array([0, 2, 1, 1, 0, 2])
OUTPUTS = {
    "linear": Z,
    "sigmoid": scipy.special.expit(Z),
    "softmax": scipy.special.softmax(Z, axis=-1),
    "certain": np.eye(3, dtype=np.float32)[[0, 0, 1, 1, 0, 2]],
}


def keras_crossentropy(labels, output):
    """The formula in keras/src/backend/numpy/nn.py of Keras 3, for integer labels."""
    p = output / output.sum(axis=-1, keepdims=True)
    return -np.mean(np.log(np.clip(p, 1e-7, 1 - 1e-7))[np.arange(len(p)), labels])


@pytest.mark.filterwarnings("ignore:CategoricalCrossentropy.*negative numbers:UserWarning")
@pytest.mark.parametrize("output", OUTPUTS.values(), ids=OUTPUTS)
@pytest.mark.parametrize("name", ["categorical_crossentropy", "sparse_categorical_crossentropy"])
def test_crossentropy_under_keras_names_takes_probabilities(name, output):
    expected = keras_crossentropy(LABELS, np.float64(output))
    p = Tensor(output, requires_grad=True)
    for labels in (LABELS, np.eye(3)[LABELS]):
        for loss in (losses.get_loss(name), losses.get_metric(name)):
            assert loss(p, labels).item() == pytest.approx(expected, rel=1e-5)
        for by_class in (losses.CategoricalCrossentropy, losses.SparseCategoricalCrossentropy):
            assert by_class()(labels, p).item() == pytest.approx(expected, rel=1e-5)
            assert losses.get_loss(by_class)(p, labels).item() == pytest.approx(expected, rel=1e-5)


def test_crossentropy_of_keras_warns_of_negative_probabilities():
    message = r"probabilities are required, received negative numbers.*from_logits=True"
    with pytest.warns(UserWarning, match=message) as caught:
        losses.CategoricalCrossentropy()([0], [[2.0, -1.0, 3.0]])
    assert caught[0].filename == __file__


def test_crossentropy_of_keras_uses_the_logits_where_it_has_them():
    z = Tensor([[200.0, 0.0, 0.0]], requires_grad=True)
    keras = losses.CategoricalCrossentropy()
    assert keras([1], functional.softmax(z)).item() == 200
    assert keras([1], functional.softmax(z).data) == pytest.approx(-np.log(1e-7))
    logits = losses.CategoricalCrossentropy(from_logits=True)
    assert logits([1], z).item() == 200
    with pytest.raises(ValueError, match="CategoricalCrossentropy: rows of shape"):
        keras([1, 1], functional.softmax(z).data)


@pytest.mark.parametrize("layers", [[Dense(3, "softmax")], [Dense(3, "softmax"), Flatten()]])
def test_a_network_with_softmax_trains_on_minus_log_p(layers):
    """A layer after the softmax hides the logits from the loss; the loss stays −log p."""
    model = Sequential([Dense(8, "tanh", input_shape=(3,)), *layers], seed=0)
    model.compile(optimizers.SGD(lr=1.0), "categorical_crossentropy", ["categorical_crossentropy"])
    by_fit = model.fit(Z, LABELS, epochs=60, batch_size=6, verbose=0).history["loss"]
    loss, metric = model.evaluate(Z, LABELS)
    p = model.predict(Z)
    expected = -np.mean(np.log(p[np.arange(6), LABELS]))
    assert loss == pytest.approx(expected, rel=1e-5) and metric == loss
    assert losses.CategoricalCrossentropy()(LABELS, p) == pytest.approx(expected, rel=1e-5)
    assert loss < 0.2 < 1 < by_fit[0]


def test_cross_entropy_of_a_hidden_softmax_warns_in_fit():
    model = Sequential([Dense(3, "softmax"), Flatten()], seed=0)
    model.compile("sgd", "cross_entropy")
    with pytest.warns(UserWarning, match='the loss "categorical_crossentropy"'):
        model.evaluate(Z, LABELS)
    model.compile("sgd", "categorical_crossentropy")
    model.evaluate(Z, LABELS)


# ---- The order of the arguments ----


def pinball(y_true, y_pred):
    d = y_true - y_pred
    return np.mean(np.maximum(0.9 * d, -0.1 * d))


def test_a_loss_of_the_user_receives_the_target_first():
    """The loss is least where 90 % of the targets lie below."""
    y = rng.uniform(size=(1000, 1)).astype(np.float32)
    model = Sequential([Dense(1, input_shape=(1,))], seed=0)
    model.compile(optimizers.SGD(lr=0.1), pinball, [pinball])
    model.fit(np.zeros((1000, 1)), y, epochs=60, batch_size=100, verbose=0)
    assert np.mean(y < model.predict([[0.0]])) == pytest.approx(0.9, abs=0.03)
    loss, metric = model.evaluate(np.zeros((1000, 1)), y)
    assert metric == pytest.approx(loss, rel=1e-5)


def test_a_metric_of_the_user_receives_arrays_target_first():
    received = []

    def metric(y_true, y_pred):
        received.append((y_true, y_pred))
        return np.float64(3)

    class Score:
        __call__ = staticmethod(metric)

    model = Sequential([Dense(1, input_shape=(1,))], seed=0)
    model.compile("sgd", "mse", [metric, Score()])
    numbers = model.train_on_batch(np.ones((2, 1)), [[5.0], [6.0]])
    assert numbers["metric"] == numbers["Score"] == 3
    for y_true, y_pred in received:
        assert type(y_true) is type(y_pred) is np.ndarray
        assert y_true.tolist() == [[5], [6]] and y_pred.dtype == np.float32


def test_our_functions_keep_their_order_with_options_too():
    prediction, target = Tensor([3.0, 0.0]), [0.0, 0.0]
    huber = partial(functional.huber_loss, delta=2.0)
    assert losses.get_loss(huber) is huber and losses.get_metric(huber) is huber
    assert losses.name_of(huber) == "huber_loss(delta=2.0)"
    for name in losses.LOSSES:
        loss = losses.get_loss(name)
        assert losses.get_loss(loss) is loss, "what get_loss returned is not wrapped twice"
    assert losses.get_loss("hinge")(prediction, [1, 0]).item() == 0.5
    assert losses.get_loss("mse")(prediction, target).item() == 4.5


@pytest.mark.parametrize("name", losses.METRICS)
def test_a_loss_is_a_metric_too(name):
    assert losses.get_metric(name) is losses.METRICS[name]


def test_a_compiled_loss_can_be_pickled():
    for loss in ("categorical_crossentropy", losses.MeanSquaredError(), pinball):
        compiled = losses.get_loss(loss)
        assert losses.name_of(pickle.loads(pickle.dumps(compiled))) == losses.name_of(compiled)


def test_a_sigmoid_unit_trains_with_binary_cross_entropy():
    y = (Z[:, :1] > 0).astype(np.float32)
    for activation, loss in (("sigmoid", ""), (None, "_with_logits")):
        model = Sequential([Dense(1, activation)], seed=0)
        model.compile(optimizers.SGD(lr=5.0), "binary_cross_entropy" + loss)
        history = model.fit(Z, y, epochs=100, batch_size=6, verbose=0).history["loss"]
        assert history[-1] < 0.05 < history[0]


def test_targets_are_shares_of_label_1():
    for loss in (functional.binary_cross_entropy, functional.binary_cross_entropy_with_logits):
        with pytest.raises(ValueError, match="targets from 0 to 1"):
            loss(np.array([0.5]), np.array([2.0]))
    z = Tensor([[2.0]], requires_grad=True)
    with_logits = functional.binary_cross_entropy_with_logits
    assert with_logits(functional.sigmoid(z), [[1.0]]).item() == with_logits(z, [[1.0]]).item()


def test_the_warning_of_probabilities_names_the_line_of_the_user():
    def softmax_by_hand(z):
        return np.exp(z) / np.sum(np.exp(z), axis=-1, keepdims=True)

    x, y = np.random.default_rng(0).standard_normal((8, 3)), np.arange(8) % 2
    model = Sequential([Dense(2, softmax_by_hand)], seed=0)
    model.compile("sgd", "cross_entropy")
    for call in (
        lambda: model.fit(x, y, verbose=0),
        lambda: model.evaluate(x, y),
        lambda: losses.CategoricalCrossentropy(from_logits=True)(y, softmax_by_hand(x[:, :2])),
    ):
        with pytest.warns(UserWarning, match="logits are required") as caught:
            call()
        assert {w.filename for w in caught} == {__file__}


def test_training_on_single_rows_does_not_warn_of_probabilities():
    """The two logits of one row often sum to nearly 1."""
    chance = np.random.default_rng(0)
    for first in chance.uniform(0, 1, 200):
        z = np.array([[first, 1 - first + 1e-5]])
        assert functional.cross_entropy(z, [1]) > 0


def test_the_check_for_probabilities_does_not_overflow():
    z = np.full((1, 2), 3e38, np.float32)
    assert functional.cross_entropy(z, [1]) == pytest.approx(np.log(2))


def test_kl_divergence_needs_rows():
    with pytest.raises(ValueError, match="kl_divergence_with_logits: rows of 2 or more classes"):
        functional.kl_divergence_with_logits(1.0, 1.0)


def test_binary_crossentropy_of_certain_logits_keeps_its_digits():
    loss = losses.BinaryCrossentropy(from_logits=True)
    z = Tensor(np.array([[30.0]], np.float32))
    assert loss(np.ones((1, 1)), z).item() == pytest.approx(np.exp(-30.0), rel=1e-5)
    assert loss(np.zeros((1, 1)), -z).item() == pytest.approx(np.exp(-30.0), rel=1e-5)
