"""What fit, evaluate and predict receive: arrays or batches, targets, weights of examples."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sized
from functools import partial
from itertools import chain, islice
from typing import Any

import numpy as np

from .utils import finite_array, user_frame

Batch = tuple[Any, ...]  # (x, y) or (x, y, sample_weight)


def match_target(prediction: Any, y: Any) -> Any:
    """Return y; targets (N,) for an output (N, 1) become (N, 1), so that nothing broadcasts."""
    shape = np.shape(y)
    fits = prediction.shape == (*shape, 1) and len(shape)
    return np.asarray(y)[..., None] if fits else y


def is_stream(x: Any) -> bool:
    """Return whether x is an iterable of batches; an array, a table or a list is not.

    A list of tuples is one: [(x, y), (x, y)].
    """
    if isinstance(x, list):
        return bool(x) and isinstance(x[0], tuple)
    return not isinstance(x, (tuple, np.ndarray)) and not hasattr(x, "__array__")


def split_pair(who: str, data: Any) -> tuple[Any, Any, Any]:
    """Return (x, y, sample_weight), or (iterable, None, None); raise ValueError for others."""
    if isinstance(data, (tuple, list)) and len(data) in (1, 2, 3):
        x, y, sample_weight = (*data, None, None)[:3]
        return x, y, sample_weight
    raise ValueError(f"{who} must be a pair (x, y), or (x, y, sample_weight)")


def example_weights(who: str, y: Any, sample_weight: Any, class_weight: Any) -> Any:
    """Return sample_weight times the weight of each example's class, an array; None without any.

    y: integer classes (N,) or (N, 1), or one-hot rows. A class that class_weight lacks counts 1.
    """
    if sample_weight is not None:
        sample_weight = finite_array(f"{who}: sample_weight", sample_weight)
        if len(sample_weight) != len(y) or sample_weight.min() < 0:
            required = f"{len(y)} numbers ≥ 0 are required, one for each example"
            raise ValueError(f"{who}: sample_weight: {required}; received {sample_weight!r:.80}")
    if class_weight is None:
        return sample_weight
    y = np.asarray(y)
    classes = y.argmax(axis=-1) if y.ndim > 1 and y.shape[-1] > 1 else y.reshape(len(y), -1)[:, 0]
    if not isinstance(class_weight, Mapping) or np.any(classes != classes.astype(int)):
        required = "class_weight={0: 1.0, 1: 5.0}, and targets that are classes, are required"
        raise ValueError(f"{who}: {required}; received {class_weight!r:.80}")
    if not all(0 <= w < np.inf for w in class_weight.values()):
        raise ValueError(f"{who}: each class_weight must be ≥ 0, received {class_weight!r:.80}")
    found, index = np.unique(classes.astype(int), return_inverse=True)
    weights = np.array([class_weight.get(int(label), 1.0) for label in found], float)[index]
    return weights if sample_weight is None else weights * sample_weight


class Stream:
    """An iterable of batches (x, y) or (x, y, sample_weight), which keeps its own order.

    batches: a list, a `batches` object, a data loader; or an object with a length and [i]; each
    epoch goes through it once. A generator goes on where the last epoch stopped.
    steps: the number of batches in an epoch; then the batches start anew when they end.
    """

    def __init__(self, who: str, batches: Any, steps: int | None, class_weight: Any = None):
        if not hasattr(type(batches), "__iter__") and hasattr(type(batches), "__getitem__"):
            batches = ItemsByNumber(batches)
        if not isinstance(batches, Iterable) or hasattr(batches, "shape"):
            what = f"y is required for x of type {type(batches).__name__}"
            raise ValueError(f"{who}: {what}; without y, x must be an iterable of batches (x, y)")
        self.who, self.source, self.steps, self.class_weight = who, batches, steps, class_weight
        self.ends = isinstance(batches, Iterator)
        self.endless = chain.from_iterable(iter(partial(iter, batches), None))
        self.opened: Iterator[Batch] | None = None

    def __len__(self) -> int:  # for the progress bar: 0 if unknown
        return self.steps or (len(self.source) if isinstance(self.source, Sized) else 0)

    def check_epochs(self, who: str, epochs: int, validation_split: Any, resume: Any) -> None:
        """Raise ValueError for what an iterable cannot do."""
        if self.ends and not self.steps and epochs > 1:
            how = "give steps_per_epoch (validation_steps), or an iterable that starts anew"
            raise ValueError(f"{who}: a generator ends after one epoch; {how}")
        if validation_split or resume is not None:
            raise ValueError(f"{who}: validation_split and resume need arrays, not an iterable")

    def open(self) -> Iterator[Batch]:
        return map(self.check, self.source if self.ends or not self.steps else self.endless)

    def first(self) -> Batch:
        """Return the first batch; the first epoch begins with it."""
        opened = self.open()
        if (batch := next(opened, None)) is None:
            raise ValueError(f"{self.who}: the iterable gave no batch")
        self.opened = chain([batch], opened)
        return batch

    def epoch(self, _: Any = None) -> Iterator[Batch]:
        """Yield the batches of an epoch; warn if a generator ends before."""
        opened, self.opened, count = self.opened or self.open(), None, 0
        for batch in islice(opened, self.steps):
            count += 1
            yield batch
        if count < (self.steps or 1):
            problem = f"the generator ended after {count} batches of the epoch"
            how = "it must give steps_per_epoch batches for each epoch"
            warnings.warn(f"{self.who}: {problem}; {how}", stacklevel=user_frame()[1])

    def check(self, batch: Any) -> Batch:
        if not isinstance(batch, (tuple, list)) or len(batch) not in (2, 3):
            required = "each batch must be (x, y) or (x, y, sample_weight)"
            raise ValueError(f"{self.who}: {required}, received {batch!r:.60}")
        x, y, w = (*batch, None)[:3]
        x, y = finite_array(f"{self.who}: x", x), finite_array(f"{self.who}: y", y)
        w = example_weights(self.who, y, w, self.class_weight)
        return (x, y) if w is None else (x, y, w)


class ItemsByNumber:
    """Iterate over x[0], x[1], … x[len(x) − 1]."""

    def __init__(self, items: Any):
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Any]:
        return map(self.items.__getitem__, range(len(self.items)))
