"""keras.layers: minigrad's layers with Keras's arguments, and functional models of them."""

import inspect
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import layers as native
from .. import saving
from ..autograd import Tensor
from ..functional import elu, softmax
from ..initializers import zeros
from ..layer_state import inference_mode
from ..regularizers import kinds_of_options
from ..utils import unknown_name
from . import activations, backend, constraints, initializers, regularizers
from .backend import docstring_without_example, getattr_for, new_name, options_of

GET_BY_SUFFIX = {"activation": activations.get, "initializer": initializers.get,
                 "regularizer": regularizers.get, "constraint": constraints.get}  # fmt: skip
OLDER_NAMES = {"Dense": {"init": "kernel_initializer", "output_dim": "units"},
               "LeakyReLU": {"alpha": "negative_slope"}}  # fmt: skip


class Symbol:
    """What a layer returns for an Input: the layer, its inputs and the shape (None, …)."""

    def __init__(self, layer: Any, inputs: list["Symbol"], shape: tuple[int, ...],
                 training: bool | None = None):  # fmt: skip
        self.layer, self.inputs, self.shape = layer, inputs, (None, *shape)
        self.training = training  # of this call; None: that of the model

    def __add__(self, other: "Symbol") -> Any:
        return add([self, other])

    def __mul__(self, other: "Symbol") -> Any:
        return multiply([self, other])


