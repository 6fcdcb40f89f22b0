"""Callbacks: code that `fit` calls during the training, in order of difficulty.

The callbacks are called in the order given. ModelCheckpoint is always called last, so that it saves
the changes of the others.

    on_train_begin(logs)
        on_epoch_begin(epoch, logs)          skipped when training resumes inside an epoch
            on_batch_begin(batch, logs)
            on_batch_end(batch, logs)        logs: loss and metrics of this batch
        on_test_begin(logs)                  before and after the validation, if there is one
        on_test_end(logs)                    logs: loss and metrics, without val_
        on_epoch_end(epoch, logs)            logs: means over the epoch, val_…, lr
    on_train_end(logs)                       logs: those of the last complete epoch

on_train_batch_begin and on_train_batch_end are other names of on_batch_begin and on_batch_end.
Epochs and batches count from 0. `self.model.stop_training = True` stops the training after this
batch or epoch. Names and meanings are Keras's; the classes say where they differ.
"""

import codecs
import csv
import inspect
import math
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np

from . import checkpoint
from .utils import lookup, mismatches, positive_int, warn_user

Logs = dict[str, float]


class Callback:
    """Base class: override the hooks you need. `self.model` is the model in training.

    Checkpoints save its state_dict(). Each new training resets it with load_state_dict({}).

    >>> class Print(Callback):
    ...     def on_epoch_end(self, epoch, logs):
    ...         print(epoch, sorted(logs))
    """

    model: Any = None
    uncalled: tuple[str, ...] = ()  # hooks that a class may define although `fit` never calls them

    def on_train_begin(self, logs: Logs) -> None: ...
    def on_epoch_begin(self, epoch: int, logs: Logs) -> None: ...
    def on_batch_begin(self, batch: int, logs: Logs) -> None: ...
    def on_batch_end(self, batch: int, logs: Logs) -> None: ...
    def on_test_begin(self, logs: Logs) -> None: ...
    def on_test_end(self, logs: Logs) -> None: ...
    def on_epoch_end(self, epoch: int, logs: Logs) -> None: ...
    def on_train_end(self, logs: Logs) -> None: ...

    def on_train_batch_begin(self, batch: int, logs: Logs) -> None:
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs) -> None:
        self.on_batch_end(batch, logs)

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


HOOKS = {name: name for name in vars(Callback) if name.startswith("on_")}


class LambdaCallback(Callback):
    """A callback made of functions, given by the names of their hooks.

    >>> LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs["loss"]))
    <...LambdaCallback object at ...>
    """

    def __init__(self, **functions: Callable):
        for name, function in functions.items():
            setattr(self, lookup("hook", name, HOOKS), function)


class TerminateOnNaN(Callback):
    """Stop the training when the loss of a batch is NaN or infinite."""

    def on_batch_end(self, batch: int, logs: Logs) -> None:
        if not math.isfinite(logs["loss"]):
            print(f"TerminateOnNaN: the loss of batch {batch} is {logs['loss']}")
            self.model.stop_training = True


class CSVLogger(Callback):
    """Write the history to a table with one line per epoch.

    Each epoch rewrites the file, so a resumed training gives the same file (Keras appends lines).
    """

    def __init__(self, filename: str | Path, separator: str = ","):
        self.path, self.separator = Path(filename).absolute(), separator

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        history = self.model.training_state.history
        if not checkpoint.is_writer(self.model.optimizer):
            return
        with checkpoint.atomic_write(self.path) as file:
            table = csv.writer(codecs.getwriter("utf-8")(file), delimiter=self.separator)
            table.writerow(["epoch", *history])
            first = self.model.training_state.first_epoch
            table.writerows([i, *row] for i, row in enumerate(zip(*history.values()), first))


