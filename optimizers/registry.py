"""Optimizers by name: register, get, available. This is where plug-ins come in."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from .hyperparameters import did_you_mean
from .optimizer import Optimizer

GROUP = "minigrad.optimizers"  # the entry points of other packages

_registry: dict[str, type[Optimizer]] = {}


def register(name: str, *aliases: str, override: bool = False) -> Callable[[Any], type[Optimizer]]:
    """Give an optimizer class, or a plain function `direction(g, slots, **hyper)`, its names.

    A function's keyword parameters are its hyperparameters, and it makes its slots as it goes: see
    examples/custom_optimizer.py. ValueError for a name that is taken, unless override=True.
    """
    for n in (name, *aliases):
        if not (isinstance(n, str) and n):
            raise TypeError(f'register needs a name, as in @register("my_opt"); received {n!r}')
    names = [n.lower() for n in (name, *aliases)]

    def decorate(thing: Any) -> type[Optimizer]:
        cls = thing if isinstance(thing, type) else _from_function(thing)
        if not issubclass(cls, Optimizer):
            raise TypeError(f"register needs a subclass of Optimizer or a function, received {cls}")
        for n in names:
            if not override and _home(_registry.get(n, cls)) != _home(cls):
                taken = f"the name {n!r} is taken by {_home(_registry[n])}"
                raise ValueError(f"{taken}; choose another, or register(…, override=True)")
        _registry.update(dict.fromkeys(names, cls))
        return cls

    return decorate


def _home(cls: type[Optimizer]) -> str:
    """Where a class is defined; a notebook's cell that runs again may register again."""
    return f"{cls.__module__}.{cls.__qualname__}"


def _from_function(function: Callable) -> type[Optimizer]:
    """The Optimizer whose direction is this function and whose fields are its keywords."""
    if not callable(function):
        raise TypeError(f"register needs a class or a function, received {function!r}")
    own = [p for p in inspect.signature(function).parameters.values() if p.default is not p.empty]
    space = {p.name: p.default for p in own} | {
        "__annotations__": {p.name: Any for p in own},
        "__doc__": function.__doc__,
        "__module__": function.__module__,
        "direction": staticmethod(function),
        "lazy_slots": True,
    }
    return type(function.__name__, (Optimizer,), space)


def get(optimizer: Any, params: Any = None, /, **hyper: Any) -> Optimizer:
    """The optimizer of that name, case-insensitive; also takes a class, or hands an instance on.

    Raises ValueError for an unknown name. Installed packages that offer the name in the entry
    point group "minigrad.optimizers" are looked at only if nobody has registered it.

    >>> get("RMSprop", lr=0.1)
    RMSprop(lr=0.1)
    """
    if isinstance(optimizer, Optimizer):
        if hyper:
            raise TypeError(f"{optimizer!r} is made already; set {', '.join(hyper)} on it instead")
        return optimizer.bind(params) if params is not None else optimizer
    if isinstance(optimizer, type) and issubclass(optimizer, Optimizer):
        return optimizer(params, **hyper)
    if not isinstance(optimizer, str):
        raise TypeError(f"an optimizer must be a name, a class or an Optimizer, not {optimizer!r}")
    return find(optimizer)(params, **hyper)


def available() -> dict[str, str]:
    """Every registered name, with one line about it; aliases are left out."""
    first = {cls: name for name, cls in reversed(_registry.items())}
    return {name: _describe(cls) for cls, name in sorted(first.items(), key=lambda item: item[1])}


def _describe(cls: type[Optimizer]) -> str:
    """The docstring's first paragraph in words: the second one, where the first is a formula."""
    formula, words = [*(inspect.getdoc(cls) or cls.__name__).split("\n\n"), ""][:2]
    return " ".join((words or formula).split())


def find(name: str) -> type[Optimizer]:
    """The class of that name; see get."""
    key = name.lower()
    if key not in _registry:
        plug_ins = {entry.name.lower(): entry for entry in entry_points(group=GROUP)}
        if key not in plug_ins:
            hint = did_you_mean(key, [*_registry, *plug_ins])
            known = ", ".join(available())
            raise ValueError(f"unknown optimizer {name!r}{hint} (there are: {known})")
        _load(key, plug_ins[key])
    return _registry[key]


def _load(key: str, entry: EntryPoint) -> None:
    """Import a plug-in, which may register itself or be registered here."""
    try:
        thing = entry.load()
        if key not in _registry:
            register(key)(thing)
    except Exception as error:
        maker = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "an unknown package"
        who, what = f"the optimizer {key!r} of {maker}", f"{type(error).__name__}: {error}"
        raise ImportError(f"{who} ({entry.value}) does not load: {what}") from error
