"""The edges of training: odd weights, frozen blocks, empty batches, seeds of nested models."""

import json
import warnings
import zipfile
from functools import partial

import numpy as np
import pytest

from minigrad import Tensor, checkpoint, functional, layers, losses, optimizers, saving
from minigrad.callbacks import CSVLogger, LambdaCallback, ModelCheckpoint
from minigrad.initializers import set_random_seed
from minigrad.layers import BatchNormalization, Dense, Dropout, GaussianNoise
from minigrad.models import Model, Sequential, load_model
from minigrad.regularizers import NonNeg
from minigrad.training_data import example_weights, match_target

rng = np.random.default_rng(0)
X = rng.normal(size=(16, 3)).astype(np.float32)
Y = rng.normal(size=(16, 1)).astype(np.float32)


# Seeds


class Net(Model):
    def __init__(self, seed=None):
        super().__init__(seed)
        self.a, self.b = Dense(2, input_shape=(3,)), Sequential([Dense(2), Dropout(0.5)])
        self.c = Dense(1, input_shape=(2,))

    def forward(self, x):
        return self.c(self.b(self.a(x)))


def looked_at(net, look):
    look(net)
    net.compile("sgd", "mse")
    net.fit(X, Y, epochs=2, verbose=0)
    return np.concatenate([a.ravel() for a in net.state_dict().values()])


@pytest.mark.parametrize("look", [lambda net: None, Net.state_dict, Net.named_parameters])
def test_a_seed_holds_however_the_parameters_are_made(look):
    np.testing.assert_array_equal(looked_at(Net(0), look), looked_at(Net(0), look))
    np.testing.assert_array_equal(looked_at(Net().seed(0), look), looked_at(Net().seed(0), look))


def test_the_seed_of_an_inner_model_stays():
    inner = [Sequential([Sequential([Dense(2)], seed=3)])(X).data for _ in range(2)]
    np.testing.assert_array_equal(*inner)


# Weights


def test_class_weights_of_sequences_are_weights_of_steps():
    y = np.array([[0, 1, 1], [1, 0, 0]])
    np.testing.assert_array_equal(example_weights("fit", y, None, {1: 5.0}), [[1, 5, 5], [5, 1, 1]])
    column = example_weights("fit", y[..., None], None, {1: 5.0})
    np.testing.assert_array_equal(column, [[1, 5, 5], [5, 1, 1]])
    both = example_weights("fit", y, [2.0, 3.0], {1: 5.0})
    np.testing.assert_array_equal(both, [[2, 10, 10], [15, 3, 3]])
    model = Sequential([Dense(2, input_shape=(3,), kernel_initializer="zeros")])
    model.compile("sgd", "cross_entropy")
    loss = model.train_on_batch(np.ones((2, 3, 3)), y, class_weight={1: 5.0})["loss"]
    assert loss == pytest.approx(np.log(2) * 18 / 6)


def test_targets_that_are_no_classes_have_no_class_weights():
    with pytest.raises(ValueError, match="targets that are classes"):
        example_weights("fit", Y, None, {0: 1.0})


def test_a_column_of_weights_does_not_broadcast():
    y, w, c = np.array([2, 0, 1]), np.array([1.0, 2.0, 3.0]), {0: 1.0, 1: 10.0, 2: 100.0}
    np.testing.assert_array_equal(
        example_weights("fit", y, w[:, None], c), example_weights("fit", y, w, c)
    )
    z = Tensor(np.zeros((2, 2)))
    by_column = functional.cross_entropy(z, [0, 1], sample_weight=[[1.0], [5.0]])
    assert by_column.item() == pytest.approx(3 * np.log(2))


def test_targets_and_outputs_of_one_number_fit_both_ways():
    assert match_target(np.zeros(4), np.zeros((4, 1))).shape == (4,)


def test_targets_are_shares_of_label_1():
    for loss in (functional.binary_cross_entropy, functional.binary_cross_entropy_with_logits):
        with pytest.raises(ValueError, match="targets from 0 to 1"):
            loss(np.array([0.5]), np.array([2.0]))
    z = Tensor([[2.0]], requires_grad=True)
    with_logits = functional.binary_cross_entropy_with_logits
    assert with_logits(functional.sigmoid(z), [[1.0]]).item() == with_logits(z, [[1.0]]).item()


