"""NumPy's way in: which of our functions stands in for which of NumPy's, when it meets a Tensor."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from .arraylike import ArrayLike

ROUTES: dict[Any, Callable] = {}  # NumPy's function -> ours; filled by primitives.py
PLAIN: set[Callable] = set()  # what gives on tensors what it gives on their arrays


def dispatch(function: Callable, args: Sequence, options: dict, method: str = "__call__") -> Any:
    """Call what stands in for one of NumPy's functions, or say that nothing does."""
    if function in PLAIN and method == "__call__":
        return function(*map(bare, args), **{name: bare(x) for name, x in options.items()})
    route = ROUTES.get(function)
    if route is None or method != "__call__":
        raise TypeError(
            f"{name_of(function)}{'' if method == '__call__' else '.' + method} has no derivative "
            "in minigrad. For its value alone, leave the graph on purpose: pass x.data"
        )
    operands = len(route.vjps) if hasattr(route, "vjps") else 0
    if options or len(args) > operands:
        args, options = arrange(function, route, operands, args, options)
    return route(*args, **options)


def bare(x: Any) -> Any:
    """The array in a tensor; anything else as it is."""
    return x.data if isinstance(x, ArrayLike) else x


def name_of(function: Callable) -> str:
    return f"np.{function.__name__}"


def arrange(
    function: Callable, route: Callable, operands: int, args: Sequence, options: dict
) -> tuple[list, dict]:
    """NumPy's arguments as ours takes them: the operands in order, all else by name."""
    out = options.get("out")
    if any(isinstance(x, ArrayLike) for x in (out if isinstance(out, tuple) else (out,))):
        raise in_place(f"{name_of(function)}(..., out=tensor), or an operator such as +=,")
    theirs = parameters(function, route)
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
def parameters(function: Callable, stand_in: Callable | None = None) -> dict[str, Any]:
    """The names of a function's parameters, in order, with their defaults."""
    try:
        signature = inspect.signature(function)
    except ValueError:  # some of NumPy's functions in C don't tell; ours take the same names
        signature = inspect.signature(stand_in)
    return {name: p.default for name, p in signature.parameters.items()}


def in_place(what: str) -> TypeError:
    return TypeError(
        f"{what} would write into a tensor whose values the way back may need. "
        "Write t = t + x for t += x, np.where(mask, x, t) for t[mask] = x; "
        "outside of any graph, write into t.data"
    )
