"""All layers: those of layer.py, and more. Sorted by difficulty.

normalization.py has the layers that normalize, recurrent.py the recurrent ones.
"""

from typing import Any

import numpy as np

from .activations import check_rate
from .autograd import Tensor
from .functional import dropout, relu, sigmoid, softmax
from .initializers import Initializer, Shape, get_initializer
from .layer import ACTIVATIONS, Dense, Layer, Output, get_activation
from .normalization import BatchNormalization, LayerNormalization, Normalization
from .recurrent import SimpleRNN
from .utils import as_float, draw_rows, is_finite_number, positive_int

__all__ = [
    "ACTIVATIONS", "Activation", "BatchNormalization", "Dense", "Dropout", "Embedding", "Flatten",
    "GaussianNoise", "Input", "Layer", "LayerNormalization", "Normalization", "ReLU", "Reshape",
    "Sigmoid", "SimpleRNN", "Softmax", "Tanh", "get_activation",
]  # fmt: skip


class Input(Layer):
    """Return x. It comes first in a Sequential and gives the shape of one example.

    >>> Input((28, 28)).input_shape
    (28, 28)
    """

    def __init__(self, shape: int | Shape):
        super().__init__(shape)
        self.shape = self.input_shape

    def forward(self, x: Tensor) -> Output:
        return x


class Activation(Layer):
    """f(x), f a function or its name: see Dense.

    >>> Activation("relu")([[-1.0, 2.0]])
    Tensor([[0., 2.]])
    """

    def __init__(self, activation: str | Any, *, input_shape: int | Shape | None = None):
        super().__init__(input_shape)
        self.activation = get_activation(activation)

    def forward(self, x: Tensor) -> Output:
        return self.activation(x)


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


class Reshape(Layer):
    """Reshape (N, …) to (N, *target_shape); one length may be −1.

    >>> Reshape((2, -1))(np.zeros((5, 6))).shape
    (5, 2, 3)
    """

    def __init__(self, target_shape: int | Shape, *, input_shape: int | Shape | None = None):
        super().__init__(input_shape)
        self.target_shape = tuple(np.ravel(target_shape).tolist())

    def forward(self, x: Tensor) -> Output:
        sizes = [n for n in self.target_shape if n != -1]
        rest = int(np.prod(x.shape[1:])) // max(1, int(np.prod(sizes)))
        return np.reshape(x, (len(x), *[rest if n == -1 else n for n in self.target_shape]))


class Dropout(Layer):
    """In training, set each element to 0 with probability `rate`, scale the rest by 1 / (1 − rate).

    Outside of training it returns its input. Raises ValueError for a rate outside of [0, 1).
    """

    def __init__(self, rate: float, input_shape: int | Shape | None = None):
        super().__init__(input_shape)
        check_rate("Dropout", rate)
        self.rate = rate

    def forward(self, x: Tensor) -> Output:
        if not self.rate:
            return x
        return dropout(x, self.rate, self.rng) if self.training else self.warn_if_mode_is_unset(x)


class GaussianNoise(Layer):
    """In training, add N(0, σ²) to each element; σ is stddev. Outside of training return x."""

    def __init__(self, stddev: float, *, input_shape: int | Shape | None = None):
        super().__init__(input_shape)
        if not is_finite_number(stddev) or stddev < 0:
            raise ValueError(f"GaussianNoise: stddev must be finite and ≥ 0, received {stddev!r}")
        self.stddev = float(stddev)

    def forward(self, x: Tensor) -> Output:
        if not self.stddev:
            return x
        if not self.training:
            return self.warn_if_mode_is_unset(x)
        x = as_float(x)
        noise = draw_rows(self.rng.standard_normal, self.rng, x.shape)
        return x + (self.stddev * noise).astype(x.dtype)


class Embedding(Layer):
    """Look up row i of a table for each integer i: x (N, …) to (N, …, output_dim).

    input_dim: the number of rows; the integers lie in 0 … input_dim − 1.
    The result is that of one-hot rows times the table; no one-hot rows are made. The row of an
    index that occurs several times receives the sum of the gradients. The table starts uniform in
    ±0.05, as in Keras.
    Raises ValueError for input that is not an integer in that range.

    >>> Embedding(input_dim=1000, output_dim=8)(np.array([[3, 1, 4, 1]])).shape
    (1, 4, 8)
    """

    parameter_names = ("embeddings",)

    def __init__(self, input_dim: int, output_dim: int, *,
                 embeddings_initializer: str | Initializer = "uniform",
                 input_shape: int | Shape | None = None, **options: Any):  # fmt: skip
        super().__init__(input_shape, **options)
        self.input_dim = positive_int("Embedding: input_dim", input_dim)
        self.output_dim = positive_int("Embedding: output_dim", output_dim)
        self.embeddings_initializer = get_initializer(embeddings_initializer)

    def build(self, input_shape: Shape) -> None:
        shape = self.input_dim, self.output_dim
        self.embeddings = self.make_parameter(self.embeddings_initializer, shape)

    def forward(self, x: Tensor) -> Output:
        with np.errstate(invalid="ignore"):  # NaN becomes an integer that differs from it
            index = x.data.astype(np.intp)
        if not np.array_equal(index, x.data):
            raise ValueError(f"Embedding: integers are required, received {x.data!r:.80}")
        if index.size and not (0 <= index.min() and index.max() < self.input_dim):
            required = f"Embedding: indices must lie in 0 … {self.input_dim - 1}"
            raise ValueError(f"{required}; received {index.min()} … {index.max()}")
        return self.embeddings[index]
