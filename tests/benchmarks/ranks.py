"""Time an epoch of the MNIST MLP on one and on two ranks of MPI, one BLAS thread each.

    python tests/benchmarks/ranks.py --repetitions 5

Every case is a process group of its own that trains for three epochs; the fastest of the last two
counts. The cases run in turns. A ratio is the median over the turns of the case divided by one
rank. "two threads" is one process without MPI, with two BLAS threads.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np

from minigrad.datasets import batches, mnist
from minigrad.distributed import DataParallel
from minigrad.functional import cross_entropy
from minigrad.layers import Dense
from minigrad.models import Sequential
from minigrad.optimizers import RMSprop

CASES = {  # ranks, BLAS threads, options of DataParallel; None: no DataParallel
    "one rank": (1, 1, {}),
    "two ranks": (2, 1, {}),
    "two ranks, deterministic": (2, 1, {"deterministic": True}),
    "two ranks, shard": (2, 1, {"shard": True}),
    "two threads": (1, 2, None),
}


def forward_and_backward(model: Sequential, x: np.ndarray, y: np.ndarray) -> float:
    loss = cross_entropy(model(x), y)
    loss.backward()
    return loss.item()


def train(case: str, batch_size: int, compiled: bool) -> None:
    """Train for three epochs; print the seconds of the faster of the last two."""
    (images, labels), _ = mnist.load_data()
    x = np.divide(images.reshape(-1, 784), 255, dtype=np.float32)
    model = Sequential([Dense(512, "relu", input_shape=(784,)), Dense(10)], seed=0)
    optimizer, options = RMSprop(lr=1e-3), CASES[case][2]
    if compiled:
        optimizer.compile()
    optimizer = optimizer if options is None else DataParallel(optimizer, **options)
    optimizer.bind(model.named_parameters())
    part = {
        name: getattr(optimizer, name, default) for name, default in (("rank", 0), ("ranks", 1))
    }
    rng, seconds = np.random.default_rng(0), []
    for _ in range(3):
        start = time.perf_counter()
        for x_batch, y_batch in batches(x, labels, batch_size, rng, **part):
            optimizer.step(partial(forward_and_backward, model, x_batch, y_batch))
            optimizer.zero_grad()
        seconds.append(time.perf_counter() - start)
    if not part["rank"]:
        print(min(seconds[1:]))


def measure(case: str, batch_size: int, compiled: bool) -> float:
    ranks, threads, options = CASES[case]
    mpiexec = Path(sys.executable).with_name("mpiexec")
    start = [str(mpiexec) if mpiexec.exists() else "mpiexec", "-n", str(ranks)]
    program = [sys.executable, __file__, "--case", case, "--batch-size", str(batch_size)]
    command = program if options is None else start + program
    command += ["--compile"] * compiled
    environment = os.environ | {"OPENBLAS_NUM_THREADS": str(threads)}
    return float(subprocess.check_output(command, env=environment, text=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--batch-size", type=int, nargs="+", default=[128, 1024])
    parser.add_argument("--compile", action="store_true", help="compile the optimizer's step")
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        return train(args.case, args.batch_size[0], args.compile)
    for size in args.batch_size:
        turns = [
            {case: measure(case, size, args.compile) for case in CASES}
            for _ in range(args.repetitions)
        ]
        print(f"batch {size}: {'':15} epoch      ratio (turn by turn)")
        for case in CASES:
            ratios = [turn[case] / turn["one rank"] for turn in turns]
            seconds = statistics.median(turn[case] for turn in turns)
            spread = f"{min(ratios):.2f} … {max(ratios):.2f}"
            print(f"{case:25} {seconds:.3f} s    {statistics.median(ratios):.2f} ({spread})")


if __name__ == "__main__":
    main()
