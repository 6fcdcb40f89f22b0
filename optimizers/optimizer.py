"""The optimizer base class, in reading order: one step, its stages, parameters, hyperparameters.

An optimizer is one function, `direction`, from a gradient to a direction; the base class does
everything that optimizers have in common. It needs only .data and .grad of a parameter.
"""

from collections.abc import Callable
from dataclasses import InitVar, dataclass, field
from math import isfinite
from typing import Any, ClassVar, Self, dataclass_transform

import numpy as np

from . import evaluation
from .blocks import blocks
from .clipping import clip_by_global_norm, clip_by_norm, clip_by_value, l2_norm
from .compiled import CompiledStep, compile_step, compiled_update
from .declaration import check_array, check_slots, declare, undeclared, validate_overrides
from .formulas import flush_subnormals
from .hyperparameters import Number, value_now
from .parameters import Group, Params, check_arrays, checksum, collect_groups, dtype_and_shape
from .state import load_state_dict, state_dict
from .tools.explain import explain

FLUSH_EVERY = 64  # updates; then numbers too small for full precision become 0
Slots = dict[str, np.ndarray]


@dataclass_transform(kw_only_default=True, field_specifiers=(field,))  # for type checkers
@dataclass(kw_only=True, repr=False, eq=False)
class Optimizer:
    """A step: clip g, maximize, L2, u = direction(g), momentum, times lr, decay, w ← w − lr·u.

    A subclass declares its hyperparameters as annotated fields and defines `direction`; it defines
    `init` if it keeps state. It automatically becomes a keyword-only dataclass. Both methods name
    the hyperparameters that they need as keywords: direction(self, g, slots, *, rho, eps).
    `direction` can also name w and t, the number of this parameter's updates, which starts at 1.
    If it names weight_decay or momentum, it does this stage itself; the base class omits it.

    params              parameters with .data and .grad, (name, parameter) pairs, or groups
    lr                  the learning rate
    clip_value, clip_norm, clip_global_norm    see clipping.py; at most one of them
    maximize            g ← −g
    weight_decay = λ    g ← g + λ·w (L2); with decoupled_weight_decay w ← w − lr·λ·w
    momentum = μ        b ← μ·b + u,  u ← b, or with nesterov u ← u + μ·b
    lr_in_momentum      b ← μ·b + lr·u,  w ← w − b: a new lr does not rescale the steps in b
    dampening = τ       b ← μ·b + (1 − τ)·u, but b = u in the first update, as in PyTorch
    on_nonfinite        "raise", "skip" (the whole step) or "ignore" a gradient with inf or NaN

    Every number can be a schedule, a function of the number of steps taken. The gradients of
    several backward passes add up. To accumulate k batches of a mean loss, divide the loss by k.
    """

    # State; slots and updates by the parameter's name
    steps: int = field(default=0, init=False)
    parameters: dict[str, Any] = field(default_factory=dict, init=False)
    groups: list[Group] = field(default_factory=list, init=False)
    slots: dict[str, Slots] = field(default_factory=dict, init=False)
    updates: dict[str, int] = field(default_factory=dict, init=False)

    # Hyperparameters. While a parameter is updated, self.lr reads the value of its group, h["lr"].
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

    # What a subclass can declare besides its hyperparameters
    conventions: ClassVar[dict[str, dict[str, Any]]] = {}  # framework → its defaults
    elementwise: ClassVar[bool] = False  # True: large arrays can be updated block by block
    lazy_slots: ClassVar[bool] = False  # True: direction makes its slots in the first update
    needs_closure: ClassVar[bool] = False  # True: step(closure), to compute several gradients
    limits: ClassVar[dict[str, Any]] = {}  # name → (lower, upper, whether upper is legal)

    # ---- One step ----

    def init(self, w: np.ndarray, *_: Any, **_hyper: Any) -> Slots:
        """Return the slots, arrays by name, of a parameter before its first update."""
        return {}

    def direction(self, g: np.ndarray, slots: Slots, *_: Any, **_hyper: Any) -> np.ndarray:
        """Return u, where w ← w − lr·u. It may write into the slots, never into g."""
        raise NotImplementedError(f"{type(self).__name__} must define direction(self, g, slots)")

    def evaluation_weight(self, w: np.ndarray, slots: Slots, *_: Any, **_hyper: Any) -> np.ndarray:
        """Return the weights to evaluate; by default w. See `evaluating`."""
        return w

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update parameters that have gradients; leave others and their state unchanged.

        closure: a function that computes the loss and calls backward(); step returns its result.
        Gradients add up, so call zero_grad() between two steps, or in the closure.

        All gradients are checked first; after an error no array has changed. Raises RuntimeError
        if no parameter has a gradient, ValueError for a wrong shape or dtype, FloatingPointError
        for inf or NaN. With on_nonfinite="skip", a step with inf or NaN does nothing and is not
        counted.
        """
        with evaluation.lock_of(self):
            result = self.run_closure(closure)
            try:
                self._update_all()
            finally:
                vars(self)["_active"] = None  # see Hyperparameter
        if self.compiled:
            self.compiled.warn(stacklevel=3)
        return result

    @np.errstate(all="ignore")  # an error of NumPy in the middle would leave half a step
    def _update_all(self) -> None:
        gradients = self._checked_gradients()
        hypers = [self.hyperparameters_at_step(group) for group in self.groups]  # may raise
        if not gradients:  # on_nonfinite="skip"
            return
        if limit := hypers[0]["clip_global_norm"]:  # all groups have the same
            clipped, _ = clip_by_global_norm(list(gradients.values()), limit)
            gradients = dict(zip(gradients, clipped))
        for group, h in zip(self.groups, hypers):
            for name in group.names:
                if name in gradients and gradients[name].size:
                    self._update_parameter(name, gradients[name], group, h)
        self.steps += 1

    def _update_parameter(self, name: str, g: np.ndarray, group: Group, h: dict[str, Any]) -> None:
        """Clip the gradient of one parameter, update the parameter, count the update."""
        h["t"] = self.updates[name] + 1
        w, slots = self.parameters[name].data, self._slots_for_update(name, group, h)
        g = self.clip(g, h)
        if not (self.compiled and compiled_update(self, name, w, g, slots, h)):
            for w_block, g_block, slots_block in blocks(self, w, g, slots):
                self.update(w_block, g_block, slots_block, h)
        self._tidy_slots(slots, h)
        self.updates[name] += 1

    def update(self, w: np.ndarray, g: np.ndarray, slots: Slots, h: dict[str, Any]) -> None:
        """Update one parameter, or a block of it, stage by stage; h: hyperparameters and t."""
        lr, decoupled = h["lr"], h["decoupled_weight_decay"]
        decay = 0 if "weight_decay" in self.own_stages else h["weight_decay"]
        momentum = 0 if "momentum" in self.own_stages else h["momentum"]
        if h["maximize"]:
            g = -g
        if decay != 0 and not decoupled:
            g = g + decay * w
        u = self.call("direction", h, g, slots, w=w)
        if h["t"] == 1:
            check_array(self, "direction", u, g, "g")
        if h["lr_in_momentum"]:  # Keras's momentum adds up lr·u; PyTorch's adds up u
            u = lr * u
        if momentum != 0:
            u = self.apply_momentum(u, slots["momentum_buffer"], h)
        change = u if h["lr_in_momentum"] else lr * u
        if decay != 0 and decoupled:
            w *= 1 - lr * decay
        w -= change

    def call(self, method: str, h: dict[str, Any], *arrays: Any, w: Any = None) -> Any:
        """Call a method of the rule with the keywords that it names; in it, self.lr is h["lr"]."""
        attributes, names = vars(self), self.required_hyperparameters[method]
        keywords = {name: w if name == "w" else h[name] for name in names}
        before, attributes["_active"] = attributes.get("_active"), h
        try:
            return getattr(self, method)(*arrays, **keywords)
        finally:
            attributes["_active"] = before

    @staticmethod
    def apply_momentum(u: np.ndarray, b: np.ndarray, h: dict[str, Any]) -> np.ndarray:
        """b ← μ·b + (1 − τ)·u, with τ = 0 in the first update; return b, or u + μ·b (nesterov)."""
        b *= h["momentum"]
        if h["dampening"] != 0 and h["t"] > 1:
            b += (1 - h["dampening"]) * u
        else:
            b += u
        return u + h["momentum"] * b if h["nesterov"] else b

    @staticmethod
    def clip(g: np.ndarray, h: dict[str, Any]) -> np.ndarray:
        """Clip the gradient of one parameter by value or by norm, if h says so."""
        if h["clip_value"]:
            return clip_by_value(g, h["clip_value"])
        return clip_by_norm(g, h["clip_norm"]) if h["clip_norm"] else g

    def _checked_gradients(self) -> dict[str, np.ndarray]:
        """Check and return the gradients by name; return {} if the step has to be skipped."""
        gradients = {n: p.grad for n, p in self.require_parameters().items() if p.grad is not None}
        if not gradients:
            raise RuntimeError(f"{self!r}: no parameter has a gradient; call loss.backward() first")
        for name, g in gradients.items():
            w = self.parameters[name].data
            check_arrays(self, name, w, g)
            if np.may_share_memory(w, g):  # w -= … would change g as well
                gradients[name] = g.copy()
        if self.on_nonfinite == "ignore":
            return gradients
        for name, g in gradients.items():
            if not isfinite(l2_norm(g)):
                if self.on_nonfinite == "skip":
                    return {}
                raise FloatingPointError(
                    f"{type(self).__name__}: the gradient of {name!r} has an inf or NaN; nothing "
                    'was updated. Lower lr, clip, or choose on_nonfinite="skip"'
                )
        return gradients

    def hyperparameters_at_step(self, group: Group) -> dict[str, Any]:
        """Return the group's hyperparameters at this step, with the values of schedules checked."""
        raw = self.raw_hyperparameters() | group.data
        return {k: value_now(self, k, x) if callable(x) else x for k, x in raw.items()}

    def raw_hyperparameters(self) -> dict[str, Any]:
        """Return the hyperparameters as they were set: a schedule is returned as a function."""
        return {name: vars(self)[name] for name in self.defaults}

    # ---- Parameters ----

    def bind(self, params: Params) -> Self:
        """Take the parameters to train; RMSprop(params) calls it.

        params: an iterable of parameters, of (name, parameter) pairs, or of groups.
        A group is a dict {"params": …} with hyperparameters of its own. The state is kept by name;
        without names, by position. Binding the same parameters again, without hyperparameters of
        their own, changes nothing.
        """
        collected = collect_groups(type(self).__name__, params)
        named = {name: p for members, _ in collected for name, p in members.items()}
        same = {*map(id, named.values())} == {*map(id, self.parameters.values())}
        if same and not any(overrides for _, overrides in collected):
            return self
        if self.parameters:
            raise RuntimeError(f"{self!r} already has parameters; make a new optimizer")
        self.groups = [Group(self, list(members), overrides) for members, overrides in collected]
        self.parameters, self.updates = named, dict.fromkeys(named, 0)
        self.slots = {name: {} for name in named}
        self.bound_signatures = {name: dtype_and_shape(p.data) for name, p in named.items()}
        self.bound_checksums = {name: checksum(p.data) for name, p in named.items()}
        self.allocate()
        return self.compile(strict=self.compiled.strict) if self.compiled else self

    def allocate(self) -> None:
        """Make the slots that the hyperparameters need and that do not exist yet."""
        for group in self.groups:
            for name in group.names:
                new = self.init_slots(self.parameters[name].data, group)
                self.slots[name] = new | self.slots[name]  # those that exist stay

    def init_slots(self, w: np.ndarray, group: Any) -> Slots:
        """Return the slots that init makes, and a momentum buffer if momentum needs it."""
        h = {name: value_now(self, name, group[name]) for name in self.defaults} | {"t": 0}
        slots = self.call("init", h, w, w=w)
        check_slots(self, slots)
        if h["momentum"] == 0 or "momentum" in self.own_stages:
            return slots
        if "momentum_buffer" in slots:
            who = type(self).__name__
            raise TypeError(f"{who}: rename the slot momentum_buffer; the base class makes one")
        return slots | {"momentum_buffer": np.zeros_like(w)}

    def zero_grad(self) -> None:
        """Set the gradient of every parameter to None."""
        for parameter in self.require_parameters().values():
            parameter.grad = None

    def require_parameters(self) -> dict[str, Any]:
        """Return the parameters by name; raise RuntimeError if there are none yet."""
        if not self.parameters:
            raise RuntimeError(f"{self!r} has no parameters yet; call bind(model.parameters())")
        return self.parameters

    # ---- For advanced readers ----

    bound_signatures: dict[str, Any] = field(default_factory=dict, init=False)  # dtype and shape
    bound_checksums: dict[str, int] = field(default_factory=dict, init=False)  # of the weights
    compiled: CompiledStep | None = field(default=None, init=False)  # see compiled.py
    is_evaluating: bool = field(default=False, init=False)  # see evaluation.py

    # What declaration.py finds out about a class
    defaults: ClassVar[dict[str, Any]] = {}  # hyperparameter → its default
    required_hyperparameters: ClassVar[dict[str, list[str]]] = {}  # method → its keywords
    own_stages: ClassVar[set[str]] = set()  # the stages that direction does itself
    ignored_switches: ClassVar[list[str]] = []  # switches of these stages
    not_overridable: ClassVar[set[str]] = set()  # only `step` reads them: never a group's value

    def _slots_for_update(self, name: str, group: Group, h: dict[str, Any]) -> Slots:
        """Return the slots; before the first update, make them again if weights were loaded."""
        parameter = self.parameters[name]
        if h["t"] == 1 and checksum(parameter.data) != self.bound_checksums.get(name):
            self.slots[name] |= self.init_slots(parameter.data, group)  # a slot can start at w
        vars(self)["_active"] = h  # self.lr is now h["lr"]
        evaluation.mark_as_changed(parameter)  # a graph that still reads w raises an error
        return self.slots[name]

    def _tidy_slots(self, slots: Slots, h: dict[str, Any]) -> None:
        """Check the slots after the first update; now and then set subnormals to 0."""
        if h["t"] == 1:
            check_slots(self, slots)
        # keep subnormals if ε = 0: a v of 0 would give 0 / √0 = NaN
        if h["t"] % FLUSH_EVERY == 0 and h.get("eps") != 0:
            flush_subnormals(slots.values())

    @property
    def has_evaluation_weights(self) -> bool:
        return type(self).evaluation_weight is not Optimizer.evaluation_weight

    @property
    def innermost(self) -> Self:
        """The optimizer inside all wrappers: this one."""
        return self

    # How a subclass gets its keyword arguments, and how hyperparameters are checked

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        declare(cls, Optimizer)
        if "step" in vars(cls):
            cls.step = evaluation.locked(vars(cls)["step"])  # type: ignore[method-assign]

    def __new__(cls, *args: Any, **hyper: Any) -> Self:
        """Refuse unknown arguments; the error of the dataclass would not say what to do."""
        if len(args) > 1:
            raise TypeError(f"{cls.__name__}: only params is positional; write lr={args[1]!r}")
        if unknown := sorted(hyper.keys() - {*cls.defaults, "params"}):
            raise TypeError(undeclared(cls, unknown[0]))
        return super().__new__(cls)

    def __post_init__(self, params: Any) -> None:
        self.refuse_contradictions(vars(self))
        if params is not None:
            self.bind(params)

    @classmethod
    def as_in(cls, framework: str, params: Params | None = None, /, **overrides: Any) -> Self:
        """Make this optimizer with a framework's defaults, and our lr if the framework has none."""
        if framework not in cls.conventions:
            choices = f"frameworks that have it: {', '.join(cls.conventions) or 'none'}"
            raise ValueError(f"{framework!r} has no {cls.__name__}; {choices}")
        return cls(params, **(cls.conventions[framework] | overrides))

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse attributes that no class declares. A Hyperparameter checks its own values."""
        is_own = hasattr(type(self), name) and not hasattr(Optimizer, name)
        if name not in self.__dataclass_fields__ and not is_own:
            raise AttributeError(undeclared(type(self), name))
        super().__setattr__(name, value)

    @classmethod
    def contradictions(cls, h: Any) -> dict[str, Any]:
        """Return {rule in words: whether the hyperparameters h break it}."""
        clips = [name for name in ("clip_value", "clip_norm", "clip_global_norm") if h[name]]
        return {
            "nesterov needs a momentum": h["nesterov"] and h["momentum"] == 0,
            "nesterov needs dampening=0": h["nesterov"] and h["dampening"] != 0,
            "dampening needs a momentum": h["dampening"] != 0 and h["momentum"] == 0,
            f"choose one of {' and '.join(clips)}": len(clips) > 1,
        } | {f"{cls.__name__} has no {name}": h[name] for name in cls.ignored_switches}

    def refuse_contradictions(self, h: Any) -> None:
        """Raise ValueError if some of the hyperparameters h contradict each other."""
        for rule, is_broken in self.contradictions(h).items():
            if is_broken:
                raise ValueError(f"{type(self).__name__}: contradictory switches: {rule}")

    def __repr__(self) -> str:
        raw = self.raw_hyperparameters()
        shown = [f"{k}={v!r}" for k, v in raw.items() if k == "lr" or v != self.defaults[k]]
        return f"{type(self).__name__}({', '.join(shown)})"

    # ---- Methods from files of their own ----

    compile = compile_step
    evaluating = evaluation.evaluating
    evaluation_weights = evaluation.evaluation_weights
    forget_weights = evaluation.forget_weights
    explain = explain
    state_dict = state_dict
    load_state_dict = load_state_dict
    run_closure = evaluation.run_closure
    validate_overrides = validate_overrides
