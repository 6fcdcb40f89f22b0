"""Sequential: fit, evaluate, predict, compile, and errors that change nothing."""

import pickle
import threading

import numpy as np
import pytest

from minigrad import losses, optimizers
from minigrad.callbacks import CSVLogger, LambdaCallback
from minigrad.functional import cross_entropy
from minigrad.layers import Dense, Dropout, Flatten, Layer, Softmax
from minigrad.models import Model, Sequential
from tests.minigrad.helpers import assert_same_state

rng = np.random.default_rng(0)
X = rng.standard_normal((200, 4)).astype(np.float32)
LABELS = (X[:, 0] + X[:, 1] > 0).astype(int)


def classifier(seed=0):
    model = Sequential(
        [Dense(16, activation="relu", input_shape=(4,)), Dropout(0.1), Dense(2, "softmax")],
        seed=seed,
    )
    optimizer = optimizers.get("rmsprop", lr=0.01)
    model.compile(optimizer, loss="categorical_crossentropy", metrics=["accuracy"])
    return model


def test_fit_learns_and_reports():
    model = classifier()
    history = model.fit(X, LABELS, epochs=30, verbose=0, validation_split=0.2).history
    assert set(history) == {"loss", "accuracy", "val_loss", "val_accuracy", "lr"}
    assert all(len(numbers) == 30 for numbers in history.values())
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    loss, accuracy = model.evaluate(X, LABELS)
    assert accuracy > 0.95
    p = model.predict(X, batch_size=7)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)
    assert accuracy == pytest.approx(np.mean(p.argmax(axis=1) == LABELS))
    assert loss == pytest.approx(-np.mean(np.log(p[np.arange(200), LABELS])), rel=1e-4)


def test_a_step_of_fit_equals_the_formula_of_gradient_descent():
    a, b = (Sequential([Dense(1, input_shape=(4,))], seed=0) for _ in range(2))
    y = X[:, :1]
    a.compile(optimizers.get("sgd", lr=0.1), loss="mse")
    a.fit(X, y, batch_size=200, shuffle=False, verbose=0)
    w, c = (p.data.copy() for p in b.parameters())
    r = 2 * (X @ w + c - y) / 200
    np.testing.assert_allclose(a.layers[0].kernel.data, w - 0.1 * X.T @ r, rtol=1e-5)
    np.testing.assert_allclose(a.layers[0].bias.data, c - 0.1 * r.sum(axis=0), rtol=1e-5)


def test_the_input_shape_may_come_from_the_first_batch():
    one = Sequential([Flatten(input_shape=(2, 2)), Dense(3)], seed=0)
    two = Sequential([Flatten(), Dense(3)], seed=0)
    with pytest.raises(ValueError, match=r"parameters of layers\.1 do not exist yet; give"):
        two.parameters()
    two.compile("sgd", loss="mse")
    x = X.reshape(200, 2, 2)
    np.testing.assert_array_equal(one.predict(x), two.predict(x))


def test_summary_prints_shapes_and_parameter_counts(capsys):
    text = classifier().summary()
    assert text in capsys.readouterr().out
    assert "('N', 16)" in text
    assert text.endswith("114")
    assert Sequential([Dense(2)]).summary().split("\n")[1] == f"{'Dense':<20}{'not known yet':<31}0"


def test_fit_prints_a_line_per_epoch_without_a_terminal(capsys):
    classifier().fit(X, LABELS, epochs=2)
    out = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in out] == ["epoch 1/2", "epoch 2/2"]
    assert "accuracy" in out[0]


def test_dropout_is_off_in_predict_and_in_a_call_without_training():
    model = Sequential([Dropout(0.5, input_shape=(4,)), Softmax()], seed=0)
    np.testing.assert_array_equal(model.predict(X), model.predict(X))
    np.testing.assert_array_equal(model(X).data, model.predict(X))


def test_dropout_is_on_in_fit_and_with_training_true():
    recorder = Records()
    model = Sequential([Dropout(0.5, input_shape=(4,)), recorder, Dense(1)], seed=0)
    model.compile("sgd", "mse")
    model.fit(X, X[:, :1], batch_size=len(X), verbose=0)
    assert np.mean(recorder.values == 0) == pytest.approx(0.5, abs=0.1)
    assert not np.array_equal(model(X, training=True).data, model.train()(X).data)


