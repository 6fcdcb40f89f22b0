"""What a hyperparameter may be: its range, and what other frameworks call it."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable
from math import inf, isfinite
from numbers import Real
from typing import Any

import numpy as np

from .schedules import Schedule, as_schedule

Number = float | Callable[[int], float]

# name: (least, bound, is the bound itself allowed); a name that is not here takes any finite number
LIMITS = {
    **dict.fromkeys(("lr", "eps", "eps_root", "weight_decay"), (0.0, inf, False)),
    **dict.fromkeys(("initial_accumulator", "lr_decay", "momentum_decay"), (0.0, inf, False)),
    **dict.fromkeys(("momentum", "rho", "beta1", "beta2"), (0.0, 1.0, False)),
    "dampening": (0.0, 1.0, True),
}
CHOICES = {"on_nonfinite": ("raise", "skip", "ignore")}

# another framework's word: ours
ALIASES = {
    **dict.fromkeys(("learning_rate", "eta", "step_size"), "lr"),
    "epsilon": "eps",
    **dict.fromkeys(("alpha", "gamma", "decay", "decay_rate", "smoothing_constant"), "rho"),
    **dict.fromkeys(("beta_1", "b1"), "beta1"),
    **dict.fromkeys(("beta_2", "b2"), "beta2"),
    "betas": "beta1 and beta2",
    **dict.fromkeys(("mu", "momentum_rate"), "momentum"),
    **dict.fromkeys(("initial_accumulator_value", "initial_scale"), "initial_accumulator"),
    **dict.fromkeys(("wd", "l2", "weight_decay_rate"), "weight_decay"),
    **dict.fromkeys(("clipvalue", "clip"), "clip_value"),
    "clipnorm": "clip_norm",
    **dict.fromkeys(("global_clipnorm", "max_norm", "max_grad_norm"), "clip_global_norm"),
}


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """ "; did you mean 'rho'?" if a known word is near, else nothing."""
    near = difflib.get_close_matches(word.lower(), list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def unknown_hyperparameter(owner: str, name: str, known: Iterable[str]) -> str:
    """The sentence about a hyperparameter that the owner does not have."""
    known, ours = list(known), ALIASES.get(name)
    if ours and set(ours.split(" and ")) <= set(known):
        hint = f"; here it is called {ours}"
    else:
        hint = did_you_mean(name, known)
    return f"{owner} has no hyperparameter {name!r}{hint} (it has: {', '.join(known)})"


def check_hyperparameter(owner: str, name: str, value: Any, default: Any, t: int | None = 0) -> Any:
    """The value as a Python number, bool, word or, unless t is None, a Schedule at step t.

    Raises ValueError if it is out of its range.
    """
    if name in CHOICES:
        good = isinstance(value, str) and value in CHOICES[name]
        needed = f"one of {', '.join(CHOICES[name])}"
    elif isinstance(default, bool):
        good, needed = isinstance(value, bool | np.bool_), "True or False"
        value = bool(value) if good else value
    elif callable(value) and t is not None:
        check_hyperparameter(owner, f"{name} at step {t}", value(t), default, None)
        return as_schedule(value)
    elif value is None and default is None:
        return None
    else:
        least, bound, closed = LIMITS.get(name.split()[0], (-inf, inf, False))
        needed = f"a finite number in [{least}, {bound}{']' if closed else ')'}"
        if default is None:
            least, needed = 5e-324, "a finite number above 0, or None"
        good = isinstance(value, Real) and not isinstance(value, bool) and isfinite(value)
        good = good and (least <= value < bound or (closed and value == bound))
        # a Python float, because a NumPy float64 would turn float32 arrays into float64
        value = float(value) if good else value
    if not good:
        raise ValueError(f"{owner}: {name} must be {needed}, received {value!r}")
    return value


def required_keywords(owner: Any, function: Callable) -> list[str]:
    """The hyperparameters that a function asks for by keyword, and t; all of them with **hyper."""
    names = []
    for p in inspect.signature(function).parameters.values():
        if p.kind is p.VAR_KEYWORD:
            return [*owner.defaults, "t"]
        if p.kind is p.KEYWORD_ONLY or p.default is not p.empty:
            names.append(p.name)
    for name in set(names) - {*owner.defaults, "t"}:
        raise TypeError(unknown_hyperparameter(owner.__name__, name, owner.defaults))
    return names


class Hyperparameter:
    """A hyperparameter as an attribute: where it is a schedule, its value at this step."""

    def __init__(self, name: str, default: Any) -> None:
        self.name, self.default = name, default

    def __get__(self, optimizer: Any, owner: Any = None) -> Any:
        if optimizer is None:
            return self.default
        value = vars(optimizer)[self.name]
        return value(optimizer.steps) if isinstance(value, Schedule) else value

    def __set__(self, optimizer: Any, value: Any) -> None:
        vars(optimizer)[self.name] = value
