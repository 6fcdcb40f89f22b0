"""Layers: functions with parameters, in order of difficulty.

A layer is an object with a `forward`; its parameters are found by walking through its attributes,
lists and dicts, in the order in which they were set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from . import initializers
from .autograd.tensor import Tensor, _clock
from .functional import dropout, linear, relu, sigmoid, softmax
from .utils import lookup


def identity(x: Any) -> Any:
    """x"""
    return x


ACTIVATIONS: dict[str, Callable] = {
    "linear": identity,
    "relu": relu,
    "sigmoid": sigmoid,
    "softmax": softmax,
    "tanh": np.tanh,
}


class Layer:
    """What layers have in common. A layer of your own needs only `forward`.

    >>> class Scale(Layer):
    ...     def __init__(self):
    ...         self.factor = Tensor(2.0, requires_grad=True)
    ...     def forward(self, x):
    ...         return self.factor * x
    >>> Scale()([1.0, 3.0])
    Tensor([2., 6.], requires_grad=True)

    Parameters whose shape depends on the input are made by `build(input_shape)`, called once,
    before the first `forward`, with the shape of one example.
    """

    input_shape: tuple[int, ...] | None = None
    training = True
    built = False
    made = range(0)  # the operations of the last call, by their order: trace draws a frame around
    rng: Any = None  # a numpy Generator; a model sets its own, for all that is random

    def __init__(self, input_shape: tuple[int, ...] | None = None):
        if isinstance(input_shape, (int, np.integer)):
            input_shape = (input_shape,)
        if input_shape is not None:
            who = f"{type(self).__name__}: each of input_shape"
            self.input_shape = tuple(positive(who, n) for n in input_shape)

    def __call__(self, x: Any, *state: Any) -> Tensor:
        x = x if isinstance(x, Tensor) else Tensor(x)
        if not self.built:
            self.rng = self.rng or np.random.default_rng()
            self.build(x.shape[1:])
            self.built = True
        start = next(_clock)
        out = self.forward(x, *state)
        self.made = range(start, next(_clock))
        return out

    def build(self, input_shape: tuple[int, ...]) -> None:
        """Make the parameters, for examples of this shape."""

    def forward(self, x: Tensor) -> Any:
        raise NotImplementedError(f"{type(self).__name__} needs a method forward(self, x)")

    # What it consists of

    def sublayers(self) -> list[Layer]:
        """This layer and all layers inside it."""
        return [self] + [x for _, x in walk(self) if isinstance(x, Layer)]

    def named_parameters(self) -> list[tuple[str, Tensor]]:
        """(name, parameter) pairs, a shared parameter once; names like `layers.0.kernel`."""
        return [(n, x) for n, x in walk(self) if isinstance(x, Tensor) and x.requires_grad]

    def parameters(self) -> list[Tensor]:
        return [x for _, x in self.named_parameters()]

    def train(self, training: bool = True) -> Layer:
        """Switch on what happens in training alone, such as dropout."""
        for layer in self.sublayers():
            layer.training = training
        return self

    def eval(self) -> Layer:
        """Switch to what happens in use."""
        return self.train(False)

    # Its state

    def state_dict(self) -> dict[str, np.ndarray]:
        """Copies of all tensors' data, by name."""
        return {name: x.data.copy() for name, x in walk(self) if isinstance(x, Tensor)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave; what doesn't fit raises, and nothing was changed."""
        own = {name: x for name, x in walk(self) if isinstance(x, Tensor)}
        arrays = {name: np.asarray(array) for name, array in state.items()}
        missing, unknown = own.keys() - arrays.keys(), arrays.keys() - own.keys()
        wrong = [
            f"{name} needs shape {own[name].shape}, received {arrays[name].shape}"
            for name in own.keys() & arrays.keys()
            if own[name].shape != arrays[name].shape
        ]
        if missing or unknown or wrong:
            raise ValueError(
                f"load_state_dict: this state does not fit {type(self).__name__}. Missing: "
                f"{sorted(missing) or 'none'}; unknown: {sorted(unknown) or 'none'}; "
                f"shapes: {sorted(wrong) or 'all fit'}"
            )
        for name, x in own.items():
            x.data[...] = arrays[name]


def walk(thing: Any, prefix: str = "", seen: set[int] | None = None) -> Iterator[tuple[str, Any]]:
    """The layers and tensors within a layer, list or dict, each once, with dotted names."""
    seen = {id(thing)} if seen is None else seen
    if isinstance(thing, dict):
        items = [(str(key), value) for key, value in thing.items()]
        if len(dict(items)) < len(items):
            raise ValueError(f"{prefix or 'a dict of layers'}: two of {list(thing)} have one name")
    elif isinstance(thing, (list, tuple)):
        items = [(str(i), value) for i, value in enumerate(thing)]
    else:
        items = list(vars(thing).items())
    for name, value in items:
        if isinstance(value, (Tensor, Layer, list, tuple, dict)) and id(value) not in seen:
            seen.add(id(value))
            if isinstance(value, (Tensor, Layer)):
                yield prefix + name, value
            if not isinstance(value, Tensor):
                yield from walk(value, f"{prefix}{name}.", seen)


def positive(what: str, n: Any) -> int:
    """n, if it is a positive integer."""
    if not isinstance(n, (int, np.integer)) or isinstance(n, bool) or n < 1:
        raise ValueError(f"{what} must be a positive integer, received {n!r}")
    return int(n)


class ReLU(Layer):
    """max(x, 0)"""

    def forward(self, x: Tensor) -> Any:
        return relu(x)


class Sigmoid(Layer):
    """1 / (1 + e⁻ˣ)"""

    def forward(self, x: Tensor) -> Any:
        return sigmoid(x)


class Tanh(Layer):
    """tanh(x)"""

    def forward(self, x: Tensor) -> Any:
        return np.tanh(x)


class Softmax(Layer):
    """eˣ / Σ eˣ over the last axis"""

    def forward(self, x: Tensor) -> Any:
        return softmax(x)


class Flatten(Layer):
    """(N, …) to (N, product of the rest)

    >>> Flatten()(np.zeros((2, 28, 28))).shape
    (2, 784)
    """

    def forward(self, x: Tensor) -> Any:
        return np.reshape(x, (len(x), int(np.prod(x.shape[1:]))))


class Dropout(Layer):
    """In training, each element is 0 with probability `rate`, else scaled by 1 / (1 − rate)."""

    def __init__(self, rate: float, input_shape: tuple[int, ...] | None = None):
        super().__init__(input_shape)
        if not isinstance(rate, (float, int, np.number)) or not 0 <= rate < 1:
            raise ValueError(f"Dropout: rate must lie in [0, 1), received {rate!r}")
        self.rate = rate

    def forward(self, x: Tensor) -> Any:
        return dropout(x, self.rate, self.rng) if self.training and self.rate else x


class Dense(Layer):
    """activation(x @ kernel + bias): x (N, …, inputs), kernel (inputs, units), bias (units,).

    units: the size of the output; the input's is taken from input_shape or the first batch.
    activation: None or "linear", "relu", "sigmoid", "softmax", "tanh", or a function.
    kernel_initializer, bias_initializer: see minigrad.initializers.
    It computes in the dtype of its kernel, float32: other input is converted.

    >>> layer = Dense(2, activation="relu", input_shape=(3,))
    >>> layer(np.ones((5, 3))).shape
    (5, 2)
    >>> [name for name, _ in layer.named_parameters()]
    ['kernel', 'bias']
    """

    def __init__(
        self,
        units: int,
        activation: str | Callable | None = None,
        *,
        input_shape: tuple[int, ...] | None = None,
        use_bias: bool = True,
        kernel_initializer: str | Callable = "glorot_uniform",
        bias_initializer: str | Callable = "zeros",
    ):
        super().__init__(input_shape)
        activation = "linear" if activation is None else activation
        self.units = positive("Dense: units", units)
        self.activation = (
            activation if callable(activation) else lookup("activation", activation, ACTIVATIONS)
        )
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)

    def build(self, input_shape: tuple[int, ...]) -> None:
        if not input_shape:
            raise ValueError(
                f"Dense({self.units}): input of shape (batch, features) is required; "
                "give a single example as x[None]"
            )
        self.kernel = self.parameter(self.kernel_initializer, (input_shape[-1], self.units))
        if self.use_bias:
            self.bias = self.parameter(self.bias_initializer, (self.units,))

    def parameter(self, initializer: Callable, shape: tuple[int, ...]) -> Tensor:
        array = np.asarray(initializer(shape, self.rng))
        if array.shape != shape:
            raise ValueError(
                f"Dense({self.units}): an initializer must give the shape {shape}, "
                f"received {array.shape}"
            )
        return Tensor(array, requires_grad=True)

    def forward(self, x: Tensor) -> Any:
        inputs = self.kernel.shape[0]
        if x.ndim < 2 or x.shape[-1] != inputs:
            raise ValueError(
                f"Dense({self.units}): input of shape (batch, {inputs}) is required, "
                f"received {x.shape}"
            )
        if x.dtype != self.kernel.dtype:
            x = x.astype(self.kernel.dtype)
        out = linear(x, self.kernel, self.bias) if self.use_bias else x @ self.kernel
        return self.activation(out)


