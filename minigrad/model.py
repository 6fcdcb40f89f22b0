"""Model: compile, fit, evaluate, predict, save. trainer.py has the training loop."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from . import checkpoint, losses, optimizers, saving, training_data
from .autograd import Tensor
from .autograd.recording import set_var
from .callback_list import CallbackList
from .callbacks import Callback, Logs
from .datasets import batches
from .initializers import new_rng
from .layer import Layer, unbuilt_layers
from .layer_state import activity_penalties, inference_mode, training_mode
from .losses import compute_metrics, finish_metrics
from .trainer import History, Trainer
from .training_data import Stream, example_weights, is_stream, match_target, parts_of
from .training_state import RunningMeans, TrainingState, checksum
from .utils import to_numbers

Metrics: TypeAlias = Any  # a name or a function, or a list of them: see losses.get_metric
AnyOptimizer: TypeAlias = optimizers.Optimizer | optimizers.Wrapper


class Model(Layer):
    """A layer that trains: it has compile, fit, evaluate, predict and save, as in Keras.

    For a network of your own layers, define `__init__` and `forward`:

    >>> from minigrad.layers import Dense
    >>> class Residual(Model):
    ...     def __init__(self, seed=None):
    ...         super().__init__(seed)
    ...         self.hidden, self.out = Dense(8, "tanh"), Dense(1)
    ...     def forward(self, x):
    ...         return self.out(self.hidden(x)) + x
    >>> model = Residual(seed=0)
    >>> model.compile("adam", "mse")
    >>> history = model.fit([[0.0], [1.0]], [[1.0], [3.0]], epochs=2, verbose=0)

    seed: fixes initial parameters, shuffling and dropout; the same seed gives the same bits.
    `np.random.seed` has no effect on them.
    """

    logs_running_means = False  # True: on_batch_end gets the means over the epoch so far (Keras)

    def __init__(self, seed: int | None = None):
        super().__init__()
        self.rng, self.has_seed = new_rng(seed), seed is not None
        self.optimizer: Any = None
        self.loss: Any = None
        self.metrics: dict[str, Callable] = {}
        self.compiled_with: dict[str, Any] = {}
        self.training_state: TrainingState | None = None  # of the last training
        self.callbacks: CallbackList | None = None  # of the last training
        self.stop_training = False
        self.has_parameter_options = False  # regularizers or constraints

    def build(self, input_shape: tuple[int, ...]) -> None:
        self.input_shape = input_shape

    @contextmanager
    def rollback_on_error(self) -> Iterator[None]:
        """Restore layers and RNG if the block raises."""
        saved = [(layer, dict(vars(layer))) for layer in self.sublayers()]
        rng_state = self.rng.bit_generator.state
        try:
            yield
        except BaseException:
            for layer, attributes in saved:
                vars(layer).clear()
                vars(layer).update(attributes)
            self.rng.bit_generator.state = rng_state
            raise

    def compile(self, optimizer: str | optimizers.Rule | AnyOptimizer = "rmsprop",
                loss: str | Callable | None = None, metrics: Metrics = ()) -> None:  # fmt: skip
        """Set optimizer, loss and metrics, as names or objects: see optimizers.get and losses.

        A loss or metric of your own is called f(y_true, y_pred), as in Keras and scikit-learn. A
        loss returns a number, or one for each example. A metric receives arrays. In training they
        are those of one batch, and the logs hold the mean over the batches. In `evaluate` and in
        the validation they are those of all examples. minigrad's own functions can be passed, too.
        """
        if "compiled_with" not in vars(self):
            raise RuntimeError(f"{type(self).__name__}.__init__: call super().__init__() first")
        if loss is None:
            raise ValueError('compile: a loss is required, such as loss="categorical_crossentropy"')
        by_name = losses.metrics_by_name(metrics)
        self.optimizer, self.loss = optimizers.get(optimizer), losses.get_loss(loss)
        self.metrics = by_name
        self.compiled_with = {"loss": loss, "metrics": metrics}

    def train_on_batch(self, x: npt.ArrayLike, y: npt.ArrayLike,
                       sample_weight: npt.ArrayLike | None = None,
                       class_weight: Mapping[int, float] | None = None) -> Logs:  # fmt: skip
        """Take one optimizer step; return the loss and metrics from before the step."""
        self.require_compiled("train_on_batch")
        x = x if isinstance(x, Tensor) else self.as_input(np.asarray(x))
        if not self.built or unbuilt_layers(self):
            with inference_mode():
                self(x)
        self.optimizer.bind(self.named_parameters())
        weight = example_weights("train_on_batch", y, sample_weight, class_weight)
        return finish_metrics(self.metrics, self.train_step(x, y, weight))

    def train_step(self, x: Any, y: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Take a step with a bound optimizer; return the numbers for finish_metrics."""
        if (ranks := getattr(self.optimizer, "ranks", 1)) > 1:  # see minigrad.distributed
            x, y, sample_weight = self.optimizer.share(x, y, sample_weight)
        numbers: list[Any] = []

        def closure() -> Any:
            with set_var(training_mode, True):
                loss, prediction, target = self.loss_of(x, y, sample_weight)
            if not numbers:  # the first call of several
                metrics = compute_metrics(self.metrics, prediction, target, sample_weight)
                numbers.extend([loss.item(), *metrics.values()])
            loss.backward()
            return loss if ranks == 1 else numbers

        try:
            result = self.optimizer.step(closure)
        finally:
            self.optimizer.zero_grad()
            if ranks > 1:
                self.optimizer.share()
        if self.has_parameter_options:
            self.apply_constraints()
        return dict(zip(["loss", *self.metrics], numbers if ranks == 1 else result))

    def loss_of(self, x: Any, y: Any, sample_weight: Any = None) -> tuple[Tensor, Tensor, Any]:
        """Return the loss with all penalties, the prediction, and y in the prediction's shape."""
        penalties: list[Any] = []
        with set_var(activity_penalties, penalties):
            prediction = self(x)
        if self.has_parameter_options:
            penalties.append(self.penalty())
        y = match_target(prediction, y)
        weight = {} if sample_weight is None else {"sample_weight": sample_weight}
        loss = self.loss(prediction, y, **weight)
        if not isinstance(loss, Tensor) or loss.size != 1:
            raise TypeError(f"the loss must be a Tensor of one number, not {loss!r:.80}")
        return sum(penalties, loss), prediction, y

    def fit(self, x: Any, y: npt.ArrayLike | None = None, batch_size: int | None = 32,
            epochs: int = 1, verbose: int | str = 1,
            callbacks: Callback | Iterable[Callback] | None = None,
            validation_split: float = 0.0, validation_data: Any = None, shuffle: bool = True,
            class_weight: Mapping[int, float] | None = None,
            sample_weight: npt.ArrayLike | None = None, initial_epoch: int = 0,
            steps_per_epoch: int | None = None, validation_steps: int | None = None,
            *, resume: str | Path | None = None) -> History:  # fmt: skip
        """Train for some epochs; return the history of loss, metrics (epoch means) and lr.

        x, y: examples and targets, (N, …) each, finite numbers. Without y, x is an iterable of
        batches (x, y) or (x, y, sample_weight), such as a generator; see training_data.Stream.
        verbose: 1 for a progress bar on a terminal; a line per epoch follows if there is validation
        or no terminal. 2 for lines only; 0 for nothing.
        callbacks: see minigrad.callbacks.
        validation_split: the fraction of the examples to keep for validation after each epoch: the
        last rows, as in Keras. Shuffle sorted data before.
        validation_data: other examples for validation, instead of a split: (x, y),
        (x, y, sample_weight) or an iterable of batches.
        class_weight, sample_weight: factors of the loss, for each class {0: 1.0, 1: 5.0} and for
        each example. As in Keras, the metrics and the validation have no class weights.
        initial_epoch: the number of epochs that count as done; `epochs` includes them.
        steps_per_epoch, validation_steps: the number of batches to take from an iterable.
        resume: a checkpoint of a training with the same arguments, or a folder of checkpoints. The
        training continues up to `epochs` in total, with the same bits as without the interruption.
        The optimizer's hyperparameters come from the checkpoint; the layers' options do not.

        Ctrl-C stops the training after the current batch: ModelCheckpoint saves, and `fit` returns
        the history so far. A second Ctrl-C raises KeyboardInterrupt at once.

        The same seed gives the same bits in every run on a machine, with or without progress bar,
        checkpoints, `python -O` or other threads. A different processor, BLAS or number of BLAS
        threads may add in another order and give other bits.
        """
        for name, n in {"epochs": epochs, "initial_epoch": initial_epoch}.items():
            if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 0:
                raise ValueError(f"fit: {name} must be an integer, 0 or more, received {n!r}")
        batch_size = 32 if batch_size is None else batch_size
        train = self.examples("fit", batch_size, x, y, sample_weight, class_weight, steps_per_epoch)
        validation = self.validation_examples(validation_data, batch_size, validation_steps)
        if validation is not None:
            validation_split = 0.0
        data_sets = [train] if validation is None else [train, validation]
        for data in data_sets:
            if isinstance(data, Stream):
                data.check_epochs(epochs - initial_epoch, validation_split, resume)
        is_validated = bool(validation_split) or validation is not None
        arrays = [a for data in data_sets if isinstance(data, list) for a in data]
        state = TrainingState(
            examples=0 if isinstance(train, Stream) else len(train[0]),
            batch_size=batch_size, shuffle=shuffle, validation_split=validation_split,
            loss=losses.name_of(self.loss), data=checksum(*arrays),
            logged=self.logged_names(is_validated),
            first_epoch=initial_epoch, epoch=initial_epoch,
        )  # fmt: skip
        self.dry_run(*data_sets)
        callback_list = self.begin_training(state, callbacks, resume)
        if n := state.validation_size:
            train, validation = training_data.split_rows(train, n, sample_weight)
        make_batches = partial(self.batches_of, train, batch_size, shuffle=shuffle)
        make_validation = partial(self.batches_of, validation, batch_size) if is_validated else None
        Trainer(self, state, callback_list, make_batches, make_validation, verbose).train(epochs)
        return History(state.history, self, epochs, initial_epoch)

    def logged_names(self, is_validated: bool) -> list[str]:
        """Return the names of the numbers of an epoch, in the order of the history."""
        names = ["loss", *self.metrics]
        return [*names, *(f"val_{name}" for name in names if is_validated), "lr"]

    def require_compiled(self, who: str) -> None:
        """Raise RuntimeError if there is no layer, optimizer or loss yet."""
        if self.optimizer is None or self.loss is None or len(layers := self.sublayers()) < 2:
            raise RuntimeError(f"{who}: first add layers and call compile(optimizer=…, loss=…)")
        self.has_parameter_options = any(layer.parameter_options for layer in layers)

    def examples(
        self, who: str, batch_size: Any, x: Any, y: Any = None, sample_weight: Any = None,
        class_weight: Any = None, steps: int | None = None, restarts: bool = False,
    ) -> Any:  # fmt: skip
        """Return [x, y] or [x, y, weights], finite and of one length; a Stream if y is None."""
        self.require_compiled(who)
        if y is None:
            return Stream(who, x, steps, class_weight, restarts)
        if steps is not None:
            raise ValueError(f"{who}: a number of steps needs an iterable of batches, not arrays")
        x, y, *weight = training_data.check_batch(who, x, y, sample_weight, class_weight)
        batches(x, y, batch_size, shuffle=False)  # raises on a bad batch_size
        return [self.as_input(x), y, *weight]

    def validation_examples(self, data: Any, batch_size: Any, steps: int | None) -> Any:
        """Return the examples of validation_data; None if there is none."""
        if data is None:
            return None
        who = "fit: validation_data"
        x, y, weight = (data, None, None) if is_stream(data) else parts_of(who, data)
        return self.examples(who, batch_size, x, y, weight, steps=steps, restarts=True)

    def as_input(self, x: Any) -> Any:
        """Return x; numbers (N,) become (N, 1) for a model of one feature."""
        return x[:, None] if x.ndim == 1 and self.input_shape == (1,) else x

    @staticmethod
    def batches_of(data: Any, batch_size: int, rng: Any = None, shuffle: bool = False) -> Any:
        """Return the batches of arrays, in a random order if shuffle; or of a Stream."""
        if isinstance(data, Stream):
            return data
        x, y, *weight = data
        return batches(x, y, batch_size, rng, shuffle, *weight)

    def dry_run(self, *data: Any) -> None:
        """Evaluate a few rows of each data set, to build parameters and to find errors early.

        The rows include the least and the greatest label. Afterwards the optimizer is bound. An
        error changes nothing.
        """
        with self.rollback_on_error():
            for examples in data:
                x, y, *weight = examples.first() if isinstance(examples, Stream) else examples
                rows = [0, int(y.argmin()), int(y.argmax())] if y.ndim == 1 else [0]
                self.evaluate_batches([(x[rows], y[rows], *[w[rows] for w in weight])])
        self.optimizer.bind(self.named_parameters())

    def begin_training(self, state: TrainingState, callbacks: Any, resume: Any) -> CallbackList:
        """Prepare a new training, or restore the one in the checkpoint `resume`."""
        if self.callbacks and self.callbacks.running:
            raise RuntimeError("fit: this model is in training already; wait until that fit ends")
        callbacks = [callbacks] if isinstance(callbacks, Callback | type) else callbacks or ()
        callback_list = CallbackList(callbacks, self)
        if resume is None:
            callback_list.load_state_dict({})
            state.seed = int(self.rng.integers(2**63))
        else:
            content = checkpoint.read(resume)
            state.resume(content["progress"])
            checkpoint.restore(content, self, self.optimizer, callbacks=callback_list)
        self.optimizer.zero_grad()  # an interrupted step may have left gradients
        self.training_state, self.callbacks, self.stop_training = state, callback_list, False
        return callback_list

    def evaluate_batches(self, data: Iterable[Any]) -> Logs:
        """Return the mean loss and metrics on these batches, in evaluation mode."""
        # a user's metric without `finish` cannot be averaged over batches: it gets all examples
        at_the_end = {k: f for k, f in self.metrics.items() if losses.needs_all_examples(f)}
        per_batch = {k: f for k, f in self.metrics.items() if k not in at_the_end}
        means, seen = RunningMeans(), []
        with inference_mode(), self.evaluation_weights():
            for x, y, *weight in data:
                loss, prediction, y = self.loss_of(x, y, *weight)
                numbers = compute_metrics(per_batch, prediction, y, *weight)
                means.add({"loss": loss.item()} | numbers, len(x))
                if at_the_end:
                    seen.append((prediction.data, y))
        if not means.count:
            raise ValueError("evaluate: the iterable gave no batch")
        numbers = finish_metrics(self.metrics, means.current())
        if at_the_end:
            predictions, targets = map(np.concatenate, zip(*seen))
            numbers |= compute_metrics(at_the_end, predictions, targets)
        return {name: numbers[name] for name in ["loss", *self.metrics]}

    def evaluate(self, x: Any, y: npt.ArrayLike | None = None, batch_size: int | None = 512,
                 verbose: int | str = 0, sample_weight: npt.ArrayLike | None = None,
                 steps: int | None = None) -> Any:  # fmt: skip
        """Return the loss; with metrics, a list of the loss and each metric, as in Keras.

        x, y, sample_weight: as in `fit`. steps: the number of batches to take from an iterable.
        verbose: accepted because Keras has it; nothing is printed.
        """
        size = 512 if batch_size is None else batch_size
        data = self.examples("evaluate", size, x, y, sample_weight, steps=steps)
        numbers = self.evaluate_batches(self.batches_of(data, size))
        return list(numbers.values()) if self.metrics else numbers["loss"]

    def predict(self, x: Any, batch_size: int | None = 512, steps: int | None = None) -> Any:
        """Return the model's output for each example, an array (N, …). NaN in x gives NaN.

        x: examples (N, …), or an iterable of batches x or (x, y). steps: how many batches to take.
        """
        if is_stream(x):
            source = islice(Stream("predict", x, steps).iterate_source(), steps)
            parts: Iterable[Any] = (b[0] if isinstance(b, (tuple, list)) else b for b in source)
        elif steps is not None:
            raise ValueError("predict: a number of steps needs an iterable of batches, not arrays")
        else:
            x = self.as_input(to_numbers(x))
            parts = batches(x, None, 512 if batch_size is None else batch_size, shuffle=False)
        with inference_mode(), self.evaluation_weights():
            outputs = [self(rows) for rows in parts]
        if not outputs or not isinstance(outputs[0], Tensor):
            required = "an input of at least one row, and a model with one output, are required"
            raise ValueError(f"predict: {required}; received {x!r:.60} and {outputs!r:.60}")
        return np.concatenate([out.data for out in outputs])

    @contextmanager
    def evaluation_weights(self) -> Iterator[None]:
        """Within this context, the parameters hold the optimizer's weights for evaluation."""
        is_bound = self.optimizer is not None and self.optimizer.parameters
        with self.optimizer.evaluating(recording=False) if is_bound else nullcontext():
            if self.has_parameter_options and is_bound and self.optimizer.has_evaluation_weights:
                self.apply_constraints()  # an average of weights need not satisfy them
            yield

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        is_bound = self.optimizer is not None and self.optimizer.parameters
        if is_bound and self.optimizer.is_evaluating:
            raise RuntimeError("load_state_dict: leave `with optimizer.evaluating():` before")
        super().load_state_dict(state)
        if is_bound:
            self.optimizer.forget_weights()
        if not (self.callbacks and self.callbacks.running):
            self.training_state = None  # the state of the former weights

    def save(self, path: str | Path, keep: int = 3) -> Path:
        """Save weights, optimizer, RNG and the state of the last `fit`: see checkpoint.save.

        `load_model` makes the model from the file, if its layers and functions are registered: see
        minigrad.saving. `load_weights` needs no registration.
        """
        if self.optimizer and self.built and not unbuilt_layers(self) and self.named_parameters():
            self.optimizer.bind(self.named_parameters())
        optimizer = self.optimizer if self.optimizer and self.optimizer.parameters else None
        state = asdict(self.training_state) if self.training_state else {}
        content = {"architecture": saving.architecture(self, optimizers.name_of)}
        return checkpoint.save(
            path, self, optimizer, callbacks=self.callbacks, keep=keep, content=content, **state
        )

    def load(self, path: str | Path) -> None:
        """Load a file that `save` wrote, with the optimizer's state if this model is compiled.

        A file that does not fit raises CheckpointError and changes nothing.
        """
        if self.built and self.optimizer is not None:
            self.optimizer.bind(self.named_parameters())
        checkpoint.load(path, self, self.optimizer)

    def save_weights(self, path: str | Path) -> None:
        """Save only the weights as an .npz file; with an averaging optimizer, its averages."""
        checkpoint.refuse_other_format(path)
        with self.evaluation_weights():
            state = self.state_dict()
        if checkpoint.is_writer(self.optimizer):
            checkpoint.write(Path(path), {"model": state})

    def load_weights(self, path: str | Path) -> None:
        """Load only the weights, from a file that `save_weights` or `save` wrote."""
        checkpoint.restore({"model": checkpoint.weights_to_evaluate(checkpoint.read(path))}, self)
