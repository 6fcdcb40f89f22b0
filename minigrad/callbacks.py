"""CallbackList: what else happens while `fit` trains, in order of difficulty.

`fit` calls, in the order in which the callbacks were given (ModelCheckpoint always last, so that it
saves what the others did):

    on_train_begin(logs)
        on_epoch_begin(epoch, logs)          not where training resumes within an epoch
            on_batch_begin(batch, logs)
            on_batch_end(batch, logs)        logs: loss and metrics of this batch
        on_epoch_end(epoch, logs)            logs: means over the epoch, val_…, lr
    on_train_end(logs)                       logs: those of the last whole epoch

Epochs and batches count from 0. A callback that sets `self.model.stop_training = True` ends the
training after this batch or epoch. Names and meanings are Keras's, but for what the classes say.
"""

from __future__ import annotations

import csv
import io
import math
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np

from . import checkpoint
from .utils import lookup

Logs = dict[str, float]


class Callback:
    """Override the hooks you need; `self.model` is the model in training.

    What a callback remembers goes into checkpoints through state_dict; load_state_dict({}) makes it
    as new, which `fit` does at the start of each training.

    >>> class Print(Callback):
    ...     def on_epoch_end(self, epoch, logs):
    ...         print(epoch, sorted(logs))
    """

    model: Any = None

    def on_train_begin(self, logs: Logs) -> None: ...
    def on_epoch_begin(self, epoch: int, logs: Logs) -> None: ...
    def on_batch_begin(self, batch: int, logs: Logs) -> None: ...
    def on_batch_end(self, batch: int, logs: Logs) -> None: ...
    def on_epoch_end(self, epoch: int, logs: Logs) -> None: ...
    def on_train_end(self, logs: Logs) -> None: ...

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


HOOKS = {name: name for name in vars(Callback) if name.startswith("on_")}


class LambdaCallback(Callback):
    """A callback from functions, given by the names of their hooks.

    >>> LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs["loss"]))
    <...LambdaCallback object at ...>
    """

    def __init__(self, **functions: Callable):
        for name, function in functions.items():
            setattr(self, lookup("hook", name, HOOKS), function)


class TerminateOnNaN(Callback):
    """Ends the training when the loss of a batch is NaN or infinite."""

    def on_batch_end(self, batch: int, logs: Logs) -> None:
        if not math.isfinite(logs["loss"]):
            print(f"TerminateOnNaN: the loss of batch {batch} is {logs['loss']}")
            self.model.stop_training = True


class CSVLogger(Callback):
    """The history as a table with a line an epoch, for spreadsheets.

    The file is written anew after each epoch: it is always whole, and that of a resumed training is
    the same as if it had never been interrupted (Keras appends).
    """

    def __init__(self, filename: str | Path, separator: str = ","):
        self.path, self.separator = Path(filename).absolute(), separator

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        history, text = self.model.training_state.history, io.StringIO(newline="")
        table = csv.writer(text, delimiter=self.separator)
        table.writerow(["epoch", *history])
        table.writerows([i, *row] for i, row in enumerate(zip(*history.values())))
        with checkpoint.atomic_write(self.path) as file:
            file.write(text.getvalue().encode())


