"""A small training for tests that interrupt it, and a server that forks such trainings.

Run as a program, the server reads one job per line: a JSON object with the arguments of `train`. It
forks a process for each job, prints its pid, and at its end its exit code. So a hundred trainings
import NumPy only once.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from minigrad import checkpoint, optimizers
from minigrad.callbacks import ModelCheckpoint
from minigrad.utils import run_file
from tests.minigrad.helpers import X, Y, make_model, stop_after_batches

ROOT = Path(__file__).parents[2]
SAVING = {"save", "write", "store", "atomic_write", "locked_folder"}


def train(
    folder,
    optimizer="rmsprop",
    plugin=None,
    epochs=4,
    save_freq=3,
    stop_after=None,
    die_at_line=None,
):
    """Train with dropout, a schedule and a validation split; resume what is in the folder.

    plugin: the name of a file in examples/optimizers that registers the optimizer.
    stop_after: number of batches after which to stop.
    die_at_line: kill the process when the checkpoint writer has executed so many lines.
    """
    if plugin:
        run_file(str(ROOT / "examples" / "optimizers" / plugin))
    model = make_model(optimizer, lr=optimizers.CosineDecay(0.01, steps=40))
    if die_at_line is not None:
        lines = iter(range(die_at_line - 1))
        sys.settrace(trace_lines_of_saves(lambda: next(lines, None) is None and die()))
    model.fit(
        X,
        Y,
        batch_size=8,
        epochs=epochs,
        verbose=0,
        validation_split=0.2,
        callbacks=[ModelCheckpoint(folder, save_freq=save_freq), *stop_after_batches(stop_after)],
        resume=folder if checkpoint.latest(folder) else None,
    )
    return model


def trace_lines_of_saves(act):
    """Return a trace function that calls act() before each line that writes a checkpoint."""

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


def last_checkpoint(folder):
    """Return the bytes of the newest checkpoint: the whole result of the training."""
    return checkpoint.latest(folder).read_bytes()


class ForkServer:
    """Run trainings in forked processes, one after the other."""

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
        """Start a training; return its pid."""
        print(json.dumps(job), file=self.process.stdin, flush=True)
        return int(self.process.stdout.readline())

    def wait(self):
        """Wait for the training; return its exit code, or minus the signal that ended it."""
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
