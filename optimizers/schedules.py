"""Schedules, from a constant to one cycle: hyperparameters that depend on the step number t.

t is the number of steps already taken: the first step has t = 0 (but t = 1 in a rule). A schedule
has no state: its value depends on t alone. Any function of t is a schedule. These can also be shown
and saved.
"""

from bisect import bisect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import cos, isfinite, pi
from numbers import Real
from typing import ClassVar

import numpy as np


def is_finite_number(value: object) -> bool:
    """Return whether the value is a real number, neither a bool nor an inf or NaN."""
    return isinstance(value, Real) and not isinstance(value, bool) and isfinite(value)


@dataclass(frozen=True)
class Schedule:
    """Base class: call a schedule with t to get its value.

    >>> StepDecay(0.1, factor=0.5, every=2).values(5)
    array([0.1  , 0.1  , 0.05 , 0.05 , 0.025])
    """

    least: ClassVar[Mapping[str, int]] = {}  # numeric fields, and their smallest legal values

    def __post_init__(self) -> None:
        for name, least in self.least.items():
            value = getattr(self, name)
            if not is_finite_number(value) or value < least:
                who = f"{type(self).__name__}: {name}"
                needed = "a number of at least 1" if least == 1 else "finite and not negative"
                raise ValueError(f"{who} must be {needed}, received {value!r}")
            if isinstance(value, np.generic):  # json cannot save NumPy's numbers
                object.__setattr__(self, name, value.item())

    def __call__(self, t: int) -> float:
        raise NotImplementedError(f"{type(self).__name__} must define __call__(self, t)")

    def values(self, n: int) -> np.ndarray:
        """Return the values at t = 0 … n − 1, ready to plot."""
        return np.array([self(t) for t in range(n)])


@dataclass(frozen=True)
class Constant(Schedule):
    """value."""

    value: float
    least = dict(value=0)

    def __call__(self, t: int) -> float:
        return self.value


@dataclass(frozen=True)
class StepDecay(Schedule):
    """value · factor^⌊t / every⌋. PyTorch calls it StepLR."""

    value: float
    factor: float = 0.1
    every: int = 1000
    least = dict(value=0, factor=0, every=1)

    def __call__(self, t: int) -> float:
        return self.value * self.factor ** (t // self.every)


@dataclass(frozen=True)
class ExponentialDecay(Schedule):
    """value · rate^(t / steps). As in Keras."""

    value: float
    rate: float
    steps: int = 1
    least = dict(value=0, rate=0, steps=1)

    def __call__(self, t: int) -> float:
        return self.value * self.rate ** (t / self.steps)


@dataclass(frozen=True)
class InverseTimeDecay(Schedule):
    """value / (1 + rate · t / steps). As in Keras."""

    value: float
    rate: float
    steps: int = 1
    least = dict(value=0, rate=0, steps=1)

    def __call__(self, t: int) -> float:
        return self.value / (1 + self.rate * t / self.steps)


@dataclass(frozen=True)
class LinearWarmup(Schedule):
    """start + (value − start) · min(t / steps, 1). The first step uses `start` itself."""

    value: float
    steps: int
    start: float = 0.0
    least = dict(value=0, steps=1, start=0)

    def __call__(self, t: int) -> float:
        return self.start + (self.value - self.start) * min(t / self.steps, 1)


@dataclass(frozen=True)
class CosineDecay(Schedule):
    """end + (value − end) · (1 + cos(π · min(t / steps, 1))) / 2. Keras's alpha is end / value."""

    value: float
    steps: int
    end: float = 0.0
    least = dict(value=0, steps=1, end=0)

    def __call__(self, t: int) -> float:
        fraction = (1 + cos(pi * min(t / self.steps, 1))) / 2
        return self.end + (self.value - self.end) * fraction


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Rise from peak / start_factor to peak, then fall to peak / start_factor / end_factor.

    Both parts are cosines. The first ⌊warmup · steps⌋ of the `steps` steps rise (Smith & Topin
    2018). The values are those of optax's cosine_onecycle_schedule.
    """

    peak: float
    steps: int
    warmup: float = 0.3
    start_factor: float = 25.0
    end_factor: float = 1e4
    least = dict(peak=0, steps=1, warmup=0, start_factor=0, end_factor=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.warmup < 1 and self.start_factor and self.end_factor):
            needed = "warmup must be below 1, and both factors above 0"
            raise ValueError(f"OneCycle: {needed}; received {self!r}")

    def __call__(self, t: int) -> float:
        start, rising = self.peak / self.start_factor, int(self.warmup * self.steps)
        if t < rising:
            return CosineDecay(start, rising, end=self.peak)(t)
        return CosineDecay(self.peak, self.steps - rising, start / self.end_factor)(t - rising)


@dataclass(frozen=True)
class Join(Schedule):
    """Run schedules one after another. Each starts at its own t = 0 when a boundary is reached.

    >>> Join((LinearWarmup(1.0, 2), Constant(0.5)), boundaries=(2,)).values(4)
    array([0. , 0.5, 0.5, 0.5])
    """

    schedules: tuple[Callable[[int], float], ...]
    boundaries: tuple[int, ...]

    def __post_init__(self) -> None:
        starts = [0, *self.boundaries]
        if len(self.schedules) != len(starts) or sorted({*starts}) != starts:
            received = f"{len(self.schedules)} schedules and boundaries {tuple(self.boundaries)}"
            rule = "one boundary between two neighbouring schedules, in rising order from 1 on"
            raise ValueError(f"Join needs {rule}; received {received}")

    def __call__(self, t: int) -> float:
        i = bisect(self.boundaries, t)
        return self.schedules[i](t - (0, *self.boundaries)[i])
