"""Functional models of minigrad.keras: layers called on keras.Input, merging layers, parts."""

import numpy as np
import pytest

from minigrad import keras
from minigrad.keras import layers

X = np.random.default_rng(0).normal(size=(64, 4)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)


def test_a_functional_model_computes_its_graph_and_trains():
    x = keras.Input(shape=(4,), name="x")
    hidden = layers.Dense(4, activation="relu")(x)
    out = layers.Dense(1)(layers.add([x, hidden]))
    model = keras.Model(inputs=x, outputs=out)
    assert model.output_shape == (None, 1) and [type(s).__name__ for s in model.layers] == [
        "InputLayer", "Dense", "Add", "Dense",
    ]  # fmt: skip
    w, b, v, c = model.get_weights()
    expected = (X + np.maximum(X @ w + b, 0)) @ v + c
    np.testing.assert_allclose(model.predict(X), expected, rtol=1e-5, atol=1e-6)
    model.compile("sgd", "mse")
    before = model.evaluate(X, Y)
    model.fit(X, Y, epochs=3, verbose=0)
    assert model.evaluate(X, Y) < before


def test_a_functional_model_of_two_inputs():
    a, b = keras.Input((1,)), keras.Input((3,))
    merged = layers.Concatenate()([layers.Dense(2)(a), b])
    model = keras.models.Model([a, b], layers.Dense(1)(merged))
    model.compile("sgd", "mse")
    parts = [X[:, :1], X[:, 1:]]
    model.fit(parts, Y, verbose=0, validation_data=(parts, Y))
    w, c, v, d = model.get_weights()
    expected = np.hstack([parts[0] @ w + c, parts[1]]) @ v + d
    np.testing.assert_allclose(model.predict(parts), expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="supports one output"):
        keras.Model(a, [a, b])
    with pytest.raises(ValueError, match="inputs must name"):
        keras.Model(a, merged)


def test_inputs_by_name_and_of_the_right_width():
    a, b = keras.Input((1,), name="a"), keras.Input((1,), name="b")
    model = keras.Model([a, b], layers.Subtract()([a, b]))
    five, one = np.full((2, 1), 5.0), np.ones((2, 1))
    assert model.predict({"b": one, "a": five}).tolist() == [[4], [4]]
    assert model.predict([five, one]).tolist() == [[4], [4]]
    with pytest.raises(ValueError, match=r"the inputs are \['a', 'b'\], received \['a', 'c'\]"):
        model.predict({"a": one, "c": one})
    with pytest.raises(ValueError, match=r"inputs of \[1, 1\] numbers are required"):
        model.predict([X, one])


@pytest.mark.parametrize(
    ("merge", "expected"),
    [
        ("Add", X + 2 * X + X), ("Multiply", X * 2 * X * X), ("Average", 4 * X / 3),
        ("Concatenate", np.hstack([X, 2 * X, X])),
    ],
)  # fmt: skip
def test_merging_layers_compute_their_formulas(merge, expected):
    out = getattr(layers, merge)()([X, 2 * X, X])
    np.testing.assert_allclose(out, expected, rtol=1e-6)
    symbols = [keras.Input((4,)), keras.Input((4,))]
    assert getattr(layers, merge)()(symbols).shape[1] == (8 if merge == "Concatenate" else 4)


def test_subtract_takes_the_second_input_from_the_first():
    np.testing.assert_allclose(layers.Subtract()([3 * X, X]), 2 * X, rtol=1e-6)


def test_outputs_of_layers_make_new_models():
    model = keras.Sequential([layers.Dense(3, input_dim=4), layers.Dense(2), layers.Dense(1)])
    inner = keras.Model(model.inputs, model.layers[1].output)
    w, b, v, c = model.get_weights()[:4]
    np.testing.assert_allclose(inner.predict(X), (X @ w + b) @ v + c, rtol=1e-4, atol=1e-6)
    assert keras.Model(model.input, model.output).predict(X).shape == (64, 1)
    assert inner.get_layer(index=1) is model.layers[0]


def test_weights_of_a_functional_model_are_in_keras_order():
    x = keras.Input((4,))
    short = layers.Dense(2)(x)
    long = layers.Dense(3)(layers.Dense(5)(x))
    model = keras.Model(x, layers.Concatenate()([short, long]))
    assert [w.shape for w in model.get_weights()[::2]] == [(4, 5), (4, 2), (5, 3)]


def test_a_model_without_its_last_layer_makes_a_new_model():
    model = keras.Sequential([layers.Dense(8, input_dim=4), layers.Dense(1)])
    model.pop()
    assert keras.Model(model.inputs, model.outputs[0]).predict(X).shape == (64, 8)


def test_the_mode_of_a_call_stays_in_a_functional_model():
    base = keras.Sequential([layers.Input((4,)), layers.BatchNormalization(), layers.Dropout(0.9)])
    x = keras.Input((4,))
    model = keras.Model(x, layers.Dense(1)(base(x, training=False)))
    model.compile("sgd", "mse")
    before = base.get_weights()[2:]  # the moving averages
    model.fit(X + 3, Y, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, base.get_weights()[2:]))
    noisy = keras.Model(x, layers.Dropout(0.5)(x, training=True))
    assert (noisy.predict(X) == 0).any()
