"""keras.models: Sequential, Model with subclasses and functional models, load_model."""

import json
from contextlib import suppress
from typing import Any

import numpy as np

from .. import layers as native
from .. import losses as native_losses
from .. import saving
from ..layer_state import inference_mode
from ..model import Model as NativeModel
from ..models import Sequential as NativeSequential
from ..models import load_model
from ..training_data import is_stream
from . import losses, optimizers
from .backend import as_floatx, floatx, getattr_for
from .callbacks import Callback, LearningRateScheduler, ReduceLROnPlateau
from .layers import Input, InputLayer, Layer, Merge, Symbol
from .metrics import get as get_metric

__all__ = ["Input", "Model", "Sequential", "clone_model", "load_model", "model_from_json",
           "save_model"]  # fmt: skip


class ExtraLogs(Callback):
    """Collect what other callbacks write into the logs of an epoch, for the history."""

    def __init__(self) -> None:
        self.found: dict[str, list[float]] = {}

    def on_epoch_end(self, epoch: int, logs: Any) -> None:
        for name in logs.keys() - {*self.model.training_state.logged}:
            self.found.setdefault(name, []).append(logs[name])


class Model(Layer, NativeModel):
    """A model: subclass it and define call(self, x), or give inputs and outputs."""

    logs_running_means = True

    def __new__(cls, *args: Any, **options: Any) -> Any:
        if cls is Model and (args or "inputs" in options):
            return super().__new__(Functional)
        return super().__new__(cls)

    def __init__(self, name: str | None = None, trainable: bool = True):
        Layer.__init__(self, name=name, trainable=trainable)
        self.history: Any = None

    def compile(self, optimizer: Any = "rmsprop", loss: Any = None, loss_weights: Any = None,
                metrics: Any = None, weighted_metrics: Any = None, run_eagerly: bool = False,
                steps_per_execution: int = 1, jit_compile: Any = "auto",
                auto_scale_loss: bool = True) -> None:  # fmt: skip
        """Set optimizer, loss and metrics; the other options change no number.

        jit_compile=True compiles the optimizer's step if numba is installed.
        """
        loss = loss[0] if isinstance(loss, list) and len(loss) == 1 else loss
        if loss_weights is not None or isinstance(loss, (list, dict)):
            raise ValueError("compile supports one output and one loss, without loss_weights")
        metrics = [metrics] if isinstance(metrics, str) else metrics
        given = {"loss": loss, "metrics": [*(metrics or ()), *(weighted_metrics or ())]}
        found = [*map(get_metric, metrics or ())]
        for metric in map(get_metric, weighted_metrics or ()):
            metric.is_weighted = True
            if any(native_losses.name_of(metric) == native_losses.name_of(m) for m in found):
                metric.__name__ = f"weighted_{metric.__name__}"
            found.append(metric)
        optimizer = optimizers.get(optimizer)
        if jit_compile is True:
            with suppress(ImportError):
                optimizer.compile(strict=False)
        super().compile(optimizer, losses.get(loss), found)
        self.compiled_with = given

    @property
    def metrics_names(self) -> list[str]:
        """The names of what evaluate returns, as in Keras 2."""
        return ["loss", *self.metrics]

    def __getattr__(self, name: str) -> Any:
        if name == "layers":  # of a subclass
            return [x for x in vars(self).values() if isinstance(x, native.Layer)]
        return super().__getattr__(name)

    def build(self, input_shape: Any) -> None:
        """Make the weights for examples of this shape; a first None stands for the batch."""
        shape = tuple(input_shape)[1:] if None in tuple(input_shape)[:1] else tuple(input_shape)
        super().build(shape)
        if not self.built and "layers" not in vars(self):  # a subclass: its call makes the weights
            with inference_mode():
                self(np.zeros((1, *shape), floatx()))

    def pack(self, x: Any) -> Any:
        """Return x with floats of dtype floatx; an iterable of batches as it is."""
        if x is None or is_stream(x):
            return x
        if isinstance(x, (list, tuple)) and len(x) == 1 and np.ndim(x[0]) > 1:
            x = x[0]
        return as_floatx(x)

    def examples(self, who: str, batch_size: Any, x: Any, *rest: Any, **named: Any) -> Any:
        return super().examples(who, batch_size, self.pack(x), *rest, **named)

    def fit(self, x: Any = None, y: Any = None, batch_size: int | None = None, epochs: int = 1,
            verbose: Any = "auto", callbacks: Any = None, validation_split: float = 0.0,
            validation_data: Any = None, shuffle: bool = True, class_weight: Any = None,
            sample_weight: Any = None, initial_epoch: int = 0, steps_per_epoch: int | None = None,
            validation_steps: int | None = None, validation_batch_size: int | None = None,
            validation_freq: int = 1, nb_epoch: int | None = None) -> Any:  # fmt: skip
        """Train; return the History, which is also `model.history`."""
        if validation_freq != 1:
            raise ValueError("fit: validation_freq must be 1: every epoch is validated")
        is_one = isinstance(callbacks, Callback | type)
        callbacks = [callbacks] if is_one else [*(callbacks or ())]
        extra = ExtraLogs()
        history = super().fit(
            x, y, batch_size, nb_epoch or epochs, verbose, [*callbacks, extra], validation_split,
            validation_data, shuffle, class_weight, sample_weight, initial_epoch, steps_per_epoch,
            validation_steps,
        )  # fmt: skip
        logs = history.history | extra.found
        rates = logs.pop("lr", [])
        names = sorted(logs, key=lambda name: (name.startswith("val_"), name))
        history.history = {name: logs[name] for name in names}
        if any(isinstance(c, LearningRateScheduler | ReduceLROnPlateau) for c in callbacks):
            history.history["learning_rate"] = rates  # Keras logs it only with these callbacks
        self.history = history
        return history

    def evaluate(self, x: Any = None, y: Any = None, batch_size: int | None = None,
                 verbose: Any = "auto", sample_weight: Any = None, steps: int | None = None,
                 callbacks: Any = None, return_dict: bool = False) -> Any:  # fmt: skip
        """Return the loss, or [loss, *metrics]; as a dict if return_dict."""
        if callbacks:
            raise ValueError("evaluate: callbacks are not called here; give them to fit")
        size = batch_size or 32  # a metric of a user can depend on it
        numbers = super().evaluate(x, y, size, sample_weight=sample_weight, steps=steps)
        return dict(zip(self.metrics_names, np.ravel(numbers).tolist())) if return_dict else numbers

    def predict(self, x: Any, batch_size: int | None = None, verbose: Any = "auto",
                steps: int | None = None, callbacks: Any = None) -> np.ndarray:  # fmt: skip
        """Return the outputs, an array (N, …)."""
        if callbacks:
            raise ValueError("predict: callbacks are not called here; give them to fit")
        is_packed = is_stream(x) and not isinstance(x, dict)
        return super().predict(x if is_packed else self.pack(x), batch_size, steps)

    def train_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None,
                       class_weight: Any = None, return_dict: bool = False) -> Any:  # fmt: skip
        """Take one step; return the loss, or [loss, *metrics], from before the step."""
        numbers = super().train_on_batch(self.pack(x), y, sample_weight, class_weight)
        if return_dict:
            return numbers
        return [*numbers.values()] if self.metrics else numbers["loss"]

    def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None,
                      return_dict: bool = False) -> Any:  # fmt: skip
        return self.evaluate(x, y, len(x), 0, sample_weight, return_dict=return_dict)

    def predict_on_batch(self, x: Any) -> np.ndarray:
        return self.predict(x, len(x))

    predict_proba = predict  # Keras 2

    def predict_classes(self, x: Any, batch_size: int | None = None) -> np.ndarray:
        """Return class numbers, as in Keras 2."""
        p = self.predict(x, batch_size)
        return p.argmax(axis=-1) if p.shape[-1] > 1 else (p > 0.5).astype("int32")

    def get_layer(self, name: str | None = None, index: int | None = None) -> Any:
        layers = vars(self).get("layers") or self.sublayers()[1:]
        if index is not None:
            return layers[index]
        by_name = {layer.name: layer for layer in layers}
        if name not in by_name:
            raise ValueError(f"get_layer: there is no layer {name!r}, only {', '.join(by_name)}")
        return by_name[name]

    def to_json(self, **_: Any) -> str:
        """Return the architecture; model_from_json makes the model again."""
        return json.dumps(saving.to_config(self))

    def summary(self, *_: Any, **__: Any) -> None:
        """Print the layers, output shapes and numbers of parameters."""
        super().summary()

    @property
    def output_shape(self) -> Any:
        shape = self.input_shape
        return None if shape is None else self.compute_output_shape((None, *shape))


