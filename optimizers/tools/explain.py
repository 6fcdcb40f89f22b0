"""The recurrence in words and numbers, written down by the very code that runs it."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import numpy as np

from ..parameters import Parameter

LETTERS = {
    "momentum_buffer": "b", "sum_of_squares": "r", "mean_square": "v", "mean": "m",
    "first_moment": "m", "second_moment": "v", "max_second_moment": "v_max",
    "mean_square_step": "d",
}  # fmt: skip
SUM, PRODUCT, POWER, ATOM = range(4)  # how tightly a piece of text is bound
FORMS: dict[str, Any] = {
    "add": ("{} + {}", SUM, SUM, SUM), "subtract": ("{} − {}", SUM, SUM, PRODUCT),
    "multiply": ("{}·{}", PRODUCT, PRODUCT, PRODUCT), "negative": ("−{}", SUM, PRODUCT),
    "divide": ("{} / {}", PRODUCT, PRODUCT, POWER), "power": ("{}^{}", POWER, ATOM, ATOM),
    "square": ("{}²", POWER, ATOM), "sqrt": ("√{}", POWER, ATOM),
}  # fmt: skip
# what frameworks leave to their users, so that it makes no convention
TUNED = {"lr", "rho", "beta1", "beta2", "eps", "momentum", "weight_decay"}
TUNED |= {"maximize", "nesterov", "centered", "amsgrad"}

# switches that mean nothing while another one is off
DEPENDS_ON = {
    "lr_in_momentum": "momentum", "nesterov": "momentum", "dampening": "momentum",
    "decoupled_weight_decay": "weight_decay", "amsgrad_corrected": "amsgrad",
}  # fmt: skip


class Symbol(np.lib.mixins.NDArrayOperatorsMixin):
    """Stands in for an array in a step, and notes in `log` what the step does with it."""

    def __init__(self, log: list[str], text: str, level: int = ATOM, name: str = "") -> None:
        self.log, self.text, self.level, self.name = log, text, level, name

    def __array_ufunc__(self, ufunc, method, *inputs, out=(None,)):
        target = out[0]
        if ufunc is np.multiply and not isinstance(inputs[1], Symbol):
            inputs = inputs[::-1]  # numbers stand in front
        pieces = [(x.text, x.level) if x is target else _read(x) for x in inputs]
        if ufunc is np.power and inputs[1] == 2:
            ufunc, pieces = np.square, pieces[:1]
        form, level, *least = FORMS.get(ufunc.__name__, ("", ATOM))
        texts = [f"({s})" if own < need else s for (s, own), need in zip(pieces, least)]
        everything = ", ".join(text for text, _ in pieces)
        text = form.format(*texts) if form else f"{ufunc.__name__}({everything})"
        if target is None:
            return Symbol(self.log, text, level)
        target.text, target.level = text, level
        return target

    def __array_function__(self, function, *_):
        return Symbol(self.log, "0") if function is np.zeros_like else NotImplemented

    def settle(self) -> None:
        """Write down an assignment in place: it is complete when somebody reads the result."""
        if self.name and self.text != self.name:
            self.log.append(f"{self.name} ← {self.text}")
            self.text, self.level = self.name, ATOM

    def called(self, name: str) -> Symbol:
        """The same value under a name of its own, unless it has one already."""
        if self.name:
            return self
        self.log.append(f"{name} = {self.text}")
        return Symbol(self.log, name, name=name)


def _read(x: Any) -> tuple[str, int]:
    if not isinstance(x, Symbol):
        return f"{float(x):.9g}", ATOM
    x.settle()
    return x.text, x.level


def recurrence(optimizer: Any, h: dict[str, Any], slots: dict[str, Any], shape: Any) -> list[str]:
    """The lines of one update: Optimizer's own code, run on symbols instead of arrays."""
    log: list[str] = []
    if h["clip_value"]:
        log.append(f"g = clip(g, ±{h['clip_value']:.6g})")
    for name, norm in (("clip_norm", "‖g‖"), ("clip_global_norm", "‖all g‖")):
        if h[name]:
            log.append(f"g = g·min(1, {h[name]:.6g} / {norm})")

    twin = copy.copy(optimizer)
    vars(twin)["direction"] = lambda g, slots, **asked: optimizer.direction(
        g.called("g′"), slots, **asked
    ).called("u")
    w, g = Symbol(log, "w", name="w"), Symbol(log, "g", name="g")
    arrays = {
        k: Symbol(log, LETTERS.get(k, k), name=LETTERS.get(k, k)) if a.shape == shape else a.copy()
        for k, a in slots.items()
    }
    twin.update(w, g, arrays, h)
    for symbol in (*arrays.values(), w):
        if isinstance(symbol, Symbol):
            symbol.settle()
    return log


def same_rule(cls: Any, h: dict[str, Any]) -> list[str]:
    """The frameworks whose convention the hyperparameters h follow, whatever their numbers."""
    moot = {switch for switch, needed in DEPENDS_ON.items() if not h.get(needed)}
    telling = {name for convention in cls.conventions.values() for name in convention}
    telling |= {name for name, value in cls.defaults.items() if isinstance(value, bool)}
    return [
        framework
        for framework, convention in cls.conventions.items()
        if all(h[n] == convention.get(n, cls.defaults[n]) for n in telling - TUNED - moot)
    ]


def explain(self: Any) -> str:
    """The next step as it will run, in today's numbers; the step count; whose convention it is.

    >>> from minigrad.optimizers import Parameter, RMSprop
    >>> print(RMSprop([Parameter(np.zeros(3))], lr=0.1, momentum=0.5).explain())
    RMSprop(lr=0.1, momentum=0.5) after 0 steps, for 0:
        v ← 0.9·v + 0.1·g²
        u = g / (√v + 1e-08)
        b ← 0.5·b + u
        w ← w − 0.1·b
    with v = mean_square, b = momentum_buffer; the convention of torch, keras2

    A step that NumPy's functions of single elements cannot express is told by its docstring.
    """
    if not self.groups:  # the step that it will run on whatever it is bound to
        return copy.copy(self).bind([("no parameters yet", Parameter(np.zeros(2)))]).explain()
    lines = []
    for group in self.groups:
        name = group.names[0]
        h = self.hyperparameters_at_step(group) | {"t": self.updates[name] + 1}
        slots = self.slots[name]
        try:
            body = recurrence(self, h, slots, self.parameters[name].data.shape)
        except Exception:  # whatever a plug-in may do with a symbol
            body = (inspect.getdoc(type(self)) or "no docstring").splitlines()
        same = ", ".join(same_rule(type(self), h)) or "none of the frameworks known here"
        used = ", ".join(f"{LETTERS[k]} = {k}" for k in slots if k in LETTERS)
        lines += [f"{self!r} after {self.steps} steps, for {', '.join(group.names)}:"]
        lines += [f"    {line}" for line in body]
        lines += [f"{f'with {used}; ' if used else ''}the convention of {same}"]
    return "\n".join(lines)
