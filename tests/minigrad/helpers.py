"""Small models, their data, and what tests compare."""

import itertools
from io import StringIO

import numpy as np

from minigrad import optimizers
from minigrad.callbacks import LambdaCallback
from minigrad.layers import Dense, Dropout
from minigrad.models import Sequential

rng = np.random.default_rng(7)
X = rng.standard_normal((60, 6)).astype(np.float32)
Y = rng.integers(0, 3, 60)


def make_model(optimizer="rmsprop", seed=1, **hyper):
    model = Sequential(
        [Dense(12, "relu", input_shape=(6,)), Dropout(0.2), Dense(3, "softmax")], seed=seed
    )
    optimizer = optimizers.get(optimizer, **hyper)
    model.compile(optimizer, loss="categorical_crossentropy", metrics=["accuracy"])
    return model


def stop_after_batches(batches):
    """Return [a callback that stops after this number of batches; None: it never stops]."""
    seen = itertools.count(1)

    def stop(batch, logs):
        callback.model.stop_training |= batches is not None and next(seen) >= batches

    callback = LambdaCallback(on_batch_end=stop)
    return [callback]


def weight_bytes(model):
    """Return the weights as bytes, to compare them bit by bit."""
    return {name: array.tobytes() for name, array in model.state_dict().items()}


class TerminalStderr(StringIO):
    """A stderr on which `fit` shows its progress bar."""

    def isatty(self):
        return True


def assert_same_state(found, expected):
    """Compare two state dicts by name and bit."""
    assert found.keys() == expected.keys(), f"{[*found]}, not {[*expected]}"
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def small_model(seed=0, units=2, optimizer="rmsprop"):
    model = Sequential([Dense(units, input_shape=(3,))], seed=seed)
    model.compile(optimizers.get(optimizer, momentum=0.5), loss="mse")
    return model


def trained_model(seed=0, **more):
    model = small_model(seed, **more)
    model.fit(np.ones((4, 3)), np.ones((4, model.layers[0].units)), verbose=0)
    return model


def all_state(model):
    """Return the bits of everything that loading may change."""
    state = model.optimizer.state_dict() if model.optimizer.parameters else {}
    slots = {name: array.tobytes() for name, array in state.pop("slots", {}).items()}
    return weight_bytes(model), slots, repr(state), repr(model.rng.bit_generator.state)
