"""minigrad.keras: programs, names, errors. test_golden.py compares its numbers with Keras's."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minigrad import keras, optimizers
from minigrad.keras import backend as K
from minigrad.keras import layers

X = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)
ROOT = Path(__file__).parents[3]


def classifier(**compiled):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            layers.Dense(8, activation="relu", input_dim=4),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    options = {"loss": "binary_crossentropy", "metrics": ["accuracy"]} | compiled
    model.compile(optimizer=options.pop("optimizer", "adam"), **options)
    return model


def test_modules_of_keras_2_and_3_can_be_imported():
    """In a new process, because an import that has run once is found again in any case."""
    code = """
from minigrad.keras.layers.core import Dense
from minigrad.keras.utils.np_utils import to_categorical
from minigrad.keras.utils import np_utils
from minigrad.keras.optimizers.schedules import ExponentialDecay
from minigrad.keras.datasets.mnist import load_data
import minigrad.keras as keras
import minigrad.keras.backend as K
assert keras.layers.Dense is Dense and keras.ops.matmul and K.mean
assert isinstance(keras.Sequential([Dense(1)]).layers[0], keras.layers.Layer)
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, cwd=ROOT, timeout=60)


def test_import_star_gives_the_names_of_keras():
    code = """
from minigrad.keras.layers import *
from minigrad.keras.optimizers import *
from minigrad.keras.losses import *
from minigrad.keras.models import *
Sequential([Dense(3), Dropout(0.5)]); Adam(0.1); MeanSquaredError(); concatenate; schedules
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, cwd=ROOT, timeout=60)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.Densee, "did you mean 'Dense'"),
        (lambda: keras.applications, "minigrad.keras has no applications"),
        (lambda: keras.losses.nope, "keras.losses has no nope"),
        (lambda: K.no_such_function, "It has: the functions of NumPy"),
    ],
)
def test_an_unknown_name_says_what_there_is(make, message):
    with pytest.raises(AttributeError, match=message):
        make()
    assert not hasattr(layers, "Densee")


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda: layers.LSTM(3), "has no LSTM; use Dense with Flatten, SimpleRNN, .* It has: Act"),
        (lambda: keras.optimizers.Adamax(), "has no Adamax; examples/optimizers shows"),
        (lambda: keras.datasets.cifar10.load_data(), "cifar10; load the data yourself"),
        (lambda: keras.callbacks.TensorBoard(), "has no TensorBoard; CSVLogger writes"),
        (lambda: keras.utils.plot_model(None), r"has no plot_model; model.summary\(\) prints"),
    ],
)
def test_what_keras_has_and_minigrad_has_not_can_be_imported_and_not_used(use, message):
    from minigrad.keras.layers import Conv2D, Dense  # as programs do that use only Dense

    assert Conv2D is not Dense
    with pytest.raises(ImportError, match=message):
        use()


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: layers.Dense(8, activaton="relu"), ValueError, "did you mean 'activation'"),
        (lambda: layers.Dense(8, activation="rleu"), ValueError, "did you mean 'relu'"),
        (lambda: layers.BatchNormalization(axis=2)(X), ValueError, "axis must be -1"),
        (lambda: layers.Add()(X), TypeError, "a list of inputs is required"),
        (lambda: keras.optimizers.Adam(lerning_rate=1), ValueError, "did you mean 'learning_rate'"),
        (lambda: keras.optimizers.Adam(use_ema=True), ValueError, "unknown argument of Adam"),
        (lambda: keras.Sequential(layers.Dense(3)), TypeError, r"write Sequential\(\[a, b, …\]\)"),
        (lambda: keras.initializers.HeNormal(mean=1), TypeError, "HeNormal has the arguments"),
        (lambda: keras.losses.Huber(1.0, 2.0), TypeError, "received 2.0"),
        (lambda: keras.losses.MeanSquaredError(reduction="all"), ValueError, "reduction must be"),
        (lambda: classifier(loss="binary_crossentropi"), ValueError, "unknown loss"),
        (lambda: classifier(metrics=["acuracy"]), ValueError, "did you mean 'accuracy'"),
        (lambda: classifier(loss=["mse", "mae"]), ValueError, "one output and one loss"),
        (lambda: layers.Dense(3, "relu", units=3), TypeError, "too many arguments"),
        (lambda: layers.Dropout(0.5, 7, 8), TypeError, "too many arguments; their order is rate"),
        (lambda: keras.optimizers.Adam(0.1, learning_rate=0.1), TypeError, "too many arguments"),
        (lambda: layers.Subtract()([X, X, X]), TypeError, "expected 2 arguments"),
        (lambda: keras.losses.BinaryCrossentropy(axis=0), ValueError, "axis must be -1"),
        (lambda: keras.metrics.AUC()(Y, np.tile(X, 2)), ValueError, "make one-hot rows"),
        (lambda: classifier(optimizer="adamm"), ValueError, "unknown optimizer 'adamm'"),
        (lambda: classifier().save("m.h5"), ValueError, r"use the suffix \.npz"),
        (lambda: classifier().save("m.keras"), ValueError, r"use the suffix \.npz"),
        (lambda: classifier().fit(X, Y, validation_freq=2), ValueError, "validation_freq"),
        (lambda: classifier().get_layer("dense_9"), ValueError, "there is no layer 'dense_9'"),
        (lambda: classifier().set_weights([X]), ValueError, "has 4 arrays, received 1"),
        (lambda: K.set_floatx("float16"), ValueError, '"float32" or "float64" is required'),
    ],
)
def test_each_mistake_raises_an_error_with_advice(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_integer_labels_and_one_hot_rows_need_their_own_losses():
    model = keras.Sequential([layers.Dense(2, activation="softmax", input_shape=(4,))])
    model.compile("sgd", "categorical_crossentropy")
    with pytest.raises(ValueError, match='use the loss "sparse_categorical_crossentropy"'):
        model.fit(X, Y, verbose=0)
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match='use the loss "categorical_crossentropy"'):
        model.fit(X, np.eye(2)[Y], verbose=0)
    model.fit(X, Y[:, None], verbose=0)


def test_jit_compile_changes_no_number():
    def weights(**options):
        model = classifier(optimizer=keras.optimizers.Adam(), **options)
        model.fit(X, Y, epochs=2, verbose=0)
        return model.get_weights()

    plain, compiled = weights(), weights(jit_compile=True, run_eagerly=False)
    assert all(np.array_equal(a, b) for a, b in zip(plain, compiled))


def test_a_weight_decay_of_0_is_none():
    assert keras.optimizers.AdamW().weight_decay == 0.004
    assert keras.optimizers.AdamW(weight_decay=0.0).weight_decay == 0


def test_keras_1_arguments_are_accepted():
    model = keras.Sequential()
    model.add(layers.Dense(output_dim=3, init="uniform", activation="relu", input_dim=4))
    model.add(layers.Dense(1, init="normal"))
    model.compile("sgd", "mse", metrics="mae")
    assert model.fit(X, Y, nb_epoch=2, verbose=0).epoch == [0, 1]
    assert np.abs(model.get_weights()[0]).max() <= 0.051


def test_symbols_add_and_multiply():
    x = keras.Input((4,))
    model = keras.Model(x, layers.Dense(4, kernel_initializer="zeros")(x) + x * x)
    np.testing.assert_allclose(model.predict(X), X * X, rtol=1e-6)


def test_what_fit_and_evaluate_return():
    model = classifier()
    history = model.fit(X, Y, 16, 3, 0, validation_split=0.25)
    assert history is model.history and history.epoch == [0, 1, 2]
    assert list(history.history) == ["accuracy", "loss", "val_accuracy", "val_loss"]
    assert history.params["epochs"] == 3 and history.model is model
    assert model.metrics_names == ["loss", "accuracy"]
    loss, accuracy = model.evaluate(X, Y, verbose=0)
    assert model.evaluate(X, Y, return_dict=True) == {"loss": loss, "accuracy": accuracy}
    assert model.test_on_batch(X, Y) == pytest.approx([loss, accuracy])
    assert model.train_on_batch(X, Y) == pytest.approx([loss, accuracy], rel=1e-5)
    assert model.predict(X, verbose=0).shape == (64, 1)
    assert set(np.unique(model.predict_classes(X))) <= {0, 1}
    only_loss = classifier(metrics=None)
    assert isinstance(only_loss.evaluate(X, Y), float)
    assert isinstance(only_loss.train_on_batch(X, Y), float)


def test_epochs_go_on_at_initial_epoch():
    seen = []
    model = classifier()
    callback = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: seen.append(epoch))
    history = model.fit(X, Y, epochs=5, initial_epoch=3, verbose=0, callbacks=[callback])
    assert seen == history.epoch == [3, 4]


def test_set_random_seed_fixes_weights_order_and_dropout():
    def train():
        keras.utils.set_random_seed(7)
        model = keras.Sequential([layers.Dense(8), layers.Dropout(0.5), layers.Dense(1)])
        model.compile("sgd", "mse")
        model.fit(X, Y, epochs=2, verbose=0)
        return [*model.get_weights(), np.random.random(2)]

    assert all(np.array_equal(a, b) for a, b in zip(train(), train()))


def test_a_call_is_inference_unless_training_is_said():
    layer = layers.Dropout(0.5)
    assert np.array_equal(layer(X).data, X)
    assert (layer(X, training=True).numpy() == 0).any()


class Affine(layers.Layer):
    def __init__(self, units=3, **options):
        super().__init__(**options)
        self.units = units

    def build(self, input_shape):
        assert input_shape[0] is None
        self.w = self.add_weight(shape=(input_shape[-1], self.units), initializer="he_normal")
        self.b = self.add_weight(shape=(self.units,), initializer="zeros", trainable=False)

    def call(self, inputs):
        return keras.ops.matmul(inputs, self.w) + self.b


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.affine, self.drop, self.out = Affine(5, name="first"), layers.Dropout(0.5), Affine(1)
        self.modes = set()

    def call(self, x, training=False):
        self.modes.add(training)
        return self.out(self.drop(self.affine(x), training=training))


def test_custom_layers_and_models_train(capsys):
    model = Subclassed()
    model.compile("adam", "mse", metrics=["mae"])
    model.fit(X, Y, epochs=2, verbose=0)
    assert model.modes == {True, False}
    assert [w.shape for w in model.get_weights()] == [(4, 5), (5,), (5, 1), (1,)]
    assert len(model.trainable_weights) == 2 and len(model.non_trainable_weights) == 2
    assert model.affine.name == "first"
    assert Affine(2).compute_output_shape((None, 4)) == (None, 2)
    model.summary()
    assert "Affine" in capsys.readouterr().out
    with pytest.raises(TypeError, match=r"add_weight\(name=…, shape=…\)"):
        model.affine.add_weight("kernel", (2,))


def test_save_and_load_and_json(tmp_path):
    model = classifier(optimizer=keras.optimizers.RMSprop(0.01, momentum=0.5))
    model.fit(X, Y, epochs=2, verbose=0)
    path = tmp_path / "model.npz"
    model.save(path)
    loaded = keras.models.load_model(path)
    assert isinstance(loaded, keras.Sequential)
    assert np.array_equal(loaded.predict(X), model.predict(X))
    assert float(loaded.optimizer.learning_rate) == 0.01
    assert loaded.train_on_batch(X, Y) == model.train_on_batch(X, Y)
    twin = keras.models.model_from_json(model.to_json())
    assert [w.shape for w in twin.get_weights()] == [w.shape for w in model.get_weights()]
    assert json.loads(model.to_json()) == json.loads(twin.to_json())
    assert keras.models.clone_model(model).count_params() == model.count_params() == 49
    model.save_weights(tmp_path / "w.npz")
    twin.load_weights(tmp_path / "w.npz")
    assert np.array_equal(twin.predict(X), model.predict(X))


def test_weights_names_and_layers():
    keras.backend.clear_session()
    model = classifier()
    assert [layer.name for layer in model.layers] == ["dense", "dense_1"]
    assert model.name == "sequential"
    kernel, bias = model.get_layer("dense_1").get_weights()
    assert kernel.shape == (8, 1) and bias.shape == (1,)
    model.layers[1].set_weights([np.ones((8, 1)), np.zeros(1)])
    assert model.get_layer(index=1).weights[0].numpy().sum() == 8
    model.pop()
    assert model.output_shape == (None, 8)
    assert layers.Dense(3, "relu", False).use_bias is False
    assert layers.Dense(2, input_shape=(3,), weights=[np.ones((3, 2)), np.ones(2)]).get_weights()


def test_the_learning_rate_is_read_and_set():
    model = classifier()
    rate = model.optimizer.learning_rate
    assert float(rate) == rate.numpy() == 0.001 and model.optimizer.iterations == 0
    model.optimizer.learning_rate = 0.1
    assert model.optimizer.lr == 0.1
    model.optimizer.learning_rate.assign(0.2)
    assert K.get_value(model.optimizer.learning_rate) == 0.2
    K.set_value(model.optimizer.lr, 0.3)
    assert model.optimizer.lr.numpy() == K.get_value(model.optimizer.lr) == 0.3
    scheduler = keras.callbacks.LearningRateScheduler(lambda epoch, lr: lr / 2)
    history = model.fit(X, Y, epochs=2, verbose=0, callbacks=[scheduler])
    assert history.history["learning_rate"] == [0.15, 0.075]
    old = keras.optimizers.SGD(lr=0.1, decay=0.5, momentum=0.0, nesterov=False)
    assert isinstance(old, keras.optimizers.SGD) and isinstance(old, optimizers.SGD)
    assert [old.raw_hyperparameters()["lr"](t) for t in (0, 2)] == [0.1, 0.05]


def test_a_callback_that_watches_a_missing_number_warns():
    stop = keras.callbacks.EarlyStopping(monitor="val_acc", patience=0)
    with pytest.warns(UserWarning, match="there is no 'val_acc' to watch"):
        history = classifier().fit(X, Y, epochs=4, verbose=0, callbacks=[stop])
    assert len(history.epoch) == 4


def test_callbacks_get_running_means_of_the_epoch():
    seen = []
    log = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(logs["loss"])
    )
    model = classifier()
    history = model.fit(X, Y, batch_size=16, epochs=1, verbose=0, callbacks=[log])
    assert seen[-1] == history.history["loss"][0]


def test_logs_that_a_callback_adds_reach_the_history_and_early_stopping():
    class Score(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            logs["score"] = 1.0

    stop = keras.callbacks.EarlyStopping(monitor="score", patience=2, mode="max")
    history = classifier().fit(X, Y, epochs=9, verbose=0, callbacks=[Score(), stop])
    assert history.history["score"] == [1.0] * 3


def test_a_callback_may_define_keras_hooks_that_fit_never_calls():
    class Unused(keras.callbacks.Callback):
        def on_predict_end(self, logs=None): ...
        def on_test_batch_end(self, batch, logs=None): ...

    assert classifier().fit(X, Y, verbose=0, callbacks=[Unused()]).epoch == [0]


def test_early_stopping_keeps_the_stopped_epoch_and_the_best_value():
    stop = keras.callbacks.EarlyStopping(monitor="loss", patience=1, min_delta=10.0)
    history = classifier().fit(X, Y, epochs=9, verbose=0, callbacks=[stop])
    assert stop.stopped_epoch == 1 and stop.best == history.history["loss"][0]


def test_custom_losses_and_metrics_compute_their_formulas():
    def mean_error(y_true, y_pred):
        return K.mean(K.square(y_true - y_pred), axis=-1)

    def largest(y_true, y_pred):
        return K.max(K.abs(y_true - y_pred))

    class Scaled(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return 3 * K.mean(K.square(y_true - y_pred), axis=-1)

    model = classifier(loss=mean_error, metrics=[largest, keras.metrics.Precision(), "mse"])
    numbers = model.evaluate(X, Y, batch_size=64, return_dict=True)
    p = model.predict(X)[:, 0]
    assert numbers["loss"] == pytest.approx(np.mean((p - Y) ** 2), rel=1e-5)
    assert numbers["largest"] == pytest.approx(np.max(np.abs(p - Y)), rel=1e-5)
    assert numbers["precision"] == pytest.approx(Y[p > 0.5].mean())
    assert classifier(loss=Scaled(), metrics=None).evaluate(X, Y) == pytest.approx(
        3 * numbers["loss"], rel=1e-5
    )
    by_function = classifier(loss=keras.losses.binary_crossentropy, metrics=None)
    assert by_function.evaluate(X, Y) == pytest.approx(classifier(metrics=None).evaluate(X, Y))


def test_metrics_of_an_epoch_count_all_its_examples():
    """A mean over batches would be another number."""
    p = np.array([0.9, 0.8, 0.1, 0.7, 0.2, 0.3])[:, None]
    t = np.array([1, 0, 0, 0, 1, 1])[:, None]
    precision, recall, auc = keras.metrics.Precision(), keras.metrics.Recall(), keras.metrics.AUC()
    for metric in (precision, recall, auc):
        for rows in (slice(0, 2), slice(2, 6)):
            metric.update_state(t[rows], p[rows])
    assert precision.result() == pytest.approx(1 / 3)
    assert recall.result() == pytest.approx(1 / 3)
    pairs = [(a > b) for a in p[t == 1] for b in p[t == 0]]
    assert auc.result() == pytest.approx(np.mean(pairs), abs=0.01)
    precision.reset_state()
    assert precision(t[:1], p[:1]) == 1


def test_a_list_of_one_batch_is_an_iterable_of_batches():
    assert classifier().fit([(X, Y)], verbose=0).history.keys() == {"accuracy", "loss"}


def test_a_custom_metric_is_the_mean_over_batches():
    def largest(y_true, y_pred):
        return K.max(K.abs(y_true - y_pred))

    model = classifier(metrics=[largest])
    error = np.abs(model.predict(X)[:, 0] - Y)
    expected = np.mean([error[:32].max(), error[32:].max()])
    assert model.evaluate(X, Y)[1] == pytest.approx(expected, rel=1e-5)


def test_a_custom_metric_averages_every_value():
    def error(y_true, y_pred):
        return K.abs(y_true - y_pred)

    t, p = np.zeros((2, 3)), np.arange(6.0).reshape(2, 3)
    assert keras.metrics.get(error)(t, p) == np.mean(p)


def test_metrics_of_sequences_count_every_step():
    t, p = np.zeros((2, 3, 1)), np.arange(6.0).reshape(2, 3, 1)
    assert keras.metrics.MeanAbsoluteError()(t, p) == np.mean(p)
    assert keras.metrics.RootMeanSquaredError()(t, p) == pytest.approx(np.sqrt(np.mean(p**2)))
    assert keras.metrics.MeanAbsoluteError()([1.0, 2.0], [1.0, 4.0]) == 1


def test_auc_of_logits_clips_as_keras_does():
    t, z = np.array([[1], [0], [1], [0]]), np.array([[3.0], [-2.0], [0.4], [0.6]])
    assert keras.metrics.AUC()(t, z) == pytest.approx(keras.metrics.AUC()(t, np.clip(z, 0, 1)))


def test_a_generator_and_class_weights():
    def forever():
        while True:
            yield X[:16], Y[:16]

    history = classifier().fit(forever(), steps_per_epoch=3, epochs=2, verbose=0)
    assert len(history.epoch) == 2
    weighted = classifier().fit(X, Y, class_weight={0: 1.0, 1: 0.0}, verbose=0)
    assert weighted.history["loss"][0] < classifier().fit(X, Y, verbose=0).history["loss"][0]


def test_predict_takes_as_many_batches_as_steps():
    def forever():
        while True:
            yield X[:8]

    assert classifier().predict(forever(), steps=3).shape == (24, 1)
    model = classifier()
    np.testing.assert_array_equal(model.predict([X]), model.predict(X))


def test_fit_takes_a_keras_sequence():
    class Data(keras.utils.Sequence):
        epochs = 0

        def __init__(self, **options):
            super().__init__(**options)

        def __len__(self):
            return 4

        def __getitem__(self, i):
            return X[16 * i : 16 * i + 16], Y[16 * i : 16 * i + 16]

        def on_epoch_end(self):
            self.epochs += 1

    data = Data(workers=2)
    a, b = classifier(), classifier()
    a.fit(data, epochs=3, verbose=0, shuffle=False)
    b.fit(X, Y, batch_size=16, epochs=3, verbose=0, shuffle=False)
    assert all(np.array_equal(v, w) for v, w in zip(a.get_weights(), b.get_weights()))
    assert data.epochs == 3


def test_predict_refuses_callbacks():
    with pytest.raises(ValueError, match="callbacks are not called here"):
        classifier().predict(X, callbacks=[keras.callbacks.Callback()])


def test_the_beginners_program_of_tensorflow():
    keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).random((64, 8, 8))
    labels = (images.mean(axis=(1, 2)) > 0.5).astype(int)
    model = keras.models.Sequential(
        [
            layers.Flatten(input_shape=(8, 8)),
            layers.Dense(16, activation="relu"),
            layers.Dropout(0.2),
            layers.Dense(2),
        ]
    )
    predictions = model(images[:1]).numpy()
    loss_fn = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    logits = predictions.astype(float)
    expected = np.log(np.exp(logits).sum()) - logits[0, labels[0]]
    assert loss_fn(labels[:1], predictions).numpy() == pytest.approx(expected, rel=1e-5)
    model.compile(optimizer="adam", loss=loss_fn, metrics=["accuracy"])
    model.fit(images, labels, epochs=2, verbose=0)
    np.testing.assert_allclose(model.predict_on_batch(images), model(images).numpy(), rtol=1e-5)
    probability_model = keras.Sequential([model, layers.Softmax()])
    np.testing.assert_allclose(probability_model(images[:5]).numpy().sum(axis=1), 1, rtol=1e-5)
    metric = keras.metrics.BinaryAccuracy()
    assert metric([[1.0], [0.0]], [[0.9], [0.8]]).numpy() == 0.5
    assert keras.losses.mse([[1.0], [0.0]], [[0.5], [0.5]]).numpy().tolist() == [0.25, 0.25]


def test_to_categorical_and_normalize_return_keras_numbers():
    one_hot = keras.utils.to_categorical([[0], [2]])
    assert one_hot.dtype == np.float64 and one_hot.tolist() == [[1, 0, 0], [0, 0, 1]]
    assert keras.utils.normalize([[3.0, 4.0]]).tolist() == [[0.6, 0.8]]


def test_a_seeded_initializer_returns_the_same_numbers_each_time():
    seeded = keras.initializers.RandomNormal(mean=1.0, stddev=0.1, seed=3)
    assert np.array_equal(seeded((2, 2)), seeded((2, 2))) and abs(seeded((9, 9)).mean() - 1) < 0.1


def test_a_function_can_be_an_initializer():
    ones = layers.Dense(2, kernel_initializer=lambda shape, dtype=None: np.ones(shape), input_dim=3)
    assert ones.get_weights()[0].sum() == 6


def test_get_finds_initializers_optimizers_and_activations_by_name():
    he_normal = keras.initializers.get("HeNormal")
    assert he_normal((300, 200), np.random.default_rng(0)).std() > 0.05
    assert isinstance(keras.optimizers.get("RMSprop"), keras.optimizers.RMSprop)
    assert keras.activations.get("relu")(np.array([-1.0, 1.0])).tolist() == [0, 1]


def test_a_frozen_model_inside_a_model_stays_as_it_is():
    base = keras.Sequential([layers.Dense(4, input_dim=4, kernel_regularizer="l2")])
    base.add(layers.BatchNormalization(momentum=0.5))
    base.trainable = False
    model = keras.Sequential([base, layers.Dense(1)])
    model.compile("sgd", "mse")
    before = base.get_weights()
    model.fit(X, Y, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, base.get_weights()))
    assert model.penalty() == 0 and not base.layers[1].trainable


def test_keras_2_arguments_of_layers_are_accepted():
    assert layers.LeakyReLU(alpha=0.5)(np.array([[-2.0]])).data == [[-1.0]]
    assert layers.Embedding(5, 2, input_length=3).input_shape == (3,)


def test_dropout_with_a_seed_draws_the_same_mask():
    a, b = (layers.Dropout(0.5, seed=3)(X, training=True).data for _ in range(2))
    assert np.array_equal(a, b)


def test_build_makes_the_parameters_of_a_subclassed_model():
    model = Subclassed()
    model.build((None, 4))
    assert len(model.layers) == 3 and model.count_params() > 0


def test_objects_are_saved_with_their_arguments(tmp_path):
    model = keras.Sequential(
        [
            layers.Normalization(input_shape=(4,)),
            layers.Dense(3, keras.activations.hard_sigmoid,
                         kernel_initializer=keras.initializers.RandomNormal(stddev=0.5)),
            layers.Activation(keras.activations.leaky_relu),
            layers.Dense(2, kernel_constraint=keras.constraints.MaxNorm(3)),
        ]
    )  # fmt: skip
    model.layers[0].adapt(X)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=[keras.metrics.SparseTopKCategoricalAccuracy(k=1)])
    model.fit(X, Y, epochs=2, verbose=0)
    model.save(tmp_path / "m.npz")
    loaded = keras.models.load_model(tmp_path / "m.npz")
    assert loaded.evaluate(X, Y) == model.evaluate(X, Y)
    assert loaded.optimizer.iterations == model.optimizer.iterations
    assert loaded.fit(X, Y, verbose=0).history == model.fit(X, Y, verbose=0).history


def test_a_layer_takes_a_dtype():
    assert layers.Dense(2, dtype="float64", input_dim=4).get_weights()[0].dtype == np.float64
