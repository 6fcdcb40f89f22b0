"""Which optimizer walked this path? A search for the rule, the switches and the numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import product
from typing import Any

import numpy as np

from ..clipping import clip_by_global_norm
from ..hyperparameters import LIMITS
from ..optimizer import Optimizer
from ..registry import available, find
from .explain import DEPENDS_ON, same_rule

STARTS = {
    "lr": 1e-2, "momentum": 0.8, "dampening": 0.2, "weight_decay": 0.05, "lr_decay": 0.03,
    "initial_accumulator": 0.3, "eps_root": 1e-6, "eps": 1e-7, "momentum_decay": 0.02,
    "clip_value": 1.0, "clip_norm": 1.0, "clip_global_norm": 1.0,
}  # fmt: skip
FREE = object()  # a number that is to be fitted
DECAYS: tuple[dict[str, Any], ...] = (
    {}, {"weight_decay": FREE}, {"weight_decay": FREE, "decoupled_weight_decay": True},
)  # fmt: skip
MOMENTA: tuple[dict[str, Any], ...] = (
    {}, {"momentum": FREE}, {"momentum": FREE, "nesterov": True},
    {"momentum": FREE, "dampening": FREE}, {"momentum": FREE, "lr_in_momentum": True},
    {"momentum": FREE, "lr_in_momentum": True, "nesterov": True},
)  # fmt: skip
ROUGH = 1e3  # in units of rounding; fitting the first steps any closer would overfit them
CLIPS = (None, "clip_value", "clip_norm", "clip_global_norm")


@dataclass(frozen=True)
class Match:
    """kind(params, lr=…, **hyper) reproduces the path until it `departs` (None: to the end).

    deviation is the largest relative one of any weight; what is `undetermined` in hyper could have
    another value as well on these data; conventions are the frameworks that have this rule.
    """

    kind: type[Optimizer]
    hyper: dict[str, Any]
    deviation: float
    departs: int | None
    undetermined: tuple[str, ...]
    conventions: tuple[str, ...]

    def __str__(self) -> str:
        hyper = ", ".join(f"{k}={v!r}" for k, v in self.hyper.items())
        departs = f", departs at step {self.departs}" if self.departs else ""
        open_ = f"; undetermined: {', '.join(self.undetermined)}" if self.undetermined else ""
        return f"{self.kind.__name__}({hyper}): deviation {self.deviation:.1e}{departs}{open_}"


def identify(
    thetas: Iterable[Any],
    gradients: Iterable[Any],
    lr: float | Sequence[float] | Callable[[int], float] | None = None,
) -> list[Match]:
    """The optimizers that could have walked θ₀ … θ_T on the gradients g₁ … g_T, best first.

    Each θ and g is an array, or a list of arrays, one for each parameter. lr is a number, one for
    each step, a schedule, or None for an unknown constant. All matches that do not depart are
    possible: the data cannot tell them apart. Takes seconds. Raises ValueError if lengths or shapes
    differ, if a number is not finite, and if nothing moves.

    >>> print(identify([1.0, 0.9, 0.8], [1.0, 1.0], lr=0.1)[0])
    SGD(): deviation 0.0e+00
    """
    path = _Path(thetas, gradients, lr)
    found: list[_Candidate] = []
    uphill = {"maximize": True} if path.rises else {}
    for clip in CLIPS[: 3 if len(path.start) == 1 else 4]:
        links = uphill | ({clip: FREE} if clip else {}) | ({"lr": FREE} if lr is None else {})
        for structure in sorted(_structures(links), key=lambda s: len(s[2])):
            candidate = _Candidate(path, *structure)
            if not any(c.departs is None and c.explains(candidate) for c in found):
                candidate.search()
                found.append(candidate)
        exact = [c for c in found if c.departs is None and not c.at_an_end()]
        if exact:
            break
    else:
        found = sorted(found, key=lambda c: (-(c.departs or 0), c.remoteness))[:20]
        for candidate in found:
            candidate.follow()
    matches = [c.match() for c in exact or found]

    # the longest agreement first, then what takes the fewest words and leaves the least open
    def rank(m: Match) -> tuple[float, ...]:
        return -(m.departs or 0), len(m.hyper), len(m.undetermined), m.deviation

    return sorted(matches, key=rank)


def _structures(links: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    """(kind, what is set, starts of the free numbers) for everything that could have been."""
    shared = {field.name for field in fields(Optimizer)}
    clipped = any(name.startswith("clip") for name in links)
    for kind in map(find, available()):
        own = {k: v for k, v in kind.defaults.items() if k not in shared and v is not None}
        # all numbers as some framework has them, or every switch both ways and all numbers free
        frames = [own] + [own | convention for convention in kind.conventions.values()]
        known = [{k: v for k, v in f.items() if k in own and _matters(k, f)} for f in frames]
        ways: list[list[dict[str, Any]]] = [
            [{name: False}, {name: True}] if isinstance(value, bool)
            else [{name: 0.0}, {name: FREE}] if value == 0
            else [{name: FREE}]
            for name, value in own.items()
        ]  # fmt: skip
        unknown = [{k: v for way in p for k, v in way.items()} for p in product(*ways)]
        decays = DECAYS[2:] if kind.defaults["weight_decay"] else DECAYS[: 1 if clipped else None]
        momenta = MOMENTA[:1] if "beta1" in own else MOMENTA
        rules: list[dict[str, Any]] = known + unknown if own else [{}]
        for parts in product(rules, decays, momenta):
            chosen = {k: v for part in (*parts, links) for k, v in part.items()}
            free = {
                k: STARTS.get(k, kind.defaults[k] or 0.1) for k, v in chosen.items() if v is FREE
            }
            fixed = {k: v for k, v in chosen.items() if v is not FREE}
            h = kind.defaults | {"weight_decay": 0.0} | fixed | free
            moot = any(fixed.get(k) and not _matters(k, h) for k in DEPENDS_ON)
            if not moot and not any(kind.contradictions(h).values()):
                yield kind, fixed, free


def _matters(name: str, h: dict[str, Any]) -> bool:
    """Whether this switch is not idle for want of another."""
    return name not in DEPENDS_ON or bool(h.get(DEPENDS_ON[name]))


class _Path:
    """The data."""

    def __init__(self, thetas: Iterable[Any], gradients: Iterable[Any], lr: Any) -> None:
        thetas, gradients = [*thetas], [*gradients]
        paths = [[_parts(theta) for theta in thetas], [_parts(g) for g in gradients]]
        shapes = {tuple(p.shape for p in parts) for path in paths for parts in path}
        self.steps = len(gradients)
        if len(thetas) != self.steps + 1 or len(shapes) != 1 or not self.steps:
            raise ValueError(
                "identify needs T + 1 thetas and T gradients, all of one shape; received "
                f"{len(thetas)} and {self.steps}, of shapes {sorted(shapes)}"
            )
        self.lrs = None if lr is None else _rates(lr, self.steps)
        self.start = [p.astype(float) for p in paths[0][0]]
        self.gradients = [[g.astype(float) for g in parts] for parts in paths[1]]
        flat = np.stack([np.concatenate([p.ravel() for p in parts]) for parts in paths[0]])
        eps = np.finfo(flat.dtype if flat.dtype.kind == "f" else float).eps
        flat = flat.astype(float)
        slopes = np.concatenate([g.ravel() for parts in self.gradients for g in parts])
        if not (np.isfinite(flat).all() and np.isfinite(slopes).all()):
            raise ValueError("identify needs finite thetas and gradients; received an inf or NaN")
        if (flat[1:] == flat[:-1]).all():
            raise ValueError("identify needs thetas that move: from these nothing can be told")
        self.target = flat[1:]
        # what rounding may do: some units in the last place of θ, and a little of each step
        moved = np.abs(np.diff(flat, axis=0))
        self.tolerance = 8 * eps * np.abs(self.target) + 0.1 * eps**0.5 * moved + 1e-300
        slope = np.concatenate([g.ravel() for g in self.gradients[0]])
        self.rises = np.sign(slope * (flat[1] - flat[0])).sum() > 0
        self.first_steps: dict[Any, tuple[dict[str, float], float]] = {}


class _Candidate:
    """A rule with its switches set, and the search for the numbers that bring it to the data."""

    def __init__(self, path: _Path, kind: Any, switches: dict[str, Any], free: dict[str, float]):
        self.path, self.kind, self.switches, self.numbers = path, kind, switches, dict(free)
        self.fixed = kind.defaults | {"weight_decay": 0.0} | switches
        self.rule = kind()
        self.departs: int | None = None

    def explains(self, other: _Candidate) -> bool:
        """Whether the other only adds numbers to this one, or needs three more to do as well."""
        same = self.kind.direction is other.kind.direction
        contained = same and self.numbers.keys() < other.numbers.keys()
        return contained or len(self.numbers) + 3 <= len(other.numbers)

    def misfit(self, numbers: dict[str, float], steps: int) -> np.ndarray:
        """(θ − theirs) / tolerance after each step: within ±1 is agreement up to rounding."""
        rule, path, h = self.rule, self.path, self.fixed | numbers
        weights = [w.copy() for w in path.start]
        slots = [rule.init_slots(w, h) for w in weights]
        asked = dict.fromkeys(rule.required_hyperparameters["direction"])
        theta = np.empty((steps, path.target.shape[1]))
        with np.errstate(all="ignore"):
            for t, g in enumerate(path.gradients[:steps]):
                h["t"] = t + 1
                h["lr"] = path.lrs[t] if path.lrs else h["lr"]
                if h["clip_global_norm"]:
                    g = clip_by_global_norm(g, h["clip_global_norm"])[0]
                for name in asked:
                    asked[name] = h[name]
                for i, w in enumerate(weights):
                    rule.update(w, rule.clip(g[i], h), slots[i], h)
                theta[t] = np.concatenate([w.ravel() for w in weights])
            r = (theta - path.target[:steps]) / path.tolerance[:steps]
        return np.fmin(np.fmax(r, -1e60), 1e60)  # which also make numbers of NaNs

    def fit(
        self, numbers: dict[str, float], names: list[str], steps: int, goal: float, patience=25
    ) -> Any:
        """Levenberg's and Marquardt's least squares over some of the numbers, on their lines."""

        def at(z: np.ndarray) -> dict[str, float]:
            return numbers | {n: _from_line(n, x) for n, x in zip(names, z.tolist())}

        def misfit(z: np.ndarray) -> np.ndarray:
            return self.misfit(at(z), steps).ravel()

        def slope(z: np.ndarray, unit: np.ndarray) -> np.ndarray:
            for d in (0.01, 0.3):  # the wider one if the number hardly rises above rounding
                change = misfit(z + d * unit) - misfit(z - d * unit)
                if np.abs(change).max() > 30:
                    break
            return change / (2 * d)

        z = np.array([_to_line(name, numbers[name]) for name in names])
        for unit in np.eye(len(names)):  # begin with the best of some values far apart
            trials = [z + d * unit for d in (0, 1, -1, 2.5, -2.5, 5, -5)]
            z = min(trials, key=lambda z: np.log1p(misfit(z) ** 2).sum())
        r, damping, stalls = misfit(z), 1e-3, 0.0
        while names and stalls < patience and np.abs(r).max() > goal:
            jacobian = np.stack([slope(z, unit) for unit in np.eye(len(names))], axis=1)
            scale = np.linalg.norm(jacobian, axis=0) + 1e-300
            jacobian /= scale
            square = jacobian.T @ jacobian + (damping + 1e-12) * np.eye(len(names))
            move = np.linalg.solve(square, -jacobian.T @ r) / scale
            trial = np.clip(z + np.clip(move, -3, 3), -30, 30)
            r_trial = misfit(trial)
            gain = np.linalg.norm(r_trial) / np.linalg.norm(r)
            stalls += gain > 0.9
            damping *= 0.1 if gain < 1 else 10
            if gain < 1:
                z, r = trial, r_trial
        return at(z), np.abs(r).max()

    def search(self) -> None:
        """Fit the first step, then two, then all: most candidates fall at the first."""
        starts = self.numbers
        late = {"momentum", "dampening", "lr_in_momentum"}  # what the first step does not show
        fixed = ((k, v) for k, v in self.switches.items() if v and k not in late)
        first = (self.kind.direction, *sorted(fixed), *sorted(self.numbers.keys() - late))
        if first not in self.path.first_steps:
            self.path.first_steps[first] = self.fit(self.numbers, [*self.numbers], 1, ROUGH, 8)
        known, worst = self.path.first_steps[first]
        self.numbers = self.numbers | {k: v for k, v in known.items() if k in self.numbers}
        self.remoteness, self.first = (0, worst), self.numbers
        stages = ((min(2, self.path.steps), ROUGH, 1e2), (self.path.steps, 1.0, 1e4))
        for steps, goal, hopeful in stages:
            if worst < hopeful * ROUGH:
                self.numbers, worst = self.fit(self.numbers, [*self.numbers], steps, goal)
                self.remoteness = -steps, worst
        if worst > 1 and self.remoteness[0] == -self.path.steps:  # perhaps the way was too winding
            direct = self.fit(starts, [*starts], self.path.steps, 1.0)
            self.numbers, worst = min((self.numbers, worst), direct, key=lambda fit: fit[1])
        if worst < 100 * ROUGH:
            self.simplify()
        self.compare()

    def compare(self) -> None:
        """Find the first step that the numbers do not reproduce."""
        wrong = np.abs(self.misfit(self.numbers, self.path.steps)).max(axis=1) > 1
        self.departs = int(wrong.argmax()) + 1 if wrong.any() else None

    def follow(self) -> None:
        """Where not all steps can be reproduced, reproduce as many as possible."""
        for steps in range(self.path.steps - 1, 0, -1):
            self.numbers, worst = self.fit(self.first, [*self.first], steps, 1.0)
            if worst <= 1:
                break
        self.compare()

    def at_an_end(self) -> bool:
        """Whether a share went to 0 or 1, where the rule becomes another, simpler one."""
        shares = [x for name, x in self.numbers.items() if LIMITS.get(name, (0, 0))[1] == 1]
        return any(not 1e-5 < x < 1 - 1e-5 for x in shares)

    def simplify(self) -> None:
        """Give each number the fewest digits with which the others can still reach agreement.

        People choose 0.9; a fit that ends at 0.8999999998 is off by what the others make up for.
        """
        rest = [*self.numbers]
        for name in [*rest, *rest]:  # what failed at first may go once another number is right
            if name not in rest:
                continue
            x, others = self.numbers[name], [n for n in rest if n != name]
            for digits in range(1, 8):
                short = float(f"{x:.{digits}g}")
                if 0 < short < LIMITS.get(name, (0, np.inf))[1]:
                    trial = self.numbers | {name: short}
                    trial, worst = self.fit(trial, others, self.path.steps, 1.0, patience=8)
                    if worst <= 1:
                        self.numbers, rest = trial, others
                        break

    def free_to_move(self, name: str) -> bool:
        """Whether another value, with all other numbers fitted to it, agrees as well."""
        moved = self.numbers | {name: _from_line(name, _to_line(name, self.numbers[name]) + 1)}
        others = [n for n in self.numbers if n != name]
        return bool(self.fit(moved, others, self.path.steps, 1.0)[1] <= 1)

    def match(self) -> Match:
        open_: tuple[str, ...] = ()
        h = self.fixed | self.numbers
        if self.departs is None:
            shared = {field.name for field in fields(Optimizer)}
            own = {k: v for k, v in h.items() if k not in shared and type(v) is float and v}
            self.numbers = own | self.numbers
            open_ = tuple(name for name in self.numbers if self.free_to_move(name))
        r = self.misfit(self.numbers, self.path.steps) * self.path.tolerance
        deviation = float(np.max(np.abs(r) / np.maximum(np.abs(self.path.target), 1e-300)))
        hyper = {k: v for k, v in h.items() if v != self.kind.defaults[k]}
        same = tuple(same_rule(self.kind, h))
        return Match(self.kind, hyper, deviation, self.departs, open_, same)


def _parts(theta: Any) -> list[np.ndarray]:
    """The arrays of the parameters, from one array or a list of them."""
    several = isinstance(theta, list | tuple) and any(np.ndim(part) for part in theta)
    return [np.asarray(part) for part in (theta if several else [theta])]


def _rates(lr: Any, steps: int) -> list[float]:
    """One lr for each step."""
    rates = np.asarray([lr(t) for t in range(steps)] if callable(lr) else lr)
    numbers = rates.dtype.kind in "fiu" and rates.shape in ((), (steps,))
    if not (numbers and np.isfinite(rates).all() and (rates >= 0).all()):
        raise ValueError(
            f"identify needs an lr that is finite and not negative, or one for each of the {steps} "
            f"steps, or a schedule, or None; received {lr!r}"
        )
    return np.broadcast_to(rates, steps).tolist()


def _to_line(name: str, x: float) -> float:
    """log x, or logit x for what is below 1: the whole line, on which a fit may wander."""
    if LIMITS.get(name, (0, 0))[1] == 1:
        x = min(max(x, 1e-13), 1 - 1e-13)
        return float(np.log(x / (1 - x)))
    return float(np.log(max(x, 1e-30)))


def _from_line(name: str, z: float) -> float:
    z = min(max(z, -30.0), 30.0)
    return float(1 / (1 + np.exp(-z)) if LIMITS.get(name, (0, 0))[1] == 1 else np.exp(z))
