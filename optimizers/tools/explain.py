"""Explain a step: run the optimizer's own code on symbols and print the equations it computes."""

from __future__ import annotations

import contextlib
import copy
import inspect
from itertools import combinations, starmap
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..hyperparameters import DEPENDS_ON
from ..parameters import Parameter, unbound_copy

LETTERS = {
    "momentum_buffer": "b", "sum_of_squares": "r", "mean_square": "v", "mean": "m",
    "first_moment": "m", "second_moment": "v", "max_second_moment": "v_max",
    "mean_square_step": "d",
}  # fmt: skip

# precedence levels, and for each ufunc: format, level, and the lowest level of each operand
SUM, PRODUCT, POWER, ATOM = range(4)
FORMATS: dict[str, Any] = {
    "add": ("{} + {}", SUM, SUM, SUM), "subtract": ("{} − {}", SUM, SUM, PRODUCT),
    "multiply": ("{}·{}", PRODUCT, PRODUCT, PRODUCT), "negative": ("−{}", SUM, PRODUCT),
    "divide": ("{} / {}", PRODUCT, PRODUCT, POWER), "power": ("{}^{}", POWER, ATOM, ATOM),
    "square": ("{}²", POWER, ATOM), "sqrt": ("√{}", POWER, ATOM),
}  # fmt: skip

# users tune these in every framework, so they are not part of a convention
NOT_PART_OF_A_CONVENTION = {"lr", "rho", "beta1", "beta2", "eps", "momentum", "weight_decay"}
NOT_PART_OF_A_CONVENTION |= {"maximize", "nesterov", "centered", "amsgrad"}

# what changes a step: a class that overrides one of them has another rule than its parent
STEP_METHODS = {"init", "direction", "update", "step", "apply_momentum", "clip"}
STEP_METHODS |= {"hyperparameters_at_step", "evaluation_weight"}


class NoFormula(TypeError):
    """A rule cannot be shown as equations; the message says why."""


class Symbol(np.lib.mixins.NDArrayOperatorsMixin):
    """Stands for an array like log.w; `text` is its formula. Assignments go to log.lines."""

    def __init__(self, log: Any, text: str, level: int = ATOM, name: str = "") -> None:
        self.log, self.text, self.level, self.name = log, text, level, name
        self.version = 0  # the number of assignments so far
        self.sources = [(self, 0)] if name else []  # the symbols in text, and their versions then

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = (None,)) -> Any:
        target = out[0]
        if method != "__call__":
            raise NoFormula(f"np.{ufunc.__name__}.{method} has no formula")
        if ufunc is np.multiply and not isinstance(inputs[1], Symbol):
            inputs = inputs[::-1]  # write numbers first
        operands = [(x.text, x.level) if x is target else _read(x) for x in inputs]
        sources = [s for x in inputs if isinstance(x, Symbol) for s in x.sources]
        if ufunc is np.power and not isinstance(inputs[1], Symbol) and inputs[1] == 2:
            ufunc, operands = np.square, operands[:1]
        text, level = _format(ufunc.__name__, operands)
        result = Symbol(self.log, text, level) if target is None else target
        result.text, result.level, result.sources = text, level, sources
        return result

    def __array_function__(self, function: Any, *_: Any) -> Any:
        if function is np.zeros_like:
            return Symbol(self.log, "0")
        raise NoFormula(f"{function.__module__}.{function.__name__} has no formula")

    def __getattr__(self, name: str) -> Any:
        if name in ("shape", "ndim", "size", "dtype"):
            return getattr(self.log.w, name)
        if name.startswith("__"):
            raise AttributeError(name)
        raise NoFormula(f".{name} has no formula")

    def __getitem__(self, index: Any) -> Any:
        if index is Ellipsis or (isinstance(index, slice) and index == slice(None)):
            return self
        raise NoFormula("it reads or writes single elements")

    def __setitem__(self, index: Any, value: Any) -> None:
        if self[index] is not value:  # z[...] += g assigns z itself, which has the value already
            self.text, self.level = _read(value)
            self.sources = value.sources if isinstance(value, Symbol) else []

    def refuse(self, *_: Any, **__: Any) -> Any:
        raise NoFormula("it branches on values of an array, or reads or copies them")

    __array__ = __bool__ = __float__ = __int__ = __iter__ = __reduce_ex__ = refuse

    def flush(self) -> None:
        """Log an assignment in place. Call this before the result is read."""
        if any(source.version != version for source, version in self.sources):
            raise NoFormula(f"{self.text} uses values from before an assignment")
        if self.name and self.text != self.name:
            self.log.lines.append(f"{self.name} ← {self.text}")
            self.text, self.level, self.version = self.name, ATOM, self.version + 1
            self.sources = [(self, self.version)]

    def named(self, name: str) -> Symbol:
        """Return the value under this name, unless it has a name already."""
        if self.name:
            return self
        self.flush()
        self.log.lines.append(f"{name} = {self.text}")
        return Symbol(self.log, name, name=name)