# Frozen blocks


def test_a_frozen_block_keeps_everything(tmp_path):
    rules = dict(kernel_regularizer="l2", kernel_constraint=NonNeg())
    block = Sequential([Dense(2, input_shape=(3,), **rules), BatchNormalization(momentum=0.5)])
    model = Sequential([block, Dense(1)], seed=0)
    block.trainable = False
    assert [x.trainable for x in model.sublayers()] == [True, False, False, False, True]
    before = block.state_dict()
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0)
    assert all(np.array_equal(before[name], a) for name, a in block.state_dict().items())
    assert model.penalty() == 0
    same = load_model(model.save(tmp_path / "frozen.npz"))
    assert not same.layers[0].trainable and not same.layers[0].layers[1].trainable
    assert same.train_on_batch(X, Y) == model.train_on_batch(X, Y)


@pytest.mark.parametrize(
    "layer", [Dense(1, use_bias=False, bias_regularizer="l2", input_shape=(3,)),
              BatchNormalization(scale=False, gamma_regularizer="l2", input_shape=(3,))],
)  # fmt: skip
def test_a_rule_of_a_parameter_that_does_not_exist_has_no_effect(layer):
    layer.apply_constraints()
    assert layer.penalty() == 0


# Layers


@pytest.mark.parametrize(
    "layer", [BatchNormalization(), layers.LayerNormalization(), layers.Normalization().adapt(X)]
)
def test_normalizing_layers_refuse_another_number_of_features(layer):
    layer(X)
    for wrong in (np.ones((4, 1)), np.ones(3)):
        with pytest.raises(ValueError, match=r"input of shape \(batch, …, 3\) is required"):
            layer(wrong)


def test_an_empty_batch_leaves_the_averages():
    layer = BatchNormalization()
    layer(X, training=True)
    before = layer.state_dict()
    assert layer(X[:0], training=True).shape == (0, 3)
    np.testing.assert_array_equal(layer.moving_mean.data, before["moving_mean"])


def test_gaussian_noise_of_integers_is_float32():
    out = GaussianNoise(0.1).seed(0)(np.arange(6).reshape(2, 3), training=True)
    assert out.dtype == np.float32 and not np.array_equal(out.data, np.arange(6).reshape(2, 3))


@pytest.mark.parametrize("layer", [Dropout(0.5), BatchNormalization(), GaussianNoise(0.1)])
def test_a_loop_without_train_is_warned_of(layer):
    x = Tensor(X, requires_grad=True)
    with pytest.warns(UserWarning, match=r"Call train\(\) on the network") as caught:
        np.sum(layer(x)).backward()
    assert caught[0].filename == __file__
    for mode in (layer.train, layer.eval):
        mode()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            np.sum(layer(x)).backward()


def test_a_softmax_of_one_unit_is_warned_of():
    with pytest.warns(UserWarning, match="always 1; use a sigmoid"):
        Dense(1, "softmax", input_shape=(3,)).parameters()


def test_a_model_that_does_not_call_super_init_is_told_so():
    class Forgetful(Model):
        def __init__(self):
            self.layer = Dense(1)

    with pytest.raises(RuntimeError, match=r"Forgetful.__init__: call super\(\).__init__\(\)"):
        Forgetful().compile("sgd", "mse")


# Iterables


def linear():
    model = Sequential([Dense(1, input_shape=(3,))], seed=0)
    model.compile(optimizers.SGD(lr=0.01), "mse")
    return model


def test_validation_steps_begin_at_the_first_batch_each_time():
    model = linear()
    model.optimizer.lr = 0.0
    parts = [(X[:4], Y[:4] + i) for i in range(4)]
    history = model.fit(X, Y, epochs=3, validation_data=parts, validation_steps=1, verbose=0)
    assert len(set(history.history["val_loss"])) == 1


def test_an_epoch_that_is_stopped_at_its_last_batch_counts():
    model = linear()

    def at_the_end(batch, logs):
        model.stop_training = batch == 1

    history = model.fit(
        [(X, Y), (X, Y)], epochs=3, verbose=0, callbacks=LambdaCallback(on_batch_end=at_the_end)
    )
    assert len(history.history["loss"]) == 1