class Records(Layer):
    """Return x; remember its values."""

    def forward(self, x):
        self.values = x.data
        return x


class ReadsTraining(Layer):
    """Return x; remember what `training` is, while another thread runs the model too."""

    def __init__(self, meet):
        self.meet, self.seen = meet, {}

    def forward(self, x):
        self.meet.wait(timeout=10)
        self.seen.setdefault(threading.current_thread().name, set()).add(self.training)
        return x


def test_predict_in_one_thread_leaves_training_on_in_another():
    layer = ReadsTraining(threading.Barrier(2))
    model = Sequential([layer, Dense(1)])
    model.built = True
    model.train()
    training = threading.Thread(target=lambda: [model(X) for _ in range(5)], name="training")
    training.start()
    for _ in range(5):
        model.predict(X)
    training.join()
    assert layer.seen == {"training": {True}, threading.current_thread().name: {False}}
    assert model.training and layer.training


def test_predict_keeps_the_mode_of_each_layer():
    model = classifier()
    model.train().layers[1].eval()
    model.predict(X)
    assert [layer.training for layer in model.layers] == [True, False, True]
    model.layers[1].training = True
    assert all(layer.training for layer in model.sublayers())


def test_a_layer_that_is_not_trainable_keeps_its_weights():
    model = classifier()
    model.layers[0].trainable = False
    before = model.state_dict()
    assert [name for name, _ in model.named_parameters()] == ["layers.2.kernel", "layers.2.bias"]
    assert len(before) == 4
    summary = model.summary().splitlines()
    assert [line.split()[-1] for line in summary[1:]] == ["80", "0", "34", "114", "80"]
    assert "of these not trainable" in summary[-1]
    model.fit(X, LABELS, verbose=0)
    changed = [name for name, x in model.state_dict().items() if np.any(x != before[name])]
    assert changed == ["layers.2.kernel", "layers.2.bias"]
    model.trainable = False
    assert model.parameters() == []


def test_train_on_batch_refuses_what_its_optimizer_does_not_train():
    model = classifier()
    with pytest.raises(RuntimeError, match=r"train_on_batch: first .* compile"):
        Sequential([Dense(2)]).train_on_batch(X, LABELS)
    model.train_on_batch(X, LABELS)
    model.layers.append(Dense(2))
    with pytest.raises(RuntimeError, match="already has parameters; make a new optimizer"):
        model.train_on_batch(X, LABELS)


def test_fit_uses_the_hyperparameters_of_each_group():
    def after_one_step(weight_decay):
        model = classifier()
        kernels = [layer.kernel for layer in model.layers[::2]]
        biases = [layer.bias for layer in model.layers[::2]]
        groups = [{"params": kernels, "weight_decay": weight_decay}, {"params": biases}]
        model.compile(optimizers.SGD(groups, lr=0.5), loss="cross_entropy")
        model.fit(X, LABELS, batch_size=200, verbose=0)
        return model.state_dict()

    start, plain, decayed = classifier().state_dict(), after_one_step(0.0), after_one_step(0.1)
    for name, w in start.items():
        decay = 0.5 * 0.1 * w if "kernel" in name else 0
        np.testing.assert_allclose(decayed[name], plain[name] - decay, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("n", "share", "size"), [(10, 0.25, 3), (10, 0.2, 2), (7, 0.5, 4)])
def test_the_last_rows_are_kept_for_validation(n, share, size):
    """Keras trains on the first int(n · (1 − share)) rows."""
    seen = []

    def loss(y, prediction):
        seen.append(set(np.ravel(y).astype(int)))
        return np.mean(prediction)

    model = Sequential([Dense(1)], seed=0)
    model.compile("sgd", loss)
    rows = np.arange(n).reshape(n, 1)
    model.fit(rows, rows, batch_size=n, verbose=0, validation_split=share)
    assert seen[-2:] == [set(range(n - size)), set(range(n - size, n))]


