"""The state of a training that a checkpoint saves besides weights, optimizer and callbacks."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from numbers import Real
from typing import Any
from zlib import crc32

import numpy as np

from .checkpoint import CheckpointError, checkpoint_errors

MUST_MATCH = ("examples", "batch_size", "shuffle", "validation_split", "validation_rows", "loss",
              "data", "logged")  # fmt: skip


def checksum(*arrays: np.ndarray) -> int:
    """Return the CRC-32 of about a hundred rows of each array; it depends on their order."""
    return crc32(b"".join(array[:: len(array) // 100 + 1].tobytes() for array in arrays))


@dataclass
class RunningMeans:
    """Means of named numbers over batches, weighted by the number of examples."""

    sums: dict[str, Any] = field(default_factory=dict)  # numbers, or arrays of statistics
    count: int = 0

    def add(self, numbers: dict[str, Any], count: int) -> None:
        self.count += count
        for name, number in numbers.items():
            self.sums[name] = self.sums.get(name, 0.0) + number * count

    def current(self) -> dict[str, Any]:
        return {name: total / self.count for name, total in self.sums.items()}


@dataclass
class TrainingState:
    """The configuration and the progress of a training: the section `progress` of a checkpoint."""

    examples: int
    batch_size: int
    shuffle: bool
    validation_split: float
    loss: str  # its name
    data: int  # the checksum of the examples
    logged: list[str]  # the names in the history
    seed: int = 0
    first_epoch: int = 0  # fit's initial_epoch
    epoch: int = 0  # number of the next epoch
    batch: int = 0  # number of batches done in the next epoch
    means: RunningMeans = field(default_factory=RunningMeans)  # over these batches
    history: dict[str, list[float]] = field(default_factory=dict)
    validation_rows: str | None = None  # before version 0.3, they were drawn at random

    def __post_init__(self) -> None:
        share = self.validation_split = self.validation_split or 0.0
        n, is_share = self.examples, isinstance(share, Real) and 0 <= share < 1
        if not is_share or (share and not 0 < self.validation_size < n):
            required = f"leave some of {n} examples for training and some for validation"
            raise ValueError(f"fit: validation_split must {required}; received {share!r}")
        self.validation_rows = "the last" if share else None

    @property
    def validation_size(self) -> int:
        return self.examples - int(self.examples * (1 - self.validation_split))  # as in Keras

    def rng(self, i: int) -> np.random.Generator:
        """Return generator i of this training, the same in a resumed training."""
        return np.random.default_rng([self.seed, i])

    def finish_epoch(self, logs: dict[str, float]) -> None:
        for name, number in logs.items():
            self.history.setdefault(name, []).append(float(number))
        self.epoch, self.batch, self.means = self.epoch + 1, 0, RunningMeans()

    def resume(self, saved: dict[str, Any]) -> None:
        """Take over the progress of a checkpoint, if it is consistent and of the same training."""
        if "epoch" not in saved:
            raise CheckpointError(
                "fit: cannot resume from this checkpoint. It holds only weights, or its weights "
                "were loaded after the training, or the training ended in an error; load() it and "
                "start anew"
            )
        for name in MUST_MATCH:
            was, now = saved.get(name), getattr(self, name)
            if was != now:
                what = "a checksum of the examples, data" if name == "data" else name
                other = f"the checkpoint is of a training with {what}={was!r}, this one has {now!r}"
                raise CheckpointError(f"fit: {other}; give the same, or load() and start anew")
        with checkpoint_errors("the progress of this checkpoint"):
            self.seed, self.epoch, self.batch = (saved[k] for k in ("seed", "epoch", "batch"))
            self.first_epoch = saved.get("first_epoch", 0)
            self.means, self.history = RunningMeans(**saved["means"]), saved["history"]
            for rule, holds in self.consistency_checks():
                if not holds:
                    raise CheckpointError(f"it breaks the rule that {rule}")

    def consistency_checks(self) -> Iterator[tuple[str, bool]]:
        """Yield each rule of a consistent state, in words, and whether it holds."""
        epoch, batch, history = self.epoch, self.batch, self.history
        sums, count = self.means.sums, self.means.count
        numbers = (self.seed, self.first_epoch, epoch, batch, count)
        natural = [type(n) is int and n >= 0 for n in numbers]
        yield "seed and counts are integers, 0 or more", all(natural)
        types = {type(x) for x in chain(sums.values(), *history.values())}
        yield "sums and history are numbers", types <= {int, float, np.ndarray}
        done = epoch - self.first_epoch
        yield "the history has the logged names", list(history) == (self.logged if done else [])
        lengths = {len(column) for column in history.values()}
        yield "the history has one number per epoch", lengths <= {done}
        yield "sums exist exactly when batch > 0", bool(sums) == (batch > 0)
        yield "the sums have the logged names", list(sums) == self.logged[: len(sums)]
        size, batch_size = self.examples - self.validation_size, self.batch_size
        yield "batch is at most the number of batches per epoch", batch <= -(-size // batch_size)
        seen = min(batch * batch_size, size)
        yield "the count is that of the examples in these batches", count == seen
