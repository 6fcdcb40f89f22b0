"""load_model: one file makes the same model again; nothing in the file is executed."""

import json
import zipfile
from functools import partial

import numpy as np
import pytest

from minigrad import checkpoint, functional, layers, losses, optimizers, saving
from minigrad.initializers import random_normal, set_random_seed
from minigrad.layers import Dense, Dropout, Layer
from minigrad.models import Model, Sequential, load_model
from minigrad.regularizers import MaxNorm, l2

X = np.random.default_rng(0).normal(size=(32, 6)).astype(np.float32)
Y = np.arange(32) % 3


def rich():
    return Sequential(
        [
            layers.Input(6),
            layers.Normalization().adapt(X),
            layers.Reshape((2, 3)),
            layers.Flatten(),
            Dense(8, "gelu", kernel_regularizer=l2(0.1), bias_constraint=MaxNorm(2.0)),
            layers.BatchNormalization(momentum=0.5),
            Dense(7, np.tanh, use_bias=False, kernel_initializer="he_normal"),
            layers.LayerNormalization(),
            layers.GaussianNoise(0.1),
            layers.Dropout(0.2),
            Sequential([Dense(5, kernel_initializer=partial(random_normal, stddev=0.3))]),
            layers.Activation("relu"),
            Dense(3, "softmax"),
        ],
        seed=0,
    )


def test_a_loaded_model_predicts_and_trains_with_the_same_bits(tmp_path):
    model = rich()
    model.compile(optimizers.Adam(lr=0.02, beta1=0.8), "categorical_crossentropy", ["accuracy"])
    model.fit(X, Y, epochs=2, batch_size=8, verbose=0)
    loaded = load_model(model.save(tmp_path / "model.npz"))
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    assert loaded.optimizer.lr == 0.02 and loaded.optimizer.steps == model.optimizer.steps
    assert loaded.evaluate(X, Y) == model.evaluate(X, Y)
    assert loaded.train_on_batch(X, Y) == model.train_on_batch(X, Y)  # dropout draws the same mask
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    assert str(saving.to_config(loaded)) == str(saving.to_config(model))


@saving.register
class Shift(Layer):
    def __init__(self, by, label="b"):
        super().__init__()
        self.by, self.label = by, label

    def forward(self, x):
        return x + self.by


@saving.register
def twice(x):
    return 2 * x


def test_registered_custom_layers_and_functions_are_loaded(tmp_path):
    model = Sequential([Dense(2, twice, input_shape=(6,)), Shift(3.0)], seed=0)
    file = model.save(tmp_path / "custom.npz")
    np.testing.assert_array_equal(load_model(file).predict(X), model.predict(X))


class Unknown(Layer):
    def forward(self, x):
        return x


class Forgetful(Layer):
    def __init__(self, size):
        super().__init__()

    def forward(self, x):
        return x


def test_a_layer_that_is_not_registered_is_refused_by_load_model(tmp_path):
    file = Sequential([Dense(2, input_shape=(6,)), Unknown()]).save(tmp_path / "a.npz")
    with pytest.raises(checkpoint.CheckpointError, match="Unknown is not registered; put @"):
        load_model(file)


def test_a_layer_that_keeps_no_argument_is_refused_by_load_model(tmp_path, monkeypatch):
    monkeypatch.setitem(saving.CLASSES, "Forgetful", Forgetful)
    file = Sequential([Dense(2, input_shape=(6,)), Forgetful(3)]).save(tmp_path / "b.npz")
    with pytest.raises(checkpoint.CheckpointError, match="Forgetful: the argument 'size' cannot"):
        load_model(file)
def test_load_model_refuses_a_file_of_weights(tmp_path):
    Sequential([Dense(2, input_shape=(6,))]).save_weights(tmp_path / "c.npz")
    with pytest.raises(checkpoint.CheckpointError, match="wrote; or make the model and"):
        load_model(tmp_path / "c.npz")


def test_custom_objects_are_loaded_and_a_custom_loss_must_be_compiled_again(tmp_path, monkeypatch):
    def swish_2(x):
        return x * 2

    def custom_loss(y_true, y_pred):
        return np.mean((y_true - y_pred) ** 2)

    model = Sequential([Dense(2, swish_2, input_shape=(6,))], seed=0)
    model.compile("sgd", custom_loss)
    with pytest.raises(checkpoint.CheckpointError, match="swish_2 is not registered"):
        load_model(model.save(tmp_path / "a.npz"))
    monkeypatch.setitem(saving.FUNCTIONS["custom"], "swish_2", swish_2)
    model.train_on_batch(X, X[:, :2])
    loaded = load_model(model.save(tmp_path / "b.npz"), {"swish_2": swish_2})
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    with pytest.raises(RuntimeError, match="call compile"):  # its loss is not registered
        loaded.train_on_batch(X, X[:, :2])


