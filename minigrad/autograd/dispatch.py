"""NumPy's way in: which of our functions stands in for which of NumPy's, when it meets a Tensor."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from functools import cache
from itertools import takewhile
from typing import Any

import numpy as np

from .array_methods import ArrayMethods, in_place

HANDLED_FUNCTIONS: dict[
    Any, Callable
] = {}  # NumPy's function -> ours; filled by numpy_vjps.py and others
NONDIFFERENTIABLE: set[Callable] = set()  # what gives on tensors what it gives on their arrays

UFUNC_OPTIONS = dict(out=None, where=True, casting="same_kind", order="K", dtype=None, subok=True)


def dispatch(function: Callable, args: Sequence, options: dict, method: str = "__call__") -> Any:
    """Call what stands in for one of NumPy's functions, or say that nothing does."""
    if method != "__call__":
        raise no_derivative(f"{name_of(function)}.{method}")
    if options:
        check_out(function, options.get("out"))
    if function in NONDIFFERENTIABLE:
        return function(*map(unwrap, args), **{name: unwrap(x) for name, x in options.items()})
    route = HANDLED_FUNCTIONS.get(function) or find(function)
    if options or len(args) > shared_arguments(function, route):
        args, options = arrange(function, route, args, options)
    return route(*args, **options)


def find(function: Callable) -> Callable:
    """SciPy's functions are routed once somebody who has imported SciPy calls one."""
    if "scipy.special" in sys.modules:
        from . import scipy_vjps as scipy_vjps
    if function not in HANDLED_FUNCTIONS:
        raise no_derivative(name_of(function))
    return HANDLED_FUNCTIONS[function]


def unwrap(x: Any) -> Any:
    """The array in a tensor; anything else as it is."""
    return x.data if isinstance(x, ArrayMethods) else x


def name_of(function: Callable) -> str:
    """np.exp, np.linalg.norm, scipy.special.erf."""
    name = function.__name__
    if getattr(np, name, None) is function:
        return f"np.{name}"
    module = getattr(function, "__module__", None) or "scipy.special"
    return f"{module.replace('numpy', 'np')}.{name}"


def arrange(function: Callable, route: Any, args: Sequence, options: dict) -> tuple[list, dict]:
    """NumPy's arguments as ours takes them: the operands in order, all else by name."""
    theirs = parameters(function, route)
    operands = len(route.vjps) if hasattr(route, "vjps") else 0
    if function is np.einsum:  # its operands have no names
        first, given = list(args), options
    else:
        given = dict(zip(theirs, args)) | options
        first = [given.pop(name) for name in list(theirs)[:operands]]
    others = {name: x for name, x in given.items() if x is not theirs.get(name)}
    accepted = route.options if hasattr(route, "vjps") else parameters(route)
    if refused := others.keys() - accepted:
        raise TypeError(
            f"{name_of(function)}: minigrad does not support the argument "
            f"{', '.join(sorted(refused))}; supported: {', '.join(accepted) or 'none'}"
        )
    return first, others


@cache
def shared_arguments(function: Callable, route: Any) -> int:
    """How many arguments ours takes in NumPy's order, so that they need no arranging."""
    if hasattr(route, "vjps"):
        return len(route.vjps)
    pairs = zip(parameters(function, route), parameters(route))
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


@cache
def parameters(function: Any, stand_in: Any = None) -> dict[str, Any]:
    """The names of a function's parameters, in order, with their defaults."""
    if isinstance(function, np.ufunc):
        return {f"operand {i}": None for i in range(function.nin)} | UFUNC_OPTIONS
    try:
        signature = inspect.signature(function)
    except ValueError:  # some of NumPy's functions in C don't tell; ours take the same names
        signature = inspect.signature(stand_in)
    named = {name: p.default for name, p in signature.parameters.items()}
    return {"shape" if name == "newshape" else name: x for name, x in named.items()}  # NumPy 2.0


def check_out(function: Callable, out: Any) -> None:
    if any(isinstance(x, ArrayMethods) for x in (out if isinstance(out, tuple) else (out,))):
        raise in_place(f"{name_of(function)}(..., out=tensor)")


def no_derivative(name: str) -> TypeError:
    return TypeError(
        f"{name} has no derivative in minigrad. For its value alone, leave the graph on purpose: "
        "pass x.data"
    )
