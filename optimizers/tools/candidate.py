"""One candidate of identify: find the numbers with which an optimizer makes the given steps.

In reading order: Match, the result; Trajectory, the data; Candidate, the search for the numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from itertools import chain
from typing import Any

import numpy as np

from ..clipping import clip_by_global_norm
from ..hyperparameters import LIMITS
from ..optimizer import Optimizer
from .explain import same_rule
from .least_squares import levenberg_marquardt

# Deviations in units of the tolerance
COARSE_GOAL = 1e3  # for the first steps: a closer fit to so few steps would overfit
HOPELESS_AFTER_ONE_STEP, HOPELESS_AFTER_TWO_STEPS = 1e5, 1e7  # such candidates hardly ever match
NEAR = 1e5  # rounded numbers can match
FRACTIONS = {name for name, (_, upper, _) in LIMITS.items() if upper == 1}
SHARED = {field.name for field in fields(Optimizer)}  # hyperparameters of every optimizer

Hyper = dict[str, Any]


@dataclass(frozen=True)
class Match:
    """An optimizer that could have made the steps: optimizer_class(params, lr=…, **hyper).

    deviation: the largest relative deviation of a weight.
    first_mismatch: the first step that it does not reproduce; None if it reproduces all.
    undetermined: the hyperparameters of which other values match these data, too.
    conventions: the frameworks that have this rule.
    """

    optimizer_class: type[Optimizer]
    hyper: dict[str, Any]
    deviation: float
    first_mismatch: int | None
    undetermined: tuple[str, ...]
    conventions: tuple[str, ...]

    def __str__(self) -> str:
        hyper = ", ".join(f"{k}={v!r}" for k, v in self.hyper.items())
        text = f"{self.optimizer_class.__name__}({hyper}): deviation {self.deviation:.1e}"
        text += f", first mismatch at step {self.first_mismatch}" if self.first_mismatch else ""
        text += f"; undetermined: {', '.join(self.undetermined)}" if self.undetermined else ""
        return text


class Trajectory:
    """The data to explain: weights, gradients, learning rates, and the tolerance of each weight."""

    def __init__(self, thetas: Iterable[Any], gradients: Iterable[Any], lr: Any) -> None:
        weights = [_as_arrays(theta) for theta in thetas]
        self.gradients = [[a.astype(float) for a in _as_arrays(g)] for g in gradients]
        for a in chain(*self.gradients):
            a.setflags(write=False)  # a rule that writes into g would change those of the others
        self.gradients = [[a[...] for a in g] for g in self.gradients]  # a view stays read-only
        shapes = {tuple(a.shape for a in arrays) for arrays in weights + self.gradients}
        self.steps = len(self.gradients)
        if len(weights) != self.steps + 1 or len(shapes) != 1 or not self.steps:
            received = f"{len(weights)} and {self.steps}, of shapes {sorted(shapes)}"
            rule = "T + 1 thetas and T gradients, all of one shape"
            raise ValueError(f"identify needs {rule}; received {received}")
        self.lrs = None if lr is None else _lr_per_step(lr, self.steps)
        self.start = [w.astype(float) for w in weights[0]]
        theta, g = _flatten(weights), _flatten(self.gradients)
        eps = np.finfo(theta.dtype if theta.dtype.kind == "f" else float).eps
        theta = theta.astype(float)
        if not (np.isfinite(theta).all() and np.isfinite(g).all()):
            raise ValueError("identify needs finite thetas and gradients; received an inf or NaN")
        if (theta[1:] == theta[:-1]).all():
            raise ValueError("identify needs thetas that move; received equal ones")
        self.target = theta[1:]
        moved = np.diff(theta, axis=0)
        # Rounding changes some units in the last place of θ, and a little of each step.
        self.tolerance = 8 * eps * np.abs(self.target) + 0.1 * eps**0.5 * np.abs(moved) + 1e-300
        self.ascends = np.sign(g[0] * moved[0]).sum() > 0
        self.first_steps: dict[Any, tuple[Hyper, float]] = {}  # least squares, cached


class Candidate:
    """An optimizer with its switches set, and the search for the numbers that match the data."""

    def __init__(self, trajectory: Trajectory, cls: Any, switches: Hyper, numbers: Hyper) -> None:
        self.trajectory, self.cls, self.switches = trajectory, cls, switches
        self.initial = self.numbers = numbers
        self.constants = cls.defaults | {"weight_decay": 0.0} | switches
        self.optimizer = cls()
        if "w" in cls.required_hyperparameters["direction"]:
            rule = self.optimizer.direction

            def direction(g: Any, slots: Any, *, w: Any, **h: Any) -> Any:
                return rule(g, slots, w=np.broadcast_to(w, w.shape), **h)  # it is read-only

            vars(self.optimizer)["direction"] = direction
        self.first_mismatch: int | None = 1  # None: it reproduces all steps
        self.fitted_steps, self.worst = 0, np.inf  # worst: the largest |r| of these steps

    def makes_superfluous(self, other: Candidate) -> bool:
        """Return whether this one matches, and the other has more numbers in the same rule.

        A candidate of another rule is superfluous if it has three more unknown numbers.
        """
        if self.first_mismatch is not None:
            return False
        same_rule = self.cls.direction is other.cls.direction
        contained = same_rule and self.numbers.keys() < other.numbers.keys()
        return contained or len(self.numbers) + 3 <= len(other.numbers)

    def residuals(self, numbers: Hyper, steps: int) -> np.ndarray:
        """Return (θ − target) / tolerance after each step; within ±1 both are equal."""
        optimizer, trajectory, h = self.optimizer, self.trajectory, self.constants | numbers
        vars(optimizer)["_active"] = h  # self.k in a rule reads it
        weights = [w.copy() for w in trajectory.start]
        slots = [optimizer.init_slots(w, h) for w in weights]
        theta = np.empty((steps, trajectory.target.shape[1]))
        with np.errstate(all="ignore"):
            for t, gradients in enumerate(trajectory.gradients[:steps]):
                h["t"] = t + 1
                h["lr"] = trajectory.lrs[t] if trajectory.lrs else h["lr"]
                if h["clip_global_norm"]:
                    gradients, _ = clip_by_global_norm(gradients, h["clip_global_norm"])
                for w, g, s in zip(weights, gradients, slots):
                    optimizer.update(w, optimizer.clip(g, h), s, h)
                theta[t] = np.concatenate([w.ravel() for w in weights])
            r = (theta - trajectory.target[:steps]) / trajectory.tolerance[:steps]
        return np.fmin(np.fmax(r, -1e60), 1e60)  # also replaces NaN

    def least_squares(
        self, numbers: Hyper, steps: int, goal: float = 1.0, names: Any = None, patience: int = 25
    ) -> tuple[Hyper, float]:
        """Optimize the named numbers, by default all; return all numbers, and max |r|."""
        names = [*numbers] if names is None else names

        def numbers_at(z: np.ndarray) -> Hyper:
            return numbers | {n: _from_unbounded(n, x) for n, x in zip(names, z.tolist())}

        def residuals(z: np.ndarray) -> np.ndarray:
            return self.residuals(numbers_at(z), steps).ravel()

        z = np.array([_to_unbounded(name, numbers[name]) for name in names])
        z, r = levenberg_marquardt(residuals, z, goal, patience)
        return numbers_at(z), np.abs(r).max()

    def search(self) -> None:
        """Fit the first step, then two steps, then all; most candidates fail at the first."""
        steps = self.trajectory.steps
        first_fit, self.worst = self.fit_first_step()
        self.numbers = self.numbers | {k: v for k, v in first_fit.items() if k in self.numbers}
        self.after_first_step = self.numbers
        if self.worst < HOPELESS_AFTER_ONE_STEP:
            self.fit(min(2, steps), COARSE_GOAL)
        if self.worst < HOPELESS_AFTER_TWO_STEPS:
            self.fit(steps, 1.0)
            if self.worst > 1:  # the two fits before can lead away from the minimum
                direct, worst = self.least_squares(self.initial, steps)
                if worst < self.worst:
                    self.numbers, self.worst = direct, worst
        if self.worst < NEAR:
            self.round_numbers()
        self.find_first_mismatch()

    def fit(self, steps: int, goal: float) -> None:
        """Fit the numbers to the first `steps` steps."""
        self.numbers, self.worst = self.least_squares(self.numbers, steps, goal)
        self.fitted_steps = steps

    def fit_first_step(self) -> tuple[Hyper, float]:
        """Fit the first step, once for all candidates that differ only in later steps."""
        later = {"momentum", "dampening", "lr_in_momentum"}
        switches = sorted((k, v) for k, v in self.switches.items() if v and k not in later)
        key = (self.cls.direction, *switches, *sorted(self.numbers.keys() - later))
        cache = self.trajectory.first_steps
        if key not in cache:
            cache[key] = self.least_squares(self.numbers, 1, COARSE_GOAL, patience=8)
        return cache[key]

    def find_first_mismatch(self) -> None:
        """Find the first step that the numbers do not reproduce."""
        wrong = np.abs(self.residuals(self.numbers, self.trajectory.steps)).max(axis=1) > 1
        self.first_mismatch = int(wrong.argmax()) + 1 if wrong.any() else None

    def fit_longest_prefix(self) -> None:
        """Reproduce as many steps from the first as possible."""
        for steps in range(self.trajectory.steps - 1, 0, -1):
            self.numbers, worst = self.least_squares(self.after_first_step, steps)
            if worst <= 1:
                break
        self.find_first_mismatch()

    def has_degenerate_number(self) -> bool:
        """Return whether a number went to the end of [0, 1], where a simpler rule is the same."""
        return any(k in FRACTIONS and not 1e-5 < x < 1 - 1e-5 for k, x in self.numbers.items())

    def round_numbers(self) -> None:
        """Give each number the fewest digits with which the others can still match the data.

        People choose 0.9. Least squares ends at 0.8999999998, and the other numbers compensate.
        """
        exact = [*self.numbers]
        for name in [*exact, *exact]:  # the second attempt has the other numbers rounded
            if name in exact and self.round_number(name, [n for n in exact if n != name]):
                exact.remove(name)

    def round_number(self, name: str, others: list[str]) -> bool:
        """Round one number, and let the others adapt; return whether they still match the data."""
        for digits in range(1, 8):
            rounded = float(f"{self.numbers[name]:.{digits}g}")
            if 0 < rounded < LIMITS.get(name, (0, np.inf))[1]:
                trial, steps = self.numbers | {name: rounded}, self.trajectory.steps
                trial, worst = self.least_squares(trial, steps, names=others, patience=8)
                if worst <= 1:
                    self.numbers = trial
                    return True
        return False

    def is_undetermined(self, name: str, numbers: Hyper) -> bool:
        """Return whether another value matches as well, after the other numbers adapt to it."""
        moved = _from_unbounded(name, _to_unbounded(name, numbers[name]) + 1)
        trial, others = numbers | {name: moved}, [n for n in numbers if n != name]
        return bool(self.least_squares(trial, self.trajectory.steps, names=others)[1] <= 1)

    def to_match(self) -> Match:
        trajectory, h = self.trajectory, self.constants | self.numbers
        undetermined: list[str] = []
        if self.first_mismatch is None:
            numbers = {k: v for k, v in h.items() if k not in SHARED and type(v) is float and v}
            numbers |= self.numbers
            undetermined = [name for name in numbers if self.is_undetermined(name, numbers)]
        error = np.abs(self.residuals(self.numbers, trajectory.steps) * trajectory.tolerance)
        deviation = float(np.max(error / np.maximum(np.abs(trajectory.target), 1e-300)))
        hyper = {k: v for k, v in h.items() if v != self.cls.defaults[k]}
        same = tuple(same_rule(self.cls, h))
        return Match(self.cls, hyper, deviation, self.first_mismatch, tuple(undetermined), same)


def _to_unbounded(name: str, x: float) -> float:
    """Return logit x for a fraction, log x for another number: least squares needs no bounds."""
    if name in FRACTIONS:
        x = min(max(x, 1e-13), 1 - 1e-13)
        return float(np.log(x / (1 - x)))
    return float(np.log(max(x, 1e-30)))


def _from_unbounded(name: str, z: float) -> float:
    z = min(max(z, -30.0), 30.0)
    return float(1 / (1 + np.exp(-z)) if name in FRACTIONS else np.exp(z))


# ---- The data as arrays ----


def _as_arrays(theta: Any) -> list[np.ndarray]:
    """Return the arrays of the parameters, from one array or a list of arrays."""
    several = isinstance(theta, list | tuple) and any(np.ndim(part) for part in theta)
    return [np.asarray(part) for part in (theta if several else [theta])]


def _flatten(path: list[list[np.ndarray]]) -> np.ndarray:
    """Return one row for each step, with all elements of all parameters."""
    return np.stack([np.concatenate([a.ravel() for a in arrays]) for arrays in path])


def _lr_per_step(lr: Any, steps: int) -> list[float]:
    rates = np.asarray([lr(t) for t in range(steps)] if callable(lr) else lr)
    numbers = rates.dtype.kind in "fiu" and rates.shape in ((), (steps,))
    if not (numbers and np.isfinite(rates).all() and (rates >= 0).all()):
        rule = f"an lr that is finite and not negative, or one for each of the {steps} steps"
        raise ValueError(f"identify needs {rule}, or a schedule, or None; received {lr!r}")
    return np.broadcast_to(rates, steps).tolist()
