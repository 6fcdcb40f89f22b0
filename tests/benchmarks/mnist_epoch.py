"""Time one epoch of the MNIST MLP: minigrad, also compiled, and NumPy with hand-written gradients.

    python tests/benchmarks/mnist_epoch.py --repetitions 5

All do the same float32 work from the same seed on the same batches (60,000 images, 784-512-10,
batch 128, RMSprop). They run in turns, so that a change in the machine's speed affects all. The
results are ratios of the medians: the cost of the framework. The compiled one, which needs numba,
has the same losses as minigrad, to the last bit. The first 20 losses show that the
work is the same. Later losses drift apart: RMSprop's first step has full size even where the
gradient is only rounding noise.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from importlib.util import find_spec

import numpy as np

from minigrad.datasets import batches, mnist
from minigrad.functional import cross_entropy
from minigrad.layers import Dense
from minigrad.models import Sequential
from minigrad.optimizers import RMSprop

LR, RHO, EPS, BATCH = 1e-3, 0.9, 1e-8, 128


def train_minigrad(images: np.ndarray, labels: np.ndarray, compiled: bool = False) -> list[float]:
    """Train for an epoch with minigrad; return the losses."""
    model = Sequential([Dense(512, activation="relu", input_shape=(784,)), Dense(10)], seed=0)
    optimizer, losses = RMSprop(model.parameters(), lr=LR, rho=RHO, eps=EPS), []
    if compiled:
        optimizer.compile()
    for x, y in batches(images, labels, BATCH, np.random.default_rng(0)):
        loss = cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def train_numpy(images: np.ndarray, labels: np.ndarray) -> list[float]:
    """Train for the same epoch without a framework; return the losses."""
    model = Sequential([Dense(512, activation="relu", input_shape=(784,)), Dense(10)], seed=0)
    parameters = [p.data for p in model.parameters()]
    w1, b1, w2, b2 = parameters
    squares, losses = [np.zeros_like(p) for p in parameters], []
    for x, y in batches(images, labels, BATCH, np.random.default_rng(0)):
        hidden = np.maximum(x @ w1 + b1, 0)
        logits = hidden @ w2 + b2
        logits -= logits.max(axis=1, keepdims=True)
        p = np.exp(logits)
        p /= p.sum(axis=1, keepdims=True)
        losses.append(-float(np.log(p[np.arange(len(y)), y]).mean()))
        p[np.arange(len(y)), y] -= 1
        p /= len(y)
        g = (p @ w2.T) * (hidden > 0)
        gradients = x.T @ g, g.sum(axis=0), hidden.T @ p, p.sum(axis=0)
        for w, g, v in zip(parameters, gradients, squares):
            v *= RHO
            v += (1 - RHO) * g * g
            w -= LR * g / (np.sqrt(v) + EPS)
    return losses


def train_compiled(images: np.ndarray, labels: np.ndarray) -> list[float]:
    return train_minigrad(images, labels, compiled=True)


def measure(train: Callable, images: np.ndarray, labels: np.ndarray) -> tuple[float, list]:
    """Return the seconds and the losses of an epoch."""
    start = time.perf_counter()
    losses = train(images, labels)
    return time.perf_counter() - start, losses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=5, help="measured runs, 3 or more")
    repetitions = max(3, parser.parse_args().repetitions)
    (images, labels), _ = mnist.load_data()
    images = images.reshape(60000, 784).astype("float32") / 255
    programs = {"minigrad": train_minigrad, "NumPy by hand": train_numpy}
    if find_spec("numba"):
        programs["compiled"] = train_compiled
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    losses: dict[str, list[float]] = {}
    for run in range(repetitions + 1):  # the first run of each is not measured
        for name, train in programs.items():
            elapsed, losses[name] = measure(train, images, labels)
            if run:
                seconds[name].append(elapsed)
    medians = {name: statistics.median(numbers) for name, numbers in seconds.items()}
    for name, median in medians.items():
        print(f"{name:14} median {median:.3f} s of {repetitions}")
    for ours, other in [("minigrad", "NumPy by hand"), *[("compiled", n) for n in [*programs][:2]]]:
        if ours in programs:
            turns = [a / b for a, b in zip(seconds[ours], seconds[other])]
            ratio = f"{ours} / {other}: {medians[ours] / medians[other]:.3f}"
            print(f"{ratio} (turn by turn {min(turns):.3f} to {max(turns):.3f})")
    difference = np.abs(np.divide(losses["minigrad"][:20], losses["NumPy by hand"][:20]) - 1).max()
    print(f"largest relative difference of the first 20 losses {difference:.1e}")
    if "compiled" in programs:
        print("compiled: every loss is the same:", losses["compiled"] == losses["minigrad"])


if __name__ == "__main__":
    main()