with_nan = X.copy()
with_nan[7, 2] = np.nan


@pytest.mark.parametrize(
    ("x", "y", "more", "error", "message"),
    [
        (with_nan, LABELS, {}, ValueError, "x must be finite; .* row 7"),
        (X, LABELS[:-1], {}, ValueError, r"received shapes \(200, 4\) and \(199,\)"),
        (X[:0], LABELS[:0], {}, ValueError, "at least one"),
        (X, LABELS, {"batch_size": 0}, ValueError, "batch_size must be at least 1"),
        (X, LABELS, {"batch_size": -3}, ValueError, "batch_size must be at least 1"),
        (X, LABELS, {"epochs": -1}, ValueError, "epochs must be .* 0 or more, received -1"),
        (X, LABELS, {"epochs": True}, ValueError, "an integer, 0 or more, received True"),
        (X, LABELS, {"validation_split": 1.0}, ValueError, "some for validation; received 1"),
        (X[:, :3], LABELS, {}, ValueError, r"\(batch, 4\) is required, received \(3, 3\)"),
        (X, LABELS + 1, {}, ValueError, "labels must lie in 0 … 1 for 2 classes"),
        (np.array(["a"] * 200), LABELS, {}, TypeError, "x must be an array of numbers"),
    ],
)
def test_bad_input_changes_nothing(x, y, more, error, message):
    model = classifier()
    before = model.state_dict()
    with pytest.raises(error, match=message):
        model.fit(x, y, **{"shuffle": False, "verbose": 0} | more)
    assert_same_state(model.state_dict(), before)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"optimizer": "rmsporp", "loss": "mse"}, "did you mean 'rmsprop'"),
        ({"optimizer": "sgd", "loss": "msee"}, "did you mean 'mse'"),
        ({"optimizer": "sgd", "loss": "mse", "metrics": ["acc1"]}, "did you mean 'acc'"),
        ({"optimizer": "sgd"}, "a loss is required"),
    ],
)
def test_compile_refuses_unknown_names(kwargs, message):
    model = Sequential([Dense(2)])
    with pytest.raises(ValueError, match=message):
        model.compile(**kwargs)
    with pytest.raises(RuntimeError, match="compile"):
        model.fit(X, LABELS)


def test_a_class_in_place_of_an_object_is_refused():
    with pytest.raises(TypeError, match="a callback such as"):
        classifier().fit(X, LABELS, callbacks=CSVLogger, verbose=0)
    with pytest.raises(TypeError, match="metrics must be a name, a function, or a list"):
        classifier().compile("sgd", "mse", metrics=3)


def test_add_refuses_anything_but_a_layer():
    model = Sequential()
    for layers in ([Dense], [None], [model]):
        with pytest.raises(TypeError, match=r"a layer such as Dense\(10\) is required, not"):
            for layer in layers:
                model.add(layer)
    for layers in ([Dense(2)], [Dense(2), Dense(3)]):
        with pytest.raises(TypeError, match=r"a list of layers is required; write Sequential\(\[a"):
            Sequential(*layers)


def test_a_model_that_does_not_call_super_init_is_told_so():
    class Forgetful(Model):
        def __init__(self):
            self.layer = Dense(1)

    with pytest.raises(RuntimeError, match=r"Forgetful.__init__: call super\(\).__init__\(\)"):
        Forgetful().compile("sgd", "mse")


def test_a_layer_added_later_is_trained_too():
    model = Sequential([Dense(4)], seed=0)
    model.predict(X)
    model.add(Dense(1))
    model.compile(optimizers.SGD(lr=0.1), loss="mse")
    before = model.state_dict()
    model.fit(X, X[:, :1], verbose=0)
    assert len(before) == 4
    assert all(np.any(v != before[k]) for k, v in model.state_dict().items())


