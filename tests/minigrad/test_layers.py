"""Layers: outputs against formulas, parameters and state by name, initializers, errors."""

import warnings

import numpy as np
import pytest

from minigrad import Tensor, grad
from minigrad.functional import dropout
from minigrad.initializers import INITIALIZERS, get_initializer
from minigrad.layers import (
    BatchNormalization,
    Dense,
    Dropout,
    Flatten,
    GaussianNoise,
    Layer,
    ReLU,
    Sigmoid,
    Softmax,
    Tanh,
)
from minigrad.models import Sequential
from tests.minigrad.helpers import assert_same_state


def test_dense_equals_its_formula():
    layer = Dense(3, activation="tanh", input_shape=(4,))
    x = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    out = layer(x)
    np.testing.assert_allclose(
        out.data, np.tanh(x @ layer.kernel.data + layer.bias.data), rtol=1e-6
    )
    assert out.dtype == np.float32


def test_dense_without_bias_and_over_a_sequence():
    layer = Dense(3, use_bias=False)
    assert layer(np.ones((2, 7, 4))).shape == (2, 7, 3)
    assert [name for name, _ in layer.named_parameters()] == ["kernel"]


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float64", "float32"])
def test_dense_computes_in_float32(dtype):
    assert Dense(2)(np.ones((3, 4), dtype)).dtype == np.float32


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Dense(0), "units must be a positive integer, received 0"),
        (lambda: Dense(2.5), "received 2.5"),
        (lambda: Dense(2, activation="rleu"), "did you mean 'relu'"),
        (lambda: Dense(2, kernel_initializer="glorot"), "did you mean 'glorot_"),
        (lambda: Dense(2)(np.ones(3)), r"input of shape \(batch, features\)"),
        (lambda: Dropout(1.0), r"rate must be a number in \[0, 1\), received 1.0"),
        (lambda: Dropout(float("nan")), "received nan"),
    ],
)
def test_wrong_layer_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_dense_refuses_another_number_of_features():
    layer = Dense(2)
    layer(np.ones((5, 4)))
    before = layer.state_dict()
    with pytest.raises(ValueError, match=r"\(batch, 4\) is required, received \(5, 3\)"):
        layer(np.ones((5, 3)))
    assert_same_state(layer.state_dict(), before)


@pytest.mark.parametrize("layer", [ReLU(), Sigmoid(), Tanh(), Softmax()])
def test_activation_layers_keep_shape_and_dtype(layer):
    x = Tensor(np.linspace(-2, 2, 6, dtype=np.float32).reshape(2, 3), requires_grad=True)
    out = layer(x)
    assert (out.shape, out.dtype) == ((2, 3), np.float32)
    assert grad(np.sum(out * out), x).shape == (2, 3)


def test_a_softmax_of_one_unit_is_warned_of():
    with pytest.warns(UserWarning, match="always 1; use a sigmoid"):
        Dense(1, "softmax", input_shape=(3,)).parameters()


def test_dropout_is_active_only_in_training():
    layer = Dropout(0.5)
    x = np.ones((10, 10), np.float32)
    assert 0 not in layer(x).data
    assert 0 in layer(x, training=True).data
    assert 0 in layer.train()(x).data
    assert 0 not in layer(x, training=False).data
    assert 0 not in layer.eval()(x).data


def test_gaussian_noise_of_integers_is_float32():
    out = GaussianNoise(0.1).seed(0)(np.arange(6).reshape(2, 3), training=True)
    assert out.dtype == np.float32 and not np.array_equal(out.data, np.arange(6).reshape(2, 3))


def test_flatten_an_empty_batch():
    assert Flatten()(np.zeros((0, 2, 3))).shape == (0, 6)


class Nested(Layer):
    def __init__(self):
        self.blocks = [Dense(2, input_shape=(3,)), {"inner": Dense(1)}]
        self.shared = self.blocks[0]
        self.scale = Tensor(1.0, requires_grad=True)
        self.constant = Tensor([1.0, 2.0])

    def forward(self, x):
        return self.blocks[1]["inner"](self.blocks[0](x)) * self.scale


def test_parameters_are_found_in_order_each_once():
    layer = Nested()
    layer(np.ones((4, 3)))
    assert [name for name, _ in layer.named_parameters()] == [
        "blocks.0.kernel",
        "blocks.0.bias",
        "blocks.1.inner.kernel",
        "blocks.1.inner.bias",
        "scale",
    ]
    assert "constant" in layer.state_dict()


