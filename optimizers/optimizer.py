"""The optimizer base class, in reading order: hyperparameters, parameters, a step, its links.

An optimizer is one function, `direction`, from a gradient to a direction. All that optimizers have
in common stands here. Imports NumPy only, and needs nothing of a parameter but .data and .grad.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator
from dataclasses import InitVar, dataclass, field, fields
from math import isfinite
from typing import Any, ClassVar, Self, dataclass_transform

import numpy as np

from .clipping import clip_by_global_norm, clip_by_norm, clip_by_value, l2_norm
from .formulas import flush_subnormals
from .hyperparameters import Hyperparameter, Number, check, required_by, unknown
from .parameters import Group, collect
from .schedules import Schedule
from .state import load_state_dict, state_dict
from .tools.explain import explain

BLOCK = 1 << 15  # elements: in the cache through a whole step, and no pages from the system
FLUSH_EVERY = 64  # updates between two looks for numbers that have faded away
GLOBAL_ONLY = ("clip_global_norm", "on_nonfinite")  # what no group can have for itself


@dataclass_transform(kw_only_default=True, field_specifiers=(field,))
@dataclass(kw_only=True, repr=False, eq=False)
class Optimizer:
    """g → clipping → maximize → L2 → direction → momentum → decoupled decay → w ← w − lr·u

    A subclass declares its hyperparameters as fields (it becomes a keyword-only dataclass by
    itself) and defines `direction`, and `init` if it keeps state. Both ask for hyperparameters by
    keyword; `direction` may also ask for t, the number of this parameter's updates, from 1.

    clip_value, clip_norm, clip_global_norm    see clipping.py; at most one of them
    maximize                g ← −g
    weight_decay = λ        g ← g + λ·w (L2), or w ← w − lr·λ·w with decoupled_weight_decay
    momentum = μ            b ← μ·b + u;  u ← b, or u + μ·b with nesterov
    lr_in_momentum          b ← μ·b + lr·u;  w ← w − b: an older step keeps the lr it was made with
    dampening = τ           b ← μ·b + (1 − τ)·u, except for the first b = u (as PyTorch)
    on_nonfinite            "raise", "skip" (the whole step) or "ignore" an inf or NaN gradient

    Every number may be a schedule: a function of the steps taken. Gradients are used as they are:
    to accumulate over k backward passes, divide a loss that is a mean by k, and leave a sum.
    """

    steps: int = field(default=0, init=False)
    parameters: dict[str, Any] = field(default_factory=dict, init=False)
    groups: list[Group] = field(default_factory=list, init=False)
    slots: dict[str, dict[str, np.ndarray]] = field(default_factory=dict, init=False)
    updates: dict[str, int] = field(default_factory=dict, init=False)
    kinds: dict[str, Any] = field(default_factory=dict, init=False)  # (dtype, shape) by name

    params: InitVar[Any] = field(default=None, kw_only=False)
    lr: Number = 1e-3
    momentum: Number = 0.0
    dampening: Number = 0.0
    nesterov: bool = False
    lr_in_momentum: bool = False
    weight_decay: Number = 0.0
    decoupled_weight_decay: bool = False
    maximize: bool = False
    clip_value: Number | None = None
    clip_norm: Number | None = None
    clip_global_norm: Number | None = None
    on_nonfinite: str = "raise"

    conventions: ClassVar[dict[str, dict[str, Any]]] = {}
    defaults: ClassVar[dict[str, Any]] = {}
    elementwise: ClassVar[bool] = False  # True lets large arrays be updated block by block
    lazy_slots: ClassVar[bool] = False  # True if direction makes its slots as it goes
    required_hyperparameters: ClassVar[
        dict[str, list[str]]
    ] = {}  # what init and direction want to know

    # ---- hyperparameters ----

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        dataclass(kw_only=True, repr=False, eq=False)(cls)
        cls.defaults = {f.name: f.default for f in fields(cls) if f.init}
        for name in cls.defaults:
            ours = Optimizer.__dataclass_fields__.get(name)
            if not ours.init if ours else hasattr(Optimizer, name):
                raise TypeError(f"{cls.__name__}: {name!r} is something else here; rename it")
        cls.required_hyperparameters = {
            name: required_by(cls, getattr(cls, name)) for name in ("init", "direction")
        }
        for name, default in cls.defaults.items():
            setattr(cls, name, Hyperparameter(name, default))

    def __new__(cls, *args: Any, **hyper: Any) -> Self:
        if len(args) > 1:
            raise TypeError(f"{cls.__name__}: only params is positional; write lr={args[1]!r}")
        for name in hyper.keys() - {*cls.defaults, "params"}:
            raise TypeError(unknown(cls.__name__, name, cls.defaults))
        return super().__new__(cls)

    def __post_init__(self, params: Any) -> None:
        self.refuse(vars(self))
        if params is not None:
            self.bind(params)

    @classmethod
    def as_in(cls, framework: str, params: Any = None, /, **overrides: Any) -> Self:
        """This optimizer as another framework has it; where it has no default lr, ours holds."""
        if framework not in cls.conventions:
            have = f"those that have it: {', '.join(cls.conventions) or 'none'}"
            raise ValueError(f"{framework!r} has no {cls.__name__}; {have}")
        return cls(params, **(cls.conventions[framework] | overrides))

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.defaults:
            value = check(type(self).__name__, name, value, self.defaults[name], self.steps)
            if self.defaults.keys() <= vars(self).keys():  # else it is being constructed
                for own in [group.data for group in self.groups] or [{}]:
                    self.refuse(ChainMap(own, {name: value}, vars(self)))
        elif name not in self.__dataclass_fields__:
            raise AttributeError(unknown(type(self).__name__, name, self.defaults))
        super().__setattr__(name, value)
        if name in self.defaults and name != "lr":
            self.allocate()

    @classmethod
    def contradictions(cls, h: Any) -> dict[str, Any]:
        """Rules, and whether the hyperparameters h break them."""
        clips = [name for name in ("clip_value", "clip_norm", "clip_global_norm") if h[name]]
        return {
            "nesterov needs a momentum": h["nesterov"] and h["momentum"] == 0,
            "nesterov needs dampening=0": h["nesterov"] and h["dampening"] != 0,
            "dampening needs a momentum": h["dampening"] != 0 and h["momentum"] == 0,
            f"choose one of {' and '.join(clips)}": len(clips) > 1,
        }

    def refuse(self, h: Any) -> None:
        """Raise if some of the hyperparameters h contradict each other."""
        for rule, broken in self.contradictions(h).items():
            if broken:
                raise ValueError(f"{type(self).__name__}: these switches contradict: {rule}")

    def checked(self, overrides: dict[str, Any]) -> dict[str, Any]:
        """A group's own hyperparameters, after every check."""
        who, legal = f"a group of {type(self).__name__}", self.defaults.keys() - set(GLOBAL_ONLY)
        for name in overrides.keys() - legal:
            raise TypeError(unknown(who, name, [n for n in self.defaults if n in legal]))
        own = {k: check(who, k, v, self.defaults[k], self.steps) for k, v in overrides.items()}
        self.refuse(ChainMap(own, vars(self)))
        return own

    def __repr__(self) -> str:
        raw = {name: vars(self)[name] for name in self.defaults}
        shown = [f"{k}={v!r}" for k, v in raw.items() if k == "lr" or v != self.defaults[k]]
        return f"{type(self).__name__}({', '.join(shown)})"

    # ---- parameters ----

    def bind(self, params: Any) -> Self:
        """Take charge of parameters: an iterable of them, of (name, parameter) pairs, or of groups.

        A group is a dict {"params": …, and hyperparameters of its own}. Names, given or else
        positions, are the keys of the state. Binding the same parameters again changes nothing.
        """
        collected = collect(type(self).__name__, params)
        named = {name: p for members, _ in collected for name, p in members.items()}
        same = [*map(id, named.values())] == [*map(id, self.parameters.values())]
        if same and not any(overrides for _, overrides in collected):
            return self
        if self.parameters:
            raise RuntimeError(f"{self!r} already has its parameters; make a new optimizer")
        self.groups = [Group(self, list(members), overrides) for members, overrides in collected]
        self.parameters, self.updates = named, dict.fromkeys(named, 0)
        self.slots = {name: {} for name in named}
        self.kinds = {name: dtype_and_shape(p.data) for name, p in named.items()}
        self.allocate()
        return self

    def allocate(self) -> None:
        """Make the slots that the hyperparameters call for and that are not there yet."""
        for group in self.groups:
            for name in group.names:
                self.slots[name] = (
                    self.init_slots(self.parameters[name].data, group) | self.slots[name]
                )

    def init_slots(self, w: np.ndarray, h: Any) -> dict[str, np.ndarray]:
        """All slots of a parameter that has not moved yet."""
        today = {k: h[k] for k in self.required_hyperparameters["init"] if k != "t"}
        for k in [k for k, value in today.items() if isinstance(value, Schedule)]:
            today[k] = today[k](self.steps)
        slots = self.init(w, **today)
        return slots | {"momentum_buffer": np.zeros_like(w)} if h["momentum"] != 0 else slots

    def zero_grad(self) -> None:
        """Forget all gradients: every parameter's grad becomes None."""
        for parameter in self.require_parameters().values():
            parameter.grad = None

    def require_parameters(self) -> dict[str, Any]:
        if not self.parameters:
            raise RuntimeError(f"{self!r} has no parameters yet; call bind(model.parameters())")
        return self.parameters

    # ---- a step ----

    def init(self, w: np.ndarray, *_: Any, **hyper: Any) -> dict[str, np.ndarray]:
        """The slots, arrays by name, of a parameter that has not moved yet."""
        return {}

    def direction(self, g: np.ndarray, slots: dict[str, Any], *_: Any, **hyper: Any) -> Any:
        """u, in which w ← w − lr·u. May write into the slots, never into g."""
        raise NotImplementedError(f"{type(self).__name__} must define direction(self, g, slots)")

    def step(self) -> None:
        """Move every parameter that has a gradient; one without stays, and so does its state.

        Everything is checked first: an error, whatever its kind, leaves all arrays as they were.
        """
        gradients, hypers = self._gradients(), [self._at(group) for group in self.groups]
        if not gradients:
            return
        if limit := hypers[0]["clip_global_norm"]:
            clipped, _ = clip_by_global_norm(list(gradients.values()), limit)
            gradients = dict(zip(gradients, clipped))
        for group, h in zip(self.groups, hypers):
            for name in [name for name in group.names if name in gradients]:
                self.updates[name] += 1
                h["t"] = self.updates[name]
                asked = {k: h[k] for k in self.required_hyperparameters["direction"]}
                w, g, slots = self.parameters[name].data, gradients[name], self.slots[name]
                g = self.clip(g.copy() if np.may_share_memory(w, g) else g, h)
                for part in self._blocks(w, g, slots):
                    self.update(*part, h, asked)
                if h["t"] % FLUSH_EVERY == 0 and h.get("eps") != 0:  # lest 0 / √v be 0 / 0
                    flush_subnormals(slots)
        self.steps += 1

    def _gradients(self) -> dict[str, np.ndarray]:
        """The gradients that there are, each checked; none at all if the step is to be skipped."""
        given = {n: p.grad for n, p in self.require_parameters().items() if p.grad is not None}
        if not given:
            raise RuntimeError(f"{self!r}: no parameter has a gradient; call loss.backward() first")
        policy, finite = self.on_nonfinite, True
        for name, g in given.items():
            w, kind = self.parameters[name].data, self.kinds[name]
            if not dtype_and_shape(w) == dtype_and_shape(g) == kind:
                what, array = (
                    (f"the gradient of {name!r}", g) if dtype_and_shape(w) == kind else (name, w)
                )
                raise ValueError(
                    f"{type(self).__name__}: {what} must be an array of {kind[0]} and shape "
                    f"{kind[1]}, as when it was bound; received {dtype_and_shape(array)}"
                )
            if not w.flags.writeable:
                raise ValueError(f"{type(self).__name__}: {name!r} is read-only; nothing was moved")
            finite = finite and (policy == "ignore" or isfinite(l2_norm(g)))
            if not finite and policy == "raise":
                raise FloatingPointError(
                    f"{type(self).__name__}: the gradient of {name!r} has an inf or NaN, and the "
                    'step was not taken; lower lr, clip, or choose on_nonfinite="skip"'
                )
        return given if finite else {}

    def _at(self, group: Group) -> dict[str, Any]:
        """The group's hyperparameters at this step, those of schedules checked."""
        raw, t = vars(self) | group.data, self.steps
        h = {name: raw[name] for name in self.defaults}
        for name in [name for name, value in h.items() if isinstance(value, Schedule)]:
            at = f"{name} at step {t}"
            h[name] = check(type(self).__name__, at, h[name](t), self.defaults[name], None)
        return h

    @staticmethod
    def clip(g: np.ndarray, h: dict[str, Any]) -> np.ndarray:
        if h["clip_value"]:
            return clip_by_value(g, h["clip_value"])
        return clip_by_norm(g, h["clip_norm"]) if h["clip_norm"] else g

    def _blocks(self, w: Any, g: Any, slots: dict[str, Any]) -> Iterator[tuple[Any, Any, Any]]:
        """(w, g, slots) whole or, since memory is the bottleneck, in pieces that fit the cache."""
        arrays = (w, g, *slots.values())
        whole = w.size <= BLOCK or not self.elementwise
        if whole or any(a.shape != w.shape or not a.flags.c_contiguous for a in arrays):
            yield w, g, slots
            return
        w, g, *flat = (a.reshape(-1) for a in arrays)
        for i in range(0, w.size, BLOCK):
            part = slice(i, i + BLOCK)
            yield w[part], g[part], {k: slot[part] for k, slot in zip(slots, flat)}

    def update(self, w: Any, g: Any, slots: Any, h: dict[str, Any], asked: Any) -> None:
        """One parameter through the links, in their order."""
        if h["weight_decay"] != 0 and h["decoupled_weight_decay"]:
            w *= 1 - h["lr"] * h["weight_decay"]
        # never bound to a name: NumPy scales a temporary in place, a buffer or g it leaves alone
        w -= self._change(w, g, slots, h, asked)

    def _change(self, w: Any, g: Any, slots: Any, h: dict[str, Any], asked: Any) -> Any:
        """lr·u, or what the momentum makes of it."""
        if h["maximize"]:
            g = -g
        if h["weight_decay"] != 0 and not h["decoupled_weight_decay"]:
            g = g + h["weight_decay"] * w
        if "momentum_buffer" not in slots:
            return h["lr"] * self.direction(g, slots, **asked)
        if h["lr_in_momentum"]:
            return self._momentum(h["lr"] * self.direction(g, slots, **asked), slots, h)
        return h["lr"] * self._momentum(self.direction(g, slots, **asked), slots, h)

    @staticmethod
    def _momentum(u: Any, slots: dict[str, Any], h: dict[str, Any]) -> Any:
        b = slots["momentum_buffer"]
        b *= h["momentum"]
        b += (1 - h["dampening"]) * u if h["dampening"] != 0 and h["t"] > 1 else u
        return u + h["momentum"] * b if h["nesterov"] else b

    # ---- around it, each in a file of its own ----

    explain = explain
    state_dict = state_dict
    load_state_dict = load_state_dict


def dtype_and_shape(array: Any) -> Any:
    return (array.dtype, array.shape) if isinstance(array, np.ndarray) else type(array).__name__
