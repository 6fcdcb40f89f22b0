"""keras.utils: one-hot rows, seeds, data sets with items, registration for load_model."""

import random
import sys
from typing import Any

import numpy as np

from .. import initializers, saving
from ..utils import one_hot
from . import backend
from .backend import getattr_for

__all__ = ["normalize", "register_keras_serializable", "set_random_seed", "to_categorical"]


def to_categorical(x: Any, num_classes: int | None = None) -> np.ndarray:
    """Return integer labels (N,) or (N, 1) as one-hot rows, float64 as in Keras."""
    labels = np.asarray(x).astype(int)
    labels = labels[..., 0] if labels.ndim > 1 and labels.shape[-1] == 1 else labels
    classes = int(labels.max()) + 1 if num_classes is None else num_classes
    return one_hot("to_categorical", labels, classes, np.float64)


def normalize(x: Any, axis: int = -1, order: int = 2) -> np.ndarray:
    """Return x divided by its norm over an axis; a norm of 0 counts as 1."""
    x = np.atleast_2d(x)
    norm = np.linalg.norm(x, order, axis, keepdims=True)
    return x / np.where(norm == 0, 1, norm)


def set_random_seed(seed: int) -> None:
    """Seed Python's random, NumPy's global generator and all models made after it."""
    random.seed(seed)
    np.random.seed(seed)
    initializers.set_random_seed(seed)


def register_keras_serializable(package: str = "", name: str | None = None) -> Any:
    """Return the decorator that registers a class or function for load_model."""
    return saving.register


class PyDataset:
    """Base of data sets with a length and items, (x, y) each: one batch."""

    def __init__(self, workers: int = 1, use_multiprocessing: bool = False,
                 max_queue_size: int = 10):  # fmt: skip
        pass

    def on_epoch_end(self) -> None:
        """Do nothing; a subclass may shuffle here."""


Sequence = PyDataset
clear_session = backend.clear_session
np_utils = sys.modules[__name__]  # as in older programs
OTHERS = "plot_model model_to_dot get_file multi_gpu_model split_dataset"
INSTEAD = "model.summary() prints the layers."
__getattr__ = getattr_for("keras.utils", __all__, OTHERS, INSTEAD)
