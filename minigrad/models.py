"""Sequential models, and load_model. model.py has what all models can do, such as fit."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from . import checkpoint, optimizers, saving
from .autograd import Tensor
from .autograd.recording import set_var
from .layer import Layer
from .layer_state import inference_mode, parameter_budget
from .model import Model
from .trainer import History

__all__ = ["History", "Model", "Sequential", "inference_mode", "load_model"]


@saving.register
class Sequential(Model):
    """A stack of layers: the output of each is the input of the next. The API is Keras's.

    layers: layers can also be added later with `add`.
    seed: see Model. A Sequential inside this one that knows its input shape already has its
    parameters: give it a seed of its own.

    >>> from minigrad.layers import Dense
    >>> x = np.linspace(-1, 1, 64)[:, None]
    >>> model = Sequential([Dense(1, input_shape=(1,))], seed=0)
    >>> model.compile(optimizers.SGD(lr=0.1), loss="mean_squared_error")
    >>> history = model.fit(x, 2 * x + 1, epochs=100, verbose=0)
    >>> model.predict([[3.0]]).round(2)
    array([[7.]], dtype=float32)
    """

    def __init__(self, layers: Iterable[Layer] = (), seed: int | None = None):
        if isinstance(layers, Layer) or isinstance(seed, Layer):
            raise TypeError("Sequential: a list of layers is required; write Sequential([a, b, …])")
        super().__init__(seed)
        self.layers: list[Layer] = []
        for layer in layers:
            self.add(layer)

    def add(self, layer: Layer) -> None:
        """Append a layer, and build it if the input shape is known. Compile again after it."""
        if not isinstance(layer, Layer) or self in layer.sublayers():
            raise TypeError(f"Sequential: a layer such as Dense(10) is required, not {layer!r}")
        with self.rollback_on_error():
            self.layers = [*self.layers, layer]
            self.make_rng()
            if len(self.layers) == 1:
                self.input_shape = layer.input_shape or self.input_shape
            if self.input_shape is not None:
                self.build(self.input_shape)
        self.optimizer = None

    def build(self, input_shape: tuple[int, ...]) -> None:
        self.output_shapes(input_shape)
        self.input_shape, self.built = input_shape, True

    def output_shapes(self, input_shape: tuple[int, ...]) -> list[tuple[int, ...]]:
        """Return the output shape of each layer for one example of this shape."""
        x, shapes = Tensor(np.zeros((0, *input_shape), np.float32)), []
        with inference_mode(), np.errstate(all="ignore"):
            for layer in self.layers:
                x = layer(x)
                shapes.append(x.shape[1:])
        return shapes

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x

    def layer_table(self) -> list[tuple[Layer, str]]:
        if self.input_shape is None:
            return [(layer, "not known yet") for layer in self.layers]
        shapes = self.output_shapes(self.input_shape)
        return [(layer, str(("N", *shape))) for layer, shape in zip(self.layers, shapes)]


def load_model(path: str | Path, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """Make a model from a file of `model.save`, with its weights and its optimizer's state.

    custom_objects: classes and functions of your own by name, if minigrad.saving.register has not
    registered them. Nothing of the file is executed. A damaged file raises CheckpointError.
    The model is compiled as before, if its loss and metrics are names or registered functions.

    >>> import tempfile
    >>> from minigrad.layers import Dense
    >>> model = Sequential([Dense(2, "relu", input_shape=(3,))])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     same = load_model(model.save(folder + "/model.npz"))
    >>> np.array_equal(same.predict(np.eye(3)), model.predict(np.eye(3)))
    True
    """
    checkpoint.refuse_other_format(path)
    content = checkpoint.read(path)
    with checkpoint.checkpoint_errors(f"the architecture in {path}"):
        only_weights = "the file holds only weights; give a file that model.save wrote"
        described = content.get("architecture", {"error": only_weights})
        if "error" in described:
            how = "make the model and call load_weights"
            raise checkpoint.CheckpointError(f"{described['error']}; or {how}")
        custom = custom_objects or {}
        budget = [float(sum(x.size for x in content["model"].values()))]
        with set_var(parameter_budget, budget):
            model = saving.from_config(described["model"], custom)
            if not isinstance(model, Model):
                raise checkpoint.CheckpointError("it describes no model")
            if (shape := described["input_shape"]) is not None:
                with inference_mode(), np.errstate(all="ignore"):
                    model(np.zeros((0, *shape), np.float32))
        if compiled := described.get("compile"):
            loss, metrics = (saving.from_config(compiled[k], custom) for k in ("loss", "metrics"))
            name: Any = compiled["optimizer"]  # of a wrapper a list, see optimizers.name_of
            made = name if isinstance(name, str) else optimizers.from_name(name)
            model.compile(optimizer=made, loss=loss, metrics=metrics)
    optimizer: Any = model.optimizer if "optimizer" in content else None
    if optimizer is not None:
        optimizer.bind(model.named_parameters())
    checkpoint.restore(content, model, optimizer)
    return model
