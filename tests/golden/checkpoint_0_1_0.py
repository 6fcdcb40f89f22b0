"""Write checkpoint_0_1_0.npz and checkpoint_0_1_0_end.npz, with version 0.1.0 of minigrad.

Run it where that version is installed:  python tests/golden/checkpoint_0_1_0.py

The first file is a checkpoint of a training that was stopped in the middle of its eleventh epoch.
The second file holds the weights and the history of the same training without the stop. Later
versions must read the checkpoint, resume the training and end with the same numbers.
"""

from pathlib import Path

import numpy as np

from minigrad.callbacks import EarlyStopping, LambdaCallback, ModelCheckpoint, ReduceLROnPlateau
from minigrad.layers import Dense, Dropout
from minigrad.models import Sequential
from minigrad.optimizers import RMSprop

HERE = Path(__file__).parent
CHECKPOINT = HERE / "checkpoint_0_1_0.npz"
END = HERE / "checkpoint_0_1_0_end.npz"

# Integers and one division: a checkpoint holds a checksum of the data, so every bit must agree.
X = ((np.arange(240).reshape(40, 6) ** 2 * 7 % 101) / np.float32(101)).astype(np.float32)
Y = np.arange(40) * 5 % 3


def train(*callbacks, cooldown=1, **options):
    """Train for at most 30 epochs of 4 batches; return the model and the history."""
    model = Sequential(
        [Dense(8, "relu", input_shape=(6,)), Dropout(0.25), Dense(3, "softmax")], seed=3
    )
    model.compile(
        RMSprop(lr=0.02, momentum=0.5), loss="categorical_crossentropy", metrics=["accuracy"]
    )
    settings = dict(x=X, y=Y, validation_split=0.2) | options
    history = model.fit(
        batch_size=8,
        epochs=30,
        verbose=0,
        callbacks=[
            EarlyStopping("val_loss", patience=4, restore_best_weights=True),
            ReduceLROnPlateau("loss", factor=0.5, patience=2, min_delta=0.02, cooldown=cooldown),
            *callbacks,
        ],
        **settings,
    )
    return model, history.history


def stop_after(batches):
    """Return a callback that stops the training after so many batches."""
    seen = []

    def stop(batch, logs):
        seen.append(batch)
        callback.model.stop_training |= len(seen) == batches

    callback = LambdaCallback(on_batch_end=stop)
    return callback


if __name__ == "__main__":
    train(stop_after(42), ModelCheckpoint(CHECKPOINT))
    model, history = train()
    weights = {f"weights/{name}": array for name, array in model.state_dict().items()}
    np.savez(END, **weights, **{f"history/{name}": numbers for name, numbers in history.items()})
