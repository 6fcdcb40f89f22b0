"""The data of fit, evaluate and predict: targets, weights, iterables; and the seeds of models."""

import numpy as np
import pytest

from minigrad import Tensor, functional, optimizers
from minigrad.callbacks import LambdaCallback
from minigrad.datasets import batches
from minigrad.layers import Dense, Dropout, Input
from minigrad.models import Model, Sequential
from minigrad.training_data import example_weights, match_target

rng = np.random.default_rng(0)
X = rng.normal(size=(40, 3)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)


def binary(seed=0, **options):
    model = Sequential([Dense(4, "tanh", input_shape=(3,)), Dense(1, "sigmoid")], seed=seed)
    model.compile(optimizers.Adam(lr=0.01), "binary_crossentropy", ["accuracy"], **options)
    return model


def weights_of(model):
    return np.concatenate([x.data.ravel() for x in model.parameters()])


def test_targets_of_one_number_an_example_do_not_broadcast():
    column, flat = binary(), binary()
    column.fit(X, Y[:, None], epochs=2, verbose=0)
    flat.fit(X, Y, epochs=2, verbose=0)
    np.testing.assert_array_equal(weights_of(column), weights_of(flat))
    assert column.evaluate(X, Y) == flat.evaluate(X, Y[:, None])
    assert match_target(np.zeros((4, 1)), np.zeros(4)).shape == (4, 1)
    assert match_target(np.zeros((4, 2)), np.zeros(4)).shape == (4,)
    assert match_target(np.zeros((1,)), np.zeros(())).shape == ()


def test_a_custom_loss_gets_targets_in_the_shape_of_the_output():
    seen = set()

    def loss(y_true, y_pred):
        seen.add((np.shape(y_true), y_pred.shape))
        return np.mean((y_true - y_pred) ** 2, axis=-1)  # one number for each example

    model = Sequential([Dense(1, input_shape=(3,))], seed=0)
    model.compile("sgd", loss)
    assert np.isfinite(model.fit(X, Y, batch_size=40, verbose=0).history["loss"][0])
    assert all(target == output for target, output in seen)


def test_a_weight_counts_an_example_that_often():
    doubled, weighted = binary(), binary()
    w = rng.integers(0, 3, 40)
    rows = np.repeat(np.arange(40), w)
    doubled.fit(X[rows], Y[rows], batch_size=100, epochs=3, shuffle=False, verbose=0)
    scale = 40 / len(rows)  # a weighted mean is divided by the number of examples
    weighted.fit(X, Y, sample_weight=w * scale, batch_size=40, epochs=3, shuffle=False, verbose=0)
    np.testing.assert_allclose(weights_of(weighted), weights_of(doubled), rtol=1e-4, atol=1e-6)


def test_class_weights_are_weights_of_examples():
    a, b = binary(), binary()
    a.fit(X, Y, class_weight={1: 3.0}, verbose=0)
    b.fit(X, Y, sample_weight=np.where(Y == 1, 3.0, 1.0), verbose=0)
    np.testing.assert_array_equal(weights_of(a), weights_of(b))
    one_hot = np.eye(3)[[0, 2, 1]]
    np.testing.assert_array_equal(example_weights("fit", one_hot, None, {2: 5.0}), [1, 5, 1])
    both = example_weights("fit", np.array([[0], [1]]), [2.0, 3.0], {1: 5.0})
    np.testing.assert_array_equal(both, [2, 15])


def test_the_validation_has_no_class_weights_but_weights_of_examples():
    model = binary()
    options = dict(epochs=1, batch_size=30, shuffle=False, verbose=0, validation_split=0.25)
    w = np.linspace(0, 2, 40)
    history = model.fit(X, Y, class_weight={1: 9.0}, sample_weight=w, **options).history
    numbers = model.evaluate(X[30:], Y[30:], sample_weight=w[30:])
    assert history["val_loss"][0] == pytest.approx(numbers[0], rel=1e-6)


def test_train_on_batch_takes_lists():
    numbers = binary().train_on_batch(X.tolist(), Y.tolist())
    assert numbers["loss"] == pytest.approx(binary().train_on_batch(X, Y)["loss"], rel=1e-6)


