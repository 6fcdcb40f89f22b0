"""One epoch of the MNIST MLP, minigrad beside a hand-written NumPy loop: the cost of the framework.

    python tests/benchmarks/mnist_epoch.py [--repetitions 5]

Both do the same float32 work from the same seed on the same batches (60,000 images, 784-512-10,
batch 128, RMSprop). They take turns, so that a machine whose speed drifts is fair to both; what
counts is the ratio of the medians. That the work was the same shows in the first 20 losses; later
ones drift apart, since RMSprop takes full first steps even where a gradient is rounding noise.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np

from minigrad.datasets import batches, mnist
from minigrad.functional import cross_entropy
from minigrad.layers import Dense
from minigrad.models import Sequential
from minigrad.optimizers import RMSprop

LR, RHO, EPS, BATCH = 1e-3, 0.9, 1e-8, 128


def framework(images: np.ndarray, labels: np.ndarray) -> list[float]:
    """The epoch in minigrad; its losses."""
    model = Sequential([Dense(512, activation="relu", input_shape=(784,)), Dense(10)], seed=0)
    optimizer, losses = RMSprop(model.parameters(), lr=LR, rho=RHO, eps=EPS), []
    for x, y in batches(images, labels, BATCH, np.random.default_rng(0)):
        loss = cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def by_hand(images: np.ndarray, labels: np.ndarray) -> list[float]:
    """The same epoch as one writes it without a framework, with the gradients worked out."""
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
        into_hidden = (p @ w2.T) * (hidden > 0)
        gradients = x.T @ into_hidden, into_hidden.sum(axis=0), hidden.T @ p, p.sum(axis=0)
        for w, g, v in zip(parameters, gradients, squares):
            v *= RHO
            v += (1 - RHO) * g * g
            w -= LR * g / (np.sqrt(v) + EPS)
    return losses


def seconds(epoch: Callable, images: np.ndarray, labels: np.ndarray) -> tuple[float, list]:
    start = time.perf_counter()
    losses = epoch(images, labels)
    return time.perf_counter() - start, losses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--repetitions", type=int, default=5, help="counted runs, 3 or more"
    )
    repetitions = max(3, parser.parse_args().repetitions)
    (images, labels), _ = mnist.load_data()
    images = images.reshape(60000, 784).astype("float32") / 255
    ours, theirs = [], []
    for run in range(repetitions + 1):  # the first run of each warms up
        a, our_losses = seconds(framework, images, labels)
        b, their_losses = seconds(by_hand, images, labels)
        if run:
            ours.append(a)
            theirs.append(b)
    apart = np.abs(np.divide(our_losses[:20], their_losses[:20]) - 1).max()
    pairs = [a / b for a, b in zip(ours, theirs)]
    print(f"minigrad       median {statistics.median(ours):.3f} s of {repetitions}")
    print(f"NumPy by hand  median {statistics.median(theirs):.3f} s of {repetitions}")
    print(f"ratio of medians {statistics.median(ours) / statistics.median(theirs):.3f}", end=" ")
    print(f"(pair by pair {min(pairs):.3f} to {max(pairs):.3f})")
    print(f"largest relative difference of the first 20 losses {apart:.1e}")


if __name__ == "__main__":
    main()
