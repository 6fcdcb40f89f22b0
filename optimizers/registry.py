"""Optimizers by name: register, get, available. Other packages add theirs by entry points."""

import inspect
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from .hyperparameters import did_you_mean
from .optimizer import Optimizer
from .parameters import Params

_registry: dict[str, type[Optimizer]] = {}


def register(name: str, *aliases: str, override: bool = False) -> Callable[[Any], type[Optimizer]]:
    """Register an optimizer class, or a function `direction(g, slots, **hyper)`, under its names.

    A function's keyword parameters are its hyperparameters, and it creates its slots when it runs:
    see examples/custom_optimizer.py. Raises ValueError for a taken name, unless override=True.
    """
    for n in (name, *aliases):
        if not (isinstance(n, str) and n):
            raise TypeError(f'register needs a name, as in @register("my_opt"); received {n!r}')
    names = [n.lower() for n in (name, *aliases)]

    def decorate(rule: Any) -> type[Optimizer]:
        cls = rule if isinstance(rule, type) else _from_function(rule)
        if not issubclass(cls, Optimizer):
            raise TypeError(f"register needs a subclass of Optimizer or a function, received {cls}")
        for n in names:
            owner = _full_name(_registry.get(n, cls))
            if owner != _full_name(cls) and not override:
                problem = f"the name {n!r} is taken by {owner}"
                raise ValueError(f"{problem}; choose another, or register(…, override=True)")
        _registry.update(dict.fromkeys(names, cls))
        return cls

    return decorate


def _full_name(cls: type[Optimizer]) -> str:
    """Return the import path; it stays the same when a notebook cell runs again."""
    return f"{cls.__module__}.{cls.__qualname__}"


def _from_function(function: Callable[..., Any]) -> type[Optimizer]:
    """Return an Optimizer class: the function is its direction, the keywords are its fields."""
    if not callable(function):
        raise TypeError(f"register needs a class or a function, received {function!r}")
    parameters = inspect.signature(function).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    namespace = defaults | {
        "__annotations__": dict.fromkeys(defaults, Any),
        "__doc__": function.__doc__,
        "__module__": function.__module__,
        "direction": staticmethod(function),
        "lazy_slots": True,
    }
    return type(function.__name__, (Optimizer,), namespace)


def get(
    optimizer: str | type[Optimizer] | Optimizer, params: Params | None = None, /, **hyper: Any
) -> Optimizer:
    """Return the optimizer of that name; also takes a class, and returns an instance unchanged.

    Names are case-insensitive. An unregistered name is looked up in the entry points of the
    installed packages, group "minigrad.optimizers". Raises ValueError for an unknown name.

    >>> get("RMSprop", lr=0.1)
    RMSprop(lr=0.1)
    """
    if isinstance(optimizer, Optimizer):
        if hyper:
            raise TypeError(f"{optimizer!r} is an instance; set {', '.join(hyper)} on it instead")
        return optimizer.bind(params) if params is not None else optimizer
    if isinstance(optimizer, type) and issubclass(optimizer, Optimizer):
        return optimizer(params, **hyper)
    if not isinstance(optimizer, str):
        raise TypeError(f"an optimizer must be a name, a class or an Optimizer, not {optimizer!r}")
    return find(optimizer)(params, **hyper)


def available() -> dict[str, str]:
    """Return every registered name with one line of description; aliases are left out."""
    first_names = {cls: name for name, cls in reversed(_registry.items())}
    return {name: _describe(find(name)) for name in sorted(first_names.values())}


def _describe(cls: type[Optimizer]) -> str:
    """Return the docstring's second paragraph in one line; the first is the equation."""
    equation, words = [*(inspect.getdoc(cls) or cls.__name__).split("\n\n"), ""][:2]
    return " ".join((words or equation).split())


def find(name: str) -> type[Optimizer]:
    """Return the class of that name, as `get` does."""
    key = name.lower()
    if key not in _registry:
        found = entry_points(group="minigrad.optimizers")
        plug_ins = {entry.name.lower(): entry for entry in found}
        if key not in plug_ins:
            hint, known = did_you_mean(key, [*_registry, *plug_ins]), ", ".join(available())
            raise ValueError(f"unknown optimizer {name!r}{hint} (there are: {known})")
        _load(key, plug_ins[key])
    return _registry[key]


def _load(key: str, entry: EntryPoint) -> None:
    """Import a plug-in; register what it offers, unless it has registered itself."""
    try:
        rule = entry.load()
        if key not in _registry:
            register(key)(rule)
    except Exception as error:
        package = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "an unknown package"
        who, problem = f"the optimizer {key!r} of {package}", f"{type(error).__name__}: {error}"
        raise ImportError(f"{who} ({entry.value}) does not load: {problem}") from error
