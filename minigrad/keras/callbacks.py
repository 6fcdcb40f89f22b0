"""keras.callbacks: minigrad's callbacks; an unknown `monitor` gives a warning, as in Keras."""

from typing import Any

from .. import callbacks as native
from ..callbacks import CSVLogger, LambdaCallback, LearningRateScheduler, TerminateOnNaN
from ..trainer import History
from .backend import getattr_for

__all__ = ["CSVLogger", "Callback", "EarlyStopping", "History", "LambdaCallback",
           "LearningRateScheduler", "ModelCheckpoint", "ReduceLROnPlateau",
           "TerminateOnNaN"]  # fmt: skip


class Callback(native.Callback):
    """See minigrad.callbacks.Callback. The hooks of predict and of test batches are not called."""

    uncalled = (
        "on_predict_begin", "on_predict_end", "on_predict_batch_begin", "on_predict_batch_end",
        "on_test_batch_begin", "on_test_batch_end",
    )  # fmt: skip


class EarlyStopping(native.EarlyStopping):
    """See minigrad.callbacks.EarlyStopping; an unknown `monitor` gives a warning."""

    is_strict = False


class ReduceLROnPlateau(native.ReduceLROnPlateau):
    """See minigrad.callbacks.ReduceLROnPlateau; an unknown `monitor` gives a warning."""

    is_strict = False


class ModelCheckpoint(native.ModelCheckpoint):
    """See minigrad.callbacks.ModelCheckpoint; the file is an .npz for load_model."""

    is_strict = False

    def __init__(self, filepath: Any, monitor: str = "val_loss", verbose: int = 0,
                 save_best_only: bool = False, save_weights_only: bool = False, mode: str = "auto",
                 save_freq: Any = "epoch"):  # fmt: skip
        options = (verbose, save_best_only, save_weights_only, mode, save_freq)
        super().__init__(filepath, monitor, *options)


__getattr__ = getattr_for(
    "keras.callbacks", __all__, "TensorBoard BackupAndRestore RemoteMonitor ProgbarLogger",
    "CSVLogger writes the numbers of each epoch, ModelCheckpoint saves all that fit needs.",
)  # fmt: skip
