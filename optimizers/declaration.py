"""Read what an optimizer class declares, and check what its methods take and return."""

import inspect
from collections import ChainMap
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from .hyperparameters import (
    DEPENDS_ON,
    Hyperparameter,
    check_hyperparameter,
    unknown_hyperparameter,
)

ARGUMENTS = {"init": ["w"], "direction": ["g", "slots"], "evaluation_weight": ["w", "slots"]}
EXTRA_KEYWORDS = {"t", "w"}  # what these methods can name besides hyperparameters
STAGES = ("weight_decay", "momentum")  # direction does these itself if it names them
GLOBAL_ONLY = ("clip_global_norm", "on_nonfinite")  # a group cannot override these


def declare(cls: Any, base: Any) -> None:
    """Make a dataclass of a new subclass of `base`; check and note what it declares."""
    if "__init__" in vars(cls):
        how = "declare hyperparameters in the class, such as beta: float = 0.9"
        raise TypeError(f"{cls.__name__} must not define __init__; {how}")
    dataclass(kw_only=True, repr=False, eq=False)(cls)
    cls.defaults = declared_defaults(cls, base)
    cls.own_stages = stages_of_direction(cls)
    cls.required_hyperparameters = {method: keywords_of(cls, method) for method in ARGUMENTS}
    check_signature(cls, "step", ["self", "closure"], [])
    named = cls.required_hyperparameters["direction"]
    switches = [switch for switch, stage in DEPENDS_ON.items() if stage in cls.own_stages]
    cls.ignored_switches = [switch for switch in switches if switch not in named]
    if cls.step is not base.step:  # in step, self.k is the optimizer's value, never a group's
        added = cls.defaults.keys() - base.__dataclass_fields__.keys()
        cls.not_overridable = added - set().union(*cls.required_hyperparameters.values())

    def defined_at(name: str) -> int:
        return next(i for i, c in enumerate(cls.__mro__) if name in vars(c))

    methods = ("direction", "update", "apply_momentum", "clip")
    if min(map(defined_at, methods)) < defined_at("elementwise"):
        cls.elementwise = False  # it was said of the methods of a parent
    for name, default in cls.defaults.items():
        setattr(cls, name, Hyperparameter(name, default))


def stages_of_direction(cls: Any) -> set[str]:
    """Return the stages that direction does itself: those among its keywords.

    Raises TypeError if the parent's direction does a stage that this direction does not name.
    """
    parameters = inspect.signature(cls.direction).parameters
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for stage in cls.own_stages - parameters.keys():  # the parent's
        if not takes_all:
            problem = f"direction must name {stage} among its keywords, as its parent's does"
            raise TypeError(f"{cls.__name__}: {problem}; hand it to super().direction")
    return cls.own_stages | {stage for stage in STAGES if stage in parameters}


def declared_defaults(cls: Any, base: Any) -> dict[str, Any]:
    """Check the hyperparameters of a subclass of `base`; return their defaults by name."""
    who, defaults = cls.__name__, {f.name: f.default for f in fields(cls) if f.init}
    for name, default in defaults.items():
        inherited = base.__dataclass_fields__.get(name)
        is_taken = hasattr(base, name) or inherited is not None or name in EXTRA_KEYWORDS
        if is_taken and not (inherited and inherited.init):
            raise TypeError(f"{who}: {base.__name__} uses the name {name!r}; rename it")
        if default is MISSING:
            how = f"write {name}: float = 0.9 (or, for another use, field(…, init=False))"
            raise TypeError(f"{who}: the hyperparameter {name} has no default; {how}")
        if name in vars(cls) and name not in inspect.get_annotations(cls):
            raise TypeError(without_annotation(cls, name))
    cls.limits = {k: v for c in reversed(cls.__mro__) for k, v in vars(c).get("limits", {}).items()}
    return defaults


