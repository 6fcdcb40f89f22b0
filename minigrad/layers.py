"""Layers: functions with parameters.

Sorted by difficulty: Layer, Dense; below the marker more activations, Dropout, Embedding, RNN.
A layer finds its parameters in its attributes, lists and dicts, in the order they were set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from .activations import check_rate
from .autograd import Tensor
from .autograd.conversion import unwrap
from .functional import dropout, linear, relu, sigmoid, softmax
from .initializers import get_initializer, glorot_uniform, random_uniform
from .utils import as_dtype, lookup, mismatches, positive_int

Shape: TypeAlias = tuple[int, ...]
Output: TypeAlias = Any  # a Tensor, or what the forward method of a user's layer returns
is_inference: ContextVar[bool] = ContextVar("is_inference", default=False)


def identity(x: Tensor) -> Tensor:
    """Return x."""
    return x


ACTIVATIONS: dict[str, Callable] = dict(
    linear=identity, relu=relu, sigmoid=sigmoid, softmax=softmax, tanh=np.tanh
)


def get_activation(activation: str | Callable | None) -> Callable:
    """Return the activation function with this name; a function unchanged; None is "linear"."""
    if callable(activation):
        return activation
    return lookup("activation", "linear" if activation is None else activation, ACTIVATIONS)


class Layer:
    """The base class of layers and models. A layer of your own needs only `forward`.

    >>> class Scale(Layer):
    ...     def __init__(self):
    ...         self.factor = Tensor(2.0, requires_grad=True)
    ...     def forward(self, x):
    ...         return self.factor * x
    >>> Scale()([1.0, 3.0])
    Tensor([2., 6.], requires_grad=True)

    If the shape of a parameter depends on the input, make the parameter in `build(input_shape)`.
    It is called once, before the first `forward`, with the shape of one example. A model
    with a known input shape builds all its layers at once.

    With `trainable = False` no optimizer gets its parameters, nor those of the layers inside it.
    np.random.seed has no effect: Sequential(seed=…) fixes the parameters of its layers; for a layer
    of your own, set `rng` before the first call.
    """

    input_shape: Shape | None = None
    trainable = True
    starts_training = True
    built = False
    rng: Any = None  # a numpy.random.Generator; a model gives its own to all its layers

    def __init__(self, input_shape: int | Shape | None = None):
        if input_shape is not None:
            who, shape = f"{type(self).__name__}: each number of input_shape", np.ravel(input_shape)
            self.input_shape = tuple(positive_int(who, n) for n in shape.tolist())

    def __call__(self, x: Tensor | npt.ArrayLike, *state: Any) -> Output:
        """Convert x to a tensor, build the layer if needed, return forward(x, *state).

        state: only for layers such as SimpleRNN, whose `forward` takes the last state as well.
        """
        x = x if isinstance(x, Tensor) else Tensor(x)
        if not self.built:
            self.rng = self.rng or np.random.default_rng()
            self.build(self.input_shape or x.shape[1:])
            self.built = True
        return self.forward(x, *state)

    def __getattr__(self, name: str) -> Any:
        if hasattr(type(self), name):  # a property that failed: show its own error
            return object.__getattribute__(self, name)
        hint = "" if self.built else "; it may be made in build, at the first call of the layer"
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{hint}")

    def build(self, input_shape: Shape) -> None:
        """Make the parameters for examples of this shape."""

    def forward(self, x: Tensor) -> Output:
        """Return the output of the layer; a subclass defines it."""
        raise NotImplementedError(f"{type(self).__name__} needs a method forward(self, x)")

    def sublayers(self) -> list[Layer]:
        """Return this layer and all layers inside it."""
        return [self] + [x for _, x in named_members(self) if isinstance(x, Layer)]

    def named_parameters(self) -> list[tuple[str, Tensor]]:
        """Return (name, parameter) pairs with names like `layers.0.kernel`, each parameter once."""
        fixed = [layer.named_tensors() for layer in self.sublayers() if not layer.trainable]
        ids = {id(x) for tensors in fixed for x in tensors.values()}
        every = self.named_tensors().items()
        return [(name, x) for name, x in every if x.requires_grad and id(x) not in ids]

    def named_tensors(self) -> dict[str, Tensor]:
        """Return all tensors by name: the parameters and the constants."""
        pairs = [(name, x) for name, x in named_members(self) if isinstance(x, Tensor)]
        if len(tensors := dict(pairs)) < len(pairs):
            twice = {name for name, x in pairs if tensors[name] is not x}
            raise ValueError(f"{type(self).__name__}: two tensors have the same name, {twice}")
        return tensors

    def parameters(self) -> list[Tensor]:
        """Return the tensors that an optimizer trains; raise ValueError if some are missing."""
        parameters = [x for _, x in self.named_parameters()]
        if parameters and (names := ", ".join(unbuilt_layers(self))):
            who = f"{type(self).__name__}: the parameters of {names}"
            raise ValueError(f"{who} do not exist yet; call the network with a batch first")
        return parameters

    @property
    def training(self) -> bool:
        """True in training mode (enables dropout); inside `predict` and `evaluate` False."""
        return vars(self).get("training", self.starts_training) and not is_inference.get()

    @training.setter
    def training(self, training: bool) -> None:
        vars(self)["training"] = training

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if isinstance(start := vars(cls).get("training"), bool):
            del cls.training  # the property; a constant would hide it from predict
            cls.starts_training = start

    def train(self, training: bool = True) -> Self:
        """Set training mode (enables dropout)."""
        for layer in self.sublayers():
            layer.training = training
        return self

    def eval(self) -> Self:
        """Set inference mode (disables dropout)."""
        return self.train(False)

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return copies of all tensors' arrays by name."""
        return {name: x.data.copy() for name, x in self.named_tensors().items()}

    def load_state_dict(self, state: Mapping[str, npt.ArrayLike]) -> None:
        """Write the arrays of a `state_dict` into this layer's tensors.

        Raises ValueError, and changes nothing, if a name, a shape or a kind of number does not fit.
        """
        own, arrays = self.named_tensors(), {k: np.asarray(unwrap(a)) for k, a in state.items()}
        required = {name: x.data for name, x in own.items()}
        if problems := "; ".join(mismatches(arrays, required, casting="same_kind")):
            raise ValueError(f"load_state_dict: it does not fit {type(self).__name__}: {problems}")
        converted = {name: arrays[name].astype(x.dtype) for name, x in own.items()}
        for name, x in own.items():
            x.data[...] = converted[name]
            x.version += 1  # the engine then notices that the data has changed