@pytest.fixture
def nested():
    layer = Nested()
    layer(np.ones((4, 3)))
    return layer


def test_load_state_dict_restores_every_tensor(nested):
    other = Nested()
    other(np.ones((4, 3)))
    other.load_state_dict(nested.state_dict())
    for name, array in nested.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[name], array, err_msg=name)


@pytest.mark.parametrize(
    ("constant", "received"),
    [
        (np.zeros(3), r"float64 \(3,\)"),
        (np.array(["a", "b"]), "str32"),
        (np.array(["1", "2"]), "str32"),
        (np.array([1j, 0]), "complex128"),
        (np.array([1, None]), "object"),
    ],
    ids=["shape", "letters", "digits", "complex", "object"],
)
def test_a_tensor_that_does_not_fit_is_refused_and_changes_nothing(nested, constant, received):
    message = rf"constant must be float32 \(2,\), received {received}"
    assert_refused(nested, {**shifted(nested), "constant": constant}, message)


def test_missing_and_unknown_tensors_are_refused_and_change_nothing(nested):
    state = shifted(nested)
    assert_refused(nested, {**state, "extra": 1.0}, "extra is unknown")
    del state["scale"]
    assert_refused(nested, state, "does not fit Nested: scale is missing")


def shifted(layer):
    """Return a state in which every number differs from the layer's."""
    return {name: array + 1 for name, array in layer.state_dict().items()}


def assert_refused(layer, state, message):
    before = layer.state_dict()
    with pytest.raises(ValueError, match=message):
        layer.load_state_dict(state)
    for name, array in layer.state_dict().items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


def test_a_state_may_hold_tensors_integers_and_float64():
    layer = Nested()
    layer(np.ones((4, 3)))
    state = {name: x * 2 for name, x in layer.named_tensors().items()}
    state["constant"], state["scale"] = np.array([3, 4]), np.float64(0.1)
    expected = {name: np.asarray(getattr(x, "data", x), np.float32) for name, x in state.items()}
    layer.load_state_dict(state)
    assert_same_state(layer.state_dict(), expected)


def test_two_tensors_of_the_same_name_are_refused():
    layer = Layer()
    layer.members = {"a.b": Tensor(np.ones(2)), "a": {"b": Tensor(np.ones(3))}}
    message = r"Layer: two tensors have the same name, \{'members\.a\.b'\}"
    with pytest.raises(ValueError, match=message):
        layer.state_dict()


def test_two_layers_of_the_same_name_are_refused():
    layer = Layer()
    layer.parts = {1: Dense(2), "1": Dense(3)}
    for part in layer.parts.values():
        part(np.ones((1, 1)))
    with pytest.raises(ValueError, match=r"two tensors have the same name, .*parts\.1\.bias"):
        layer.parameters()


def test_train_and_eval_reach_nested_layers():
    model = Sequential([Dense(2, input_shape=(3,)), Sequential([Dropout(0.5)])])
    inner = model.layers[1].layers[0]
    model.train()
    assert inner.training
    model.eval()
    assert not inner.training


@pytest.mark.parametrize("layer", [Dropout(0.5), BatchNormalization(), GaussianNoise(0.1)])
def test_a_loop_without_train_is_warned_of(layer):
    x = Tensor(np.ones((4, 3)), requires_grad=True)
    with pytest.warns(UserWarning, match=r"Call train\(\) on the network") as caught:
        np.sum(layer(x)).backward()
    assert caught[0].filename == __file__
    for mode in (layer.train, layer.eval):
        mode()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            np.sum(layer(x)).backward()


@pytest.mark.parametrize("name", INITIALIZERS)
def test_initializers_have_the_documented_variance(name):
    w = INITIALIZERS[name]((300, 200), np.random.default_rng(0))
    variances = {"zeros": 0, "ones": 0, "zero": 0, "one": 0, "constant": 0}
    variances |= {"glorot": 2 / 500, "he": 2 / 300, "lecun": 1 / 300, "variance": 1 / 300}
    variances |= {"truncated": (0.05 * 0.87962566103423978) ** 2}  # the part between ±2
    variances |= {"orthogonal": 1 / 300, "identity": 1 / 300 * (1 - 1 / 300)}
    variances |= {"random_uniform": 0.1**2 / 12, "uniform": 0.1**2 / 12}
    variances |= {"random_normal": 0.05**2, "normal": 0.05**2}
    variance = variances.get(name, variances.get(name.split("_")[0]))
    assert w.dtype == np.float32
    assert np.var(w) == pytest.approx(variance, rel=0.03)


