"""The rules that students write, and their variants. In order of difficulty.

A rule with a mistake is `dataclasses.replace(rule, …)`: see mistakes.py.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np

from ..parameters import Parameter
from ..registry import get

TASKS: dict[str, dict[str, float]] = {  # hyperparameters; adam has t as well
    "sgd": {},
    "momentum": {"mu": 0.9},
    "adagrad": {"eps": 1e-8},
    "rmsprop": {"rho": 0.9, "eps": 1e-8},
    "adam": {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8},
}
STARTS = [{"start": start} for start in (0.0, 0.1, 0.25, 0.5, 1.0)]
EPS_PLACES = [{"eps_at": "outside"}, {"eps_at": "inside"}]
FORMS = "heavy ball", "nesterov", "averaged", "averaged nesterov"
VARIANTS: dict[str, list[dict[str, Any]]] = {
    "sgd": [{}],
    "momentum": [{"form": form} for form in FORMS],
    "adagrad": [a | b for a in EPS_PLACES for b in STARTS],
    "rmsprop": [a | b for a in EPS_PLACES for b in STARTS],
    "adam": [a | {"amsgrad": b} for a in [*EPS_PLACES, {"eps_at": "hat"}] for b in (False, True)],
}


class Call(NamedTuple):
    """A call of the rule: for which parameter, and with which g, t and hyperparameters."""

    name: str
    g: np.ndarray
    t: int
    hyper: dict[str, float]


def ema(old: Any, x: Any, rho: float) -> Any:
    return rho * old + (1 - rho) * x


def decayed_sum(old: Any, x: Any, rho: float) -> Any:
    return rho * old + x


def bias_corrected(m: Any, v: Any, beta1: float, beta2: float, t: int) -> tuple[Any, Any]:
    return m / (1 - beta1**t), v / (1 - beta2**t)


def divide_outside(u: Any, v: Any, eps: float) -> Any:
    return u / (np.sqrt(v) + eps)


def divide_inside(u: Any, v: Any, eps: float) -> Any:
    return u / np.sqrt(v + eps)


def call_time(t: int, number: int) -> int:
    """Return t; `number` counts the calls for all parameters together."""
    return t


@dataclass(frozen=True)
class Rule:
    """A rule of the course. The first fields are its variant; a mistake changes any field.

    form: of the momentum. eps_at: where ε stands. start: where the mean or sum of squares starts.
    """

    task: str
    form: str = "heavy ball"
    eps_at: str = "outside"
    start: Any = 0.0
    amsgrad: bool = False

    scale: float = 1.0
    square: Callable[..., Any] = np.square
    average: Callable[..., Any] | None = None  # of the squares: f(old, x, rho)
    average_m: Callable[..., Any] | None = None  # of the gradients
    divide: Callable[..., Any] | None = None  # f(u, v, ε)
    correct: Callable[..., Any] = bias_corrected
    hyper: Callable[..., dict[str, float]] = dict  # returns the hyperparameters to use
    time: Callable[[int, int], int] = call_time
    stores_corrected: bool = False
    late: str = ""  # the slots that are used before their update
    keep: bool = True
    shared: bool = False

    @property
    def equations(self) -> list[str]:
        """The rule in mathematical notation, a line each."""
        g = "(1 − μ)·g" if "averaged" in self.form else "g"
        u = f"{g} + μ·b" if "nesterov" in self.form else "b"
        v = {"adagrad": "r", "rmsprop": "v", "adam": "v̂"}.get(self.task, "")
        divided = f"√({v} + ε)" if self.eps_at == "inside" else f"(√{v} + ε)"
        last = f"u = m̂ / {divided}"
        if self.eps_at == "hat":
            last = f"u = √(1 − β₂ᵗ)·m̂ / (√{'a' if self.amsgrad else 'v'} + ε)"
        largest = ["a ← max(a, v)"] if self.amsgrad else []
        hat = [] if self.eps_at == "hat" else [f"v̂ = {'a' if self.amsgrad else 'v'} / (1 − β₂ᵗ)"]
        return {
            "sgd": ["u = g"],
            "momentum": [f"b ← μ·b + {g}", f"u = {u}", "b starts at 0"],
            "adagrad": ["r ← r + g²", f"u = g / {divided}", f"r starts at {self.start:g}"],
            "rmsprop": [
                "v ← ρ·v + (1 − ρ)·g²", f"u = g / {divided}", f"v starts at {self.start:g}"
            ],
            "adam": [
                "m ← β₁·m + (1 − β₁)·g", "v ← β₂·v + (1 − β₂)·g²", *largest,
                "m̂ = m / (1 − β₁ᵗ)", *hat, last,
                f"m, v{', a' if self.amsgrad else ''} start at 0, t at 1",
            ],
        }[self.task]  # fmt: skip

    # ---- What it computes ----

    def directions(self, calls: Iterable[Call]) -> Iterator[np.ndarray]:
        """Yield u for each call, with the mistakes."""
        slots: dict[str, dict[str, Any]] = {}
        for number, call in enumerate(calls, start=1):
            kept = slots.setdefault("" if self.shared else call.name, {}) if self.keep else {}
            t, h = self.time(call.t, number), self.hyper(call.hyper)
            with np.errstate(all="ignore"):
                yield self.scale * self.direction(call.g, kept, t, h)

    def direction(self, g: Any, slots: dict[str, Any], t: int, h: dict[str, float]) -> Any:
        def updated(name: str, average: Any, x: Any, rho: float, start: Any = 0.0) -> Any:
            old = slots.get(name, x if start == "first" else start + 0 * x)
            slots[name] = average(old, x, rho)
            return old if name in self.late else slots[name]

        divide = self.divide or (divide_inside if self.eps_at == "inside" else divide_outside)
        if self.task == "sgd":
            return g
        if self.task == "momentum":
            x = (1 - h["mu"]) * g if "averaged" in self.form else g
            b = updated("m", self.average_m or decayed_sum, x, h["mu"])
            return x + h["mu"] * b if "nesterov" in self.form else b
        if self.task == "adagrad":
            r = updated("v", self.average or decayed_sum, self.square(g), 1.0, self.start)
            return divide(g, r, h["eps"])
        if self.task == "rmsprop":
            v = updated("v", self.average or ema, self.square(g), h["rho"], self.start)
            return divide(g, v, h["eps"])
        m = updated("m", self.average_m or ema, g, h["beta1"])
        v = updated("v", self.average or ema, self.square(g), h["beta2"], self.start)
        if self.amsgrad:
            v = slots["a"] = np.maximum(slots.get("a", 0.0), v)
        m_hat, v_hat = self.correct(m, v, h["beta1"], h["beta2"], t)
        m_hat = g if m_hat is None else m_hat
        if self.stores_corrected:
            slots.update(m=m_hat, v=v_hat)
        eps = h["eps"] / np.sqrt(1 - h["beta2"] ** t) if self.eps_at == "hat" else h["eps"]
        return divide(m_hat, v_hat, eps)

    def reference(self, calls: Iterable[Call]) -> Iterator[np.ndarray]:
        """Yield u for each call, from the library's own optimizer."""
        h: dict[str, Any] = dict(next(iter(calls)).hyper)
        if self.task == "momentum":
            averaged = "averaged" in self.form
            options = {"momentum": h["mu"], "nesterov": "nesterov" in self.form}
            for u in run_library("sgd", options, calls):
                yield u * (1 - h["mu"]) if averaged else u
            return
        if "eps" in h:
            h["eps_in_sqrt"] = self.eps_at == "inside"
        if self.task == "adam":
            h |= {"eps_hat": self.eps_at == "hat", "amsgrad": self.amsgrad}
        elif "eps" in h:
            h["initial_accumulator"] = self.start
        yield from run_library(self.task, h, calls)


