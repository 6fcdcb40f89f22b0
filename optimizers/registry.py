"""Optimizers by name: register, get, available. Other packages add theirs by entry points."""

import inspect
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeAlias

from .declaration import EXTRA_KEYWORDS
from .hyperparameters import did_you_mean
from .optimizer import Optimizer
from .parameters import Params
from .wrapper import Wrapper

Rule: TypeAlias = type[Optimizer] | type[Wrapper]
_registry: dict[str, Rule] = {}


def register(name: str, *aliases: str, override: bool = False) -> Callable[[Any], Any]:
    """Register an optimizer class, or a function `direction(g, slots, *, …)`, under its names.

    A function's keyword parameters are its hyperparameters, and it creates its slots when it runs:
    see examples/custom_optimizer.py. A class can also be a Wrapper. Raises ValueError for a taken
    name, unless override=True.
    """
    for n in (name, *aliases):
        if not (isinstance(n, str) and n):
            raise TypeError(f'register needs a name, as in @register("my_opt"); received {n!r}')
    names = [n.lower() for n in (name, *aliases)]

    def decorate(rule: Any) -> Rule:
        cls = rule if isinstance(rule, type) else _from_function(rule)
        if not issubclass(cls, Optimizer | Wrapper):
            raise TypeError(f"register needs a subclass of Optimizer or a function, received {cls}")
        for n in names:
            owner = _full_name(_registry.get(n, cls))
            if owner != _full_name(cls) and not override:
                problem = f"the name {n!r} is taken by {owner}"
                raise ValueError(f"{problem}; choose another, or register(…, override=True)")
        _registry.update(dict.fromkeys(names, cls))
        return cls

    return decorate


def _full_name(cls: Rule) -> str:
    """Return the import path; it stays the same when a notebook cell runs again."""
    return f"{cls.__module__}.{cls.__qualname__}"


def _from_function(function: Callable[..., Any]) -> Rule:
    """Return an Optimizer class: the function is its direction, the keywords are its fields."""
    if not inspect.isfunction(function):
        raise TypeError(f"register needs a class or a function, received {function!r:.60}")
    parameters = inspect.signature(function).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
    inherited = Optimizer.__dataclass_fields__
    for p in parameters:
        if p.kind is p.KEYWORD_ONLY and p.name not in {*defaults, *inherited, *EXTRA_KEYWORDS}:
            how = f"write {p.name}=0.9 to make it a hyperparameter"
            raise TypeError(f"{function.__name__}: the keyword {p.name} has no default; {how}")
    namespace = defaults | {
        "__annotations__": dict.fromkeys(defaults, Any),
        "__doc__": function.__doc__,
        "__module__": function.__module__,
        "direction": staticmethod(function),
        "lazy_slots": True,
    }
    return type(function.__name__, (Optimizer,), namespace)


def get(
    optimizer: str | Rule | Optimizer | Wrapper, params: Params | None = None, /, **hyper: Any
) -> Optimizer | Wrapper:
    """Return the optimizer of that name; also takes a class, and returns an instance unchanged.

    Names are case-insensitive. An unregistered name is looked up in the entry points of the
    installed packages, group "minigrad.optimizers". Raises ValueError for an unknown name.

    For a wrapper, `inner` is the optimizer to hold: a name, a class or an instance. Hyperparameters
    that the wrapper does not have go to the inner optimizer.

    >>> get("RMSprop", lr=0.1)
    RMSprop(lr=0.1)
    >>> get("ema", inner="sgd", lr=0.1, decay=0.9)
    EMA(SGD(lr=0.1), decay=0.9)
    """
    if isinstance(optimizer, Optimizer | Wrapper):
        if hyper:
            raise TypeError(f"{optimizer!r} is an instance; set {', '.join(hyper)} on it instead")
        return optimizer.bind(params) if params is not None else optimizer
    cls: Any = find(optimizer) if isinstance(optimizer, str) else optimizer
    if not (isinstance(cls, type) and issubclass(cls, Optimizer | Wrapper)):
        raise TypeError(f"an optimizer must be a name, a class or an Optimizer, not {optimizer!r}")
    if not issubclass(cls, Wrapper):
        return cls(params, **hyper)
    own_hyper = {name: hyper.pop(name) for name in cls.own_defaults if name in hyper}
    inner = get(hyper.pop("inner", cls.default_inner), params, **hyper)
    return cls(inner, **own_hyper)


def name_of(optimizer: Any) -> Any:
    """Return the registered name; for a wrapper [its name, the inner optimizer's]: see from_name.

    Raises ValueError for an optimizer with several groups, or of a class that is not registered.
    """
    if not getattr(optimizer, "is_saved", True):
        return name_of(optimizer.inner)
    if len(optimizer.groups) > 1:
        raise ValueError(f"{optimizer!r} has several groups, which a name does not describe")
    names = {cls: name for name, cls in reversed(_registry.items())}
    name = next((names[cls] for cls in type(optimizer).__mro__ if cls in names), None)
    if name is None:
        raise ValueError(f"{type(optimizer).__name__} is not registered")
    return [name, name_of(optimizer.inner)] if isinstance(optimizer, Wrapper) else name


def from_name(name: Any) -> Optimizer | Wrapper:
    """Make an optimizer from what name_of returned."""
    return get(name) if isinstance(name, str) else get(name[0], inner=from_name(name[1]))


def available() -> dict[str, str]:
    """Return every registered name with one line of description; aliases are left out."""
    first_names = {cls: name for name, cls in reversed(_registry.items())}
    return {name: _describe(find(name)) for name in sorted(first_names.values())}


def _describe(cls: Rule) -> str:
    """Return the docstring's second paragraph in one line; the first is the equation."""
    paragraphs = (inspect.getdoc(cls) or cls.__name__).split("\n\n")
    return " ".join(paragraphs[:2][-1].split())


def find(name: str) -> Rule:
    """Return the class of that name, as `get` does."""
    key = name.lower()
    if key not in _registry:
        plug_ins = {e.name.lower(): e for e in entry_points(group="minigrad.optimizers")}
        if key not in plug_ins:
            hint, names = did_you_mean(key, [*_registry, *plug_ins]), ", ".join(available())
            raise ValueError(f"unknown optimizer {name!r}{hint} (there are: {names})")
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