def test_weights_of_the_validation_count_too():
    model = binary()
    w = np.linspace(0, 2, 40)
    history = model.fit(X, Y, validation_data=(X, Y, w), verbose=0).history
    assert history["val_loss"][0] == pytest.approx(model.evaluate(X, Y, sample_weight=w)[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sample_weight": np.ones(3)}, "40 numbers ≥ 0 are required"),
        ({"sample_weight": -np.ones(40)}, "40 numbers ≥ 0 are required"),
        ({"sample_weight": np.full(40, np.nan)}, "must be finite"),
        ({"class_weight": [1.0, 2.0]}, "class_weight={0: 1.0, 1: 5.0}"),
        ({"class_weight": {0: -1.0}}, "integers as classes, and weights ≥ 0"),
        ({"class_weight": {"0": 2.0}}, "integers as classes, and weights ≥ 0"),
        ({"class_weight": {0: None}}, "integers as classes, and weights ≥ 0"),
        ({"steps_per_epoch": 3}, "needs an iterable of batches"),
    ],
)
def test_wrong_weights_are_refused_before_training(options, message):
    model = binary()
    before = weights_of(model)
    with pytest.raises(ValueError, match=message):
        model.fit(X, Y, verbose=0, **options)
    np.testing.assert_array_equal(weights_of(model), before)


def test_a_loss_that_returns_one_number_cannot_be_weighted():
    model = Sequential([Dense(1, input_shape=(3,))], seed=0)
    model.compile("sgd", lambda y_true, y_pred: np.mean((y_true - y_pred) ** 2))
    with pytest.raises(ValueError, match="must return one number for each example"):
        model.fit(X, Y, sample_weight=np.ones(40), verbose=0)


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
        example_weights("fit", np.array([[0.3], [-1.2]]), None, {0: 1.0})


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


def test_predict_refuses_steps_that_it_would_ignore():
    with pytest.raises(ValueError, match="steps needs an iterable of batches"):
        binary().predict(X, steps=2)
    with pytest.raises(ValueError, match="the number of steps must be a positive integer"):
        binary().predict(iter([X]), steps=-1)


# ---- Iterables of batches ----


def test_fit_on_batches_takes_the_steps_of_fit_on_arrays():
    a, b, c = binary(), binary(), binary()
    a.fit(X, Y, batch_size=16, epochs=3, shuffle=False, verbose=0)
    stream = batches(X, Y, 16, shuffle=False)
    history = b.fit(stream, epochs=3, validation_data=stream, verbose=0)
    np.testing.assert_array_equal(weights_of(a), weights_of(b))
    assert history.history["val_loss"][-1] == pytest.approx(b.evaluate(X, Y)[0], rel=1e-6)
    c.fit(list(stream), epochs=3, verbose=0)
    np.testing.assert_array_equal(weights_of(a), weights_of(c))


def test_a_generator_goes_on_where_it_stopped():
    def forever():
        while True:
            yield from batches(X, Y, 16, shuffle=False)

    a, b = binary(), binary()
    a.fit(X, Y, batch_size=16, epochs=2, shuffle=False, verbose=0)
    history = b.fit(forever(), steps_per_epoch=2, epochs=3, verbose=0)
    np.testing.assert_array_equal(weights_of(a), weights_of(b))
    assert len(history.history["loss"]) == 3
    assert b.evaluate(forever(), steps=3) == pytest.approx(b.evaluate(X, Y), rel=1e-6)


def test_an_iterable_starts_anew_when_its_steps_need_it():
    a, b = binary(), binary()
    a.fit(X, Y, batch_size=16, epochs=4, shuffle=False, verbose=0)
    b.fit(list(batches(X, Y, 16, shuffle=False)), steps_per_epoch=6, epochs=2, verbose=0)
    np.testing.assert_array_equal(weights_of(a), weights_of(b))


