"""load_model: one file makes the same model again; nothing in the file is executed."""

import json
import zipfile
from functools import partial

import numpy as np
import pytest

from minigrad import checkpoint, layers, optimizers, saving
from minigrad.initializers import random_normal
from minigrad.layers import Dense, Layer
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
    same = load_model(model.save(tmp_path / "model.npz"))
    np.testing.assert_array_equal(same.predict(X), model.predict(X))
    assert same.optimizer.lr == 0.02 and same.optimizer.steps == model.optimizer.steps
    assert same.evaluate(X, Y) == model.evaluate(X, Y)
    assert same.train_on_batch(X, Y) == model.train_on_batch(X, Y)  # dropout draws the same mask
    np.testing.assert_array_equal(same.predict(X), model.predict(X))
    assert str(saving.to_config(same)) == str(saving.to_config(model))


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


def test_layers_and_functions_of_ones_own_by_registration(tmp_path):
    model = Sequential([Dense(2, twice, input_shape=(6,)), Shift(3.0)], seed=0)
    file = model.save(tmp_path / "own.npz")
    np.testing.assert_array_equal(load_model(file).predict(X), model.predict(X))


class Unknown(Layer):
    def forward(self, x):
        return x


class Forgetful(Layer):
    def __init__(self, size):
        super().__init__()

    def forward(self, x):
        return x


def test_what_cannot_be_saved_is_told_when_it_is_loaded(tmp_path):
    file = Sequential([Dense(2, input_shape=(6,)), Unknown()]).save(tmp_path / "a.npz")
    with pytest.raises(checkpoint.CheckpointError, match="Unknown is not registered; put @"):
        load_model(file)
    saving.CLASSES["Forgetful"] = Forgetful
    file = Sequential([Dense(2, input_shape=(6,)), Forgetful(3)]).save(tmp_path / "b.npz")
    with pytest.raises(checkpoint.CheckpointError, match="Forgetful: the argument 'size' cannot"):
        load_model(file)
    own = Sequential([Dense(2, lambda x: x, input_shape=(6,))])
    own.save_weights(tmp_path / "c.npz")
    with pytest.raises(checkpoint.CheckpointError, match="only weights; or make the model and"):
        load_model(tmp_path / "c.npz")


def test_custom_objects_and_compile(tmp_path):
    def swish_2(x):
        return x * 2

    def own_loss(y_true, y_pred):
        return np.mean((y_true - y_pred) ** 2)

    model = Sequential([Dense(2, swish_2, input_shape=(6,))], seed=0)
    model.compile("sgd", own_loss)
    with pytest.raises(checkpoint.CheckpointError, match="swish_2 is not registered"):
        load_model(model.save(tmp_path / "a.npz"))
    saving.FUNCTIONS["custom"]["swish_2"] = swish_2
    model.train_on_batch(X, X[:, :2])
    same = load_model(model.save(tmp_path / "b.npz"), {"swish_2": swish_2})
    np.testing.assert_array_equal(same.predict(X), model.predict(X))
    with pytest.raises(RuntimeError, match="call compile"):  # its loss is not registered
        same.train_on_batch(X, X[:, :2])
    del saving.FUNCTIONS["custom"]["swish_2"]


@pytest.mark.parametrize("make", [lambda: optimizers.EMA(optimizers.Adam()), optimizers.NAdam])
def test_wrappers_and_schedules_are_compiled_again(tmp_path, make):
    model = Sequential([Dense(3, "softmax", input_shape=(6,))], seed=0)
    optimizer = make()
    optimizer.lr = optimizers.CosineDecay(0.1, 20)
    model.compile(optimizer, "sparse_categorical_crossentropy")
    model.fit(X, Y, epochs=2, verbose=0)
    same = load_model(model.save(tmp_path / "m.npz"))
    assert type(same.optimizer) is type(optimizer) and same.optimizer.lr == optimizer.lr
    np.testing.assert_array_equal(same.predict(X), model.predict(X))
    assert same.train_on_batch(X, Y) == model.train_on_batch(X, Y)


@saving.register
class Residual(Model):
    def __init__(self, units):
        super().__init__()
        self.units = units
        self.hidden, self.out = Dense(units, "tanh"), Dense(6)

    def forward(self, x):
        return x + self.out(self.hidden(x))


def test_a_model_of_ones_own(tmp_path):
    model = Residual(4)
    model.compile("sgd", "mse")
    model.fit(X, X, verbose=0)
    same = load_model(model.save(tmp_path / "own.npz"))
    np.testing.assert_array_equal(same.predict(X), model.predict(X))


# Files that lie


def changed(file, change):
    """Rewrite the index of a checkpoint."""
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    index = json.loads(members["checkpoint.json"])
    change(index["architecture"])
    members["checkpoint.json"] = json.dumps(index).encode()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file


def layer_config(architecture, i=0):
    return architecture["model"]["config"]["layers"][i]


@pytest.mark.parametrize(
    "change",
    [
        lambda a: layer_config(a).update({"class": "os.system"}),
        lambda a: layer_config(a)["config"].update(units=10**9),
        lambda a: layer_config(a)["config"].update(units="rm -rf"),
        lambda a: layer_config(a)["config"].update(surprise=1),
        lambda a: layer_config(a)["config"]["activation"].update(function="eval"),
        lambda a: layer_config(a)["config"]["activation"].update(kind="builtins"),
        lambda a: a.update(input_shape=[10**12]),
        lambda a: a.update(input_shape="wide"),
        lambda a: a.update(model={"class": "Dense", "config": {"units": 3}}),
        lambda a: a.update(model={"partial": 3, "config": {}}),
        lambda a: a.update(model=None),
        lambda a: a.pop("input_shape"),
        lambda a: a["model"]["config"]["layers"].append(a["model"]["config"]["layers"][0]),
        lambda a: a.update(compile={"optimizer": "evil", "loss": "mse", "metrics": []}),
    ],
)
def test_a_file_that_lies_is_refused(tmp_path, change):
    model = Sequential([Dense(3, "relu", input_shape=(6,))], seed=0)
    file = changed(model.save(tmp_path / "lie.npz"), change)
    with pytest.raises(checkpoint.CheckpointError):
        load_model(file)


@pytest.mark.parametrize("name", ["m.h5", "m.keras", "m.hdf5"])
def test_other_formats_are_refused(name):
    with pytest.raises(ValueError, match=r"Keras's format; the one here is \.npz"):
        load_model(name)