@pytest.mark.parametrize("make", [lambda: optimizers.EMA(optimizers.Adam()), optimizers.NAdam])
def test_wrappers_and_schedules_are_compiled_again(tmp_path, make):
    model = Sequential([Dense(3, "softmax", input_shape=(6,))], seed=0)
    optimizer = make()
    optimizer.lr = optimizers.CosineDecay(0.1, 20)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    model.fit(X, Y, epochs=2, verbose=0)
    loaded = load_model(model.save(tmp_path / "m.npz"))
    assert type(loaded.optimizer) is type(optimizer) and loaded.optimizer.lr == optimizer.lr
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    assert loaded.train_on_batch(X, Y) == model.train_on_batch(X, Y)


def test_hyperparameters_are_saved_before_the_first_step(tmp_path):
    model = Sequential([Dense(1, input_shape=(6,))])
    model.compile(optimizers.SGD(lr=0.5, momentum=0.9), "mse")
    loaded = load_model(model.save(tmp_path / "m.npz"))
    assert (loaded.optimizer.lr, loaded.optimizer.momentum) == (0.5, 0.9)


def test_losses_as_objects_are_compiled_again(tmp_path):
    model = Sequential([Dense(1, "sigmoid", input_shape=(6,))], seed=0)
    model.compile("adam", losses.BinaryCrossentropy(label_smoothing=0.2))
    model.fit(X, Y > 0, verbose=0)
    loaded = load_model(model.save(tmp_path / "m.npz"))
    assert loaded.evaluate(X, Y > 0) == model.evaluate(X, Y > 0)
    assert loaded.optimizer.steps == model.optimizer.steps


@saving.register
class Residual(Model):
    def __init__(self, units):
        super().__init__()
        self.units = units
        self.hidden, self.out = Dense(units, "tanh"), Dense(6)

    def forward(self, x):
        return x + self.out(self.hidden(x))


def test_a_registered_custom_model_is_loaded(tmp_path):
    model = Residual(4)
    model.compile("sgd", "mse")
    model.fit(X, X, verbose=0)
    loaded = load_model(model.save(tmp_path / "custom.npz"))
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))


@saving.register
class ShiftedBy(Model):
    def __init__(self, size, seed=None):
        super().__init__(seed)
        self.size = size
        self.out = Dense(6)

    def forward(self, x):
        return x + self.out(x) * (self.size == (3, 3))


def test_a_saved_model_keeps_its_seed_and_tuple_arguments(tmp_path):
    model = ShiftedBy((3, 3), seed=0)
    expected = model.predict(X)
    np.testing.assert_array_equal(load_model(model.save(tmp_path / "m.npz")).predict(X), expected)


def test_a_save_draws_no_random_number(tmp_path):
    def second_model(saves):
        set_random_seed(0)
        first = Sequential([Dense(3, input_shape=(6,)), Dropout(0.5)])
        if saves:
            first.save(tmp_path / "m.npz")
        return Sequential([Dense(3, input_shape=(6,))]).layers[0].kernel.data

    np.testing.assert_array_equal(second_model(True), second_model(False))


def test_what_cannot_be_made_again_is_told_when_it_is_loaded(tmp_path):
    shared = Dense(6)
    repeated = Sequential([layers.Input(6), shared, shared])
    with pytest.raises(checkpoint.CheckpointError, match="a layer occurs twice"):
        load_model(repeated.save(tmp_path / "a.npz"))
    model = Sequential([Dense(1, input_shape=(6,))])
    model.compile("sgd", "mse")
    model.compiled_with = {"loss": "mse", "metrics": [{0: "no string"}]}
    model.train_on_batch(X, Y)
    assert load_model(model.save(tmp_path / "b.npz")).optimizer is None
    with pytest.raises(ValueError, match="the name ReLU is taken; rename Relu"):
        saving.register(type("Relu", (layers.Layer,), {}))


@saving.register
class Doubler(layers.Layer):
    def __init__(self, factor=1.0):
        super().__init__()
        self.factor = factor * 2

    def forward(self, x):
        return x * self.factor


