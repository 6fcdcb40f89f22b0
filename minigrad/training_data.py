"""What fit, evaluate and predict receive: arrays or batches, targets, weights of examples."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sized
from itertools import chain, islice
from typing import Any

import numpy as np

from .utils import finite_array, is_finite_number, positive_int, user_frame

Batch = list[Any]  # x, y, and perhaps weights


def match_target(prediction: Any, y: Any) -> Any:
    """Return y in the prediction's shape, if they are (N,) and (N, 1): nothing then broadcasts."""
    theirs, ours = prediction.shape, np.shape(y)
    if len(ours) and theirs == (*ours, 1):
        return np.asarray(y)[..., None]
    return np.asarray(y)[..., 0] if len(theirs) and ours == (*theirs, 1) else y


def example_weights(who: str, y: Any, sample_weight: Any, class_weight: Any) -> Any:
    """Return sample_weight times the weight of each example's class, an array; None without any.

    sample_weight: (N,), (N, 1), or for sequences (N, T).
    y: integer classes (N,), (N, 1) or (N, T), or one-hot rows. A class that class_weight lacks
    counts 1.
    """
    if sample_weight is not None:
        sample_weight = finite_array(f"{who}: sample_weight", sample_weight)
        if len(sample_weight) != len(y) or np.any(sample_weight < 0):
            required = f"{len(y)} numbers ≥ 0 are required, one for each example"
            raise ValueError(f"{who}: sample_weight: {required}; received {sample_weight!r:.80}")
        if sample_weight.shape[1:] == (1,):
            sample_weight = sample_weight[:, 0]
    if class_weight is None:
        return sample_weight
    classes = class_numbers(np.asarray(y))
    if not isinstance(class_weight, Mapping) or classes is None:
        required = "class_weight={0: 1.0, 1: 5.0}, and targets that are classes, are required"
        raise ValueError(f"{who}: {required}; received {class_weight!r:.80}")
    for label, weight in class_weight.items():
        are_numbers = isinstance(label, (int, float, np.number)) and is_finite_number(weight)
        if not are_numbers or label % 1 or weight < 0:
            required = "class_weight needs integers as classes, and weights ≥ 0"
            raise ValueError(f"{who}: {required}; received {label!r}: {weight!r:.40}")
    found, index = np.unique(classes, return_inverse=True)
    weights = np.array([class_weight.get(int(label), 1.0) for label in found], float)[index]
    weights = weights.reshape(classes.shape)
    if sample_weight is None:
        return weights
    axes = (1,) * (weights.ndim - sample_weight.ndim)
    return weights * sample_weight.reshape(*sample_weight.shape, *axes)


def class_numbers(y: np.ndarray) -> np.ndarray | None:
    """Return targets as class numbers: integers, a column of them, or one-hot rows; else None."""
    if y.ndim > 1 and y.shape[-1] == 1:
        y = y[..., 0]
    elif y.ndim > 1 and np.all((y == 0) | (y == 1)) and np.all(y.sum(axis=-1) == 1):
        y = y.argmax(axis=-1)
    return None if np.any(y % 1) else y.astype(int)


def is_stream(x: Any) -> bool:
    """Return whether x is an iterable of batches; an array, a table or a list is not.

    A list of tuples that begin with an array is one: [(x, y), (x, y)].
    """
    if isinstance(x, list):
        return bool(x) and isinstance(x[0], tuple) and np.ndim(x[0][0]) > 0
    return not isinstance(x, (tuple, np.ndarray)) and not hasattr(x, "__array__")


def parts_of(who: str, data: Any) -> tuple[Any, Any, Any]:
    """Return (x, y, sample_weight), or (iterable, None, None); raise ValueError for others."""
    if isinstance(data, (tuple, list)) and len(data) in (1, 2, 3):
        x, y, sample_weight = (*data, None, None)[:3]
        return x, y, sample_weight
    raise ValueError(f"{who} must be a pair (x, y), or (x, y, sample_weight)")


