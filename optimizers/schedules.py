"""Schedules, from a constant to one cycle: a hyperparameter as a function of t.

t counts the steps already taken, so the first step is t = 0 and the value never depends on who
calls what in which order. Any callable does; these have a repr, `values(n)` and can be saved.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from math import cos, isfinite, pi
from numbers import Real
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Schedule:
    """A function of the number of steps taken.

    >>> StepDecay(0.1, factor=0.5, every=2).values(5)
    array([0.1  , 0.1  , 0.05 , 0.05 , 0.025])
    """

    def __post_init__(self) -> None:
        for field in fields(self):
            value, count = getattr(self, field.name), field.name in ("steps", "every")
            if field.type not in ("float", "int", float, int):
                continue
            number = isinstance(value, Real) and not isinstance(value, bool) and isfinite(value)
            if not (number and value >= count):
                needed = "a number of at least 1" if count else "finite and not negative"
                raise ValueError(
                    f"{type(self).__name__}: {field.name} must be {needed}, received {value!r}"
                )
            if isinstance(value, np.generic):  # which json could not save
                object.__setattr__(self, field.name, value.item())

    def __call__(self, t: int) -> float:
        raise NotImplementedError(f"{type(self).__name__} must define __call__(self, t)")

    def values(self, n: int) -> np.ndarray:
        """The first n values, ready to plot."""
        return np.array([self(t) for t in range(n)])

    def plain(self) -> dict[str, Any]:
        """The schedule as plain values, for state_dict."""
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        return {"schedule": type(self).__name__} | plain


@dataclass(frozen=True)
class Constant(Schedule):
    """value"""

    value: float

    def __call__(self, t: int) -> float:
        return self.value


@dataclass(frozen=True)
class StepDecay(Schedule):
    """value · factor^⌊t / every⌋"""

    value: float
    factor: float = 0.1
    every: int = 1000

    def __call__(self, t: int) -> float:
        return self.value * self.factor ** (t // self.every)


@dataclass(frozen=True)
class ExponentialDecay(Schedule):
    """value · rate^(t / steps)"""

    value: float
    rate: float
    steps: int = 1

    def __call__(self, t: int) -> float:
        return self.value * self.rate ** (t / self.steps)


@dataclass(frozen=True)
class InverseTimeDecay(Schedule):
    """value / (1 + rate · t / steps)"""

    value: float
    rate: float
    steps: int = 1

    def __call__(self, t: int) -> float:
        return self.value / (1 + self.rate * t / self.steps)


@dataclass(frozen=True)
class LinearWarmup(Schedule):
    """start + (value − start) · min(t / steps, 1): the first step uses `start` itself."""

    value: float
    steps: int
    start: float = 0.0

    def __call__(self, t: int) -> float:
        return self.start + (self.value - self.start) * min(t / self.steps, 1)


@dataclass(frozen=True)
class CosineDecay(Schedule):
    """end + (value − end) · (1 + cos(π · min(t / steps, 1))) / 2"""

    value: float
    steps: int
    end: float = 0.0

    def __call__(self, t: int) -> float:
        fade = (1 + cos(pi * min(t / self.steps, 1))) / 2
        return self.end + (self.value - self.end) * fade


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Up from peak / start_factor, then down to peak / start_factor / end_factor, by cosines.

    `steps` in all, the first ⌊warmup · steps⌋ of them up (Smith & Topin 2018). As in optax.
    """

    peak: float
    steps: int
    warmup: float = 0.3
    start_factor: float = 25.0
    end_factor: float = 1e4

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.warmup < 1 and self.start_factor and self.end_factor):
            raise ValueError(f"OneCycle: warmup must be below 1 and no factor 0, received {self!r}")

    def __call__(self, t: int) -> float:
        start, top = self.peak / self.start_factor, int(self.warmup * self.steps)
        if t < top:
            return CosineDecay(start, top, end=self.peak)(t)
        return CosineDecay(self.peak, self.steps - top, start / self.end_factor)(t - top)


@dataclass(frozen=True)
class Join(Schedule):
    """One schedule after another: the next one begins, at its own t = 0, at each boundary.

    >>> Join((LinearWarmup(1.0, 2), Constant(0.5)), boundaries=(2,)).values(4)
    array([0. , 0.5, 0.5, 0.5])
    """

    schedules: tuple[Callable[[int], float], ...]
    boundaries: tuple[int, ...]

    def __post_init__(self) -> None:
        starts = [0, *self.boundaries]
        if len(self.schedules) != len(starts) or sorted({*starts}) != starts:
            raise ValueError(
                "Join needs one boundary between two schedules, rising from above 0; received "
                f"{len(self.schedules)} schedules and boundaries {tuple(self.boundaries)}"
            )

    def __call__(self, t: int) -> float:
        i = sum(t >= boundary for boundary in self.boundaries)
        return self.schedules[i](t - (0, *self.boundaries)[i])

    def plain(self) -> dict[str, Any]:
        parts = [as_schedule(part).plain() for part in self.schedules]
        return {"schedule": "Join", "schedules": parts, "boundaries": list(self.boundaries)}


@dataclass(frozen=True)
class FromFunction(Schedule):
    """function(t): what any other callable becomes. Its code cannot be saved, only its place."""

    function: Callable[[int], float]

    def __call__(self, t: int) -> float:
        return self.function(t)

    def plain(self) -> dict[str, Any]:
        return {"schedule": "FromFunction"}


def as_schedule(function: Callable[[int], float]) -> Schedule:
    """Any function of t as a Schedule."""
    return function if isinstance(function, Schedule) else FromFunction(function)


def from_plain(plain: Any, present: Any) -> Any:
    """The inverse of plain(); a function, which cannot be saved, is taken from what is present."""
    if not isinstance(plain, dict):
        return plain
    kinds = {kind.__name__: kind for kind in Schedule.__subclasses__()}
    name, values = plain.get("schedule"), {k: v for k, v in plain.items() if k != "schedule"}
    if name == "FromFunction":
        if not isinstance(present, FromFunction):
            raise ValueError("a function was saved only by its place; assign it again, then load")
        return present
    if name not in kinds:
        raise ValueError(f"unknown schedule {name!r} (there are: {', '.join(kinds)})")
    if name == "Join":
        values["schedules"] = tuple(from_plain(part, None) for part in values["schedules"])
        values["boundaries"] = tuple(values["boundaries"])
    return kinds[name](**values)
