"""keras.callbacks: minigrad's callbacks; as in Keras, a missing number to watch is a warning."""

import warnings
from typing import Any

from .. import callbacks as native
from ..callbacks import CSVLogger, LambdaCallback, LearningRateScheduler, TerminateOnNaN
from ..trainer import History
from .backend import names_of

__all__ = ["CSVLogger", "Callback", "EarlyStopping", "History", "LambdaCallback",
           "LearningRateScheduler", "ModelCheckpoint", "ReduceLROnPlateau",
           "TerminateOnNaN"]  # fmt: skip
Callback = native.Callback


class Monitor(native.Monitor):
    """Watch a number; if it is not in the logs, warn once and do nothing."""

    is_missing = False

    def on_train_begin(self, logs: Any) -> None:
        self.is_missing = self.monitor not in self.model.training_state.logged
        if self.is_missing:
            known = ", ".join(self.model.training_state.logged)
            who = f"{type(self).__name__}: there is no {self.monitor!r} to watch"
            warnings.warn(f"{who}; there are: {known}", stacklevel=2)
            self.patience = float("inf")  # type: ignore[assignment]
        else:
            super().on_train_begin(logs)

    def improved(self, logs: Any) -> bool:
        return not self.is_missing and super().improved(logs)


class EarlyStopping(Monitor, native.EarlyStopping):
    """minigrad's EarlyStopping."""


class ReduceLROnPlateau(Monitor, native.ReduceLROnPlateau):
    """minigrad's ReduceLROnPlateau."""


class ModelCheckpoint(Monitor, native.ModelCheckpoint):
    """minigrad's ModelCheckpoint: the file is an .npz for load_model and load_weights."""

    def __init__(self, filepath: Any, monitor: str = "val_loss", verbose: int = 0,
                 save_best_only: bool = False, save_weights_only: bool = False, mode: str = "auto",
                 save_freq: Any = "epoch", period: int = 1):  # fmt: skip
        super().__init__(filepath, monitor, verbose, save_best_only, save_weights_only, mode,
                         save_freq)  # fmt: skip


__getattr__ = names_of("keras.callbacks", __all__)
