"""Recurrent layers."""

from typing import Any

import numpy as np

from .autograd import Tensor
from .functional import linear
from .initializers import Shape, glorot_uniform, orthogonal, zeros
from .layer import Layer, Output, get_activation
from .utils import as_dtype, positive_int


class SimpleRNN(Layer):
    """hₜ = tanh(xₜ·W + hₜ₋₁·U + b): x (N, T, inputs) with T ≥ 1 to the last h (N, units).

    activation: another function for tanh, or its name: see Dense.
    return_sequences: return every h, (N, T, units).
    `layer(x, h)` starts from the state h (N, units); `layer(x)` starts from 0.
    To continue a long sequence, pass the last h of the previous piece. Pass its `.data` to truncate
    backpropagation through time: then no gradient flows into the previous piece.

    Source: Elman 1990. W and U start as in Keras (Glorot uniform, orthogonal). Keras can also keep
    the state inside the layer (`stateful`); here the caller keeps it.

    >>> layer = SimpleRNN(16, return_sequences=True)
    >>> first = layer(np.ones((2, 5, 3)))
    >>> layer(np.ones((2, 5, 3)), first[:, -1].data).shape
    (2, 5, 16)
    """

    parameter_names = ("kernel", "recurrent", "bias")

    def __init__(self, units: int, return_sequences: bool = False, *, activation: Any = "tanh",
                 input_shape: int | Shape | None = None, **options: Any):  # fmt: skip
        super().__init__(input_shape, **options)
        self.units = positive_int("SimpleRNN: units", units)
        self.return_sequences, self.activation = return_sequences, get_activation(activation)

    def build(self, input_shape: Shape) -> None:
        if len(input_shape) != 2:
            required = "input of shape (batch, time, features) is required"
            received = f"received (batch, {', '.join(map(str, input_shape))})"
            raise ValueError(f"SimpleRNN({self.units}): {required}, {received}")
        self.kernel = self.make_parameter(glorot_uniform, (input_shape[-1], self.units))
        self.recurrent_kernel = self.make_parameter(orthogonal, (self.units, self.units))
        self.bias = self.make_parameter(zeros, (self.units,))

    def forward(self, x: Tensor, h: Tensor | np.ndarray | None = None) -> Output:
        inputs = self.kernel.shape[0]
        if x.ndim != 3 or x.shape[-1] != inputs or not x.shape[1]:
            required = f"input of shape (batch, time, {inputs}) is required"
            raise ValueError(f"SimpleRNN({self.units}): {required}, received {x.shape}")
        h = as_dtype(np.zeros((len(x), self.units)) if h is None else h, self.kernel.dtype)
        if h.shape != (len(x), self.units):
            required = f"a state of shape {(len(x), self.units)} is required"
            raise ValueError(f"SimpleRNN({self.units}): {required}, received {h.shape}")
        x_projected = linear(as_dtype(x, self.kernel.dtype), self.kernel, self.bias)
        states = []
        for t in range(x.shape[1]):
            h = self.activation(x_projected[:, t] + h @ self.recurrent_kernel)
            states.append(h)
        return np.stack(states, axis=1) if self.return_sequences else h