def test_an_iterable_without_batches_is_refused():
    class Spent:
        def __iter__(self):
            return iter(())

    for empty in ([], Spent()):
        with pytest.raises(ValueError, match="the iterable gave no batch"):
            linear().fit(empty, steps_per_epoch=2, verbose=0)
    with pytest.raises(ValueError, match="the iterable gave no batch"), pytest.warns(UserWarning):
        linear().evaluate(iter([]))
    for bad in ((X[:0], Y[:0]), (X, Y[:3])):
        with pytest.raises(ValueError, match="equal numbers of rows, at least one"):
            linear().fit([(X, Y), bad], verbose=0)
    for steps in (0, 1.5):
        with pytest.raises(ValueError, match="number of steps must be a positive integer"):
            linear().fit([(X, Y)], steps_per_epoch=steps, verbose=0)


def test_predict_of_lists_and_of_models_with_two_outputs():
    model = Sequential([Dense(1, input_shape=(2,))], seed=0)
    xor = [(0, 0), (0, 1), (1, 0)]
    np.testing.assert_array_equal(model.predict(xor), model.predict(np.array(xor)))
    batches = [[X[:4, :2], Y[:4]], [X[4:, :2], Y[4:]]]
    np.testing.assert_allclose(model.predict(iter(batches)), model.predict(X[:, :2]), rtol=1e-6)

    class Two(Model):
        def forward(self, x):
            return x, x

    with pytest.raises(ValueError, match="a model with one output"):
        Two().predict(X)
    for empty in (iter([]), X[:0]):
        with pytest.raises(ValueError, match="at least one row"):
            linear().predict(empty)
    with pytest.raises(TypeError, match="array of numbers"):
        linear().fit(np.array([["07", "1", "2"]] * 16, object), Y, verbose=0)


# initial_epoch


def test_initial_epoch_in_files_and_after_a_resume(tmp_path):
    model = linear()
    callbacks = [CSVLogger(tmp_path / "log.csv"), ModelCheckpoint(tmp_path / "run")]
    options = dict(initial_epoch=3, verbose=0)
    model.fit(X, Y, epochs=5, callbacks=callbacks, **options)
    assert [line[0] for line in (tmp_path / "log.csv").read_text().splitlines()[1:]] == ["3", "4"]
    other = linear()
    history = other.fit(X, Y, epochs=6, resume=tmp_path / "run", **options)
    assert len(history.history["loss"]) == 3
    for wrong in (-3, 1.5, "a"):
        with pytest.raises(ValueError, match="initial_epoch must be an integer, 0 or more"):
            model.fit(X, Y, initial_epoch=wrong, verbose=0)
    model.fit(iter([(X, Y)]), epochs=5, initial_epoch=4, verbose=0)
    with pytest.raises(ValueError, match="save_weights_only needs a file"):
        ModelCheckpoint("folder", save_weights_only=True)


# Saved models


def test_hyperparameters_are_saved_before_the_first_step(tmp_path):
    model = Sequential([Dense(1, input_shape=(3,))])
    model.compile(optimizers.SGD(lr=0.5, momentum=0.9), "mse")
    same = load_model(model.save(tmp_path / "m.npz"))
    assert (same.optimizer.lr, same.optimizer.momentum) == (0.5, 0.9)


@saving.register
class ShiftedBy(Model):
    def __init__(self, size, seed=None):
        super().__init__(seed)
        self.size = size
        self.out = Dense(3)

    def forward(self, x):
        return x + self.out(x) * (self.size == (3, 3))


def test_a_saved_model_keeps_its_seed_and_tuple_arguments(tmp_path):
    model = ShiftedBy((3, 3), seed=0)
    expected = model.predict(X)
    np.testing.assert_array_equal(load_model(model.save(tmp_path / "m.npz")).predict(X), expected)