class Layer(native.Layer):
    """Base of layers. Your own defines call(self, x), and makes weights in build(input_shape)."""

    arguments = ""  # the order of the positional arguments
    older: Any = {}  # names in older Keras → names in `arguments`
    axis: Any = None  # −1 in layers that normalize the last axis, and no other

    def __init__(self, *args: Any, name: str | None = None, input_shape: Any = None,
                 input_dim: int | None = None, batch_input_shape: Any = (), dtype: Any = None,
                 trainable: bool = True, weights: Any = None, **options: Any):  # fmt: skip
        options = self.options_by_name(args, options)
        self.name, self.dtype = name or new_name(type(self).__name__), dtype or backend.floatx()
        seed = options.pop("seed", None)
        if self.axis is not None:  # a layer that normalizes; build_once checks the axis
            self.axis = options.pop("axis", -1)
        self.config = options | {"name": self.name}
        input_length = options.pop("input_length", None)  # of Embedding, in older Keras
        for key, value in options.items():
            if get := GET_BY_SUFFIX.get(key.rpartition("_")[2]):
                options[key] = get(value)
        shape: Any = batch_input_shape[1:] or input_shape
        shape = shape if input_dim is None else (input_dim,)
        super().__init__(**({} if shape is None else {"input_shape": shape}), **options)
        if input_length:
            self.input_shape = (input_length,)
        if seed is not None:
            self.seed(seed)
        self.trainable, self.initial_weights = trainable, weights

    def options_by_name(self, args: tuple, options: dict[str, Any]) -> dict[str, Any]:
        """Return all options by their present names; raise an error for one that is unknown."""
        who, order = type(self).__name__, self.arguments.split()
        if len(args) > len(order) or {*order[: len(args)]} & options.keys():
            raise TypeError(f"{who}: too many arguments; their order is {', '.join(order)}")
        options |= zip(order, args)
        options = {self.older.get(key, key): value for key, value in options.items()}
        known = [*order, *kinds_of_options(self.parameter_names)]
        for key in options:
            if key not in known and key != "seed":  # every layer takes one
                raise unknown_name(f"argument of {who}", key, known)
        return options

    def __call__(self, x: Any, *args: Any, training: bool | None = None, **named: Any) -> Any:
        if not isinstance(x[0] if isinstance(x, list) else x, Symbol):
            return super().__call__(x, *args, training=training, **named)
        if args or named:
            raise TypeError(f"{self.name}: a call with an Input takes no argument but training=")
        symbols = x if isinstance(x, list) else [x]
        examples = [Tensor(np.zeros((0, *s.shape[1:]), backend.floatx())) for s in symbols]
        with inference_mode(), np.errstate(all="ignore"):
            out = self(examples if isinstance(x, list) else examples[0])
        output = Symbol(self, symbols, out.shape[1:], training)
        if not {"output", "outputs"} & vars(self).keys():  # a shared layer keeps the first
            self.input, self.output = x, output
        return output

    def build_once(self, input_shape: Any) -> None:
        if self.axis not in (None, -1, [-1], len(input_shape)):
            raise ValueError(f"{self.name}: axis must be -1, the last; received {self.axis!r}")
        is_users = not type(self).build.__module__.startswith("minigrad.")
        shape: Any = (None, *input_shape) if is_users else input_shape  # as Keras calls build
        super().build_once(shape)
        self.input_shape = tuple(input_shape)
        if self.initial_weights is not None:
            self.set_weights(self.initial_weights)

    def forward(self, x: Any, *args: Any) -> Any:
        call = getattr(type(self), "call", None)
        if call is None:
            return super().forward(x, *args)
        named = "training" in inspect.signature(call).parameters
        return self.call(x, *args, **({"training": self.training} if named else {}))

    def add_weight(self, shape: Any = (), initializer: Any = None, dtype: Any = None,
                   trainable: bool = True, name: str | None = None) -> Tensor:  # fmt: skip
        """Return a new weight; keep it as an attribute. Positional: shape, initializer."""
        if isinstance(shape, str):
            raise TypeError("add_weight: write add_weight(name=…, shape=…)")
        if self.rng is None:
            self.make_rng()
        initial = initializers.get("glorot_uniform" if initializer is None else initializer)
        return self.make_parameter(initial, tuple(shape), trainable)

    @property
    def weights(self) -> list[Tensor]:
        return list(self.named_tensors().values())

    @property
    def trainable_weights(self) -> list[Tensor]:
        return [x for _, x in self.named_parameters()]

    @property
    def non_trainable_weights(self) -> list[Tensor]:
        trained = {id(x) for x in self.trainable_weights}
        return [x for x in self.weights if id(x) not in trained]

    variables = weights
    trainable_variables = trainable_weights

    def get_weights(self) -> list[np.ndarray]:
        return [x.data.copy() for x in self.weights]

    def set_weights(self, weights: Any) -> None:
        own = self.named_tensors()
        if len(weights) != len(own):
            problem = f"set_weights: {self.name} has {len(own)} arrays"
            raise ValueError(f"{problem}, received {len(weights)}")
        self.load_state_dict(dict(zip(own, weights)))

    def count_params(self) -> int:
        return sum(x.size for x in self.weights)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of this layer."""
        shape = {} if self.input_shape is None else {"input_shape": self.input_shape}
        base: Any = super()
        config = base.get_config() if hasattr(base, "get_config") else {}  # of Normalization
        return config | self.config | shape

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        adapted = config.pop("adapted", False)
        layer: Any = cls(**config)
        if adapted:
            layer.mean, layer.variance = (Tensor(np.array(x)) for x in (layer.mean, layer.variance))
        return layer

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self(Symbol(None, [], tuple(input_shape)[1:])).shape


CLASSES: dict[str, Any] = {"Layer": Layer}


def layer(base: Any, arguments: str = "", name: str = "") -> None:
    """Make the class for one of minigrad's layers. arguments: their names, in Keras's order."""
    name = name or base.__name__
    body: dict[str, Any] = {"__doc__": docstring_without_example(base), "__module__": __name__}
    body |= {"arguments": arguments, "older": OLDER_NAMES.get(name, {})}
    if name.endswith("Normalization"):
        body["axis"] = -1
    CLASSES[name] = saving.CLASSES[f"keras.{name}"] = type(name, (Layer, base), body)


def function_layer(name: str, function: Callable[..., Any], order: str = "",
                   **defaults: Any) -> None:  # fmt: skip
    """Make the class of a layer without weights: function(x, **options)."""

    class FunctionLayer(native.Layer):
        def __init__(self, input_shape: Any = None, **options: Any):
            super().__init__(input_shape)
            self.options = defaults | options_of(name, function, 1, (), options)

        def forward(self, x: Any) -> Any:
            return function(x, **self.options)

    layer(FunctionLayer, order or " ".join([*inspect.signature(function).parameters][1:]), name)


class Merge(Layer):
    """Combine a list of inputs."""

    combine: Callable[..., Any]
    arguments = "axis"

    def __init__(self, axis: int = -1, name: str | None = None):
        super().__init__(name=name)
        self.axis, self.built, self.config = axis, True, {"name": self.name, "axis": axis}

    def __call__(self, x: Any, *_: Any, **named: Any) -> Any:
        if not isinstance(x, (list, tuple)):
            raise TypeError(f"{self.name}: a list of inputs is required")
        return super().__call__([*x]) if isinstance(x[0], Symbol) else self.combine([*x])


def merge(name: str, combine: Callable[..., Any]) -> Any:
    cls = type(name, (Merge,), {"combine": combine, "__module__": __name__})
    CLASSES[name] = saving.CLASSES[f"keras.{name}"] = cls
    return lambda inputs, **options: cls(**options)(inputs)


class TrainedSlopes(native.Layer):
    """x where x > 0, else α·x, with a trained α for each feature."""

    def build(self, input_shape: Any) -> None:
        self.alpha = self.make_parameter(zeros, tuple(input_shape))

    def forward(self, x: Any) -> Any:
        return np.maximum(x, 0) + self.alpha * np.minimum(x, 0)


for base, arguments in {
    native.Dense: "units activation use_bias kernel_initializer bias_initializer "
    "kernel_regularizer bias_regularizer activity_regularizer kernel_constraint",
    native.Activation: "activation", native.Flatten: "", native.Reshape: "target_shape",
    native.Dropout: "rate seed", native.GaussianNoise: "stddev seed",
    native.Embedding: "input_dim output_dim embeddings_initializer embeddings_regularizer "
    "embeddings_constraint input_length",
    native.SimpleRNN: "units activation return_sequences",
    native.LayerNormalization: "axis epsilon center scale",
    native.BatchNormalization: "axis momentum epsilon center scale",
    native.Normalization: "axis mean variance",
}.items():  # fmt: skip
    layer(base, arguments)
layer(TrainedSlopes, name="PReLU")
function_layer("ReLU", activations.relu, order="max_value negative_slope threshold")
function_layer("LeakyReLU", activations.leaky_relu, negative_slope=0.3)
function_layer("ELU", elu)
function_layer("Softmax", softmax)
function_layer("Rescaling", lambda x, scale, offset=0.0: x * scale + offset)
add = merge("Add", lambda self, xs: sum(xs[1:], xs[0]))
concatenate = merge("Concatenate", lambda self, xs: np.concatenate(xs, axis=self.axis))
multiply = merge("Multiply", lambda self, xs: xs[0] * np.prod(np.stack(xs[1:]), axis=0))
average = merge("Average", lambda self, xs: sum(xs[1:], xs[0]) / len(xs))
subtract = merge("Subtract", lambda self, xs: operator.sub(*xs))


class InputLayer(Layer):
    """The first layer of a Sequential; it gives the shape of one example."""

    def __init__(self, shape: Any = None, name: str | None = None, batch_shape: Any = None):
        super().__init__(name=name, input_shape=batch_shape[1:] if batch_shape else shape)

    def call(self, x: Any) -> Any:
        return x


def Input(shape: Any = None, batch_size: Any = None, dtype: Any = None, name: str | None = None,
          batch_shape: Any = None) -> Symbol:  # fmt: skip
    """Return the input of a functional model; in a Sequential, the shape of one example."""
    shape = batch_shape[1:] if batch_shape else tuple(np.ravel(shape).tolist())
    return Symbol(InputLayer(shape=shape, name=name), [], shape)


CLASSES["InputLayer"] = saving.CLASSES["keras.InputLayer"] = InputLayer

NOT_THERE = """LSTM GRU RNN Bidirectional TimeDistributed Conv1D Conv2D Conv3D Convolution2D
MaxPool2D MaxPooling1D MaxPooling2D AveragePooling2D GlobalAveragePooling1D GlobalAveragePooling2D
GlobalMaxPooling1D ZeroPadding2D UpSampling2D Conv2DTranspose SeparableConv2D Lambda Permute
RepeatVector Masking AlphaDropout GaussianDropout SpatialDropout1D ActivityRegularization Maximum
Minimum Dot Attention MultiHeadAttention TextVectorization StringLookup Discretization"""
INSTEAD = "use Dense with Flatten, SimpleRNN, or a layer of your own."
FUNCTIONS = ["Input", "add", "average", "concatenate", "multiply", "subtract"]
globals().update(CLASSES)
__all__ = [*CLASSES, *FUNCTIONS]
__getattr__ = getattr_for("keras.layers", CLASSES, NOT_THERE, INSTEAD)
