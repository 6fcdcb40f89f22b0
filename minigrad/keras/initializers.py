"""keras.initializers: classes with Keras's arguments over minigrad's functions."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import saving
from ..initializers import INITIALIZERS, get_initializer, new_rng
from .backend import docstring_without_example, getattr_for, options_of, snake_case


class Initializer:
    """A function (shape, rng) with fixed arguments; with a seed it gives the same numbers again."""

    function: Callable[..., np.ndarray]

    def __init__(self, *args: Any, seed: int | None = None, **options: Any):
        who = type(self).__name__
        self.seed, self.config = seed, options_of(who, self.function, 2, args, options)

    def __call__(self, shape: Any, rng: Any = None, dtype: Any = None) -> np.ndarray:
        rng = np.random.default_rng(self.seed) if self.seed is not None else rng or new_rng()
        return type(self).function(tuple(shape), rng, **self.config)

    def get_config(self) -> dict[str, Any]:
        return self.config | {"seed": self.seed}


def initializer(function: Callable) -> type[Initializer]:
    """Return the class "RandomNormal" of the function random_normal."""
    name = function.__name__.title().replace("_", "")
    body = {"function": staticmethod(function), "__doc__": docstring_without_example(function)}
    return type(name, (Initializer,), body)


CLASSES = {f.__name__: initializer(f) for f in dict.fromkeys(INITIALIZERS.values())}
saving.CLASSES |= {f"keras.initializers.{cls.__name__}": cls for cls in CLASSES.values()}
BY_NAME = {cls.__name__: cls for cls in CLASSES.values()} | CLASSES


def get(identifier: Any) -> Callable[..., np.ndarray]:
    """Return an initializer by its name, or of a class or a function (shape, dtype=None)."""
    if isinstance(identifier, str):
        return get_initializer(snake_case(identifier))
    if isinstance(identifier, type):
        return identifier()
    if "rng" in inspect.signature(identifier).parameters:
        return identifier
    return lambda shape, rng: np.asarray(identifier(shape))


globals().update(BY_NAME)
__all__ = [*BY_NAME]
__getattr__ = getattr_for("keras.initializers", BY_NAME)