class Dense(Layer):
    """activation(x @ kernel + bias): x (N, …, inputs), kernel (inputs, units), bias (units,).

    units: the size of the output. The first batch sets the size of the input; in a Sequential,
    input_shape does.
    activation: None or "linear", "relu", "sigmoid", "softmax", "tanh", or a function.
    kernel_initializer, bias_initializer: see minigrad.initializers.
    The layer computes in the dtype of its kernel, float32, and converts other input.

    >>> layer = Dense(2, activation="relu", input_shape=(3,))
    >>> layer(np.ones((5, 3))).shape
    (5, 2)
    >>> [name for name, _ in layer.named_parameters()]
    ['kernel', 'bias']
    """

    def __init__(self, units: int, activation: str | Callable[[Tensor], Tensor] | None = None, *,
                 input_shape: int | Shape | None = None, use_bias: bool = True,
                 kernel_initializer: str | Callable[..., np.ndarray] = "glorot_uniform",
                 bias_initializer: str | Callable[..., np.ndarray] = "zeros"):  # fmt: skip
        super().__init__(input_shape)
        self.units = positive_int("Dense: units", units)
        self.activation: Callable = get_activation(activation)
        self.use_bias = use_bias
        self.kernel_initializer = get_initializer(kernel_initializer)
        self.bias_initializer = get_initializer(bias_initializer)

    def build(self, input_shape: Shape) -> None:
        if not input_shape:
            required = f"Dense({self.units}): input of shape (batch, features) is required"
            raise ValueError(f"{required}; pass a single example as x[None]")
        self.kernel = self.make_parameter(self.kernel_initializer, (input_shape[-1], self.units))
        if self.use_bias:
            self.bias = self.make_parameter(self.bias_initializer, (self.units,))

    def make_parameter(self, initializer: Callable[..., np.ndarray], shape: Shape) -> Tensor:
        """Return a new parameter; raise ValueError if the initializer returns another shape."""
        array = np.asarray(initializer(shape, self.rng))
        if array.shape != shape:
            who = f"Dense({self.units}): the initializer"
            raise ValueError(f"{who} must return an array of shape {shape}, received {array.shape}")
        return Tensor(array, requires_grad=True)

    def forward(self, x: Tensor) -> Output:
        inputs = self.kernel.shape[0]
        if x.ndim < 2 or x.shape[-1] != inputs:
            required = f"input of shape (batch, {inputs}) is required"
            raise ValueError(f"Dense({self.units}): {required}, received {x.shape}")
        if x.dtype != self.kernel.dtype:
            x = x.astype(self.kernel.dtype)
        out = linear(x, self.kernel, self.bias) if self.use_bias else x @ self.kernel
        return self.activation(out)