class Monitor(Callback):
    """Base class: watch one number in the logs for improvement.

    monitor: its name, such as "val_loss"; an unknown name raises before the training starts.
    mode: "min", "max", or "auto": "max" for accuracies, auc, precision and recall, else "min".
    min_delta: a smaller change is not an improvement. NaN is never an improvement.
    patience: number of epochs without improvement before acting; 0 means 1.
    verbose: 1 to print a line when the callback acts.
    """

    is_strict = True  # False: an unknown name is a warning, as in Keras

    def __init__(self, monitor: str, mode: str = "auto", min_delta: float = 0.0, patience: int = 1,
                 verbose: int = 0):  # fmt: skip
        upward = any(word in str(monitor).lower() for word in ("acc", "auc", "precision", "recall"))
        modes = {"auto": upward, "min": False, "max": True}
        self.maximize = lookup(f"mode for {type(self).__name__}", mode, modes)
        self.monitor, self.verbose = monitor, verbose
        self.watched = f"{'max' if self.maximize else 'min'} of {monitor}"  # a resume compares it
        self.min_delta = abs(min_delta)
        self.patience = max(patience, 1)
        self.score = -math.inf  # the best number, negated when minimizing
        self.wait = 0  # epochs without improvement
        self.cooldown_left = 0  # epochs that do not count: see ReduceLROnPlateau

    def on_train_begin(self, logs: Logs) -> None:
        self.logged_name = self.monitor
        logged = {name: name for name in self.model.training_state.logged}
        if self.is_strict and self.monitor not in logged:
            self.logged_name = lookup(f"monitor for {type(self).__name__}", self.monitor, logged)

    def improved(self, logs: Logs) -> bool:
        """Return whether this epoch is the best so far, and update best and wait."""
        if self.logged_name not in logs:
            problem = f"there is no {self.monitor!r} to watch, only {', '.join(logs)}"
            warn_user(f"{type(self).__name__}: {problem}")
            return False
        score = logs[self.logged_name] if self.maximize else -logs[self.logged_name]
        if self.cooldown_left:
            self.cooldown_left -= 1
        else:
            self.wait += 1
        if not score > self.score + self.min_delta:  # NaN is no improvement
            return False
        self.score, self.wait = score, 0
        return True

    @property
    def best(self) -> float:
        """The best number so far."""
        return self.score if self.maximize else -self.score

    def say(self, epoch: int, what: str) -> None:
        if self.verbose:
            print(f"Epoch {epoch + 1}: {type(self).__name__}: {what}")

    def state_dict(self) -> dict[str, Any]:
        wait = self.wait - self.cooldown_left  # one of them is 0
        return {"watched": self.watched, "best": self.score, "wait": wait}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        name, watched = type(self).__name__, state.get("watched")
        best = float(state.get("best", -math.inf))
        if math.isnan(best):
            raise ValueError(f"{name}: the best {self.monitor} must not be NaN")
        if best > -math.inf and watched != self.watched:
            raise ValueError(f"{name}: the checkpoint watched {watched}, now it is {self.watched}")
        wait = int(state.get("wait", 0))
        self.score, self.wait, self.cooldown_left = best, max(wait, 0), max(-wait, 0)


class EarlyStopping(Monitor):
    """Stop the training after `patience` epochs without improvement.

    baseline: only an epoch better than this number counts as an improvement.
    restore_best_weights: load the weights of the best epoch when the training ends.
    start_from_epoch: the number of epochs to ignore at the start.
    """

    def __init__(self, monitor: str = "val_loss", min_delta: float = 0.0, patience: int = 0,
                 verbose: int = 0, mode: str = "auto", baseline: float | None = None,
                 restore_best_weights: bool = False, start_from_epoch: int = 0):  # fmt: skip
        super().__init__(monitor, mode, min_delta, patience, verbose)
        self.restore_best_weights, self.start_from_epoch = restore_best_weights, start_from_epoch
        self.baseline, self.stopped_epoch = baseline, 0
        self.weights: dict[str, np.ndarray] = {}

    def on_train_begin(self, logs: Logs) -> None:
        super().on_train_begin(logs)
        self.model.stop_training |= self.wait >= self.patience  # a resumed training can have ended

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        if epoch < self.start_from_epoch:
            return
        wait = self.wait
        if self.improved(logs):
            with self.model.evaluation_weights():
                self.weights = self.model.state_dict() if self.restore_best_weights else {}
            sign = 1 if self.maximize else -1
            if self.baseline is not None and self.score <= sign * self.baseline + self.min_delta:
                self.wait = wait + 1  # as in Keras: best so far, but not better than the baseline
        if self.wait >= self.patience and epoch > 0:
            self.model.stop_training, self.stopped_epoch = True, epoch
            self.say(epoch, f"no better {self.monitor} for {self.wait} epochs; the training stops")

    def on_train_end(self, logs: Logs) -> None:
        if self.weights:
            self.model.load_state_dict(self.weights)
            self.model.training_state = None  # the state of the last weights, not of the best

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        weights = state.get("weights", {})
        if weights and (problems := mismatches(weights, self.model.state_dict())):
            raise ValueError(f"EarlyStopping: {'; '.join(problems)}")
        super().load_state_dict(state)
        self.weights = weights


class ReduceLROnPlateau(Monitor):
    """lr ← max(factor · lr, min_lr) after `patience` epochs without improvement.

    cooldown: after a reduction, the next `cooldown` − 1 epochs do not count, as in Keras.
    optimizer.lr must be a number, not a schedule. The lr of a group that has its own stays.
    """

    def __init__(self, monitor: str = "val_loss", factor: float = 0.1, patience: int = 10,
                 verbose: int = 0, mode: str = "auto", min_delta: float = 1e-4, cooldown: int = 0,
                 min_lr: float = 0.0):  # fmt: skip
        super().__init__(monitor, mode, min_delta, patience, verbose)
        if not 0 < factor < 1:
            raise ValueError(f"ReduceLROnPlateau: factor must be in (0, 1), received {factor!r}")
        self.factor, self.cooldown, self.min_lr = factor, cooldown, min_lr

    def on_train_begin(self, logs: Logs) -> None:
        super().on_train_begin(logs)
        if callable(lr := self.model.optimizer.raw_hyperparameters()["lr"]):
            raise ValueError(f"ReduceLROnPlateau: lr must be a number, received {lr!r}")

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        optimizer = self.model.optimizer
        if not self.improved(logs) and self.wait >= self.patience:
            optimizer.lr = min(optimizer.lr, max(self.factor * optimizer.lr, self.min_lr))
            self.wait, self.cooldown_left = 0, max(self.cooldown - 1, 0)
            self.say(epoch, f"the lr is now {optimizer.lr:g}")