def check_batch(who: str, x: Any, y: Any, sample_weight: Any, class_weight: Any) -> Batch:
    """Return [x, y] or [x, y, weights] as arrays, finite and of one length, with rows."""
    x, y = finite_array(f"{who}: x", x), finite_array(f"{who}: y", y)
    if not len(x) or len(x) != len(y):
        required = "x and y need equal numbers of rows, at least one"
        raise ValueError(f"{who}: {required}; received shapes {x.shape} and {y.shape}")
    weight = example_weights(who, y, sample_weight, class_weight)
    return [x, y] if weight is None else [x, y, weight]


class Stream:
    """An iterable of batches (x, y) or (x, y, sample_weight), which keeps its own order.

    batches: a list, a `batches` object, a data loader; or an object with a length and [i]; each
    epoch goes through it once. A generator goes on where the last epoch stopped.
    steps: an epoch takes this many batches. The next epoch goes on behind them; after the last
    batch it begins again. With restarts=True each epoch begins at the first batch.
    """

    def __init__(self, who: str, batches: Any, steps: int | None, class_weight: Any = None,
                 restarts: bool = False):  # fmt: skip
        has_items = hasattr(type(batches), "__getitem__") and isinstance(batches, Sized)
        self.by_item = has_items and not hasattr(type(batches), "__iter__")
        if not (self.by_item or isinstance(batches, Iterable)) or hasattr(batches, "shape"):
            what = f"y is required for x of type {type(batches).__name__}"
            raise ValueError(f"{who}: {what}; without y, x must be an iterable of batches (x, y)")
        self.who, self.source, self.class_weight = who, batches, class_weight
        self.steps = steps if steps is None else positive_int(f"{who}: the number of steps", steps)
        self.ends, self.restarts = isinstance(batches, Iterator), restarts
        self.running, self.opened = self.endless(), None  # type: Any, Any

    def __len__(self) -> int:
        """Return the number of batches in an epoch; 0 if it is not known."""
        return self.steps or (len(self.source) if isinstance(self.source, Sized) else 0)

    def source_once(self) -> Iterator[Any]:
        return self.items() if self.by_item else iter(self.source)

    def items(self) -> Iterator[Any]:
        for i in range(len(self.source)):
            yield self.source[i]
        getattr(self.source, "on_epoch_end", lambda: None)()  # Keras's data sets shuffle there

    def endless(self) -> Iterator[Any]:
        while True:
            is_empty = True
            for batch in self.source_once():
                is_empty = False
                yield batch
            if is_empty:
                return

    def check_epochs(self, who: str, epochs: int, validation_split: Any, resume: Any) -> None:
        """Raise ValueError for what an iterable cannot do."""
        if self.ends and not self.steps and epochs > 1:
            how = "give steps_per_epoch (validation_steps), or an iterable that starts anew"
            raise ValueError(f"{who}: a generator ends after one epoch; {how}")
        if validation_split or resume is not None:
            raise ValueError(f"{who}: validation_split and resume need arrays, not an iterable")

    def open(self) -> Iterator[Batch]:
        once = self.ends or self.restarts or not self.steps
        return map(self.check, self.source_once() if once else self.running)

    def first(self) -> Batch:
        """Return the first batch; the first epoch begins with it."""
        opened = self.open()
        if (batch := next(opened, None)) is None:
            raise ValueError(f"{self.who}: the iterable gave no batch")
        self.opened = chain([batch], opened)
        return batch

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of an epoch; warn if a generator ends before."""
        opened, self.opened, count = self.opened or self.open(), None, 0
        for batch in islice(opened, self.steps):
            count += 1
            yield batch
        if count < (self.steps or 1):
            problem = f"the iterable ended after {count} batches of the epoch"
            how = f"it must give {self.steps or 'some'} for each epoch"
            warnings.warn(f"{self.who}: {problem}; {how}", stacklevel=user_frame()[1])

    def check(self, batch: Any) -> Batch:
        if not isinstance(batch, (tuple, list)) or len(batch) not in (2, 3):
            required = "each batch must be (x, y) or (x, y, sample_weight)"
            raise ValueError(f"{self.who}: {required}, received {batch!r:.60}")
        x, y, weight = (*batch, None)[:3]
        return check_batch(self.who, x, y, weight, self.class_weight)