# ---- For advanced readers ----


class ReLU(Layer):
    """max(x, 0)."""

    def forward(self, x: Tensor) -> Output:
        return relu(x)


class Sigmoid(Layer):
    """1 / (1 + e⁻ˣ)."""

    def forward(self, x: Tensor) -> Output:
        return sigmoid(x)


class Tanh(Layer):
    """tanh(x)."""

    def forward(self, x: Tensor) -> Output:
        return np.tanh(x)


class Softmax(Layer):
    """eˣ / Σ eˣ over the last axis."""

    def forward(self, x: Tensor) -> Output:
        return softmax(x)


class Flatten(Layer):
    """Reshape (N, …) to (N, product of the rest).

    >>> Flatten()(np.zeros((2, 28, 28))).shape
    (2, 784)
    """

    def forward(self, x: Tensor) -> Output:
        return np.reshape(x, (len(x), int(np.prod(x.shape[1:]))))


class Dropout(Layer):
    """In training, set each element to 0 with probability `rate`, scale the rest by 1 / (1 − rate).

    Outside of training it returns its input. Raises ValueError for a rate outside of [0, 1).
    """

    def __init__(self, rate: float, input_shape: int | Shape | None = None):
        super().__init__(input_shape)
        check_rate("Dropout", rate)
        self.rate = rate

    def forward(self, x: Tensor) -> Output:
        return dropout(x, self.rate, self.rng) if self.training and self.rate else x


class Embedding(Layer):
    """Look up row i of a table for each integer i: x (N, …) to (N, …, output_dim).

    input_dim: the number of rows; the integers lie in 0 … input_dim − 1.
    It equals one-hot rows times a matrix, without the rows: an index that occurs several times
    receives the sum of its gradients. The table starts uniform in ±0.05, as in Keras.
    Raises ValueError for input that is not an integer in that range.

    >>> Embedding(input_dim=1000, output_dim=8)(np.array([[3, 1, 4, 1]])).shape
    (1, 4, 8)
    """

    def __init__(self, input_dim: int, output_dim: int):
        super().__init__()
        self.input_dim = positive_int("Embedding: input_dim", input_dim)
        self.output_dim = positive_int("Embedding: output_dim", output_dim)

    def build(self, input_shape: Shape) -> None:
        table = random_uniform((self.input_dim, self.output_dim), self.rng)
        self.embeddings = Tensor(table, requires_grad=True)

    def forward(self, x: Tensor) -> Output:
        with np.errstate(invalid="ignore"):  # NaN becomes an integer that differs from it
            index = x.data.astype(np.intp)
        if not np.array_equal(index, x.data):
            raise ValueError(f"Embedding: integers are required, received {x.data!r:.80}")
        if index.size and not (0 <= index.min() and index.max() < self.input_dim):
            required = f"Embedding: indices must lie in 0 … {self.input_dim - 1}"
            raise ValueError(f"{required}; received {index.min()} … {index.max()}")
        return self.embeddings[index]