class Sequential(Model, NativeSequential):
    """A stack of layers."""

    def __init__(self, layers: Any = (), trainable: bool = True, name: str | None = None):
        if isinstance(layers, Layer):
            raise TypeError("Sequential: a list of layers is required; write Sequential([a, b, …])")
        super().__init__(name, trainable)
        self.layers = []
        for layer in layers or ():
            self.add(layer)

    def add(self, layer: Any) -> None:
        if isinstance(layer, Symbol):
            layer = layer.layer
        if isinstance(layer, InputLayer):  # Keras leaves it out of model.layers
            self.input_shape = layer.input_shape
            return
        NativeSequential.add(self, layer)
        if self.input_shape is not None:  # the symbols of a functional model, for model.output
            if len(self.layers) == 1:
                self.input = self.output = Input(self.input_shape)
            self.output = layer(self.output)
        self.inputs, self.outputs = [vars(self).get("input")], [vars(self).get("output")]

    def pop(self) -> None:
        """Remove the last layer; compile again."""
        self.layers, self.optimizer = self.layers[:-1], None
        self.output: Any = self.layers[-1].output if self.layers else self.input
        self.outputs = [self.output]

    def get_config(self) -> dict[str, Any]:
        return {"layers": self.layers, "name": self.name}


class Functional(Model):
    """A model from its inputs to its output, a graph of layers."""

    def __init__(self, inputs: Any, outputs: Any, name: str | None = None):
        super().__init__(name)
        self.inputs = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
        outputs = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
        if len(outputs) > 1:
            raise ValueError("Model supports one output; make a model for each output")
        self.output, self.outputs = outputs[0], outputs
        self.order: list[Symbol] = []  # all symbols, in the order of computation
        self.collect(self.output)
        depth = {self.output: 0}  # the longest way to the output; Keras sorts the layers by it
        for s in reversed(self.order):
            for source in s.inputs:
                depth[source] = max(depth.get(source, 0), depth[s] + 1)
        by_depth = sorted(self.order, key=lambda s: -depth[s])
        self.layers = list({id(s.layer): s.layer for s in by_depth}.values())
        self.input = inputs
        if missing_inputs := [s for s in self.order if not s.inputs and s not in self.inputs]:
            raise ValueError(f"Model: inputs must name {missing_inputs[0].layer.name}, too")
        self.sizes = [int(np.prod(s.shape[1:])) for s in self.inputs]
        one = len(self.inputs) == 1
        self.input_shape = self.inputs[0].shape[1:] if one else (sum(self.sizes),)
        self.make_rng()
        self.built = True

    def collect(self, symbol: Symbol) -> None:
        """Append the symbols that this one depends on, then itself: the order of computation."""
        for source in symbol.inputs:
            if source not in self.order:
                self.collect(source)
        self.order.append(symbol)

    def pack(self, x: Any) -> Any:
        """Return several inputs as the columns of one array; forward splits them."""
        if isinstance(x, dict):
            names = [s.layer.name for s in self.inputs]
            if sorted(x) != sorted(names):
                raise ValueError(f"{self.name}: the inputs are {names}, received {sorted(x)}")
            x = [x[name] for name in names]
        if len(self.inputs) == 1 or x is None or hasattr(x, "__array__"):
            return super().pack(x)
        parts = [np.reshape(part, (len(part), -1)) for part in x]
        if [part.shape[1] for part in parts] != self.sizes:
            raise ValueError(f"{self.name}: inputs of {self.sizes} numbers are required")
        return as_floatx(np.concatenate(parts, axis=1))

    def forward(self, x: Any, *_: Any) -> Any:
        parts = [x] if len(self.inputs) == 1 else np.split(x, np.cumsum(self.sizes)[:-1], axis=1)
        known = {s: np.reshape(p, (len(x), *s.shape[1:])) for s, p in zip(self.inputs, parts)}
        for s in self.order:
            if s.inputs:
                several = len(s.inputs) > 1 or isinstance(s.layer, Merge)
                values = [known[source] for source in s.inputs]
                known[s] = s.layer(values if several else values[0], training=s.training)
        return known[self.output]

    def get_config(self) -> dict[str, Any]:
        raise ValueError("a functional model cannot be saved; use save_weights")


saving.CLASSES |= {"keras.Sequential": Sequential, "keras.Functional": Functional}


def model_from_json(text: str, custom_objects: Any = None) -> Any:
    """Make the model that to_json described, with new weights."""
    return saving.from_config(json.loads(text), custom_objects or {})


def save_model(model: Any, filepath: Any) -> None:
    model.save(filepath)


def clone_model(model: Any) -> Any:
    """Return a model with the same layers and new weights."""
    return saving.from_config(saving.to_config(model), {})


__getattr__ = getattr_for("keras.models", __all__)