class LearningRateScheduler(Callback):
    """lr ← schedule(epoch, lr), or schedule(epoch), before each epoch; epochs count from 0.

    A function of the step is simpler and needs no callback: Adam(lr=CosineDecay(0.01, 1000)).
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0):
        if not callable(schedule):
            required = "a function of (epoch, lr) is required"
            raise TypeError(f"LearningRateScheduler: {required}, received {schedule!r}")
        self.schedule, self.verbose = schedule, verbose

    def on_epoch_begin(self, epoch: int, logs: Logs) -> None:
        optimizer = self.model.optimizer
        try:
            inspect.signature(self.schedule).bind(epoch, optimizer.lr)
        except TypeError:
            optimizer.lr = self.schedule(epoch)
        else:
            optimizer.lr = self.schedule(epoch, optimizer.lr)
        if self.verbose:
            print(f"Epoch {epoch + 1}: LearningRateScheduler: the lr is now {optimizer.lr:g}")


class ModelCheckpoint(Monitor):
    """After each epoch, and when the training stops, save what `fit(…, resume=path)` needs.

    Nothing is saved while the loss is infinite or NaN.
    path: a folder, which keeps the newest `keep` files; or a file such as best.npz; or a pattern
    such as "w-{epoch:02d}-{val_loss:.3f}.npz", which gives each save a file. In it epochs count
    from 1, as in Keras, and a number that does not exist yet is nan.
    save_freq: "epoch", or a number of batches.
    save_best_only: save only after epochs in which `monitor` improved; needs save_freq="epoch".
    save_weights_only: save a file for load_weights, which `fit` cannot resume.
    Raises before the training starts if the folder cannot be written, or if it holds a later
    checkpoint of another training.
    """

    def __init__(self, path: str | Path, monitor: str = "val_loss", verbose: int = 0,
                 save_best_only: bool = False, save_weights_only: bool = False, mode: str = "auto",
                 save_freq: str | int = "epoch", keep: int = 3):  # fmt: skip
        super().__init__(monitor, mode, verbose=verbose)
        if save_freq != "epoch":
            save_freq = positive_int('ModelCheckpoint: save_freq, if not "epoch",', save_freq)
            if save_best_only:
                raise ValueError('ModelCheckpoint: save_best_only needs save_freq="epoch"')
        self.folder, self.path, self.save_best_only = Path.cwd(), str(path), save_best_only
        self.save_weights_only = save_weights_only
        if save_weights_only and not Path(path).suffix:
            raise ValueError(f"ModelCheckpoint: save_weights_only needs a file, not {path}")
        self.save_freq, self.keep = save_freq, positive_int("ModelCheckpoint: keep", keep)

    def on_train_begin(self, logs: Logs) -> None:
        if self.save_best_only:
            super().on_train_begin(logs)
        state = self.model.training_state
        path = self.file_or_folder(state.epoch + 1, {})
        folder = checkpoint.checkpoint_path(path, state.epoch, state.batch).parent
        folder.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=folder).close()  # raise now if the folder cannot be written

    def on_batch_end(self, batch: int, logs: Logs) -> None:
        due = self.save_freq != "epoch" and (batch + 1) % int(self.save_freq) == 0
        if due or (self.model.stop_training and not self.save_best_only):
            self.save(self.model.training_state.epoch, logs)

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        if not self.save_best_only or self.improved(logs):
            self.save(epoch, logs)

    def save(self, epoch: int, logs: Logs) -> None:
        if math.isfinite(logs["loss"]):
            path = self.file_or_folder(epoch + 1, logs)
            if self.save_weights_only:
                self.model.save_weights(path)
            else:
                path = self.model.save(path, keep=self.keep)
            self.say(epoch, f"saved {path}")

    def file_or_folder(self, number: int, logs: Logs) -> Path:
        """Return the path, with the epoch's number and the logs in its {fields}."""
        logged = dict.fromkeys(self.model.training_state.logged, math.nan)
        fields = {"epoch": number} | logged | logs
        try:
            return self.folder / self.path.format_map(fields)
        except Exception as error:
            problem = f"ModelCheckpoint: cannot fill in {self.path!r}: {error!r}"
            raise ValueError(f"{problem}; the fields are {', '.join(fields)}") from error