def run_library(
    optimizer: Any, options: dict[str, Any], calls: Iterable[Call]
) -> Iterator[np.ndarray]:
    """Yield u for each call, from an optimizer of the library: it moves w from 0 to −u."""
    made: dict[str, tuple[Any, Parameter]] = {}
    for call in calls:
        if call.name not in made:
            w = Parameter(np.zeros_like(call.g))
            made[call.name] = get(optimizer, [w], lr=1.0, **options), w
        rule, w = made[call.name]
        w.data[...], w.grad = 0, call.g.copy()
        rule.step()
        yield -w.data


def agree(
    expected: Sequence[np.ndarray], found: Sequence[np.ndarray], tolerance: float = 1e-6
) -> bool:
    """Return whether two lists of directions are equal, up to rounding."""
    return len(expected) == len(found) and not np.any(differs(expected, found, tolerance))


def differs(
    expected: Sequence[np.ndarray], found: Sequence[np.ndarray], tolerance: float = 1e-6
) -> np.ndarray:
    """Return where they differ by more than tolerance · the largest |u| of the same weight.

    The calls are of two parameters in turn.
    """
    right, other = (np.array([np.asarray(u, float) for u in us]) for us in (expected, found))
    with np.errstate(all="ignore"):
        limit = np.zeros_like(right)
        for turn in slice(0, None, 2), slice(1, None, 2):
            size = np.abs(right[turn])
            limit[turn] = tolerance * np.max(size, axis=0, initial=0.0, where=np.isfinite(size))
        same = (np.abs(right - other) <= limit) | (right == other)
    return ~(same | (np.isnan(right) & np.isnan(other)))


def make_rule(task: str, variant: str | None = None) -> Rule:
    """Return the rule of a task; variant: a student's number, which selects the switches.

    Neighbouring numbers select different switches, if the task has any.
    """
    if variant is None:
        return Rule(task)
    digits = "".join(c for c in variant if c.isdecimal())
    number = int(digits) if digits else crc32(variant.encode())
    options = VARIANTS[task]  # 7 has no factor in common with the number of any task's options
    return Rule(task, **options[(7 * number + crc32(task.encode())) % len(options)])
