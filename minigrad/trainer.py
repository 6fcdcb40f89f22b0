"""The training loop: epochs, batches, callbacks, progress bar and history."""

import os
import sys
from collections.abc import Callable, Iterable, Sized
from contextlib import ExitStack, redirect_stdout
from itertools import islice
from typing import Any

import numpy as np
from tqdm import tqdm

from . import plotting
from .callback_list import CallbackList
from .callbacks import Logs
from .checkpoint import is_writer
from .losses import finish_metrics
from .training_state import TrainingState


class History:
    """Result of `fit`: `history` has a list for loss, each metric and lr, one number per epoch.

    As in Keras, `epoch` lists the numbers of the epochs, `params` is {"epochs": their number}, and
    `model` is the model.
    """

    def __init__(self, history: dict[str, list[float]], model: Any = None, epochs: int = 0,
                 initial_epoch: int = 0) -> None:  # fmt: skip
        self.history, self.model, self.params = history, model, {"epochs": epochs}
        self.epoch = [initial_epoch + i for i in range(len(history.get("loss", ())))]

    def __repr__(self) -> str:
        return "History(" + ", ".join(f"{k}: {v[-1]:.4g}" for k, v in self.history.items()) + ")"

    def plot(self, path: str | None = None) -> Any:
        """Plot loss and metrics over the epochs; return the figure; save it if a path is given."""
        figure = plotting.epochs(self.history)
        if path is not None:
            plotting.save(figure, path)
        return figure


class Trainer:
    """Train a model epoch by epoch, starting at state.epoch and state.batch.

    model: a Model; model.train_step(*batch) takes one optimizer step.
    state: the epoch, the batch, the running means and the history; updated after each batch.
    callbacks: called as `callbacks(hook, …)`; see minigrad.callbacks for the order of the hooks.
    make_batches: a function from the random generator of an epoch to its batches: (x, y), or
    (x, y, sample_weight).
    validation: a function that returns the batches to evaluate after each epoch; or None.
    verbose: as in Model.fit.
    """

    def __init__(self, model: Any, state: TrainingState, callbacks: CallbackList,
                 make_batches: Callable[[np.random.Generator], Iterable[Any]],
                 validation: Callable[[], Iterable[Any]] | None, verbose: int | str):  # fmt: skip
        self.model, self.state, self.callbacks = model, state, callbacks
        self.make_batches, self.validation = make_batches, validation
        self.prints = is_writer(model.optimizer)  # ranks other than 0 print nothing
        verbose = verbose if self.prints else 0
        self.show_bar = verbose in (1, "auto") and sys.stderr.isatty()
        self.show_lines = bool(verbose) and not (self.show_bar and validation is None)

    def train(self, epochs: int) -> None:
        """Train until `epochs` epochs are complete or model.stop_training is set."""
        logs: Logs = {}
        with ExitStack() as stack:
            if not self.prints:
                devnull = stack.enter_context(open(os.devnull, "w"))
                stack.enter_context(redirect_stdout(devnull))
            stack.enter_context(self.callbacks.training())
            self.callbacks("on_train_begin", {})
            if getattr(self.model.optimizer, "ranks", 1) > 1:  # see minigrad.distributed
                facts = {"the data": self.state.data, "the seed": self.state.seed}
                self.model.optimizer.agree(facts | {"the number of epochs": epochs})
            while self.state.epoch < epochs and not self.model.stop_training:
                title = f"epoch {self.state.epoch + 1}/{epochs}"
                if self.train_epoch(title):
                    logs = self.finish_epoch(title)
            self.callbacks("on_train_end", logs)

    def train_epoch(self, title: str) -> bool:
        """Train on the remaining batches of an epoch; return whether the epoch is complete.

        It is not, if model.stop_training was set before its last batch, or if there was no batch.
        """
        model, state = self.model, self.state
        batches = self.make_batches(state.rng(state.epoch + 1))
        count = (len(batches) if isinstance(batches, Sized) else 0) or None
        if state.batch == 0:
            self.callbacks("on_epoch_begin", state.epoch, {})
        with tqdm(total=count, initial=state.batch, desc=title, disable=not self.show_bar) as bar:
            for batch in islice(batches, state.batch, None):
                self.callbacks("on_train_batch_begin", state.batch, {})
                numbers = model.train_step(*batch)
                state.means.add(numbers, len(batch[0]))
                if model.logs_running_means:
                    numbers = state.means.current()
                logs = finish_metrics(model.metrics, numbers)
                state.batch += 1
                if self.show_bar:
                    means = finish_metrics(model.metrics, state.means.current())
                    bar.set_postfix(means, refresh=False)
                    bar.update()
                self.callbacks("on_train_batch_end", state.batch - 1, logs)
                if model.stop_training:
                    return state.batch == count
        model.stop_training |= state.batch == 0  # a generator that has ended
        return state.batch > 0

    def finish_epoch(self, title: str) -> Logs:
        """Evaluate, print and record a complete epoch; return its logs."""
        epoch = self.state.epoch
        logs = finish_metrics(self.model.metrics, self.state.means.current())
        if self.validation is not None:
            self.callbacks("on_test_begin", {})
            numbers = self.model.evaluate_batches(self.validation())
            self.callbacks("on_test_end", numbers)
            logs |= {f"val_{name}": number for name, number in numbers.items()}
        if self.show_lines:
            line = ", ".join(f"{name} {number:.4f}" for name, number in logs.items())
            print(f"{title}: {line}", flush=True)
        logs["lr"] = self.model.optimizer.lr
        self.state.finish_epoch(logs)
        self.callbacks("on_epoch_end", epoch, logs)
        return logs