class Monitor(Callback):
    """What the following callbacks share: they watch a number of the logs for improvement.

    monitor: its name, such as "val_loss"; an unknown one raises before training begins.
    mode: "min", "max", or "auto": "max" for accuracies, else "min".
    min_delta: a smaller change is no improvement. NaN never is one.
    """

    def __init__(self, monitor: str, mode: str = "auto", min_delta: float = 0.0):
        mode = lookup("mode", mode, {word: word for word in ("auto", "min", "max")})
        if mode == "auto":
            mode = "max" if "acc" in monitor else "min"
        self.monitor, self.watched, self.min_delta = monitor, f"{mode} of {monitor}", abs(min_delta)
        self.sign = 1 if mode == "max" else -1
        self.best, self.wait = -math.inf, 0  # the best number, times the sign; epochs since then

    def on_train_begin(self, logs: Logs) -> None:
        logged = {name: name for name in self.model.training_state.logged}
        if self.monitor not in logged:
            kind = f"monitor for {type(self).__name__}"
            self.monitor = lookup(kind, self.monitor, logged)

    def improved(self, logs: Logs) -> bool:
        """Whether this epoch is the best so far; counts the epochs in which none was."""
        score = self.sign * logs[self.monitor]
        better = score > self.best + self.min_delta
        self.best, self.wait = (score, 0) if better else (self.best, self.wait + 1)
        return better

    def state_dict(self) -> dict[str, Any]:
        return {"watched": self.watched, "best": self.best, "wait": self.wait}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        best, wait = float(state.get("best", -math.inf)), int(state.get("wait", 0))
        if best != -math.inf and state.get("watched") != self.watched:
            kind, watched = type(self).__name__, state.get("watched")
            raise ValueError(f"{kind}: the {watched} was watched, now it is the {self.watched}")
        if math.isnan(best):
            raise ValueError(f"{type(self).__name__}: the best {self.monitor} cannot be NaN")
        self.best, self.wait = best, wait


class EarlyStopping(Monitor):
    """Ends the training after `patience` epochs without improvement.

    restore_best_weights: the model ends with the weights of its best epoch, however the training
    ends (Keras does so only if it was this callback that ended it, and only on request). To go on
    from its last epoch instead, resume what a ModelCheckpoint saved.
    """

    def __init__(
        self, monitor: str = "val_loss", min_delta: float = 0.0, patience: int = 0,
        mode: str = "auto", restore_best_weights: bool = True
    ):  # fmt: skip
        super().__init__(monitor, mode, min_delta)
        self.patience, self.restore_best_weights = patience, restore_best_weights
        self.weights: dict[str, np.ndarray] = {}

    def on_train_begin(self, logs: Logs) -> None:
        super().on_train_begin(logs)
        self.stop_if_in_vain()  # resumed after its end

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        if self.improved(logs):
            self.weights = self.model.state_dict() if self.restore_best_weights else {}
        self.stop_if_in_vain()

    def stop_if_in_vain(self) -> None:
        self.model.stop_training |= self.wait >= max(self.patience, 1)

    def on_train_end(self, logs: Logs) -> None:
        if self.weights:
            self.model.load_state_dict(self.weights)
            self.model.training_state = None  # that of the last weights

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        weights = state.get("weights", {})
        if weights and (wrong := checkpoint.mismatches(weights, self.model.state_dict())):
            raise ValueError(f"EarlyStopping: {'; '.join(wrong)}")
        super().load_state_dict(state)
        self.weights = weights


class ReduceLROnPlateau(Monitor):
    """lr ← max(factor · lr, min_lr) after `patience` epochs without improvement.

    cooldown: so many epochs after a reduction are not counted. A schedule would be overruled: then
    this raises before training begins.
    """

    def __init__(
        self, monitor: str = "val_loss", factor: float = 0.1, patience: int = 10,
        mode: str = "auto", min_delta: float = 1e-4, cooldown: int = 0, min_lr: float = 0.0
    ):  # fmt: skip
        super().__init__(monitor, mode, min_delta)
        if not 0 < factor < 1:
            raise ValueError(f"ReduceLROnPlateau: factor must lie in (0, 1), received {factor!r}")
        self.factor, self.patience, self.cooldown, self.min_lr = factor, patience, cooldown, min_lr

    def on_train_begin(self, logs: Logs) -> None:
        super().on_train_begin(logs)
        lr = vars(self.model.optimizer)["lr"]
        if callable(lr):
            raise ValueError(f"ReduceLROnPlateau: lr must be a number, here it is {lr!r}")

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        optimizer = self.model.optimizer
        if not self.improved(logs) and self.wait >= max(self.patience, 1):
            optimizer.lr = min(optimizer.lr, max(self.factor * optimizer.lr, self.min_lr))
            self.wait = -self.cooldown