def test_what_cannot_be_made_again_is_told_when_it_is_loaded(tmp_path):
    shared = Dense(3)
    twice = Sequential([layers.Input(3), shared, shared])
    with pytest.raises(checkpoint.CheckpointError, match="a layer occurs twice"):
        load_model(twice.save(tmp_path / "a.npz"))
    odd = Sequential([Dense(1, input_shape=(3,))])
    odd.compile("sgd", "mse")
    odd.compiled_with = {"loss": "mse", "metrics": [{0: "no string"}]}
    odd.train_on_batch(X, Y)
    assert load_model(odd.save(tmp_path / "b.npz")).optimizer is None
    with pytest.raises(ValueError, match="the name ReLU is taken; rename Relu"):
        saving.register(type("Relu", (layers.Layer,), {}))


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
    file = Sequential([layers.Input(tuple(shape)), layer]).save(tmp_path / "m.npz")
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    index = json.loads(members["checkpoint.json"])
    config = index["architecture"]["model"]["config"]["layers"]
    key = "units" if "units" in config[1]["config"] else "input_dim"
    config[1]["config"][key] = 10**6
    members["checkpoint.json"] = json.dumps(index).encode()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(checkpoint.CheckpointError, match="larger than the arrays of the file"):
        load_model(file)


def test_a_class_in_place_of_an_object_is_refused():
    with pytest.raises(TypeError, match="a callback such as"):
        linear().fit(X, Y, callbacks=CSVLogger, verbose=0)
    with pytest.raises(TypeError, match="metrics must be a name, a function, or a list"):
        linear().compile("sgd", "mse", metrics=3)


def test_predict_takes_an_object_with_length_and_items():
    class Items:
        def __len__(self):
            return 2

        def __getitem__(self, i):
            return X[8 * i : 8 * i + 8], Y[8 * i : 8 * i + 8]

    model = linear()
    np.testing.assert_allclose(model.predict(Items()), model.predict(X), rtol=1e-6)
    np.testing.assert_allclose(model.predict(Items(), steps=1), model.predict(X[:8]), rtol=1e-6)


def test_averages_satisfy_the_constraints_when_they_are_evaluated():
    model = Sequential([Dense(1, kernel_constraint=NonNeg(), input_shape=(3,))], seed=0)
    model.compile(optimizers.EMA(optimizers.SGD(lr=0.05), decay=0.5), "mse")
    model.fit(X, -np.abs(Y) - X.sum(axis=1, keepdims=True), epochs=5, verbose=0)
    before = model.layers[0].kernel.data.copy()
    with model.evaluation_weights():
        assert (model.layers[0].kernel.data >= 0).all()
    np.testing.assert_array_equal(model.layers[0].kernel.data, before)


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
    changes = Sequential([Dense(3, input_shape=(3,)), Doubler(3.0)])
    with pytest.raises(checkpoint.CheckpointError, match="keep its arguments unchanged"):
        load_model(changes.save(tmp_path / "a.npz"))
    positional = Sequential([Dense(3, partial(functional.elu, 2.0), input_shape=(3,))])
    with pytest.raises(checkpoint.CheckpointError, match=r"write partial\(f, name=value\)"):
        load_model(positional.save(tmp_path / "b.npz"))
    for function in (relu2, Relu2):
        model = Sequential([Dense(3, function, input_shape=(3,))])
        same = load_model(model.save(tmp_path / "c.npz"))
        np.testing.assert_array_equal(same.predict(X), model.predict(X))


def test_losses_as_objects_are_compiled_again(tmp_path):
    model = Sequential([Dense(1, "sigmoid", input_shape=(3,))], seed=0)
    model.compile("adam", losses.BinaryCrossentropy(label_smoothing=0.2))
    model.fit(X, Y > 0, verbose=0)
    same = load_model(model.save(tmp_path / "m.npz"))
    assert same.evaluate(X, Y > 0) == model.evaluate(X, Y > 0)
    assert same.optimizer.steps == model.optimizer.steps


def test_adapt_keeps_the_digits_of_float64():
    data = 1e8 + np.array([[1.0], [2.0], [3.0]])
    out = layers.Normalization().adapt(data)(data).data
    np.testing.assert_allclose(out, [[-1.5**0.5], [0], [1.5**0.5]], atol=1e-7)


def test_a_save_draws_no_random_number(tmp_path):
    def second_model(saves):
        set_random_seed(0)
        first = Sequential([Dense(3, input_shape=(3,)), Dropout(0.5)])
        if saves:
            first.save(tmp_path / "m.npz")
        return Sequential([Dense(3, input_shape=(3,))]).layers[0].kernel.data

    np.testing.assert_array_equal(second_model(True), second_model(False))
