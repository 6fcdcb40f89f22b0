"""What fit, evaluate and predict receive: arrays or batches, targets, weights of examples."""

from collections.abc import Iterator, Mapping, Sized
from itertools import chain, islice
from typing import Any

import numpy as np

from .utils import finite_array, is_finite_number, positive_int, warn_user

Batch = list[Any]  # x, y, and perhaps weights


def match_target(prediction: Any, y: Any) -> Any:
    """Return y; where it is (N,) and the prediction (N, 1), or the reverse, reshape y to match."""
    of_p, of_y = prediction.shape, np.shape(y)
    if len(of_y) and of_p == (*of_y, 1):
        return np.asarray(y)[..., None]
    return np.asarray(y)[..., 0] if len(of_p) and of_y == (*of_p, 1) else y


def example_weights(who: str, y: Any, sample_weight: Any, class_weight: Any) -> Any:
    """Return sample_weight times the weight of each example's class; None if neither is given.

    sample_weight: (N,), (N, 1), or for sequences (N, T).
    y: integer classes (N,), (N, 1) or (N, T), or one-hot rows.
    class_weight: a weight for each class; a class that is missing has the weight 1.
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
    labels, index = np.unique(classes, return_inverse=True)
    by_label = np.array([class_weight.get(int(label), 1.0) for label in labels], float)
    weights = by_label[index].reshape(classes.shape)
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
    has_items = hasattr(type(x), "__iter__") or hasattr(type(x), "__getitem__")
    return has_items and not isinstance(x, tuple) and not hasattr(x, "__array__")


def parts_of(what: str, data: Any) -> tuple[Any, Any, Any]:
    """Return (x, y, sample_weight), with None for a missing weight; raise ValueError for others."""
    if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
        raise ValueError(f"{what} must be (x, y) or (x, y, sample_weight), received {data!r:.60}")
    x, y, sample_weight = (*data, None)[:3]
    return x, y, sample_weight


def split_rows(data: Batch, n: int, sample_weight: Any) -> tuple[Batch, Batch]:
    """Return the rows to train on, and the last n for validation, without class weights."""
    x, y, *_ = data
    weights = [] if sample_weight is None else [np.asarray(sample_weight)]
    return [a[:-n] for a in data], [a[-n:] for a in (x, y, *weights)]


def check_batch(who: str, x: Any, y: Any, sample_weight: Any, class_weight: Any) -> Batch:
    """Return [x, y] or [x, y, weights] as finite arrays of one length, at least one row."""
    x, y = finite_array(f"{who}: x", x), finite_array(f"{who}: y", y)
    if not len(x) or len(x) != len(y):
        required = "x and y need equal numbers of rows, at least one"
        raise ValueError(f"{who}: {required}; received shapes {x.shape} and {y.shape}")
    weight = example_weights(who, y, sample_weight, class_weight)
    return [x, y] if weight is None else [x, y, weight]


class Stream:
    """An iterable of batches (x, y) or (x, y, sample_weight), cut into epochs.

    batches: a list, a `batches` object, a data loader, a generator; or an object with a length and
    [i], such as a Keras data set.
    steps: None, or the number of batches in an epoch.

    Where an epoch begins:
    without steps, or with restarts=True  at the first batch
    with steps                            after the last epoch; if no batch is left, at the first
    a generator                           always where it has stopped
    """

    def __init__(self, who: str, batches: Any, steps: int | None, class_weight: Any = None,
                 restarts: bool = False):  # fmt: skip
        is_iterable = hasattr(type(batches), "__iter__")
        has_items = hasattr(type(batches), "__getitem__") and isinstance(batches, Sized)
        if not (is_iterable or has_items) or hasattr(batches, "shape"):
            what = f"y is required for x of type {type(batches).__name__}"
            raise ValueError(f"{who}: {what}; without y, x must be an iterable of batches (x, y)")
        self.who, self.source, self.class_weight = who, batches, class_weight
        self.has_only_items = has_items and not is_iterable
        self.is_generator = isinstance(batches, Iterator)
        self.steps = steps if steps is None else positive_int(f"{who}: the number of steps", steps)
        self.restarts = restarts or steps is None
        self.endless = self.repeat_source()  # the epochs of a source that does not restart
        self.begun_epoch: Iterator[Batch] | None = None  # by `first`

    def __len__(self) -> int:
        """Return the number of batches in an epoch; 0 if it is not known."""
        return self.steps or (len(self.source) if isinstance(self.source, Sized) else 0)

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches of an epoch; warn if there are fewer than `steps`."""
        epoch = self.begun_epoch or self.begin_epoch()
        self.begun_epoch, count = None, 0
        for batch in islice(epoch, self.steps):
            count += 1
            yield batch
        if count < (self.steps or 1):
            problem = f"the iterable ended after {count} batches of the epoch"
            how = f"it must give {self.steps or 'some'} for each epoch"
            warn_user(f"{self.who}: {problem}; {how}")

    def first(self) -> Batch:
        """Return the first batch; the next epoch still begins with it."""
        epoch = self.begin_epoch()
        if (batch := next(epoch, None)) is None:
            raise ValueError(f"{self.who}: the iterable gave no batch")
        self.begun_epoch = chain([batch], epoch)
        return batch

    def begin_epoch(self) -> Iterator[Batch]:
        # iter() of a generator is the generator itself, so it goes on where it stopped
        new = self.restarts or self.is_generator
        return map(self.check, self.iterate_source() if new else self.endless)

    def iterate_source(self) -> Iterator[Any]:
        """Go through the source once."""
        return self.iterate_items() if self.has_only_items else iter(self.source)

    def iterate_items(self) -> Iterator[Any]:
        for i in range(len(self.source)):
            yield self.source[i]
        if hasattr(self.source, "on_epoch_end"):
            self.source.on_epoch_end()  # Keras's data sets shuffle there

    def repeat_source(self) -> Iterator[Any]:
        """Go through the source again and again, until it gives no batch."""
        is_empty = False
        while not is_empty:
            is_empty = True
            for batch in self.iterate_source():
                is_empty = False
                yield batch

    def check_epochs(self, epochs: int, validation_split: Any, resume: Any) -> None:
        """Raise ValueError for what an iterable cannot do."""
        if self.is_generator and not self.steps and epochs > 1:
            how = "give steps_per_epoch (validation_steps), or an iterable that can start again"
            raise ValueError(f"{self.who}: a generator ends after one epoch; {how}")
        if validation_split or resume is not None:
            required = "validation_split and resume need arrays, not an iterable"
            raise ValueError(f"{self.who}: {required}")

    def check(self, batch: Any) -> Batch:
        return check_batch(self.who, *parts_of(f"{self.who}: each batch", batch), self.class_weight)