class ModelCheckpoint(Monitor):
    """Saves all that `fit(…, resume=path)` needs, after each epoch and when training is stopped.

    path: a folder, of whose files the last `keep` stay; or a file such as best.npz.
    save_freq: "epoch", or a number of batches.
    save_best_only: save only after epochs in which `monitor` improved.
    A folder that cannot be written, or holds later checkpoints, of another training, is refused
    before this one begins; a state whose loss is not finite is not saved.
    """

    def __init__(
        self, path: str | Path, monitor: str = "val_loss", save_best_only: bool = False,
        mode: str = "auto", save_freq: str | int = "epoch", keep: int = 3
    ):  # fmt: skip
        super().__init__(monitor, mode)
        freq_ok = save_freq == "epoch" or (isinstance(save_freq, int) and save_freq > 0)
        if not freq_ok or (save_best_only and save_freq != "epoch") or keep < 1:
            raise ValueError(
                'ModelCheckpoint: save_freq must be "epoch" or a number of batches above 0, and '
                f'"epoch" with save_best_only; keep 1 or more; received {save_freq!r} and {keep!r}'
            )
        self.path, self.save_best_only = Path(path).absolute(), save_best_only
        self.save_freq, self.keep = save_freq, keep

    def on_train_begin(self, logs: Logs) -> None:
        if self.save_best_only:
            super().on_train_begin(logs)
        progress = self.model.training_state
        folder = checkpoint.checkpoint_path(self.path, progress.epoch, progress.batch).parent
        folder.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=folder).close()  # an error now, not after an epoch

    def on_batch_end(self, batch: int, logs: Logs) -> None:
        due = self.save_freq != "epoch" and (batch + 1) % int(self.save_freq) == 0
        if due or (self.model.stop_training and not self.save_best_only):
            self.save(logs)

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        if not self.save_best_only or self.improved(logs):
            self.save(logs)

    def save(self, logs: Logs) -> None:
        if math.isfinite(logs["loss"]):
            self.model.save(self.path, keep=self.keep)


class CallbackList:
    """The callbacks of one training, called together; within it, Ctrl-C asks politely.

    The first Ctrl-C lets the model finish its batch and stop, so that what is saved is whole; the
    second raises KeyboardInterrupt at once.
    """

    def __init__(self, callbacks: Iterable[Callback], model: Any):
        self.model, self.running, self.interrupted, self.listening = model, False, False, False
        self.named: dict[str, Callback] = {}
        kinds: Counter[str] = Counter()
        for callback in sorted(callbacks, key=lambda c: isinstance(c, ModelCheckpoint)):
            if not isinstance(callback, Callback):
                raise TypeError(f"fit: a callback such as CSVLogger(…) is needed, not {callback!r}")
            callback.model, kind = model, type(callback).__name__
            self.named[f"{kind}.{kinds[kind]}"] = callback
            kinds[kind] += 1

    def __call__(self, hook: str, *args: Any) -> None:
        self.model.stop_training |= self.interrupted
        for callback in self.named.values():
            self.call(callback, hook, *args)

    def call(self, callback: Callback, method: str, *args: Any) -> Any:
        try:
            return getattr(callback, method)(*args)
        except Exception as error:
            error.add_note(f"in the callback {type(callback).__name__}, {method}")
            raise

    def __enter__(self) -> CallbackList:
        usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        self.listening = usual and threading.current_thread() is threading.main_thread()
        if self.listening:
            signal.signal(signal.SIGINT, self.interrupt)
        self.running = True
        return self

    def interrupt(self, *_: Any) -> None:
        if self.interrupted:
            raise KeyboardInterrupt
        self.interrupted = True

    def __exit__(self, error: type[BaseException] | None, *_: Any) -> None:
        if self.listening:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self.running = False
        if error is not None:  # perhaps within a step: nobody may go on from there
            self.model.training_state = None

    def state_dict(self) -> dict[str, Any]:
        return {name: self.call(c, "state_dict") for name, c in self.named.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Those without a state in there begin as new."""
        for name, callback in self.named.items():
            self.call(callback, "load_state_dict", state.get(name, {}))
