"""Identify an optimizer from its steps: search for the rule, the switches and the numbers.

In reading order: identify, the search over all candidates, and the candidates of an optimizer.
candidate.py finds the numbers of one candidate.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from itertools import product
from typing import Any

import numpy.typing as npt

from ..optimizer import Optimizer
from ..registry import available, find
from .candidate import SHARED, Candidate, Hyper, Match, Trajectory
from .explain import inactive_switches

UNKNOWN: Any = object()  # stands for a number that least squares determines
DECAYS = [{}, dict(weight_decay=UNKNOWN), dict(weight_decay=UNKNOWN, decoupled_weight_decay=True)]
MOMENTA = [
    dict(), dict(momentum=UNKNOWN), dict(momentum=UNKNOWN, nesterov=True),
    dict(momentum=UNKNOWN, dampening=UNKNOWN), dict(momentum=UNKNOWN, lr_in_momentum=True),
    dict(momentum=UNKNOWN, lr_in_momentum=True, nesterov=True),
]  # fmt: skip
CLIPS = (None, "clip_value", "clip_norm", "clip_global_norm")
INITIAL = {
    "lr": 1e-2, "momentum": 0.8, "dampening": 0.2, "weight_decay": 0.05, "lr_decay": 0.03,
    "initial_accumulator": 0.3, "eps_root": 1e-6, "eps": 1e-7, "momentum_decay": 0.02,
    "clip_value": 1.0, "clip_norm": 1.0, "clip_global_norm": 1.0,
}  # fmt: skip

Spec = tuple[type[Optimizer], Hyper, Hyper]  # class, switches, initial values of the numbers
Errors = dict[str, BaseException]  # what optimizers raised, by the optimizer's name
ArraySequence = Iterable[npt.ArrayLike | Sequence[npt.ArrayLike]]
LearningRate = float | Sequence[float] | Callable[[int], float] | None


def identify(
    thetas: ArraySequence, gradients: ArraySequence, lr: LearningRate = None
) -> list[Match]:
    """Return the optimizers that could have made the steps θ₀ … θ_T from g₁ … g_T, best first.

    Each θ and g is an array, or a list of arrays, one for each parameter. lr is a number, a list
    with one number for each step, a schedule, or None for an unknown constant. All matches with
    first_mismatch None explain the data equally well. The search takes seconds, with clipping
    minutes. Raises ValueError for unequal lengths or shapes, for inf or NaN, or if no weight moves.

    Optimizers that override step, and wrappers, cannot be found: update alone does not describe
    them. Optimizers that raise an exception are left out, and one warning names them.

    >>> print(identify([1.0, 0.9], [1.0], lr=0.1)[0])
    SGD(): deviation 0.0e+00
    """
    errors: Errors = {}
    candidates = _search(Trajectory(thetas, gradients, lr), errors)
    matches = [_attempt(c.cls, errors, c.to_match) for c in candidates]
    if errors:
        problems = [f"{who} ({type(e).__name__}: {e})" for who, e in errors.items()]
        warnings.warn(f"identify omits {', '.join(problems)}", stacklevel=2)

    def rank(m: Match) -> tuple[float, ...]:
        return -(m.first_mismatch or 0), len(m.hyper), len(m.undetermined), m.deviation

    return sorted((m for m in matches if m and m.optimizer_class.__name__ not in errors), key=rank)


def _search(trajectory: Trajectory, errors: Errors) -> list[Candidate]:
    """Return the candidates that reproduce all steps; without any, the twenty nearest."""
    tried: list[Candidate] = []
    one_parameter = len(trajectory.start) == 1  # then clip_global_norm is the same as clip_norm
    for clip in CLIPS[:3] if one_parameter else CLIPS:
        for spec in _all_specs(trajectory, clip, errors):
            candidate = _attempt(spec[0], errors, Candidate, trajectory, *spec)
            if candidate and not any(c.makes_superfluous(candidate) for c in tried):
                _attempt(spec[0], errors, candidate.search)
                tried.append(candidate)
        tried = [c for c in tried if c.cls.__name__ not in errors]
        matches = [c for c in tried if c.first_mismatch is None and not c.has_degenerate_number()]
        if matches:
            return matches

    def distance(c: Candidate) -> tuple[float, ...]:
        return -(c.first_mismatch or 0), -c.fitted_steps, c.worst

    nearest = sorted(tried, key=distance)[:20]
    for candidate in nearest:
        _attempt(candidate.cls, errors, candidate.fit_longest_prefix)
    return nearest


def _attempt(cls: type, errors: Errors, function: Callable, *args: Any) -> Any:
    """Return function(*args), or None if this optimizer raises an exception or has raised one."""
    if cls.__name__ in errors:
        return None
    try:
        return function(*args)
    except (Exception, SystemExit) as error:  # one broken optimizer must not spoil the others
        errors[cls.__name__] = error
        return None


def _all_specs(trajectory: Trajectory, clip: str | None, errors: Errors) -> list[Spec]:
    """Return the candidates of all optimizers with this way of clipping, fewest numbers first."""
    common = {"maximize": True} if trajectory.ascends else {}
    common |= {clip: UNKNOWN} if clip else {}
    common |= {} if trajectory.lrs else {"lr": UNKNOWN}
    specs: list[Spec] = []
    for cls in map(find, available()):
        if issubclass(cls, Optimizer) and cls.step is Optimizer.step:
            specs += _attempt(cls, errors, _specs, cls, common) or []
    return sorted(specs, key=lambda spec: len(spec[2]))


def _specs(cls: type[Optimizer], common: Hyper) -> list[Spec]:
    """Return the candidates of one optimizer: its rule's variants × decays × momenta."""
    clipped = any(name.startswith("clip") for name in common)
    decays = DECAYS[2:] if cls.defaults["weight_decay"] else DECAYS[: 1 if clipped else None]
    momenta = MOMENTA[:1] if "beta1" in cls.defaults else MOMENTA
    named = {*cls.required_hyperparameters["direction"]}
    if "weight_decay" in named:  # the rule does this stage itself
        decays = [decay for decay in DECAYS if decay.keys() <= named]
    if "momentum" in named:
        momenta = [momentum for momentum in MOMENTA if momentum.keys() <= named]
    specs = []
    for rule, decay, momentum in product(_rule_variants(cls), decays, momenta):
        chosen = rule | decay | momentum | common
        switches = {k: v for k, v in chosen.items() if v is not UNKNOWN}
        unknown = [k for k, v in chosen.items() if v is UNKNOWN]
        numbers = {k: INITIAL.get(k, cls.defaults[k] or 0.1) for k in unknown}
        h = cls.defaults | {"weight_decay": 0.0} | switches | numbers
        has_effect = not any(switches.get(name) for name in inactive_switches(h))
        if has_effect and not any(cls.contradictions(h).values()):
            specs.append((cls, switches, numbers))
    return specs


def _rule_variants(cls: type[Optimizer]) -> list[Hyper]:
    """Return settings of the rule's own hyperparameters: every framework's, then unknowns."""
    defaults = {k: v for k, v in cls.defaults.items() if k not in SHARED and v is not None}
    if not defaults:
        return [{}]
    rules = [defaults, *(defaults | convention for convention in cls.conventions.values())]
    known = [{k: h[k] for k in defaults if k not in inactive_switches(h)} for h in rules]
    variants = [dict(zip(defaults, x)) for x in product(*map(_values, defaults.values()))]
    return [h for i, h in enumerate(known + variants) if h not in (known + variants)[:i]]


def _values(default: Any) -> list[Any]:
    """Return the values to try of a hyperparameter with this default."""
    if isinstance(default, bool):
        return [False, True]
    if not isinstance(default, float):  # least squares finds floats only
        return [default]
    return [UNKNOWN] if default else [0.0, UNKNOWN]
