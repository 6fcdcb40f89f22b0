"""A small but real training, to be interrupted by tests; as a program, a nursery of such trainings.

The program reads jobs, a JSON object of arguments of `train` a line. For each it forks a process,
and prints its pid, and later how it ended; so that a hundred trainings import NumPy only once.
"""

import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np

from minigrad import checkpoint, optimizers
from minigrad.callbacks import LambdaCallback, ModelCheckpoint
from minigrad.layers import Dense, Dropout
from minigrad.models import Sequential

ROOT = Path(__file__).parents[2]
SAVING = {"save", "write", "store", "atomic_write"}
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


def train(folder, optimizer="rmsprop", epochs=4, save_freq=3, stop_after=None, die_at_line=None):
    """Dropout, a schedule, a validation split and checkpoints; goes on from what is in the folder.

    stop_after: so many batches. die_at_line: SIGKILL itself before the so-many-th of the lines that
    write checkpoints.
    """
    model = make_model(optimizer, lr=optimizers.CosineDecay(0.01, steps=40))
    if die_at_line is not None:
        lines = iter(range(die_at_line - 1))
        sys.settrace(at_each_line_of_a_save(lambda: next(lines, None) is None and die()))
    model.fit(
        X,
        Y,
        batch_size=8,
        epochs=epochs,
        verbose=0,
        validation_split=0.2,
        callbacks=[ModelCheckpoint(folder, save_freq=save_freq), *stopper(stop_after)],
        resume=folder if checkpoint.latest(folder) else None,
    )
    return model


def stopper(batches):
    """A callback that stops the training after so many batches."""
    left = iter(range(batches - 1)) if batches else itertools.repeat(None)

    def stop(batch, logs):
        callback.model.stop_training |= batches is not None and next(left, None) is None

    callback = LambdaCallback(on_batch_end=stop)
    return [callback]


def at_each_line_of_a_save(act):
    """A trace function that does something before each line of those that write checkpoints."""

    def trace(frame, event, _):
        code = frame.f_code
        if code.co_filename != checkpoint.__file__ or code.co_name not in SAVING:
            return None
        if event == "line":
            act()
        return trace

    return trace


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def the_last(folder):
    """The bytes of the newest checkpoint: all that training has led to."""
    return checkpoint.latest(folder).read_bytes()


class Nursery:
    """Trainings in processes of their own, one after the other."""

    def __init__(self, *flags, **environment):
        self.process = subprocess.Popen(
            [sys.executable, *flags, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        )

    def __enter__(self):
        return self

    def start(self, **job):
        """The pid of a new training."""
        print(json.dumps(job), file=self.process.stdin, flush=True)
        return int(self.process.stdout.readline())

    def wait(self):
        """Its exit code, negative for the signal that ended it."""
        return int(self.process.stdout.readline())

    def run(self, **job):
        self.start(**job)
        assert self.wait() == 0

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()


def serve():
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            train(**json.loads(line))
            os._exit(0)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
