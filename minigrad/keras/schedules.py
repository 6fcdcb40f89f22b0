"""keras.optimizers.schedules: minigrad's schedules with Keras's arguments."""

from math import ceil
from typing import Any

from .. import optimizers as native


def ExponentialDecay(initial_learning_rate: float, decay_steps: int, decay_rate: float,
                     staircase: bool = False, name: str = "") -> Any:  # fmt: skip
    """Return a·r^(t/d); with staircase, a·r^⌊t/d⌋."""
    kind = native.StepDecay if staircase else native.ExponentialDecay
    return kind(initial_learning_rate, decay_rate, decay_steps)


def InverseTimeDecay(initial_learning_rate: float, decay_steps: int, decay_rate: float,
                     staircase: bool = False, name: str = "") -> Any:  # fmt: skip
    """Return a / (1 + r·t/d); with staircase, a / (1 + r·⌊t/d⌋)."""
    smooth = native.InverseTimeDecay(initial_learning_rate, decay_rate, decay_steps)
    return (lambda t: smooth(t - t % decay_steps)) if staircase else smooth


def PiecewiseConstantDecay(boundaries: Any, values: Any, name: str = "") -> Any:
    """Return the first values[i] with t ≤ boundaries[i]; after the last boundary values[-1]."""
    constants = tuple(native.Constant(value) for value in values)
    return native.Join(constants, tuple(int(boundary) + 1 for boundary in boundaries))


def PolynomialDecay(initial_learning_rate: float, decay_steps: int, end_learning_rate: float = 1e-4,
                    power: float = 1.0, cycle: bool = False, name: str = "") -> Any:  # fmt: skip
    """Return (a − e)·(1 − min(t, d)/d)^power + e; cycle: d is rounded up to a multiple above t."""
    a, e = initial_learning_rate, end_learning_rate

    def schedule(t: int) -> float:
        d = decay_steps * max(1, ceil(t / decay_steps) if cycle else 1)
        return (a - e) * (1 - min(t, d) / d) ** power + e

    return schedule


def CosineDecay(initial_learning_rate: float, decay_steps: int, alpha: float = 0.0,
                name: str = "", warmup_target: float | None = None,
                warmup_steps: int = 0) -> Any:  # fmt: skip
    """Return a·((1 − α)·(1 + cos(π·min(t, d)/d))/2 + α); with a warmup, first rise linearly."""
    a = initial_learning_rate
    if warmup_target is None:
        return native.CosineDecay(a, decay_steps, a * alpha)
    warmup = native.LinearWarmup(warmup_target, warmup_steps, a)
    decay = native.CosineDecay(warmup_target, decay_steps, warmup_target * alpha)
    return native.Join((warmup, decay), (warmup_steps,))