class Embedding(Layer):
    """Row i of a table for each integer i: x (N, …) of 0 … input_dim − 1 to (N, …, output_dim).

    The same as one-hot rows times a matrix, without the rows; so an index that occurs several
    times receives the sum of its gradients. The table begins uniform in ±0.05, as in Keras.

    >>> Embedding(input_dim=1000, output_dim=8)(np.array([[3, 1, 4, 1]])).shape
    (1, 4, 8)
    """

    def __init__(self, input_dim: int, output_dim: int):
        super().__init__()
        self.input_dim = positive("Embedding: input_dim", input_dim)
        self.output_dim = positive("Embedding: output_dim", output_dim)

    def build(self, input_shape: tuple[int, ...]) -> None:
        table = self.rng.uniform(-0.05, 0.05, (self.input_dim, self.output_dim))
        self.embeddings = Tensor(table.astype(np.float32), requires_grad=True)

    def forward(self, x: Tensor) -> Any:
        with np.errstate(invalid="ignore"):  # NaN becomes some integer, unequal to it
            index = x.data.astype(np.intp)
        if not np.array_equal(index, x.data):
            raise ValueError(f"Embedding: integers are required, received {x.data!r:.80}")
        if index.size and not (0 <= index.min() and index.max() < self.input_dim):
            raise ValueError(
                f"Embedding: indices must lie in 0 … {self.input_dim - 1}; "
                f"received {index.min()} … {index.max()}"
            )
        return self.embeddings[index]