def keywords_of(cls: Any, method: str) -> list[str]:
    """Return the hyperparameters, t and w that a method names as keywords.

    A parameter **hyper stands for all hyperparameters and t; **_hyper stands for none.
    momentum and weight_decay are not in **hyper, if the base class does these stages. Raises
    TypeError for a signature with which the base class cannot call the method.
    """
    names: set[str] = set()
    for p in inspect.signature(getattr(cls, method)).parameters.values():
        if p.kind is p.VAR_KEYWORD and not p.name.startswith("_"):
            names |= (cls.defaults.keys() - STAGES) | cls.own_stages | {"t"}
        elif p.kind is p.KEYWORD_ONLY or p.default is not p.empty:
            names.add(p.name)
    if unknown := sorted(names - cls.defaults.keys() - EXTRA_KEYWORDS):
        raise TypeError(undeclared(cls, unknown[0]))
    is_static = isinstance(inspect.getattr_static(cls, method), staticmethod)
    arguments = ARGUMENTS[method] if is_static else ["self", *ARGUMENTS[method]]
    check_signature(cls, method, arguments, sorted(names))
    return sorted(names)


def check_signature(cls: Any, method: str, arguments: list[str], names: list[str]) -> None:
    """Raise TypeError if the method cannot be called with these arguments and keywords."""
    signature = inspect.signature(getattr(cls, method))
    try:
        signature.bind(*arguments, **dict.fromkeys(names))
    except TypeError as error:
        keywords = [] if method == "step" else ["*, hyperparameters"]
        form = f"{method}({', '.join(arguments + keywords)})"
        raise TypeError(f"{cls.__name__}: write {form}, not {method}{signature}: {error}") from None


def undeclared(cls: Any, name: str) -> str:
    """Return the error message for a name that the class does not declare."""
    if isinstance(getattr(cls, name, None), int | float | str):
        return without_annotation(cls, name)
    message = unknown_hyperparameter(cls, name, cls.defaults)
    if cls.__module__.startswith("minigrad."):
        return message
    how = f"{name}: float = 0.9, or {name} = None for an attribute that checkpoints leave out"
    return f"{message}. Declare it in the class: {how}"


def without_annotation(cls: Any, name: str) -> str:
    value = getattr(cls, name)
    problem = f"{name} = {value!r} has no annotation, so it is not a hyperparameter"
    return f"{cls.__name__}: {problem}; write {name}: {type(value).__name__} = {value!r}"


def check_array(optimizer: Any, method: str, x: Any, like: Any, name: str) -> None:
    """Raise TypeError if x, which a method returned, differs from `like` in shape or dtype.

    name: what `like` is called in the message.
    """
    for kind, hint in {"shape": "", "dtype": "; use Python numbers, no NumPy scalars"}.items():
        needed, received = (getattr(array, kind, type(array).__name__) for array in (like, x))
        if needed != received:
            code = getattr(inspect.unwrap(getattr(type(optimizer), method)), "__code__", None)
            at = f" ({Path(code.co_filename).name}, line {code.co_firstlineno})" if code else ""
            who = f"{type(optimizer).__name__}: {method}{at}"
            hint = "; end it with `return …`" if x is None else hint
            required = f"must return an array of {kind} {needed}, as {name} has"
            raise TypeError(f"{who} {required}; it returned {received}{hint}")


def check_slots(optimizer: Any, slots: Any) -> None:
    """Raise TypeError unless the slots of a rule or a wrapper are arrays by name."""
    who = f"{type(optimizer).__name__}: slots must be arrays by name"
    if not isinstance(slots, dict):
        raise TypeError(f"{who}; init returned {type(slots).__name__}; end it with `return {{…}}`")
    for name, array in slots.items():
        if not isinstance(array, np.ndarray | np.generic):
            how = f"write slots[{name!r}] = np.array(…), and slots[{name!r}][...] = … to change it"
            raise TypeError(f"{who}; received {name} = {array!r:.60}; {how}")


def validate_overrides(optimizer: Any, overrides: dict[str, Any]) -> dict[str, Any]:
    """Check and return the hyperparameters of a group."""
    who, checked = f"a group of {type(optimizer).__name__}", {}
    allowed = [name for name in optimizer.defaults if name not in GLOBAL_ONLY]
    for name, value in overrides.items():
        if name not in allowed:
            raise TypeError(unknown_hyperparameter(who, name, allowed))
        if name in optimizer.not_overridable:
            how = f"direction must take it as a keyword, direction(self, g, slots, *, {name})"
            raise TypeError(f"{who} cannot have its own {name}: {how}")
        checked[name] = check_hyperparameter(optimizer, name, value, owner=who)
    optimizer.refuse_contradictions(ChainMap(checked, vars(optimizer)))
    return checked