def test_shuffled_batches_are_drawn_once_an_epoch():
    drawn, twin = np.random.default_rng(5), np.random.default_rng(5)
    binary().fit(batches(X, Y, 16, drawn), epochs=2, verbose=0)
    twin.permutation(40), twin.permutation(40)
    assert drawn.bit_generator.state == twin.bit_generator.state


class Items:
    """A data loader with a length and items."""

    def __len__(self):
        return 3

    def __getitem__(self, i):
        rows = slice(16 * i, 16 * i + 16)
        return X[rows], Y[rows], np.ones(len(X[rows]))


def test_an_object_with_length_and_items_is_an_iterable():
    a, b = binary(), binary()
    a.fit(X, Y, batch_size=16, epochs=2, shuffle=False, verbose=0)
    b.fit(Items(), epochs=2, verbose=0)
    np.testing.assert_allclose(weights_of(a), weights_of(b), rtol=1e-6)


def test_a_generator_that_ends_stops_the_training_with_a_warning():
    model = binary()
    with pytest.warns(UserWarning, match="ended after 1 batches of the epoch"):
        history = model.fit(iter([(X, Y)] * 3), steps_per_epoch=2, epochs=2, verbose=0)
    assert len(history.history["loss"]) == 2
    with pytest.warns(UserWarning, match="ended after 0 batches"):
        history = model.fit(iter([(X, Y)] * 2), steps_per_epoch=2, epochs=2, verbose=0)
    assert len(history.history["loss"]) == 1


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (lambda: X, {}, "y is required for x of type ndarray"),
        (lambda: iter([(X, Y)]), {"epochs": 2}, "a generator ends after one epoch"),
        (lambda: [(X, Y)], {"validation_split": 0.5}, "need arrays, not an iterable"),
        (lambda: [(X, Y)], {"resume": "run"}, "need arrays, not an iterable"),
        (lambda: [(X,)], {}, r"each batch must be \(x, y\)"),
        (lambda: iter([]), {}, "the iterable gave no batch"),
        (lambda: [(X * np.nan, Y)], {}, "must be finite"),
    ],
)
def test_what_an_iterable_cannot_do_is_refused(x, options, message):
    with pytest.raises(ValueError, match=message):
        binary().fit(x(), verbose=0, **options)


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


def test_predict_takes_batches():
    model = binary()
    expected = model.predict(X)
    np.testing.assert_allclose(model.predict(batches(X, Y, 16, shuffle=False)), expected, rtol=1e-6)
    np.testing.assert_allclose(model.predict(iter([X[:7], X[7:]])), expected, rtol=1e-6)


def test_predict_takes_an_object_with_length_and_items():
    model = linear()
    np.testing.assert_allclose(model.predict(Items()), model.predict(X), rtol=1e-6)
    np.testing.assert_allclose(model.predict(Items(), steps=1), model.predict(X[:16]), rtol=1e-6)


def test_predict_of_lists_and_of_models_with_two_outputs():
    model = Sequential([Dense(1, input_shape=(2,))], seed=0)
    xor = [(0, 0), (0, 1), (1, 0)]
    np.testing.assert_array_equal(model.predict(xor), model.predict(np.array(xor)))
    pairs = [[X[:4, :2], Y[:4]], [X[4:, :2], Y[4:]]]
    np.testing.assert_allclose(model.predict(iter(pairs)), model.predict(X[:, :2]), rtol=1e-6)

    class Two(Model):
        def forward(self, x):
            return x, x

    with pytest.raises(ValueError, match="a model with one output"):
        Two().predict(X)
    for empty in (iter([]), X[:0]):
        with pytest.raises(ValueError, match="at least one row"):
            linear().predict(empty)
    with pytest.raises(TypeError, match="array of numbers"):
        linear().fit(np.array([["07", "1", "2"]] * 40, object), Y, verbose=0)


def test_a_model_of_one_feature_takes_inputs_of_shape_n():
    model = Sequential([Input(1), Dense(1)], seed=0)
    model.compile("sgd", "mse")
    x = np.linspace(0, 1, 10)
    model.fit(x, 2 * x, verbose=0)
    assert model.predict(x).shape == (10, 1)
    expected = model.evaluate(x, 2 * x)
    assert model.train_on_batch(x, 2 * x)["loss"] == pytest.approx(expected, rel=1e-5)