class SimpleRNN(Layer):
    """hₜ = tanh(xₜ·W + hₜ₋₁·U + b): x (N, T, inputs) with T ≥ 1 to the last h (N, units).

    return_sequences: return every h, (N, T, units).
    `layer(x, h)` starts from the state h (N, units); `layer(x)` starts from 0.
    To continue a long sequence, pass the last h of the piece before. Pass its `.data` to truncate
    backpropagation through time: then no gradient flows into that piece.

    Source: Elman 1990. W and U start as in Keras (Glorot uniform, orthogonal). Keras can also keep
    the state inside the layer (`stateful`); here the caller keeps it.

    >>> layer = SimpleRNN(16, return_sequences=True)
    >>> first = layer(np.ones((2, 5, 3)))
    >>> layer(np.ones((2, 5, 3)), first[:, -1].data).shape
    (2, 5, 16)
    """

    def __init__(self, units: int, return_sequences: bool = False):
        super().__init__()
        self.units = positive_int("SimpleRNN: units", units)
        self.return_sequences = return_sequences

    def build(self, input_shape: Shape) -> None:
        if len(input_shape) != 2:
            required = "input of shape (batch, time, features) is required"
            received = f"received (batch, {', '.join(map(str, input_shape))})"
            raise ValueError(f"SimpleRNN({self.units}): {required}, {received}")
        kernel = glorot_uniform((input_shape[-1], self.units), self.rng)
        orthogonal = np.linalg.qr(self.rng.standard_normal((self.units, self.units)))[0]
        self.kernel = Tensor(kernel, requires_grad=True)
        self.recurrent_kernel = Tensor(orthogonal.astype(np.float32), requires_grad=True)
        self.bias = Tensor(np.zeros(self.units, np.float32), requires_grad=True)

    def forward(self, x: Tensor, h: Tensor | np.ndarray | None = None) -> Output:
        inputs = self.kernel.shape[0]
        if x.ndim != 3 or x.shape[-1] != inputs or not x.shape[1]:
            required = f"input of shape (batch, time, {inputs}) is required"
            raise ValueError(f"SimpleRNN({self.units}): {required}, received {x.shape}")
        h = as_dtype(np.zeros((len(x), self.units)) if h is None else h, self.kernel.dtype)
        if h.shape != (len(x), self.units):
            required = f"a state of shape {(len(x), self.units)} is required"
            raise ValueError(f"SimpleRNN({self.units}): {required}, received {h.shape}")
        x_projected = linear(x.astype(self.kernel.dtype), self.kernel, self.bias)
        states = []
        for t in range(x.shape[1]):
            h = np.tanh(x_projected[:, t] + h @ self.recurrent_kernel)
            states.append(h)
        return np.stack(states, axis=1) if self.return_sequences else h


# How a layer finds its members


def unbuilt_layers(layer: Layer) -> list[str]:
    """Return the names of the layers inside that make their parameters in their first call."""
    layers = [(name, x) for name, x in named_members(layer) if isinstance(x, Layer) and x.trainable]
    waiting = [(name, x) for name, x in layers if type(x).build is not Layer.build and not x.built]
    return [name for name, x in waiting if not x.named_tensors()]


def named_members(
    container: Any, prefix: str = "", seen: set[int] | None = None
) -> Iterator[tuple[str, Any]]:
    """Yield (dotted name, member) for each layer and tensor in a layer, list or dict, each once."""
    seen = {id(container)} if seen is None else seen
    for name, member in named_children(container):
        if isinstance(member, (Tensor, Layer, list, tuple, dict)) and id(member) not in seen:
            seen.add(id(member))
            if isinstance(member, (Tensor, Layer)):
                yield prefix + name, member
            if not isinstance(member, Tensor):
                yield from named_members(member, f"{prefix}{name}.", seen)


def named_children(container: Any) -> list[tuple[str, Any]]:
    """Return (name, value) pairs: a list's elements, a dict's entries, a layer's attributes."""
    if isinstance(container, (list, tuple)):
        return [(str(i), value) for i, value in enumerate(container)]
    entries = container if isinstance(container, dict) else vars(container)
    return [(str(key), value) for key, value in entries.items()]
