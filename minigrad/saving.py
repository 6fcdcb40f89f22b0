"""The architecture of a model as plain values, from which load_model makes the model again.

An object becomes {"class": name, "config": its arguments}, a function {"function": name}. Only
registered names are made again. Nothing is imported or executed from a file.
"""

import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np

from . import layers, losses, regularizers
from .autograd import Tensor
from .initializers import INITIALIZERS, unseeded
from .utils import unknown_name

CLASSES: dict[str, type] = {
    name: cls
    for module in (layers, losses, regularizers)
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
    for name, other in table.items():
        if name.lower() == item.__name__.lower() and other.__module__.startswith("minigrad."):
            raise ValueError(f"register: the name {name} is taken; rename {item.__name__}")
    table[item.__name__] = item
    return item


def arguments_of(item: Any) -> dict[str, Any]:
    """Return the arguments with which an object was made."""
    if hasattr(type(item), "get_config"):
        return item.get_config()
    config: dict[str, Any] = {}
    for p in inspect.signature(type(item)).parameters.values():
        if p.kind is p.VAR_KEYWORD:
            config |= item.parameter_options
        elif p.name == "seed" and callable(getattr(item, "seed", None)):
            continue  # of a layer: the file has the parameters that it made
        elif p.kind is p.VAR_POSITIONAL or not hasattr(item, p.name):
            what = f"{type(item).__name__}: the argument {p.name!r}"
            raise ValueError(f"{what} cannot be saved; keep it as an attribute of this name")
        else:
            config[p.name] = getattr(item, p.name)
    return config


def to_config(value: Any) -> Any:
    """Return a value as plain values; raise ValueError for what is not registered."""
    value = value.data if isinstance(value, Tensor) else value
    if isinstance(value, np.generic | np.ndarray) and value.dtype.kind in "fbiu":
        return value.item() if value.ndim == 0 else value
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, list):
        return [to_config(item) for item in value]
    if isinstance(value, tuple):
        return {"tuple": [to_config(item) for item in value]}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"dict": {key: to_config(item) for key, item in value.items()}}
    if isinstance(value, partial):
        if value.args:
            raise ValueError(f"{value}: write partial(f, name=value) to save the model")
        return {"partial": to_config(value.func), "config": to_config(value.keywords)["dict"]}
    for name, cls in CLASSES.items():
        if cls is type(value):
            config = {k: to_config(item) for k, item in arguments_of(value).items()}
            frozen = {} if getattr(value, "trainable", True) else {"trainable": False}
            return {"class": name, "config": config} | frozen
    for kind, table in FUNCTIONS.items():
        for key, function in table.items():
            if function is value:
                return {"function": key, "kind": kind}
    what = getattr(value, "__name__", type(value).__name__)
    how = "put @minigrad.saving.register before its definition"
    raise ValueError(f"{what} is not registered; {how}")


def lookup_exact(kind: str, name: str, table: Mapping[str, Any]) -> Any:
    """Return the table's value for a name; unlike `lookup`, distinguish capitals."""
    if name not in table:
        raise unknown_name(kind, name, table)
    return table[name]


def equal_configs(a: Any, b: Any) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(equal_configs(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(equal_configs, a, b))
    return bool(np.array_equal(a, b)) if isinstance(a, np.ndarray) else a == b


def from_config(config: Any, custom: Mapping[str, Any]) -> Any:
    """Make the value that to_config described; custom: more classes and functions by name."""
    if isinstance(config, list):
        return [from_config(item, custom) for item in config]
    if not isinstance(config, dict):
        return config
    if "tuple" in config:
        return tuple(from_config(item, custom) for item in config["tuple"])
    if "dict" in config:
        return {key: from_config(item, custom) for key, item in config["dict"].items()}
    if "function" in config:
        return lookup_exact("function", config["function"], {**FUNCTIONS[config["kind"]], **custom})
    keywords = {key: from_config(item, custom) for key, item in config["config"].items()}
    if "partial" in config:
        return partial(from_config(config["partial"], custom), **keywords)
    cls = lookup_exact("class", config["class"], {**CLASSES, **custom})
    item = cls.from_config(keywords) if hasattr(cls, "from_config") else cls(**keywords)
    if config.get("trainable") is False:
        item.trainable = False
    return item


def architecture(model: Any, name_of: Callable[[Any], Any]) -> dict[str, Any]:
    """Return what `load_model` needs to make a model, or {"error": the reason}.

    name_of: returns an optimizer's registered name.
    """
    try:
        found = {"model": to_config(model), "input_shape": model.input_shape}
        with unseeded():
            same = from_config(found["model"], {})  # raises now, not when it is loaded
        if len(same.sublayers()) != len(model.sublayers()):
            raise ValueError("a model in which a layer occurs twice cannot be saved as a whole")
        if not equal_configs(to_config(same), found["model"]):
            how = "each __init__ must keep its arguments unchanged, or define get_config()"
            raise ValueError(f"load_model would make another model from it: {how}")
    except Exception as error:
        return {"error": str(error)}
    with suppress(ValueError):  # a loss that is not registered: load_model does not compile
        if model.optimizer is not None and model.optimizer.parameters:
            losses_and_metrics = to_config(model.compiled_with)["dict"]
            found["compile"] = losses_and_metrics | {"optimizer": name_of(model.optimizer)}
    return found
