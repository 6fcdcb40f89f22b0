"""Small trainings for tests of races, and a program that races one of them on an executor.

    python race_trainings.py TRAINING EXECUTOR FOLDER    TRAINING is a key of the table in `main`
"""

import json
import os
import signal
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np

from minigrad.optimizers import Parameter
from minigrad.race import load_mnist, mnist_mlp, race

OPTIMIZERS, LRS, SEEDS = ["adam", "sgd:momentum=0.9"], [0.01, 0.1, 0.3], 2
TRIALS = len(OPTIMIZERS) * len(LRS) * SEEDS


def bowl(optimizer, seed, data, steps=5, pause=0.0):
    """Minimize ‖w‖² from a start that the seed decides; yield it at the start and each step."""
    w = Parameter(np.random.default_rng(seed).normal(size=3))
    optimizer.bind([w])
    yield np.sum(w.data**2)
    for _ in range(steps):
        time.sleep(pause)
        w.grad = 2 * w.data
        optimizer.step()
        yield np.sum(w.data**2)


def kills_its_worker(optimizer, seed, data, tries, deaths):
    """Kill this process in one configuration, `deaths` times. The file `tries` counts the tries."""
    if optimizer.lr == 0.1 and seed == 1:
        with open(tries, "ab") as file:
            file.write(b"x")
        if Path(tries).stat().st_size <= deaths:
            os.kill(os.getpid(), signal.SIGKILL)
    yield from bowl(optimizer, seed, data)


class UnpicklableError(Exception):
    """An exception that can be pickled but not unpickled, as those of some packages."""

    def __init__(self, what, why):
        super().__init__(f"{what}: {why}")


def raises_unpicklable(optimizer, seed, data):
    yield 1.0
    raise UnpicklableError("no luck", "bad data")


def lines_of(folder):
    return sorted((Path(folder) / "results.jsonl").read_bytes().splitlines(keepends=True))


def outcomes(lines):
    """Return the result of each trial, without the name and the code of the training."""
    return [json.loads(line) | {"train": "", "code": 0} for line in lines]


def main(training, executor, folder):
    train = {
        "bowl": bowl,
        "slow": partial(bowl, steps=3, pause=0.08),
        "kills its worker": partial(kills_its_worker, tries=f"{folder}-tries", deaths=99),
        "kills its worker once": partial(kills_its_worker, tries=f"{folder}-tries", deaths=1),
        "raises unpicklable": raises_unpicklable,
        "mnist": partial(mnist_mlp, epochs=1, hidden=16),
    }[training]
    with ExitStack() as stack:
        if executor in ("threads", "pool"):
            kind = ThreadPoolExecutor if executor == "threads" else ProcessPoolExecutor
            executor = stack.enter_context(kind(2))
        elif executor == "dask threads":
            from distributed import LocalCluster

            cluster = LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=None)
            executor = stack.enter_context(cluster).scheduler_address
        load = load_mnist if training == "mnist" else None
        print(race(train, OPTIMIZERS, LRS, SEEDS, executor, load=load, workers=2, out=folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
