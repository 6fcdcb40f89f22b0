"""Layers that normalize: over the data set, over the features, over the batch."""

from typing import Any, Self

import numpy as np
import numpy.typing as npt

from .activations import layer_norm
from .autograd import Tensor
from .initializers import Shape, ones, zeros
from .layer import Layer, Output
from .utils import as_dtype, as_float, finite_array, share_of_batch


def check_features(layer: Layer, x: Tensor, features: int) -> None:
    """Raise ValueError if x is not a batch (N, …, features)."""
    if x.ndim < 2 or x.shape[-1] != features:
        required = f"{type(layer).__name__}: input of shape (batch, …, {features}) is required"
        raise ValueError(f"{required}, received {x.shape}")


class Normalization(Layer):
    """(x − mean) / σ for each feature: mean and variance σ² of the data that `adapt` saw.

    mean, variance: numbers or arrays to use instead of `adapt`.
    The features are the last axis. Source: Keras; σ is at least 1e-7, as there.

    >>> layer = Normalization()
    >>> layer.adapt([[0.0], [2.0]])([[4.0]])
    Tensor([[3.]])
    """

    def __init__(self, *, mean: npt.ArrayLike | None = None, variance: npt.ArrayLike | None = None,
                 input_shape: int | Shape | None = None):  # fmt: skip
        super().__init__(input_shape)
        if (mean is None) != (variance is None):
            raise ValueError("Normalization: give both mean and variance, or neither")
        if variance is not None and not np.all(np.asarray(variance) >= 0):
            raise ValueError(f"Normalization: variance must be ≥ 0, received {variance!r}")
        self.mean: Any = None if mean is None else as_float(np.asarray(mean))
        self.variance: Any = None if variance is None else as_float(np.asarray(variance))

    def adapt(self, data: npt.ArrayLike) -> Self:
        """Take mean and variance from these examples (N, …, features)."""
        x = finite_array("Normalization.adapt: data", data)
        axes = tuple(range(max(x.ndim - 1, 1)))
        dtype = self.dtype or float
        self.mean = Tensor(np.mean(x, axis=axes, dtype=float).astype(dtype))
        self.variance = Tensor(np.var(x, axis=axes, dtype=float).astype(dtype))
        return self

    def get_config(self) -> dict[str, Any]:
        adapted = isinstance(self.mean, Tensor)
        return {"mean": self.mean, "variance": self.variance, "adapted": adapted}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        layer = cls(mean=config["mean"], variance=config["variance"])
        if config["adapted"]:
            layer.mean, layer.variance = (Tensor(np.array(config[k])) for k in ("mean", "variance"))
        return layer

    def forward(self, x: Tensor) -> Output:
        if self.mean is None:
            if len(x) == 0:  # an empty batch, to find the output's shape
                return x
            raise RuntimeError("Normalization: call adapt(data) first, or give mean and variance")
        x = as_float(x)
        if np.ndim(self.mean):
            check_features(self, x, self.mean.shape[-1])
        mean, variance = as_dtype(self.mean, x.dtype), as_dtype(self.variance, x.dtype)
        return (x - mean) / np.maximum(np.sqrt(variance), 1e-7)


class LayerNormalization(Layer):
    """γ·(x − μ) / √(σ² + ε) + β: mean μ and variance σ² of each example over the last axis.

    epsilon: ε. The default 1e-3 is Keras's; PyTorch's is 1e-5.
    center, scale: whether β and γ exist.
    Source: Ba et al. 2016.
    """

    parameter_names = ("gamma", "beta")

    def __init__(self, epsilon: float = 1e-3, *, center: bool = True, scale: bool = True,
                 input_shape: int | Shape | None = None, **options: Any):  # fmt: skip
        super().__init__(input_shape, **options)
        self.epsilon, self.center, self.scale = epsilon, center, scale

    def build(self, input_shape: Shape) -> None:
        n = self.features = input_shape[-1:]
        self.gamma = self.make_parameter(ones, n) if self.scale else None
        self.beta = self.make_parameter(zeros, n) if self.center else None

    def forward(self, x: Tensor) -> Output:
        x = as_float(x)
        check_features(self, x, self.features[0])
        return layer_norm(x, x.shape[-1], self.gamma, self.beta, self.epsilon)


class BatchNormalization(Layer):
    """γ·(x − μ) / √(σ² + ε) + β: mean μ and variance σ² of each feature over the batch.

    In training, μ and σ² are those of the batch, and the layer keeps their moving averages:
    moving ← momentum·moving + (1 − momentum)·batch. Outside of training it uses the averages.
    momentum, epsilon: Keras's defaults. PyTorch's momentum is 1 minus this one, its ε 1e-5, and its
    moving variance has the divisor N − 1 instead of N.
    With trainable = False it uses the averages in training, too, as in Keras.
    The features are the last axis. Source: Ioffe & Szegedy 2015.

    >>> layer = BatchNormalization()
    >>> layer([[1.0], [3.0]], training=True).data.round(2)
    array([[-1.],
           [ 1.]], dtype=float32)
    """

    parameter_names = ("gamma", "beta")

    def __init__(self, momentum: float = 0.99, epsilon: float = 1e-3, *, center: bool = True,
                 scale: bool = True, input_shape: int | Shape | None = None,
                 **options: Any):  # fmt: skip
        super().__init__(input_shape, **options)
        if not 0 <= momentum <= 1:
            raise ValueError(f"BatchNormalization: momentum must be in [0, 1], not {momentum!r}")
        self.momentum, self.epsilon, self.center, self.scale = momentum, epsilon, center, scale

    def build(self, input_shape: Shape) -> None:
        n = input_shape[-1:]
        self.gamma = self.make_parameter(ones, n) if self.scale else None
        self.beta = self.make_parameter(zeros, n) if self.center else None
        self.moving_mean = self.make_parameter(zeros, n, trainable=False)
        self.moving_variance = self.make_parameter(ones, n, trainable=False)

    def forward(self, x: Tensor) -> Output:
        x = as_dtype(x, self.moving_mean.dtype)
        check_features(self, x, self.moving_mean.size)
        mean, variance = self.moving_mean, self.moving_variance
        if not self.training and self.trainable:
            x = self.warn_if_mode_is_unset(x)
        elif self.trainable and len(x):
            if share_of_batch():  # several processes compute one batch
                problem = "each rank would see the mean and variance of its own rows only"
                raise RuntimeError(f"BatchNormalization: {problem}; use LayerNormalization")
            axes = tuple(range(x.ndim - 1))
            mean = np.mean(x, axis=axes)
            variance = np.mean(np.square(x - mean), axis=axes)
            self.update(self.moving_mean, mean)
            self.update(self.moving_variance, variance)
        factor = 1 / np.sqrt(variance + self.epsilon)
        out = (x - mean) * (factor if self.gamma is None else factor * self.gamma)
        return out if self.beta is None else out + self.beta

    def update(self, moving: Tensor, batch: Tensor) -> None:
        """Update a moving average: moving ← momentum·moving + (1 − momentum)·batch."""
        moving.data *= self.momentum
        moving.data += (1 - self.momentum) * batch.data