def test_unfit_data_raises_before_training():
    far = LABELS.copy()
    far[150] = 7
    lazy = Sequential([Dense(3), Dropout(0.5), Dense(2)], seed=0)
    eager = classifier()
    lazy.compile("sgd", loss="cross_entropy")
    for model in (lazy, eager):
        before, drawn = model.state_dict(), model.rng.bit_generator.state
        for x, y, more in (
            (np.ones((200, 4, 4)), LABELS, {}),
            (X, far, {}),
            (X, LABELS, {"validation_data": (X, far)}),
            (X, LABELS, {"validation_data": (X[:, :3], LABELS)}),
            (X, LABELS, {"validation_data": X}),
            (X, np.stack([LABELS, LABELS, LABELS], axis=1), {}),
            (X, LABELS, {"validation_split": float("nan")}),
        ):
            with pytest.raises(ValueError, match=r"labels|required|x, y|validation_split"):
                model.fit(x, y, verbose=0, **more)
            assert model.rng.bit_generator.state == drawn
            assert_same_state(model.state_dict(), before)
    lazy.fit(X, LABELS, verbose=0)


def test_a_failed_predict_keeps_training_mode():
    model = classifier().train()
    with pytest.raises(ValueError, match="is required"):
        model.predict(X[:, :2])
    assert model.training


def test_a_loss_as_a_metric_looks_through_softmax_too():
    model = classifier()
    model.compile("sgd", "cross_entropy", [cross_entropy])
    loss, metric = model.evaluate(X, LABELS)
    assert loss == metric


def test_metrics_may_be_names_functions_or_lists():
    model = Sequential([Dense(2)])
    for metrics in ("accuracy", None, losses.accuracy, ["acc"]):
        model.compile("sgd", "cross_entropy", metrics)
    with pytest.raises(ValueError, match="'acc' is taken"):
        model.compile("sgd", "cross_entropy", ["acc", "acc"])
    with pytest.raises(ValueError, match="unknown metric 3"):
        model.compile("sgd", "cross_entropy", [3])


def test_a_loss_must_return_a_tensor():
    model = classifier()
    model.compile("sgd", lambda prediction, target: 0.0)
    with pytest.raises(TypeError, match=r"the loss must be a Tensor of one number, not 0\.0"):
        model.fit(X, LABELS)
    with pytest.raises(TypeError, match=r"a loss must be a name, a function or an object"):
        model.compile("sgd", Dense)


def test_train_on_batch_trains_without_a_fit_before():
    model = classifier()
    first = model.train_on_batch(X, LABELS)["loss"]
    assert model.train_on_batch(X, LABELS)["loss"] != first


def test_a_model_survives_pickling():
    model = classifier()
    model.fit(X, LABELS, verbose=0)
    twin = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(twin.predict(X), model.predict(X))


@pytest.mark.parametrize("result", [None, [1.0, 2.0], "0.5"])
def test_a_metric_must_return_a_number(result):
    def share(y_true, y_pred):
        return result

    model = Sequential([Dense(1)], seed=0)
    model.compile("sgd", "mse", [share])
    with pytest.raises(TypeError, match="the metric 'share' must return a number, not"):
        model.evaluate(np.ones((2, 3)), np.ones((2, 1)))


def test_a_metric_may_return_an_array_of_one_number():
    model = Sequential([Dense(1)], seed=0)
    model.compile("sgd", "mse", [lambda y_true, y_pred: np.array([0.5])])
    assert model.evaluate(np.ones((2, 3)), np.ones((2, 1)))[1] == 0.5


def test_validation_split_none_means_no_validation():
    model = Sequential([Dense(1)], seed=0)
    model.compile("sgd", "mse")
    history = model.fit(np.ones((2, 3)), np.ones((2, 1)), validation_split=None, verbose=0)
    assert list(history.history) == ["loss", "lr"]


def test_fit_inside_fit_is_refused():
    """The second training would replace the state that ModelCheckpoint saves for the first."""
    model = Sequential([Dense(1)], seed=0)
    model.compile("sgd", "mse")
    x, y = np.ones((2, 3)), np.ones((2, 1))
    again = LambdaCallback(on_epoch_end=lambda epoch, logs: model.fit(x, y, verbose=0))
    with pytest.raises(RuntimeError, match="this model is in training already"):
        model.fit(x, y, verbose=0, callbacks=again)
    assert model.fit(x, y, verbose=0).history["loss"]
