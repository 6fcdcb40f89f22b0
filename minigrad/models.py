"""Models: layers in a row, and the loop that trains them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from . import checkpoint, losses, optimizers, plotting
from .autograd import Tensor, no_grad
from .callbacks import Callback, CallbackList
from .datasets import batches
from .layers import Layer
from .training_state import RunningMeans, TrainingState, checksum


class History:
    """What `fit` returns: `history`, lists of loss, metrics and lr, with a number an epoch."""

    def __init__(self, history: dict[str, list[float]]) -> None:
        self.history = history

    def __repr__(self) -> str:
        return "History(" + ", ".join(f"{k}: {v[-1]:.4g}" for k, v in self.history.items()) + ")"

    def plot(self, path: str | None = None) -> Any:
        """Draw every number over the epochs, also to a file if a path is given; the figure."""
        drawn = plotting.epochs(self.history)
        if path is not None:
            plotting.save(drawn, path)
        return drawn


class Sequential(Layer):
    """Layers in a row: the output of each is the input of the next. Keras's shape, from NumPy.

    layers: may also be added one by one with `add`.
    seed: fixes all that is random (initial parameters, shuffling, dropout): the same seed gives the
    same bits.

    >>> from minigrad.layers import Dense
    >>> x = np.linspace(-1, 1, 64)[:, None]
    >>> model = Sequential([Dense(1, input_shape=(1,))], seed=0)
    >>> model.compile(optimizers.SGD(lr=0.1), loss="mean_squared_error")
    >>> history = model.fit(x, 2 * x + 1, epochs=100, verbose=0)
    >>> model.predict([[3.0]]).round(2)
    array([[7.]], dtype=float32)
    """

    def __init__(self, layers: Iterable[Layer] = (), seed: int | None = None):
        super().__init__()
        self.rng = np.random.default_rng(seed)
        self.layers: list[Layer] = []
        self.optimizer: Any = None
        self.loss: Any = None
        self.metrics: dict[str, Callable] = {}
        self.training_state: Any = None  # of the last training, as its callbacks
        self.callbacks: Any = None
        self.stop_training = False
        if isinstance(layers, Layer):
            raise TypeError(f"Sequential: a list of layers is required; write [{layers!r}]")
        for layer in layers:
            self.add(layer)

    def add(self, layer: Layer) -> None:
        """Append a layer; where the input's shape is known, its parameters are made at once."""
        if not isinstance(layer, Layer) or self in layer.sublayers():
            raise TypeError(
                f"Sequential: a layer such as Dense(10) is required, received {layer!r}"
            )
        for part in layer.sublayers():
            part.rng = self.rng
        with self.rollback_on_error():
            self.layers = [*self.layers, layer]
            if len(self.layers) == 1:
                self.input_shape = layer.input_shape
            if self.input_shape is not None:
                self.build(self.input_shape)
        self.optimizer = None

    def build(self, input_shape: tuple[int, ...]) -> None:
        self.output_shapes(input_shape)
        self.input_shape, self.built = input_shape, True

    def output_shapes(self, input_shape: tuple[int, ...]) -> list[tuple[int, ...]]:
        """The shape of each layer's output for one example of this shape."""
        x, shapes = Tensor(np.zeros((1, *input_shape), np.float32)), []
        with self.inference_mode():
            for layer in self.layers:
                x = layer(x)
                shapes.append(x.shape[1:])
        return shapes

    @contextmanager
    def inference_mode(self) -> Iterator[None]:
        """Without what happens in training alone: dropout, recording."""
        training = self.training
        self.eval()
        try:
            with no_grad():
                yield
        finally:
            self.train(training)

    @contextmanager
    def rollback_on_error(self) -> Iterator[None]:
        """What is built in here is as before if it ends in an error; so are the random numbers."""
        before = [(layer, dict(vars(layer))) for layer in self.sublayers()]
        drawn = self.rng.bit_generator.state
        try:
            yield
        except BaseException:
            for layer, attributes in before:
                vars(layer).clear()
                vars(layer).update(attributes)
            self.rng.bit_generator.state = drawn
            raise

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x

    # Training

    def compile(self, optimizer: Any = "rmsprop", loss: Any = None, metrics: Any = ()) -> None:
        """Say how to train: by names or objects (optimizers.available(), the tables in losses)."""
        if loss is None:
            raise ValueError('compile: a loss is required, such as loss="categorical_crossentropy"')
        optimizer, loss = optimizers.get(optimizer), losses.get(loss)
        metrics = [metrics] if isinstance(metrics, str) or callable(metrics) else metrics or ()
        named: dict[str, Callable] = {}
        for metric in metrics:
            function = losses.get_metric(metric)
            name = metric if isinstance(metric, str) else getattr(metric, "__name__", repr(metric))
            if name in named or name == "loss":
                raise ValueError(f"compile: metrics need names of their own; {name!r} is taken")
            named[name] = function
        self.optimizer, self.loss, self.metrics = optimizer, loss, named

    def train_on_batch(self, x: Any, y: Any) -> dict[str, float]:
        """One step of the optimizer on one batch; the loss and metrics from before it."""
        prediction = self(x)
        if not self.optimizer.parameters:
            self.optimizer.bind(self.named_parameters())
        loss = self.loss(prediction, y)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return self.compute_metrics(loss, prediction, y)

    def compute_metrics(self, loss: Tensor, prediction: Tensor, y: Any) -> dict[str, float]:
        numbers = {"loss": loss.item()}
        with no_grad():
            for name, metric in self.metrics.items():
                numbers[name] = float(metric(prediction, y))
        return numbers

    def fit(
        self,
        x: Any,
        y: Any,
        batch_size: int = 32,
        epochs: int = 1,
        verbose: int = 1,
        validation_split: float = 0.0,
        validation_data: tuple[Any, Any] | None = None,
        shuffle: bool = True,
        callbacks: Callback | Iterable[Callback] | None = None,
        resume: str | Path | None = None,
    ) -> History:
        """Train for some epochs; the history of loss, metrics (means over each epoch) and lr.

        x, y: examples and targets, (N, …) each, of finite numbers.
        verbose: 1 for a progress bar (a line an epoch without a terminal), 2 for lines, 0 for none.
        validation_split: this share of the examples, drawn at random, is not trained on but
        measured after each epoch; validation_data=(x, y) gives such examples instead.
        callbacks: see minigrad.callbacks.
        resume: a checkpoint, or a folder of them, of a training with the same arguments: go on from
        there until there are `epochs` in all, as if there had been no interruption, bit for bit.
        The optimizer's hyperparameters are the checkpoint's, too; layers' options are not in it.

        Ctrl-C ends the training after its batch, saves if there is a ModelCheckpoint, and returns
        the history so far; a second Ctrl-C raises KeyboardInterrupt at once.

        The same seed gives the same bits in every run on a machine, with or without bar,
        checkpoints, `python -O` or other threads. That is not promised for another processor,
        another BLAS or another number of its threads, which add in other orders.
        """
        if not isinstance(epochs, (int, np.integer)) or epochs < 0:
            raise ValueError(f"fit: epochs must be 0 or more, received {epochs!r}")
        x, y = self.validate_data("fit", x, y, batch_size)
        if validation_data is not None:
            if not isinstance(validation_data, (tuple, list)) or len(validation_data) != 2:
                raise ValueError("fit: validation_data must be a pair (x, y)")
            validation_data = self.validate_data(
                "fit: validation_data", *validation_data, batch_size
            )
            validation_split = 0.0
        callbacks = [callbacks] if isinstance(callbacks, Callback) else callbacks or ()
        names = ["loss", *self.metrics]
        if validation_split or validation_data is not None:
            names += [f"val_{name}" for name in names]
        loss = getattr(self.loss, "__name__", type(self.loss).__name__)
        crc = checksum(x, y, *(validation_data or ()))
        names += ["lr"]
        progress = TrainingState(len(x), batch_size, shuffle, validation_split, loss, crc, names)
        held = progress.validation_size
        self.dry_run((x, y), validation_data or (x, y))
        hooks = self.begin(progress, callbacks, resume)
        if held:
            order = progress.rng(0).permutation(len(x))
            kept, left_out = np.sort(order[held:]), np.sort(order[:held])
            x, y, validation_data = x[kept], y[kept], (x[left_out], y[left_out])
        bar = verbose in (1, "auto") and sys.stderr.isatty()
        logs: dict[str, float] = {}
        with hooks:
            hooks("on_train_begin", {})
            while progress.epoch < epochs and not self.stop_training:
                epoch, title = progress.epoch, f"epoch {progress.epoch + 1}/{epochs}"
                data = batches(x, y, batch_size, progress.rng(epoch + 1), shuffle)
                self.train_epoch(data, title, bar)
                if progress.batch < len(data):
                    break  # asked to stop on the way
                logs = progress.means.numbers()
                if validation_data is not None:
                    measured = self.evaluate_batches(validation_data, batch_size)
                    logs |= {f"val_{name}": number for name, number in measured.items()}
                if verbose and (not bar or validation_data is not None):
                    numbers = ", ".join(f"{k} {v:.4f}" for k, v in logs.items())
                    print(f"{title}: {numbers}", flush=True)
                logs["lr"] = self.optimizer.lr
                progress.finish_epoch(logs)
                hooks("on_epoch_end", epoch, logs)
            hooks("on_train_end", logs)
        return History(progress.history)

    def begin(
        self, progress: TrainingState, callbacks: Iterable[Callback], resume: Any
    ) -> CallbackList:
        """Take up a training, at its beginning or where the checkpoint stands."""
        hooks = CallbackList(callbacks, self)
        if resume is None:
            hooks.load_state_dict({})
            progress.seed = int(self.rng.integers(2**63))
        else:
            content = checkpoint.read(resume)
            progress.resume(content["progress"])
            checkpoint.apply(content, self, self.optimizer, callbacks=hooks)
        self.optimizer.zero_grad()  # a step that broke off may have left some
        self.training_state, self.callbacks, self.stop_training = progress, hooks, False
        return hooks

    def train_epoch(self, data: batches, title: str, bar: bool) -> None:
        """Go through what is left of the epoch, until its end or until asked to stop."""
        self.train()
        progress, hooks = self.training_state, self.callbacks
        if not progress.batch:
            hooks("on_epoch_begin", progress.epoch, {})
        with tqdm(total=len(data), initial=progress.batch, desc=title, disable=not bar) as steps:
            for x, y in islice(data, progress.batch, None):
                hooks("on_batch_begin", progress.batch, {})
                logs = self.train_on_batch(x, y)
                progress.means.add(logs, len(x))
                progress.batch += 1
                if bar:
                    steps.set_postfix(progress.means.numbers(), refresh=False)
                    steps.update()
                hooks("on_batch_end", progress.batch - 1, logs)
                if self.stop_training:
                    break

    def validate_data(self, who: str, x: Any, y: Any, size: Any) -> tuple[np.ndarray, np.ndarray]:
        """x and y as arrays of finite numbers, of the same length, for batches of this size."""
        if self.optimizer is None or self.loss is None or not self.layers:
            raise RuntimeError(
                f"{who}: add layers, then say how to train: model.compile(optimizer=…, loss=…)"
            )
        x, y = np.asarray(x), np.asarray(y)
        for name, array in (("x", x), ("y", y)):
            if array.dtype.kind not in "fbiu" or not array.ndim:
                raise TypeError(
                    f"{who}: {name} must be an array of numbers with an example a row, "
                    f"received shape {array.shape}, {array.dtype}"
                )
            with np.errstate(over="ignore", invalid="ignore"):
                finite = np.isfinite(array.sum()) or np.isfinite(array).all()
            if not finite:
                bad = np.unique(np.argwhere(~np.isfinite(array))[:, 0])
                raise ValueError(
                    f"{who}: {name} must be finite; received NaN or infinity in {len(bad)} rows, "
                    f"the first of them row {bad[0]}"
                )
        batches(x, y, size, shuffle=False)  # compares the lengths, and refuses a batch_size
        return x, y

    def dry_run(self, *data: tuple[np.ndarray, np.ndarray]) -> None:
        """Make the parameters, if that is still to do, and hand them to the optimizer.

        A few rows go through first, those of the least and greatest label among them: what does not
        fit raises here, before anything has changed.
        """
        with self.rollback_on_error():
            for x, y in data:
                rows = [0, int(y.argmin()), int(y.argmax())] if y.ndim == 1 else [0]
                self.evaluate_batches((x[rows], y[rows]), len(rows))
        self.optimizer.bind(self.named_parameters())

    # Files

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        if not (self.callbacks and self.callbacks.running):
            self.training_state = None  # that of the weights that were there before

    def save(self, path: str | Path, keep: int = 3) -> Path:
        """Save weights, optimizer, generator and where `fit` stands: see checkpoint.save."""
        optimizer = self.optimizer if self.optimizer and self.optimizer.parameters else None
        at = asdict(self.training_state) if self.training_state else {}
        return checkpoint.save(path, self, optimizer, callbacks=self.callbacks, keep=keep, **at)

    def load(self, path: str | Path) -> None:
        """Take over what `save` wrote, with the optimizer's state if this model is compiled.

        What doesn't fit this model raises CheckpointError, and nothing has changed.
        """
        if self.built and self.optimizer is not None:
            self.optimizer.bind(self.named_parameters())
        checkpoint.load(path, self, self.optimizer)

    def save_weights(self, path: str | Path) -> None:
        """Save the parameters alone, as an .npz file."""
        checkpoint.write(Path(path), {"model": self.state_dict()})

    def load_weights(self, path: str | Path) -> None:
        """Take over the parameters, and nothing else, of a file of `save_weights` or `save`."""
        checkpoint.apply({"model": checkpoint.read(path)["model"]}, self)

    # Use

    def evaluate_batches(self, data: tuple[Any, Any], batch_size: int) -> dict[str, float]:
        """The loss and metrics on these examples, in use (no dropout)."""
        means = RunningMeans()
        with self.inference_mode():
            for xs, ys in batches(*data, batch_size, shuffle=False):
                prediction = self(xs)
                loss = self.loss(prediction, ys)
                if not isinstance(loss, Tensor) or loss.size != 1:
                    raise TypeError(
                        f"the loss must be a Tensor of one number, received {loss!r:.80}"
                    )
                means.add(self.compute_metrics(loss, prediction, ys), len(xs))
        return means.numbers()

    def evaluate(self, x: Any, y: Any, batch_size: int = 512, verbose: int = 0) -> Any:
        """The loss; with metrics, a list of the loss and each of them, as in Keras."""
        data = self.validate_data("evaluate", x, y, batch_size)
        numbers = list(self.evaluate_batches(data, batch_size).values())
        return numbers if self.metrics else numbers[0]

    def predict(self, x: Any, batch_size: int = 512) -> np.ndarray:
        """The model's output for each example, as an array (N, …)."""
        with self.inference_mode():
            parts = [self(rows).data for rows in batches(x, None, batch_size, shuffle=False)]
        return np.concatenate(parts)

    def summary(self) -> str:
        """A table of the layers, their output shapes and numbers of parameters; also printed."""
        if self.input_shape is None:
            raise RuntimeError(
                "summary: the input's shape is not known; give input_shape=… to the first layer"
            )
        lines = [f"{'layer':<16}{'output':<20}{'parameters':>12}"]
        for layer, shape in zip(self.layers, self.output_shapes(self.input_shape)):
            count = sum(p.size for p in layer.parameters())
            lines.append(f"{type(layer).__name__:<16}{('N', *shape)!s:<20}{count:>12,}")
        lines.append(f"{'in all':<36}{sum(p.size for p in self.parameters()):>12,}")
        text = "\n".join(lines)
        print(text)
        return text
