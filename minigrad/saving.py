"""The architecture of a model as plain values: how load_model makes a model without its program.

An object becomes {"class": name, "config": its arguments}, a function {"function": name}. Only
registered names are made again; nothing is imported or executed from a file.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from . import layers, losses, regularizers
from .autograd import Tensor
from .initializers import INITIALIZERS
from .utils import lookup

CLASSES: dict[str, type] = {
    name: cls
    for module in (layers, regularizers)
    for name, cls in vars(module).items()
    if isinstance(cls, type) and cls.__module__.startswith("minigrad.")
}
FUNCTIONS: dict[str, Mapping[str, Callable]] = {
    "activation": layers.ACTIVATIONS, "initializer": INITIALIZERS, "metric": losses.METRICS,
    "custom": {},
}  # fmt: skip


def register(item: Any) -> Any:
    """Register a layer class or a function of your own, so that load_model can make it again.

    A class keeps each argument of its __init__ as an attribute of the same name, or defines
    get_config(), a dict of these arguments.

    >>> @register
    ... class Scale(layers.Layer):
    ...     def __init__(self, factor):
    ...         super().__init__()
    ...         self.factor = factor
    ...     def forward(self, x):
    ...         return self.factor * x
    >>> to_config(Scale(2.0))
    {'class': 'Scale', 'config': {'factor': 2.0}}
    """
    table: Any = CLASSES if isinstance(item, type) else FUNCTIONS["custom"]
    table[item.__name__] = item
    return item


def arguments_of(item: Any) -> dict[str, Any]:
    """Return the arguments with which an object was made."""
    if hasattr(type(item), "get_config"):
        return item.get_config()
    config: dict[str, Any] = {}
    for p in list(inspect.signature(type(item)).parameters.values()):
        if p.kind is p.VAR_KEYWORD:
            config |= item.rules
        elif p.kind is p.VAR_POSITIONAL or not hasattr(item, p.name):
            who = f"{type(item).__name__}: the argument {p.name!r}"
            raise ValueError(f"{who} cannot be saved; keep it as an attribute of this name")
        else:
            config[p.name] = getattr(item, p.name)
    return config


def to_config(value: Any) -> Any:
    """Return a value as plain values; raise ValueError for what is not registered."""
    if value is None or isinstance(value, (bool, int, float, str, np.ndarray)):
        return value
    if isinstance(value, (np.generic, Tensor)):
        return value.item() if value.ndim == 0 else value.data
    if isinstance(value, (list, tuple)):
        return [to_config(item) for item in value]
    if isinstance(value, dict):
        return {"dict": {key: to_config(item) for key, item in value.items()}}
    if isinstance(value, partial):
        return {"partial": to_config(value.func), "config": to_config(value.keywords)["dict"]}
    for name, cls in CLASSES.items():
        if cls is type(value):
            config = {k: to_config(item) for k, item in arguments_of(value).items()}
            return {"class": name, "config": config}
    for kind, table in FUNCTIONS.items():
        for key, function in table.items():
            if function is value:
                return {"function": key, "kind": kind}
    what = getattr(value, "__name__", type(value).__name__)
    how = "put @minigrad.saving.register before its definition"
    raise ValueError(f"{what} is not registered; {how}")


def from_config(config: Any, custom: Mapping[str, Any]) -> Any:
    """Make the value that to_config described; custom: more classes and functions by name."""
    if isinstance(config, list):
        return [from_config(item, custom) for item in config]
    if not isinstance(config, dict):
        return config
    if "dict" in config:
        return {key: from_config(item, custom) for key, item in config["dict"].items()}
    if "function" in config:
        table = FUNCTIONS[config["kind"]]
        lowered = {key.lower(): item for key, item in {**table, **custom}.items()}
        return lookup("function", config["function"], lowered)
    keywords = {key: from_config(item, custom) for key, item in config["config"].items()}
    if "partial" in config:
        return partial(from_config(config["partial"], custom), **keywords)
    known = {key.lower(): cls for key, cls in {**CLASSES, **custom}.items()}
    cls = lookup("class", config["class"], known)
    for name, value in keywords.items():
        if isinstance(value, list) and name.endswith("shape"):
            keywords[name] = tuple(value)
    return cls.from_config(keywords) if hasattr(cls, "from_config") else cls(**keywords)