# ---- Custom models and seeds ----


class Net(Model):
    def __init__(self, seed=None):
        super().__init__(seed)
        self.hidden, self.drop, self.out = Dense(8, "relu"), Dropout(0.5), Dense(1, "sigmoid")

    def forward(self, x):
        return self.out(self.drop(self.hidden(x)))


def trained(net):
    net.compile("adam", "binary_crossentropy", ["accuracy"])
    net.fit(X, Y, epochs=2, verbose=0)
    return weights_of(net)


def test_a_custom_model_trains_and_its_seed_fixes_everything():
    np.testing.assert_array_equal(trained(Net(seed=3)), trained(Net(seed=3)))
    np.testing.assert_array_equal(trained(Net().seed(3)), trained(Net().seed(3)))
    assert not np.array_equal(trained(Net(seed=3)), trained(Net(seed=4)))


class Nested(Model):
    def __init__(self, seed=None):
        super().__init__(seed)
        self.a, self.b = Dense(2, input_shape=(3,)), Sequential([Dense(2), Dropout(0.5)])
        self.c = Dense(1, input_shape=(2,))

    def forward(self, x):
        return self.c(self.b(self.a(x)))


def trained_after(net, look):
    look(net)
    net.compile("sgd", "mse")
    net.fit(X, Y, epochs=2, verbose=0)
    return np.concatenate([a.ravel() for a in net.state_dict().values()])


@pytest.mark.parametrize("look", [lambda net: None, Nested.state_dict, Nested.named_parameters])
def test_a_seed_holds_however_the_parameters_are_made(look):
    for make in (lambda: Nested(0), lambda: Nested().seed(0)):
        np.testing.assert_array_equal(trained_after(make(), look), trained_after(make(), look))


def test_the_seed_of_an_inner_model_stays():
    inner = [Sequential([Sequential([Dense(2)], seed=3)])(X).data for _ in range(2)]
    np.testing.assert_array_equal(*inner)


def test_seed_comes_before_the_parameters():
    layer = Dense(2, input_shape=(3,)).seed(0)
    again = Dense(2, input_shape=(3,)).seed(0)
    np.testing.assert_array_equal(layer.kernel.data, again.kernel.data)
    with pytest.raises(RuntimeError, match="seed: Dense has its parameters; call seed before"):
        layer.seed(1)


def test_a_layer_of_known_input_shape_has_its_parameters_at_the_first_look():
    assert Dense(2, input_shape=(3,)).kernel.shape == (3, 2)
    assert len(Dense(2, input_shape=(3,)).parameters()) == 2
    inside = Sequential([Dense(2, input_shape=(3,))], seed=0)
    alone = Sequential([Dense(2)], seed=0)
    alone(Tensor(np.ones((1, 3), np.float32)))
    np.testing.assert_array_equal(inside.layers[0].kernel.data, alone.layers[0].kernel.data)


def test_a_metric_of_scikit_learns_form_sees_all_examples_in_evaluate():
    sizes = []

    def metric(y_true, y_pred):
        sizes.append(len(y_true))
        return float(np.max(y_pred))

    model = Sequential([Dense(1, "sigmoid", input_shape=(3,))], seed=0)
    model.compile("sgd", "binary_crossentropy", [metric])
    _, value = model.evaluate(X, Y, batch_size=7)
    assert sizes == [40] and value == pytest.approx(model.predict(X).max())


def test_a_table_of_several_dtypes_becomes_floats():
    mixed = np.empty((40, 3), object)
    mixed[:, 0], mixed[:, 1:] = X[:, 0] > 0, X[:, 1:]
    a, b = binary(), binary()
    a.fit(mixed, Y, verbose=0)
    b.fit(mixed.astype(float), Y, verbose=0)
    np.testing.assert_array_equal(weights_of(a), weights_of(b))
    mixed[3, 1] = "high"
    with pytest.raises(TypeError, match=r"x must be an array of numbers, .*received shape"):
        a.fit(mixed, Y, verbose=0)