class SimpleRNN(Layer):
    """hₜ = tanh(xₜ·W + hₜ₋₁·U + b): x (N, T, inputs), T ≥ 1, to the last h (N, units).

    return_sequences: give every h, (N, T, units).
    Called as layer(x, h) it starts from that h (N, units), else from 0. To go on where the last
    piece of a long sequence ended, hand over its final h; as `.data` (or detached), no gradient
    flows into that piece: backpropagation through time, truncated. Elman 1990; W and U begin as in
    Keras (Glorot, orthogonal), where the state is kept inside instead (`stateful`).

    >>> layer = SimpleRNN(16, return_sequences=True)
    >>> first = layer(np.ones((2, 5, 3)))
    >>> layer(np.ones((2, 5, 3)), first[:, -1].data).shape
    (2, 5, 16)
    """

    def __init__(self, units: int, return_sequences: bool = False):
        super().__init__()
        self.units, self.return_sequences = positive("SimpleRNN: units", units), return_sequences

    def build(self, input_shape: tuple[int, ...]) -> None:
        if len(input_shape) != 2:
            raise ValueError(
                f"SimpleRNN({self.units}): input of shape (batch, time, features) is required, "
                f"received (batch, {', '.join(map(str, input_shape))})"
            )
        kernel = initializers.glorot_uniform((input_shape[-1], self.units), self.rng)
        orthogonal = np.linalg.qr(self.rng.standard_normal((self.units, self.units)))[0]
        self.kernel = Tensor(kernel, requires_grad=True)
        self.recurrent_kernel = Tensor(orthogonal.astype(np.float32), requires_grad=True)
        self.bias = Tensor(np.zeros(self.units, np.float32), requires_grad=True)

    def forward(self, x: Tensor, h: Any = None) -> Any:
        inputs = self.kernel.shape[0]
        if x.ndim != 3 or x.shape[-1] != inputs or not x.shape[1]:
            raise ValueError(
                f"SimpleRNN({self.units}): input of shape (batch, time, {inputs}) is required, "
                f"received {x.shape}"
            )
        h = np.zeros((len(x), self.units), self.kernel.dtype) if h is None else h
        if h.shape != (len(x), self.units):
            raise ValueError(
                f"SimpleRNN({self.units}): a state of shape {(len(x), self.units)} is required, "
                f"received {h.shape}"
            )
        driven = linear(x.astype(self.kernel.dtype), self.kernel, self.bias)
        states = []
        for t in range(x.shape[1]):
            h = np.tanh(driven[:, t] + h @ self.recurrent_kernel)
            states.append(h)
        return np.stack(states, axis=1) if self.return_sequences else h