def _read(x: Any) -> tuple[str, int]:
    if not isinstance(x, Symbol):
        return f"{float(x):.9g}", ATOM
    x.flush()
    return x.text, x.level


def _format(ufunc: str, operands: list[tuple[str, int]]) -> tuple[str, int]:
    """Return the text and the level of a result; put operands in brackets where they need them."""
    if ufunc not in FORMATS:
        return f"{ufunc}({', '.join(text for text, _ in operands)})", ATOM
    template, level, *lowest = FORMATS[ufunc]
    texts = [f"({text})" if x < low else text for (text, x), low in zip(operands, lowest)]
    return template.format(*texts), level


def recurrence(
    optimizer: Any, h: dict[str, Any], slots: dict[str, Any], w: Any, run_rule: bool = True
) -> list[str]:
    """Return the lines of one update: Optimizer.update run on symbols instead of arrays.

    Without run_rule, u = direction(g), and the other lines are those of the base class. Raises an
    exception of any kind if the update cannot be written in lines.
    """
    for method in ("step", "clip"):  # bind is the base class's, which this file cannot import
        if getattr(type(optimizer), method).__module__ != type(optimizer).bind.__module__:
            raise NoFormula(f"it overrides {method}")
    if any(starmap(np.may_share_memory, combinations([w, *slots.values()], 2))):
        raise NoFormula("an assignment to one array changes another")
    log = SimpleNamespace(w=w, lines=[])
    if h["clip_value"]:
        log.lines.append(f"g = clip(g, ±{h['clip_value']:.6g})")
    for name, norm in (("clip_norm", "‖g‖"), ("clip_global_norm", "‖all g‖")):
        if h[name]:
            log.lines.append(f"g = g·min(1, {h[name]:.6g} / {norm})")

    twin = unbound_copy(optimizer)
    rule = twin.direction

    def direction(g: Symbol, slots: dict[str, Any], **keywords: Any) -> Symbol:
        g = g.named("g′")
        u = rule(g, slots, **keywords) if run_rule else Symbol(log, f"direction({g.text})")
        return u.named("u")

    vars(twin).update(direction=direction, _active=h)  # in a rule, self.k is then the group's

    def symbol(name: str) -> Symbol:
        letter = LETTERS.get(name, name)
        return Symbol(log, letter, name=letter)

    before = {name: symbol(name) for name, array in slots.items() if array.shape == w.shape}
    after = {name: before.get(name, array.copy()) for name, array in slots.items()}
    w = symbol("w")
    twin.update(w, symbol("g"), after, h)
    if not all(isinstance(after.get(name), Symbol) for name in before):
        raise NoFormula("it drops a slot, or makes a constant of it")

    # slots that the rule has made, or replaced; all are read before the first is assigned
    new = {k: x for k, x in after.items() if isinstance(x, Symbol) and x is not before.get(k)}
    values = {name: (*_read(x), x.sources) for name, x in new.items()}
    for name, value in values.items():
        slot = before.setdefault(name, symbol(name))
        slot.text, slot.level, slot.sources = value
    for name, x in after.items():  # the slots with another shape are computed as they are
        if name not in before and not np.array_equal(x, slots.get(name, [])):
            log.lines.append(f"{name} ← {x.item():.9g}" if x.ndim == 0 else f"{name} changes, too")
    for assigned in (*before.values(), w):
        assigned.flush()
    return log.lines


