"""Hyperparameters: their legal ranges, their names in other frameworks, and their checks."""

import difflib
from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping
from math import inf
from typing import Any

import numpy as np

from .schedules import is_finite_number

Number = float | Callable[[int], float]

# name: (lower, upper, whether upper is legal); all others can be any finite number
LIMITS = {
    **dict.fromkeys(("lr", "eps", "eps_root", "weight_decay"), (0.0, inf, False)),
    **dict.fromkeys(("initial_accumulator", "lr_decay", "momentum_decay"), (0.0, inf, False)),
    **dict.fromkeys(("momentum", "rho", "beta1", "beta2"), (0.0, 1.0, False)),
    "dampening": (0.0, 1.0, True),
}
CHOICES = {"on_nonfinite": ("raise", "skip", "ignore")}

# switch: the hyperparameter that it needs to have an effect
DEPENDS_ON = {
    "lr_in_momentum": "momentum", "nesterov": "momentum", "dampening": "momentum",
    "decoupled_weight_decay": "weight_decay", "amsgrad_corrected": "amsgrad",
}  # fmt: skip

# our name: its names in other frameworks
ALIASES = {
    "lr": "learning_rate eta step_size", "eps": "epsilon", "momentum": "mu momentum_rate",
    "rho": "alpha gamma decay decay_rate smoothing_constant",
    "beta1": "beta_1 b1", "beta2": "beta_2 b2", "beta1 and beta2": "betas",
    "initial_accumulator": "initial_accumulator_value initial_scale",
    "weight_decay": "wd l2 weight_decay_rate", "clip_value": "clipvalue clip",
    "clip_norm": "clipnorm", "clip_global_norm": "global_clipnorm max_norm max_grad_norm",
}  # fmt: skip


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'rho'?" if a known word is similar, else an empty string."""
    similar = difflib.get_close_matches(word.lower(), list(known), n=1)
    return f"; did you mean {similar[0]!r}?" if similar else ""


def unknown_hyperparameter(owner: Any, name: str, known: Iterable[str]) -> str:
    """Return the error message, with a suggestion if a known name is similar."""
    known = list(known)
    hint = did_you_mean(name, known)
    for ours, aliases in ALIASES.items():
        if name in aliases.split() and set(ours.split(" and ")) <= set(known):
            hint = f"; here it is called {ours}"
    who = getattr(owner, "__name__", owner)
    return f"{who} has no hyperparameter {name!r}{hint} (it has: {', '.join(known)})"


def check_hyperparameter(optimizer: Any, name: str, value: Any, owner: str = "") -> Any:
    """Return the value as a Python number, bool or str; return a schedule as it is.

    Raises ValueError for an illegal value, also for an illegal value of a schedule at this step.
    """
    who = f"{owner or type(optimizer).__name__}: {name}"
    default, limits, step = optimizer.defaults[name], optimizer.limits, optimizer.steps
    if callable(value) and name not in CHOICES and not isinstance(default, bool):
        check_value(f"{who} at step {step}", name, value(step), default, limits)
        return value
    return check_value(who, name, value, default, limits)


def check_value(who: str, name: str, value: Any, default: Any, limits: Mapping[str, Any]) -> Any:
    """Return the value as a Python number, bool or str; raise ValueError if it is illegal.

    limits replace those of LIMITS. If the default is an integer, the value must be one.
    """
    if value is None and default is None:
        return None
    kind: Any
    if name in CHOICES:
        kind, required = str, f"one of {', '.join(CHOICES[name])}"
        is_legal = isinstance(value, str) and value in CHOICES[name]
    elif isinstance(default, bool):
        kind, required, is_legal = bool, "True or False", isinstance(value, bool | np.bool_)
    else:
        own_limits = limits.get(name) or LIMITS.get(name, (-inf, inf, False))
        kind, required, is_legal = number_rule(value, default, own_limits)
    if not is_legal:
        raise ValueError(f"{who} must be {required}, received {value!r}")
    return kind(value)  # a NumPy float64 would turn float32 arrays into float64


def number_rule(value: Any, default: Any, limits: Any) -> tuple[Any, str, bool]:
    """Return the type of a number, what the value must be in words, and whether it is that."""
    lower, upper, upper_is_legal = limits
    kind = int if isinstance(default, int) else float
    what = f"an integer (as its default {default})" if kind is int else "a finite number"
    is_legal = is_finite_number(value) and kind(value) == value and lower <= value <= upper
    is_legal = is_legal and (upper_is_legal or value != upper)
    if default is None:  # a limit of clipping
        return kind, "a finite number above 0, or None", is_legal and value > 0
    return kind, f"{what} in [{lower}, {upper}{']' if upper_is_legal else ')'}", is_legal


def value_now(optimizer: Any, name: str, value: Any, step: int | None = None) -> Any:
    """Return the value, or the checked value of a schedule at a step; by default, at the next."""
    if not callable(value):
        return value
    step = optimizer.steps if step is None else step
    who = f"{type(optimizer).__name__}: {name} at step {step}"
    return check_value(who, name, value(step), optimizer.defaults[name], optimizer.limits)


class Hyperparameter:
    """Descriptor: a schedule reads as its current value; a rule reads the value of its group."""

    def __init__(self, name: str, default: Any) -> None:
        self.name, self.default = name, default

    def __get__(self, optimizer: Any, owner: Any = None) -> Any:
        if optimizer is None:
            return self.default
        active = vars(optimizer).get("_active")  # h of a call, or of an update until the step ends
        value = (active or vars(optimizer))[self.name]
        return value(optimizer.steps) if callable(value) else value

    def __set__(self, optimizer: Any, value: Any) -> None:
        """Check the value, alone and in each group; set it; make the slots that it needs."""
        name, values = self.name, vars(optimizer)
        value = check_hyperparameter(optimizer, name, value)
        if optimizer.defaults.keys() <= values.keys():  # __init__ has set all the others
            for overrides in [group.data for group in optimizer.groups] or [{}]:
                optimizer.refuse_contradictions(ChainMap(overrides, {name: value}, values))
        values[name] = value
        if active := values.get("_active"):
            active[name] = value
        if name != "lr":  # momentum, centered and amsgrad add slots
            optimizer.allocate()
