"""What a layer does besides computing: mode, seed, penalties, constraints, saved state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from .autograd import Tensor, no_grad, primitive
from .autograd.conversion import unwrap
from .autograd.recording import set_var
from .initializers import new_rng
from .utils import TensorOrArray, mismatches, warn_user

# True inside a step of fit, False inside predict. None: each layer decides, see `training`
training_mode: ContextVar[bool | None] = ContextVar("training_mode", default=None)
# What the layers add to the loss of a step of fit; None elsewhere
activity_penalties: ContextVar[list | None] = ContextVar("activity_penalties", default=None)
# If set, called instead of a layer's forward; minigrad.graph notes the operations of each layer
forward_wrapper: ContextVar[Callable | None] = ContextVar("forward_wrapper", default=None)
# How many elements new parameters may have together; load_model sets it
parameter_budget: ContextVar[list[float] | None] = ContextVar("parameter_budget", default=None)


@contextmanager
def inference_mode() -> Iterator[None]:
    """Switch training mode and recording off within this context, in this thread."""
    with set_var(training_mode, False), no_grad():
        yield


@primitive(lambda g, _out, _x: warn_of_inference(g))
def warn_in_backward(x: Any) -> Any:
    """Return x; the backward pass through it warns."""
    return x.view()


def warn_of_inference(g: Any) -> Any:
    warn_user(
        "a gradient passes through a layer in inference mode, the default: dropout is off. Call "
        "train() on the network before the loop, or eval() to train without dropout"
    )
    return g


class LayerState:
    """Mode, seed, parameters, penalties and saved state of a layer; layer.py has the rest."""

    built = False
    starts_training = False
    has_seed = False  # True: a user gave the seed of the generator
    rng: Any = None  # a numpy.random.Generator; a model gives its own to all its layers
    dtype: Any = None  # of the parameters; None: that of the initializer's array, float32
    parameter_names: tuple[str, ...] = ()  # those that can have regularizers and constraints
    parameter_options: Mapping[str, Callable] = {}  # such as kernel_regularizer
    sublayers: Callable[[], list[Any]]
    named_tensors: Callable[[], dict[str, Tensor]]
    named_parameters: Callable[[], list[tuple[str, Tensor]]]

    # Mode

    @property
    def training(self) -> bool:
        """True in a step of `fit`, False in `predict` and `evaluate`; else what `train` has set."""
        mode = training_mode.get()
        return vars(self).get("training", self.starts_training) if mode is None else mode

    @training.setter
    def training(self, training: bool) -> None:
        vars(self)["training"] = training

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # `training = True` in a subclass would replace the property above: keep the value elsewhere
        if isinstance(start := vars(cls).get("training"), bool):
            del cls.training
            cls.starts_training = start

    def warn_if_mode_is_unset(self, x: Any) -> Any:
        """Return x; if no mode was set by train, eval or fit, a backward pass through x warns."""
        is_set = "training" in vars(self) or training_mode.get() is not None
        return x if is_set or not x.requires_grad else warn_in_backward(x)

    @property
    def trainable(self) -> bool:
        """Whether optimizers change the parameters; assigning includes the layers inside."""
        return vars(self).get("trainable", True)

    @trainable.setter
    def trainable(self, trainable: bool) -> None:
        for layer in self.sublayers():
            vars(layer)["trainable"] = bool(trainable)

    def train(self, training: bool = True) -> Self:
        """Set training mode (enables dropout), for this layer and all inside it."""
        for layer in self.sublayers():
            layer.training = training
        return self

    def eval(self) -> Self:
        """Set inference mode (disables dropout)."""
        return self.train(False)

    # Seed and parameters

    def seed(self, seed: int) -> Self:
        """Fix the parameters and the dropout of this layer and of all inside it.

        Call it before the parameters exist; later it raises RuntimeError.
        """
        if built := [type(x).__name__ for x in self.sublayers() if x.built and x.named_tensors()]:
            who = f"seed: {', '.join(built)}"
            raise RuntimeError(f"{who} has its parameters; call seed before they are made")
        rng = np.random.default_rng(seed)
        for layer in self.sublayers():
            layer.rng, layer.has_seed = rng, True
        return self

    def make_rng(self) -> None:
        """Make the random generator, and give it to the layers inside that have no seed."""
        self.rng = self.rng or new_rng()
        for layer in self.sublayers():
            if not layer.has_seed:
                layer.rng, layer.has_seed = self.rng, self.has_seed

    def make_parameter(
        self, initializer: Callable[..., np.ndarray], shape: tuple[int, ...], trainable: bool = True
    ) -> Tensor:
        """Return a new tensor; raise ValueError if the initializer returns another shape."""
        who = f"{type(self).__name__}({getattr(self, 'units', '')})"
        if budget := parameter_budget.get():
            budget[0] -= np.prod(shape, dtype=float)
        if budget and budget[0] < 0:
            raise ValueError(f"{who}: a parameter {shape} is larger than the arrays of the file")
        array = np.asarray(initializer(shape, self.rng))
        if array.shape != shape:
            required = f"{who}: the initializer must return an array of shape {shape}"
            raise ValueError(f"{required}, received {array.shape}")
        return Tensor(array if self.dtype is None else array.astype(self.dtype), trainable)

    # Penalties and constraints

    def penalty(self) -> TensorOrArray:
        """Return the sum of all penalties of regularizers; frozen parameters have none.

        `fit` adds it to the loss. In a loop of your own: loss = cross_entropy(…) + model.penalty().
        """
        regularizers = self.options_of_kind("regularizer")
        return sum(f(getattr(layer, name)) for layer, name, f in regularizers)

    def apply_constraints(self) -> None:
        """Replace each parameter w that has a constraint by constraint(w); fit calls this."""
        for layer, name, constraint in self.options_of_kind("constraint"):
            w = getattr(layer, name)
            w.data[...] = constraint(w.data)
            w.version += 1

    def options_of_kind(self, kind: str) -> Iterator[tuple[Any, str, Callable]]:
        """Yield (layer, parameter name, function) for each option of this layer and all inside it.

        kind: "regularizer" or "constraint". The options of frozen parameters are left out.
        """
        for layer in self.sublayers():
            for option, f in layer.parameter_options.items():
                name, _, its_kind = option.rpartition("_")  # kernel_regularizer
                name = "recurrent_kernel" if name == "recurrent" else name  # as in Keras
                if layer.trainable and its_kind == kind and getattr(layer, name, None) is not None:
                    yield layer, name, f

    def add_activity_penalty(self, out: Any) -> Any:
        """Add the activity regularizer's penalty, per example, to the loss of this step of fit."""
        regularizer = self.parameter_options.get("activity_regularizer")
        penalties = activity_penalties.get()
        if regularizer and penalties is not None:
            penalties.append(regularizer(out) / len(out))
        return out

    # Summary and saved state

    def layer_table(self) -> list[tuple[Any, str]]:
        """Return (layer, output shape in words) for each row of the summary."""
        return [(layer, "") for layer in self.sublayers()[1:] if not layer.sublayers()[1:]]

    def summary(self) -> str:
        """Print and return a table of the layers, their output shapes and parameter counts."""

        def size(tensors: Iterable[Tensor]) -> int:
            return sum(x.size for x in tensors)

        lines = [f"{'layer':<20}{'output':<20}{'parameters':>12}"]
        for layer, shape in self.layer_table():
            count = size(layer.named_tensors().values())
            lines.append(f"{type(layer).__name__:<20}{shape:<20}{count:>12,}")
        total = size(self.named_tensors().values())
        lines.append(f"{'total':<40}{total:>12,}")
        if fixed := total - size(x for _, x in self.named_parameters()):
            lines.append(f"{'of these not trainable':<40}{fixed:>12,}")
        print(text := "\n".join(lines))
        return text

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return copies of all tensors' arrays by name."""
        return {name: x.data.copy() for name, x in self.named_tensors().items()}

    def load_state_dict(self, state: Mapping[str, npt.ArrayLike]) -> None:
        """Write the arrays of a `state_dict` into this layer's tensors.

        Raises ValueError, and changes nothing, if names, shapes or kinds of numbers differ.
        """
        own, arrays = self.named_tensors(), {k: np.asarray(unwrap(a)) for k, a in state.items()}
        required = {name: x.data for name, x in own.items()}
        if problems := "; ".join(mismatches(arrays, required, casting="same_kind")):
            who = f"load_state_dict: the state does not fit {type(self).__name__}"
            raise ValueError(f"{who}: {problems}")
        converted = {name: arrays[name].astype(x.dtype) for name, x in own.items()}
        for name, x in own.items():
            x.data[...] = converted[name]
            x.version += 1  # the engine then notices that the data has changed