def inactive_switches(h: dict[str, Any]) -> set[str]:
    """Return the switches that have no effect with the hyperparameters h."""
    return {switch for switch, needed in DEPENDS_ON.items() if not h.get(needed)}


def same_rule(cls: Any, h: dict[str, Any]) -> list[str]:
    """Return the frameworks with the same switches as h (values such as lr may differ)."""
    rule = next(c for c in cls.__mro__ if ({"conventions"} | STEP_METHODS) & vars(c).keys())
    if "conventions" not in vars(rule):  # they are those of a parent with another rule
        return []
    switches = {name for convention in cls.conventions.values() for name in convention}
    switches |= {name for name, value in cls.defaults.items() if isinstance(value, bool)}
    switches -= NOT_PART_OF_A_CONVENTION | inactive_switches(h)
    theirs = {name: cls.defaults | convention for name, convention in cls.conventions.items()}
    return [name for name, their in theirs.items() if all(their[n] == h[n] for n in switches)]


def explain(optimizer: Any) -> str:
    """Return the equations of the next step with its numbers, and the frameworks that share them.

    >>> from minigrad.optimizers import Parameter, RMSprop
    >>> print(RMSprop([Parameter(np.zeros(3))], lr=0.1, momentum=0.5).explain())
    RMSprop(lr=0.1, momentum=0.5) after 0 steps, for 0:
        v ← 0.9·v + 0.1·g²
        u = g / (√v + 1e-08)
        b ← 0.5·b + u
        w ← w − 0.1·b
    with v = mean_square, b = momentum_buffer; the convention of torch, keras2

    If the rule cannot be traced symbolically, the class docstring is shown instead.
    """
    if not optimizer.groups:
        return copy.copy(optimizer).bind([("no parameters yet", Parameter(np.zeros(2)))]).explain()
    lines = []
    for group in optimizer.groups:
        by_equations: dict[tuple[str, ...], list[str]] = {}
        for name in group.names:
            by_equations.setdefault(explain_parameter(optimizer, group, name), []).append(name)
        for (*body, foot), names in by_equations.items():
            lines.append(f"{optimizer!r} after {optimizer.steps} steps, for {', '.join(names)}:")
            lines += [*(f"    {line}" for line in body), foot]
    return "\n".join(lines)


def explain_parameter(optimizer: Any, group: Any, name: str) -> tuple[str, ...]:
    """Return the equations of a parameter's next step, and a line about letters and frameworks."""
    h = optimizer.hyperparameters_at_step(group) | {"t": optimizer.updates[name] + 1}
    slots, w = optimizer.slots[name], optimizer.parameters[name].data
    try:
        body = recurrence(optimizer, h, slots, w)
    except Exception as error:  # a plug-in's code can fail on symbols in any way
        doc = inspect.getdoc(type(optimizer)) or ""  # by default the signature, from dataclass
        doc = "none" if doc.startswith(f"{type(optimizer).__name__}(params") else doc
        has_reason = isinstance(error, NoFormula)
        reason = error if has_reason else f"it raises {type(error).__name__}: {error}"
        head = f"(its code cannot be shown as equations: {reason}; this is its docstring)"
        body = [head, *doc.splitlines()]
        with contextlib.suppress(Exception):
            body += recurrence(optimizer, h, slots, w, run_rule=False)
    same = ", ".join(same_rule(type(optimizer), h)) or "none of the frameworks known here"
    used = ", ".join(f"{LETTERS[k]} = {k}" for k in slots if k in LETTERS)
    return (*body, f"{f'with {used}; ' if used else ''}the convention of {same}")
