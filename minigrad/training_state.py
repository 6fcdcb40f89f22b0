"""Where training stands: running means, and what a checkpoint must know to go on."""

from __future__ import annotations

from dataclasses import dataclass, field
from numbers import Real
from typing import Any
from zlib import crc32

import numpy as np

from .checkpoint import CheckpointError, checkpoint_errors

SAME = ("examples", "batch_size", "shuffle", "validation_split", "loss", "data", "logged")


def checksum(*arrays: np.ndarray) -> int:
    """The CRC-32 of about a hundred rows of each: in another order they are other data, too."""
    crc = 0
    for array in arrays:
        crc = crc32(array[:: len(array) // 100 + 1].tobytes(), crc)
    return crc


@dataclass
class RunningMeans:
    """Running means of named numbers, weighted by the number of examples."""

    sums: dict[str, float] = field(default_factory=dict)
    count: int = 0

    def add(self, numbers: dict[str, float], count: int) -> None:
        self.count += count
        for name, number in numbers.items():
            self.sums[name] = self.sums.get(name, 0.0) + number * count

    def numbers(self) -> dict[str, float]:
        return {name: total / self.count for name, total in self.sums.items()}


@dataclass
class TrainingState:
    """Where `fit` stands: with it a checkpoint can go on, also in the middle of an epoch."""

    examples: int
    batch_size: int
    shuffle: bool
    validation_split: float
    loss: str  # its name
    data: int  # a checksum of some of the examples
    logged: list[str]  # the names in the history
    seed: int = 0
    epoch: int = 0  # whole epochs done
    batch: int = 0  # batches of the next one done
    means: RunningMeans = field(default_factory=RunningMeans)  # over these batches
    history: dict[str, list[float]] = field(default_factory=dict)

    @property
    def validation_size(self) -> int:
        """How many of the examples are not trained on."""
        share, n = self.validation_split, self.examples
        if share and not (isinstance(share, Real) and 0.5 < share * n < n - 0.5):
            raise ValueError(
                f"fit: validation_split must leave some of {n} examples on both sides; "
                f"received {share!r}"
            )
        return round(share * n)

    def rng(self, i: int) -> np.random.Generator:
        """Generator i of this training. It can be made again, so no shuffled order need be kept."""
        return np.random.default_rng([self.seed, i])

    def finish_epoch(self, logs: dict[str, float]) -> None:
        for name, number in logs.items():
            self.history.setdefault(name, []).append(float(number))
        self.epoch, self.batch, self.means = self.epoch + 1, 0, RunningMeans()

    def resume(self, saved: dict[str, Any]) -> None:
        """Stand where the saved progress stood, if it is undamaged and of the same training."""
        if "epoch" not in saved:
            raise CheckpointError(
                "fit: no training can go on from this checkpoint: it holds the weights alone, they "
                "were put into the model after its training, or that ended in an error; load() it "
                "and begin anew"
            )
        for name in SAME:
            if saved.get(name) != getattr(self, name):
                raise CheckpointError(
                    f"fit: the checkpoint is of a training with {name}={saved.get(name)!r}, this "
                    f"one has {getattr(self, name)!r}; give the same, or load() and begin anew"
                )
        with checkpoint_errors("the progress in the"):
            self.seed, self.epoch, self.batch = (saved[k] for k in ("seed", "epoch", "batch"))
            self.means, self.history = RunningMeans(**saved["means"]), saved["history"]
            sums, count = self.means.sums, self.means.count
            columns, size = list(self.history.values()), self.examples - self.validation_size
            if not (
                all(type(n) is int and n >= 0 for n in (self.seed, self.epoch, self.batch, count))
                and all(type(x) in (int, float) for x in sum(columns, list(sums.values())))
                and all(len(column) == self.epoch for column in columns)
                and list(self.history) == self.logged * (self.epoch > 0)
                and list(sums) == self.logged[: len(sums)]
                and bool(sums) == (self.batch > 0)
                and count == min(self.batch * self.batch_size, size)
                and self.batch <= -(-size // self.batch_size)
            ):
                raise ValueError("its numbers contradict each other")