def test_input_shape_may_be_a_number_and_is_checked_at_the_first_call():
    layer = Dense(2, input_shape=784)
    assert layer.input_shape == (784,)
    with pytest.raises(ValueError, match=r"\(batch, 784\) is required, received \(1, 4\)"):
        layer(np.ones((1, 4)))


@pytest.mark.parametrize("wrong", [(None, 7), (-1,), "784", 2.0])
def test_a_wrong_input_shape_is_refused(wrong):
    message = "each number of input_shape must be a positive integer"
    with pytest.raises(ValueError, match=message):
        Dense(2, input_shape=wrong)


def test_an_initializer_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"must return an array of shape \(2,\), received \(\)"):
        Dense(2, bias_initializer=lambda shape, rng: 0.0)(np.ones((1, 3)))


def test_a_parameter_copies_the_array_of_its_initializer():
    w = np.ones((3, 2), np.float32)
    layer = Dense(2, kernel_initializer=lambda shape, rng: w)
    layer(np.ones((1, 3)))
    layer.kernel.data += 1
    assert np.all(w == 1)


def test_the_error_for_a_parameter_before_build_says_so():
    layer = Dense(2)
    with pytest.raises(AttributeError, match="no attribute 'kernel'; it may be made in build, at"):
        layer.kernel  # noqa: B018
    layer(np.ones((1, 3)))
    assert layer.kernel.shape == (3, 2)
    with pytest.raises(AttributeError, match=r"^'Dense' object has no attribute 'colour'$"):
        layer.colour  # noqa: B018
    assert not hasattr(Dense(2), "kernel")


def test_an_error_inside_a_property_keeps_its_message():
    class Bad(Layer):
        @property
        def width(self):
            return self.colour.size

    with pytest.raises(AttributeError, match="no attribute 'colour'; it may be made in build"):
        Bad().width  # noqa: B018


def test_parameters_of_a_partly_built_network_are_refused():
    """An optimizer would train only the parameters that exist."""
    net = Nested()
    inner = net.blocks[1]["inner"]
    with pytest.raises(ValueError, match=r"the parameters of blocks\.1\.inner .* call the network"):
        net.parameters()
    inner.trainable = False
    assert len(net.parameters()) == 3


def test_training_in_a_class_is_the_default_of_the_property():
    class Noise(Layer):
        training = False

        def forward(self, x):
            return dropout(x, 0.5, self.rng) if self.training else x

    x = np.ones((1, 50), np.float32)
    layer = Noise()
    assert np.array_equal(layer(x).data, x)
    layer.train()
    assert not np.array_equal(layer(x).data, x)
    assert np.array_equal(Sequential([layer]).predict(x), x)


def test_load_state_dict_counts_as_a_change_of_the_data():
    """The graph has the former weights; its gradient would mix both."""
    layer = Dense(1, use_bias=False)
    x = Tensor(np.ones((1, 2)), requires_grad=True)
    loss = np.sum(layer(x))
    layer.load_state_dict({"kernel": np.ones((2, 1))})
    with pytest.raises(RuntimeError, match=r"used a parameter that .* has changed since"):
        loss.backward()


def test_load_state_dict_changes_nothing_if_a_conversion_fails():
    layer = Dense(2)
    layer(np.ones((1, 3)))
    before = layer.state_dict()
    with pytest.raises(RuntimeWarning, match="overflow"):
        layer.load_state_dict({"kernel": before["kernel"] + 1, "bias": np.array([1e300, 0])})
    assert_same_state(layer.state_dict(), before)


def test_initializers_have_keras_short_names():
    for names in (("normal", "random_normal"), ("uniform", "random_uniform")):
        a, b = (get_initializer(name)((50, 40), np.random.default_rng(0)) for name in names)
        assert np.array_equal(a, b)
    assert 0.0499 < np.abs(a).max() <= 0.05


def test_an_orthogonal_matrix_has_the_signs_that_make_it_uniform():
    drawn = np.random.default_rng(0).standard_normal((4, 4))
    w = INITIALIZERS["orthogonal"]((4, 4), np.random.default_rng(0))
    np.testing.assert_allclose(w.T @ w, np.eye(4), atol=1e-6)
    assert (np.diag(w.T @ drawn) > 0).all()  # the diagonal of r
