"""The base of optimizers that hold an optimizer, such as averages of weights or Lookahead.

In reading order: what a wrapper defines, one step, the inner optimizer's attributes, state.
"""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np

from .declaration import check_signature, check_slots, declared_defaults
from .evaluation import evaluating, lock_of, locked, mark_as_changed, run_closure
from .formulas import flush_subnormals
from .hyperparameters import check_hyperparameter, unknown_hyperparameter, value_now
from .optimizer import FLUSH_EVERY, Optimizer, Slots
from .parameters import Params, dtype_and_shape
from .state import from_plain, to_plain


@dataclass(kw_only=True, init=False, repr=False, eq=False)
class Wrapper:
    """Hold an optimizer: it takes the steps, and the wrapper acts around them.

    inner   the optimizer inside; it can be a wrapper, too

    Every other attribute is the inner optimizer's, to read and to write: lr, groups, parameters,
    steps and so on. A subclass declares its own hyperparameters as annotated fields; they can be
    schedules. It defines what it needs of init, after_step, evaluation_weight and step. `get` makes
    the inner optimizer by name: get("ema", inner="adam", lr=0.01).

    >>> from minigrad.optimizers import EMA, SGD
    >>> optimizer = EMA(SGD(lr=0.1), decay=0.9)
    >>> optimizer.lr
    0.1
    """

    default_inner: ClassVar[str] = "adam"  # for `get` without `inner`
    is_saved: ClassVar[bool] = True  # False: checkpoints hold the inner optimizer alone
    own_defaults: ClassVar[dict[str, Any]] = {}
    limits: ClassVar[dict[str, Any]] = {}  # name → (lower, upper, whether upper is legal)

    # ---- What a wrapper defines ----

    def init(self, w: np.ndarray) -> Slots:
        """Return the wrapper's own slots of a parameter, before the first step."""
        return {}

    def after_step(self, w: np.ndarray, slots: Slots) -> None:
        """Act on a parameter after a step of the inner optimizer; it may write into w and slots."""

    def evaluation_weight(self, w: np.ndarray, slots: Slots) -> np.ndarray:
        """Return the weights to evaluate; by default w."""
        return w

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take a step of the inner optimizer, then run after_step unless the step was skipped."""
        for name in self.own_defaults:
            getattr(self, name)  # an illegal value of a schedule raises before anything changes
        with lock_of(self):
            if not self.steps:
                self.own_slots.clear()  # weights can have been loaded since
            self.make_slots()
            before = self.steps
            result = self.inner.step(closure)
            if self.steps > before and type(self).after_step is not Wrapper.after_step:
                vars(self)["own_step"] = before  # own schedules count like the inner optimizer's
                try:
                    self.act_after_step()
                finally:
                    vars(self)["own_step"] = None
        return result

    @np.errstate(all="ignore")  # as in the inner optimizer's step
    def act_after_step(self) -> None:
        for w, slots in self.weights():
            self.after_step(w, slots)
            if self.steps % FLUSH_EVERY == 0:
                flush_subnormals(slots.values())

    # ---- What a step needs ----

    def make_slots(self) -> None:
        """Make the own slots that do not exist yet."""
        for name, parameter in self.require_parameters().items():
            if name not in self.own_slots:
                slots = self.init(parameter.data)
                check_slots(self, slots)
                self.own_slots[name] = slots

    def weights(self) -> Iterator[tuple[np.ndarray, Slots]]:
        """Yield the array and the own slots of each parameter, to write into them."""
        self.make_slots()
        for name, parameter in self.parameters.items():
            mark_as_changed(parameter)
            yield parameter.data, self.own_slots[name]

    @property
    def has_evaluation_weights(self) -> bool:
        averages = type(self).evaluation_weight is not Wrapper.evaluation_weight
        return averages or self.inner.has_evaluation_weights

    def evaluation_weights(self) -> dict[str, np.ndarray]:
        """Return the weights for evaluation by name, for each parameter that has others."""
        if type(self).evaluation_weight is Wrapper.evaluation_weight:
            return self.inner.evaluation_weights()
        w = {name: self.parameters[name].data for name in self.own_slots}
        return {n: self.evaluation_weight(w[n], slots) for n, slots in self.own_slots.items()}

    def forget_weights(self) -> None:
        """Start averages of the weights anew: see Optimizer.forget_weights."""
        self.inner.forget_weights()
        if self.has_evaluation_weights:
            self.own_slots.clear()
            self.make_slots()

    # ---- Seeing through to the inner optimizer ----

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        dataclass(kw_only=True, init=False, repr=False, eq=False)(cls)
        cls.own_defaults = declared_defaults(cls, Wrapper)
        reserved = {*Optimizer.__dataclass_fields__, "inner", "own_slots"}
        if taken := sorted(reserved & cls.own_defaults.keys()):
            raise TypeError(f"{cls.__name__}: an optimizer uses the name {taken[0]!r}; rename it")
        for method in ("init", "after_step", "evaluation_weight", "step"):
            arguments = inspect.signature(getattr(Wrapper, method)).parameters
            check_signature(cls, method, [*arguments], [])
        if "step" in vars(cls):
            cls.step = locked(vars(cls)["step"])  # type: ignore[method-assign]
        for name in cls.own_defaults:
            setattr(cls, name, property(partial(own_value, name=name)))

    def __init__(self, inner: "Optimizer | Wrapper", /, **hyper: Any) -> None:
        self.refuse_inner(inner)
        vars(self).update(inner=inner, own_slots={}, own_step=None)
        if unknown := sorted(hyper.keys() - self.own_defaults.keys()):
            name = unknown[0]
            hint = f"; set {name} on the inner optimizer" if name in inner.defaults else ""
            raise TypeError(unknown_hyperparameter(type(self), name, self.own_defaults) + hint)
        for name, value in (self.own_defaults | hyper).items():
            setattr(self, name, value)

    @classmethod
    def refuse_inner(cls, inner: Any) -> None:
        """Raise an error if this wrapper cannot hold the optimizer."""
        who = cls.__name__
        if not isinstance(inner, Optimizer | Wrapper):
            how = f"write {who}(Adam(lr=0.001)), or optimizers.get(name, inner='adam', lr=0.001)"
            raise TypeError(f"{who} needs an optimizer to hold, received {inner!r:.60}; {how}")
        if getattr(cls, "needs_closure", False) and not getattr(inner, "is_saved", True):
            raise ValueError(f"{who} cannot hold {inner!r}: write {type(inner).__name__}({who}(…))")
        held = inner
        while isinstance(held, Wrapper):
            if type(held).__name__ == who:  # their states would have the same names
                raise ValueError(f"{who}: {inner!r} holds a {who} already")
            held = held.inner
        moves = cls.after_step is not Wrapper.after_step
        averages = cls.evaluation_weight is not Wrapper.evaluation_weight
        if (moves and held.has_evaluation_weights) or (averages and inner.has_evaluation_weights):
            other = "which evaluates other weights than it trains"
            raise ValueError(f"{who} cannot hold {inner!r}, {other}: one would undo the other")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "inner" not in vars(self):  # copy() asks before `inner` is set
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        return getattr(self.inner, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.own_defaults:
            vars(self)[name] = check_hyperparameter(self, name, value)
        elif hasattr(type(self), name):  # declared in the class
            super().__setattr__(name, value)
        elif name == "inner":
            who = type(self).__name__
            raise AttributeError(f"{who}: to hold another optimizer, make a new one")
        else:
            setattr(self.inner, name, value)

    @property
    def defaults(self) -> dict[str, Any]:
        return self.inner.defaults | self.own_defaults

    @property
    def slots(self) -> dict[str, Slots]:
        """The slots of the inner optimizer and, under names such as "EMA.average", the own ones."""
        who = type(self).__name__
        return {
            name: slots | {f"{who}.{k}": a for k, a in self.own_slots.get(name, {}).items()}
            for name, slots in self.inner.slots.items()
        }

    def bind(self, params: Params) -> Self:
        """Take parameters to train: see Optimizer.bind."""
        self.inner.bind(params)
        return self

    def compile(self, *, strict: bool = True) -> Self:
        """Compile the step of the inner optimizer: see Optimizer.compile."""
        self.inner.compile(strict=strict)
        return self

    def explain(self) -> str:
        """Return what this wrapper does, and the equations of the inner optimizer."""
        about = " ".join((inspect.getdoc(type(self)) or "").split("\n\n")[0].split())
        return f"{self!r}: {about}\n{self.inner.explain()}"

    def __repr__(self) -> str:
        raw = {name: vars(self)[name] for name in self.own_defaults}
        shown = [f", {k}={v!r}" for k, v in raw.items() if v != self.own_defaults[k]]
        return f"{type(self).__name__}({self.inner!r}{''.join(shown)})"

    evaluating = evaluating
    run_closure = run_closure

    # ---- State ----

    def named_slots(self) -> dict[str, np.ndarray]:
        who = type(self).__name__
        items = self.own_slots.items()
        return {f"{n}/{who}.{k}": a for n, slots in items for k, a in slots.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return the inner optimizer's state, with the own slots and hyperparameters added.

        Their names begin with the wrapper's name: "kernel/EMA.average", "EMA.decay".
        """
        who, state = type(self).__name__, self.inner.state_dict()
        self.make_slots()
        own_hyper = {f"{who}.{name}": to_plain(vars(self)[name]) for name in self.own_defaults}
        return state | {
            "optimizer": f"{who}({state['optimizer']})",
            "hyper": state["hyper"] | own_hyper,
            "slots": state["slots"] | {key: a.copy() for key, a in self.named_slots().items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load a state_dict(). After an error nothing has changed."""
        who = type(self).__name__
        content: Mapping[str, Any] = state if isinstance(state, Mapping) else {"optimizer": state}
        saved_by, hyper, slots = map(content.get, ("optimizer", "hyper", "slots"))
        outer = re.fullmatch(rf"{who}\((.+)\)", str(saved_by))
        if not (outer and isinstance(hyper, Mapping) and isinstance(slots, Mapping)):
            raise ValueError(f"{who}: this state does not match: it was saved by {saved_by!s:.60}")
        own_hyper = {k: x for k, x in hyper.items() if str(k).startswith(f"{who}.")}
        own_slots = {k: np.asarray(x) for k, x in slots.items() if f"/{who}." in str(k)}
        rest = {
            "optimizer": outer[1],
            "hyper": {k: x for k, x in hyper.items() if k not in own_hyper},
            "slots": {k: x for k, x in slots.items() if k not in own_slots},
        }
        values = {k.removeprefix(f"{who}."): x for k, x in own_hyper.items()}
        if missing := self.own_defaults.keys() - values.keys():
            raise ValueError(f"{who}: this state lacks {', '.join(sorted(missing))}")
        values = {k: from_plain(x, vars(self).get(k)) for k, x in values.items()}
        loaded = type(self)(self.inner, **values)
        loaded.make_slots()
        expected = loaded.named_slots()
        received = {k: dtype_and_shape(x) for k, x in own_slots.items()}
        required = {k: dtype_and_shape(x) for k, x in expected.items()}
        if wrong := sorted(k for k in received | required if received.get(k) != required.get(k)):
            raise ValueError(f"{who}: this state does not match in {', '.join(wrong)}")
        for key, array in own_slots.items():
            expected[key][...] = array
        self.inner.load_state_dict({**state, **rest})
        vars(self).update(vars(loaded))


def own_value(wrapper: Wrapper, name: str) -> Any:
    return value_now(wrapper, name, vars(wrapper)[name], vars(wrapper)["own_step"])