@saving.register
def relu2(x):
    return functional.relu(2 * x)


@saving.register
def Relu2(x):
    return functional.relu(3 * x)


def test_a_model_that_would_be_another_one_is_not_made(tmp_path):
    changes = Sequential([Dense(3, input_shape=(6,)), Doubler(3.0)])
    with pytest.raises(checkpoint.CheckpointError, match="keep its arguments unchanged"):
        load_model(changes.save(tmp_path / "a.npz"))
    positional = Sequential([Dense(3, partial(functional.elu, 2.0), input_shape=(6,))])
    with pytest.raises(checkpoint.CheckpointError, match=r"write partial\(f, name=value\)"):
        load_model(positional.save(tmp_path / "b.npz"))
    for function in (relu2, Relu2):
        model = Sequential([Dense(3, function, input_shape=(6,))])
        loaded = load_model(model.save(tmp_path / "c.npz"))
        np.testing.assert_array_equal(loaded.predict(X), model.predict(X))


# ---- Tampered files ----


def changed(file, change):
    """Apply the change to the architecture in a saved model; return the file."""
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    index = json.loads(members["checkpoint.json"])
    change(index["architecture"])
    members["checkpoint.json"] = json.dumps(index).encode()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file


def layers_of(architecture):
    return architecture["model"]["config"]["layers"]


def layer_config(architecture):
    return layers_of(architecture)[0]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda a: layer_config(a).update({"class": "os.system"}), "unknown class 'os.system"),
        (lambda a: layer_config(a)["config"].update(units=10**9), "larger than the arrays"),
        (lambda a: layer_config(a)["config"].update(units="rm -rf"), "units must be a positive"),
        (lambda a: layer_config(a)["config"].update(surprise=1), "unknown option of Dense"),
        (lambda a: layer_config(a)["config"]["activation"].update(function="eval"), "'eval"),
        (lambda a: layer_config(a)["config"]["activation"].update(kind="builtins"), "builtins"),
        (lambda a: a.update(input_shape=[10**12]), r"\(batch, 6\) is required"),
        (lambda a: a.update(input_shape="wide"), "cannot be interpreted as an integer"),
        (lambda a: a.update(model={"class": "Dense", "config": {"units": 3}}), "no model"),
        (lambda a: a.update(model={"partial": 3, "config": {}}), "must be callable"),
        (lambda a: a.update(model=None), "it describes no model"),
        (lambda a: a.pop("input_shape"), "input_shape"),
        (lambda a: layers_of(a).append(layers_of(a)[0]), "larger than the arrays"),
        (lambda a: a.update(compile={"optimizer": "evil", "loss": "mse", "metrics": []}), "evil"),
    ],
)
def test_a_tampered_architecture_is_refused(tmp_path, change, reason):
    model = Sequential([Dense(3, "relu", input_shape=(6,))], seed=0)
    file = changed(model.save(tmp_path / "tampered.npz"), change)
    with pytest.raises(checkpoint.CheckpointError, match=reason):
        load_model(file)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (Dense(2), [4000]),
        (layers.Embedding(2, 2), [3]),
        (layers.SimpleRNN(1), [3, 1]),
    ],
)
def test_the_parameters_of_a_file_are_no_larger_than_its_arrays(tmp_path, layer, shape):
    """The sizes in the architecture grow; the arrays stay: nothing large may be allocated."""

    def enlarge(architecture):
        config = layers_of(architecture)[1]["config"]
        config["units" if "units" in config else "input_dim"] = 10**6

    file = Sequential([layers.Input(tuple(shape)), layer]).save(tmp_path / "m.npz")
    changed(file, enlarge)
    with pytest.raises(checkpoint.CheckpointError, match="larger than the arrays of the file"):
        load_model(file)


@pytest.mark.parametrize("name", ["m.h5", "m.keras", "m.hdf5"])
def test_load_model_refuses_keras_file_names(name):
    with pytest.raises(ValueError, match=r"Keras's format .* use the suffix \.npz"):
        load_model(name)


@pytest.mark.parametrize("name", ["m.h5", "m.weights.h5", "m.keras", "m.hdf5"])
def test_save_refuses_keras_file_names(tmp_path, name):
    model = Sequential([Dense(2, input_shape=(6,))])
    for save in (model.save, model.save_weights):
        with pytest.raises(ValueError, match=r"Keras's format .* use the suffix \.npz"):
            save(tmp_path / name)
    assert not list(tmp_path.iterdir())
