"""Layers: functions with parameters. Layer and Dense; minigrad.layers has all layers.

A layer finds its parameters in its attributes, lists and dicts, in the order they were set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np

from .activations import elu, gelu, leaky_relu, silu, softplus
from .autograd import Tensor
from .autograd.recording import set_var
from .functional import linear, relu, sigmoid, softmax
from .initializers import Shape, get_initializer
from .layer_state import LayerState, forward_wrapper, training_mode
from .regularizers import read_options
from .utils import as_dtype, lookup, positive_int, warn_user

Output: TypeAlias = Any  # a Tensor, or what the forward method of a user's layer returns


def identity(x: Tensor) -> Tensor:
    """Return x."""
    return x


ACTIVATIONS: dict[str, Callable] = dict(
    linear=identity, relu=relu, sigmoid=sigmoid, softmax=softmax, tanh=np.tanh, elu=elu, gelu=gelu,
    leaky_relu=leaky_relu, silu=silu, softplus=softplus, swish=silu,
)  # fmt: skip


def get_activation(activation: str | Callable | None) -> Callable:
    """Return the activation of this name, or the function itself; None means "linear"."""
    if callable(activation):
        return activation
    return lookup("activation", "linear" if activation is None else activation, ACTIVATIONS)


class Layer(LayerState):
    """The base class of layers and models. A layer of your own needs only `forward`.

    >>> class Scale(Layer):
    ...     def __init__(self):
    ...         self.factor = Tensor(2.0, requires_grad=True)
    ...     def forward(self, x):
    ...         return self.factor * x
    >>> Scale()([1.0, 3.0])
    Tensor([2., 6.], requires_grad=True)

    If the shape of a parameter depends on the input, make the parameter in `build(input_shape)`.
    `build` is called once, with the shape of one example, before the first `forward`. If the layer
    has an input_shape, `build` is called earlier: when the parameters are first read.

    `trainable = False` freezes the layer and the layers inside it: no optimizer gets their
    parameters. As in Keras, `layer(x)` is inference: dropout is off. `fit` turns it on. In a loop
    of your own, call `train()` before the loop, or layer(x, training=True).
    `seed(0)`, or Sequential(seed=0), fixes parameters and dropout; np.random.seed does not.
    """

    input_shape: Shape | None = None

    def __init__(self, input_shape: int | Shape | None = None, **options: Any):
        if input_shape is not None:
            who = f"{type(self).__name__}: each number of input_shape"
            self.input_shape = tuple(positive_int(who, n) for n in np.ravel(input_shape).tolist())
        if options:
            who = type(self).__name__
            self.parameter_options = read_options(who, self.parameter_names, options)

    def __call__(self, x: Any, *state: Any, training: bool | None = None) -> Output:
        """Convert x to a tensor, build the layer if needed, return forward(x, *state).

        state: only for layers such as SimpleRNN, whose `forward` takes the last state as well.
        training: the mode of this call, for this layer and all inside it.
        """
        if training is not None:
            with set_var(training_mode, training):
                return self(x, *state)
        x = x if isinstance(x, Tensor) else Tensor(x)
        if not self.built:
            self.build_once(self.input_shape or x.shape[1:])
        wrapper = forward_wrapper.get()  # None, unless minigrad.graph draws the call
        out = wrapper(self, x, *state) if wrapper else self.forward(x, *state)
        return self.add_activity_penalty(out) if self.parameter_options else out

    def __getattr__(self, name: str) -> Any:
        """Build the layer if its input shape is known: layer.kernel exists before a call."""
        if hasattr(type(self), name):  # a property raised AttributeError: raise that error again
            return object.__getattribute__(self, name)
        if not name.startswith("_") and self.build_if_shape_is_known():
            return getattr(self, name)
        hint = "" if self.built else "; it may be made in build, at the first call of the layer"
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{hint}")

    def build(self, input_shape: Shape) -> None:
        """Make the parameters for examples of this shape."""

    def build_once(self, input_shape: Shape) -> None:
        self.make_rng()
        self.built = True  # before build: if build reads a missing attribute, do not build again
        try:
            self.build(input_shape)
        except BaseException:
            self.built = False
            raise

    def build_if_shape_is_known(self) -> bool:
        """Build this layer if its input shape is known; return whether this call built it."""
        if self.built or self.input_shape is None or type(self).build is Layer.build:
            return False
        self.build_once(self.input_shape)
        return True

    def forward(self, x: Tensor) -> Output:
        """Return the output of the layer; a subclass defines it."""
        raise NotImplementedError(f"{type(self).__name__} needs a method forward(self, x)")

    def sublayers(self) -> list[Layer]:
        """Return this layer and all layers inside it."""
        return [self] + [x for _, x in named_members(self) if isinstance(x, Layer)]

    def named_parameters(self) -> list[tuple[str, Tensor]]:
        """Return (name, parameter) pairs with names like `layers.0.kernel`, each parameter once."""
        frozen_layers = [layer for layer in self.sublayers() if not layer.trainable]
        frozen_ids = {id(x) for layer in frozen_layers for x in layer.named_tensors().values()}
        tensors = self.named_tensors().items()
        return [(name, x) for name, x in tensors if x.requires_grad and id(x) not in frozen_ids]

    def named_tensors(self) -> dict[str, Tensor]:
        """Build the layers whose shape is known; return parameters and moving averages by name."""
        if not all(layer.built for layer in self.sublayers()):
            self.make_rng()
            for layer in self.sublayers():
                layer.build_if_shape_is_known()
        pairs = [(name, x) for name, x in named_members(self) if isinstance(x, Tensor)]
        if len(tensors := dict(pairs)) < len(pairs):
            twice = {name for name, x in pairs if tensors[name] is not x}
            raise ValueError(f"{type(self).__name__}: two tensors have the same name, {twice}")
        return tensors

    def parameters(self) -> list[Tensor]:
        """Return the tensors that an optimizer trains; raise ValueError if some are not built."""
        parameters = [x for _, x in self.named_parameters()]
        if unbuilt := unbuilt_layers(self):
            who = f"{type(self).__name__}: the parameters of {', '.join(unbuilt)}"
            how = "give input_shape=(…) to the layer, or call the network with a batch first"
            raise ValueError(f"{who} do not exist yet; {how}")
        return parameters


class Dense(Layer):
    """activation(x @ kernel + bias): x (N, …, inputs), kernel (inputs, units), bias (units,).

    units: the size of the output.
    input_shape: the shape of one example. By default the first batch sets it.
    activation: None or "linear", "relu", "sigmoid", "softmax", "tanh", …, or a function.
    kernel_initializer, bias_initializer: see minigrad.initializers.
    options: kernel_regularizer, bias_constraint, …: see minigrad.regularizers.
    The layer computes in the dtype of its kernel, float32, and converts other input.

    >>> layer = Dense(2, activation="relu", input_shape=(3,))
    >>> layer(np.ones((5, 3))).shape
    (5, 2)
    >>> [name for name, _ in layer.named_parameters()]
    ['kernel', 'bias']
    """

    parameter_names = ("kernel", "bias")

    def __init__(self, units: int, activation: str | Callable[[Tensor], Tensor] | None = None, *,
                 input_shape: int | Shape | None = None, use_bias: bool = True,
                 kernel_initializer: str | Callable[..., np.ndarray] = "glorot_uniform",
                 bias_initializer: str | Callable[..., np.ndarray] = "zeros",
                 **options: Any):  # fmt: skip
        super().__init__(input_shape, **options)
        self.units = positive_int("Dense: units", units)
        self.activation: Callable = get_activation(activation)
        self.use_bias = use_bias
        self.kernel_initializer = get_initializer(kernel_initializer)
        self.bias_initializer = get_initializer(bias_initializer)

    def build(self, input_shape: Shape) -> None:
        if self.units == 1 and self.activation is softmax:
            warn_user("Dense(1, 'softmax') is always 1; use a sigmoid")
        if not input_shape:
            required = f"Dense({self.units}): input of shape (batch, features) is required"
            raise ValueError(f"{required}; pass a single example as x[None]")
        # make_parameter: Tensor(initializer(shape, self.rng), requires_grad=True)
        self.kernel = self.make_parameter(self.kernel_initializer, (input_shape[-1], self.units))
        if self.use_bias:
            self.bias = self.make_parameter(self.bias_initializer, (self.units,))

    def forward(self, x: Tensor) -> Output:
        inputs = self.kernel.shape[0]
        if x.ndim < 2 or x.shape[-1] != inputs:
            required = f"input of shape (batch, {inputs}) is required"
            raise ValueError(f"Dense({self.units}): {required}, received {x.shape}")
        x = as_dtype(x, self.kernel.dtype)
        out = linear(x, self.kernel, self.bias) if self.use_bias else x @ self.kernel
        return self.activation(out)


# ---- For advanced readers ----


# How a layer finds its members


def unbuilt_layers(layer: Layer) -> list[str]:
    """Return the names of the layers whose parameters do not exist before their first call."""
    inside = [(name, x) for name, x in named_members(layer) if isinstance(x, Layer)]
    waiting = [(name, x) for name, x in inside or [("this layer", layer)] if not x.built]
    builders = [(name, x) for name, x in waiting if type(x).build is not Layer.build]
    return [name for name, x in builders if x.trainable and not x.named_tensors()]


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
