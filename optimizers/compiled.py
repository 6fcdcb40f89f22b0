"""Compile a step: one loop instead of NumPy's many passes over the arrays, with the same bits.

1. `Optimizer.update` runs on symbols and becomes the lines of a loop: see tracing.py.
2. numba compiles the loop, unless it has compiled a loop with the same lines before.
3. A step computes the loop's arguments in Python, as the rule does, and runs the loop.

So no rule is written a second time. The extra `fast` installs numba.
"""

import functools
import hashlib
import traceback
import warnings
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from math import inf, nan
from pathlib import Path
from typing import Any

import numpy as np

from . import tracing
from .parameters import Parameter
from .tracing import ArraySymbol, NumberSymbol, Refusal, Trace


def compile_step(self: Any, *, strict: bool = True) -> Any:
    """Compile the step: the same bits in about a third of the time. Return the optimizer.

    The update of each parameter becomes one loop over its elements, on one thread. All else stays
    as it is: hyperparameters can change at any time, and a state can be loaded into optimizers that
    are compiled and into others. compile() can be called before bind().

    A rule can be compiled if it works element by element with + − · / √ x², |x|, comparisons,
    np.where, np.maximum, np.minimum, np.clip and np.sign. Its numbers may use all of Python. For
    another rule (a matrix product, np.exp, an if on values of an array) it raises a TypeError that
    shows the line; with strict=False NumPy runs that rule, and a warning says so once.

    Raises ImportError without numba: pip install "minigrad[fast]".

    >>> from minigrad.optimizers import RMSprop
    >>> RMSprop(lr=0.1).compile()    # doctest: +SKIP
    RMSprop(lr=0.1)
    """
    try:
        import numba  # noqa: F401
    except ImportError as error:
        install = 'pip install "minigrad[fast]"'
        raise ImportError(f"compile() needs numba: {install} ({error})") from error

    def small(name: str) -> tuple[str, Parameter]:
        w = self.parameters[name].data
        ones = np.ones([min(n, 2) for n in w.shape], w.dtype)
        return name, Parameter(ones, ones.copy())

    # two steps of a small twin find what cannot be compiled, and compile the rest
    unbound = [Parameter(np.ones(2, np.float32), np.ones(2, np.float32))]
    groups = [group.data | {"params": [*map(small, group.names)]} for group in self.groups]
    twin = type(self)(groups or unbound, **{name: vars(self)[name] for name in self.defaults})
    twin.compiled = Compiled(strict)
    twin.step()
    twin.step()
    self.compiled = Compiled(strict, twin.compiled.as_is)
    return self


@dataclass
class Update:
    """The update of a parameter: a compiled loop, and the function of its arguments."""

    kernel: Callable[..., None]
    arguments: Callable[..., list[float] | None] | None  # None: this update holds once only
    slot_names: tuple[str, ...]  # of the slots that are arrays like w
    other_slots: dict[str, Any]  # the other slots with their new values

    def run(self, arguments: np.ndarray, w: np.ndarray, g: np.ndarray, slots: Any) -> None:
        arrays = [w, g, *(slots[name] for name in self.slot_names)]
        flat = [a.ravel() for a in arrays]  # a copy only of what is not contiguous
        self.kernel(*flat, arguments)
        for a, copied in zip(arrays, flat):
            if a is not g and not a.flags.c_contiguous:
                a[...] = copied.reshape(a.shape)
        slots.update(self.other_slots)


@dataclass
class Compiled:
    """What a compiled optimizer keeps for its next steps."""

    strict: bool
    as_is: set[str] = field(default_factory=set)  # the parameters that NumPy updates
    updates: dict[Any, Update] = field(default_factory=dict)

    def leave_to_numpy(self, name: str, refusal: Refusal) -> None:
        if self.strict:
            raise refusal
        if not self.as_is:
            warnings.warn(str(refusal), stacklevel=5)
        self.as_is.add(name)

    def __reduce__(self) -> Any:  # a copy, in another process too, compiles anew
        return Compiled, (self.strict, self.as_is)


def compiled_updates(
    self: Any, gradients: dict[str, Any], hypers: list[dict[str, Any]]
) -> dict[str, Callable[..., None]]:
    """Return the compiled updates of this step by parameter; nothing is written yet.

    NumPy updates the others: 0-d arrays, the first update of a rule that makes its slots in it,
    and what compile(strict=False) cannot compile.
    """
    updates: dict[str, Callable[..., None]] = {}
    names = gradients.keys() - self.compiled.as_is
    for n, (group, h) in enumerate(zip(self.groups, hypers)):
        switches = (n, *(value for value in h.values() if not is_number(value)))
        for name in group.names:
            t = self.updates[name] + 1
            is_scalar = self.parameters[name].data.ndim == 0
            makes_slots = self.lazy_slots and t == 1
            if name in names and not is_scalar and not makes_slots:
                try:
                    updates[name] = compiled_update(self, name, switches, h | {"t": t})
                except Refusal as refusal:
                    self.compiled.leave_to_numpy(name, refusal)
    return updates


def compiled_update(
    self: Any, name: str, switches: tuple[Any, ...], h: dict[str, Any]
) -> Callable[..., None]:
    """Return the update of a parameter, traced in this step or in an earlier one."""
    w, slots = self.parameters[name].data, self.slots[name]
    like_w = tuple(k for k, a in slots.items() if (a.shape, a.dtype) == (w.shape, w.dtype))
    key = switches, w.dtype, like_w, len(slots)
    update = self.compiled.updates.get(key)
    arguments = update and update.arguments(h, self)
    if arguments is None:
        update, arguments = trace_update(self, h, w, slots, like_w)
        if update.arguments:
            self.compiled.updates[key] = update
    return functools.partial(update.run, np.array(arguments, w.dtype))


def trace_update(
    self: Any, h: dict[str, Any], w: Any, slots: dict[str, Any], like_w: tuple[str, ...]
) -> tuple[Update, list[float]]:
    """Run self.update on symbols; return it compiled, and the arguments of its loop in this step.

    Nothing is written. Raises Refusal if the rule cannot be compiled.
    """
    trace = Trace(w, {"h": h, "self": self})
    keys = ["w", "g", *(f"s{n}" for n in range(len(like_w)))]
    w_symbol, g_symbol, *slot_symbols = [ArraySymbol(trace, f"{key}_i") for key in keys]
    others = [name for name in slots if name not in like_w]
    own = {name: slots[name].copy() for name in others} | dict(zip(like_w, slot_symbols))
    twin = copy(self)
    # an elementwise rule may run on blocks, so it is one function for all blocks and parameters
    trace.holds_once = bool(others) or not self.elementwise
    if not trace.holds_once:
        h = {k: NumberSymbol(trace, f"h[{k!r}]") if is_number(v) else v for k, v in h.items()}
        read = [k for k, v in vars(self).items() if is_number(v) or callable(v)]
        vars(twin).update((k, NumberSymbol(trace, f"self.{k}")) for k in read)
    try:
        if w.dtype not in (np.float32, np.float64):
            trace.refuse(f"its parameter has {w.dtype}, not float32 or float64")
        twin.update(w_symbol, g_symbol, own, h)
        if own.keys() != slots.keys():
            trace.refuse(f"it makes or drops slots after its first update: {[*own]}")
        results = [w_symbol, g_symbol, *(own[name] for name in like_w)]
        if not all(isinstance(x, ArraySymbol) and not x.is_mask for x in results):
            trace.refuse(f"a slot is no longer an array of {w.dtype}")
        if self.elementwise and any(own[k] is not x for k, x in zip(like_w, slot_symbols)):
            trace.refuse("it replaces a slot, which a block cannot; write slots[name][...] = …")
        if trace.refusal:
            raise trace.refusal
        kernel = compiled(trace.kernel_source(keys, results), w.dtype)
    except Exception as error:  # a rule can fail on symbols in any way
        raise Refusal(refusal_text(self, trace.refusal or error, error)) from error
    arguments = None if trace.holds_once else run_source(trace.arguments_source(), "arguments")
    update = Update(kernel, arguments, like_w, {name: own[name] for name in others})
    return update, trace.argument_values()


def refusal_text(optimizer: Any, why: Exception, error: Exception) -> str:
    """Return the message: who, why, the line of the rule, what to do."""
    ours = (__file__, tracing.__file__, np.lib.mixins.__file__, "<string>")
    at = [f for f in traceback.extract_tb(error.__traceback__) if f.filename not in ours][-1:]
    line = "".join(f" ({Path(f.filename).name}, line {f.lineno}: {f.line})" for f in at)
    reason = why if isinstance(why, Refusal) else f"{type(why).__name__}: {why}"
    advice = "compile(strict=False) runs such a rule in NumPy, as it is"
    return f"{type(optimizer).__name__} cannot be compiled: {reason}{line}. {advice}"


@functools.cache
def compiled(source: str, dtype: Any) -> Callable[..., None]:
    """Compile a loop. numba keeps it on disk for other processes, if that is possible."""
    import numba

    name = f"kernel_{hashlib.sha256(source.encode()).hexdigest()[:16]}"
    function = run_source(source.replace("kernel", name, 1), name)
    arrays = (numba.types.Array(numba.from_dtype(dtype), 1, "C"),) * function.__code__.co_argcount

    def compile_function(cache: bool) -> Any:
        kernel = numba.njit(error_model="numpy", cache=cache)(function)
        kernel.compile(arrays)
        return kernel

    try:
        return compile_function(cache=True)
    except Exception:  # no folder can be written, the disk is full, a file is damaged
        return compile_function(cache=False)


def run_source(source: str, name: str) -> Any:
    """Run the source, and return what it defines under this name.

    numba's cache needs the name of an existing file: the source says that it is of this one.
    """
    scope = {"sqrt": np.sqrt, "inf": inf, "nan": nan, "__name__": __name__}
    exec(compile(source, __file__, "exec"), scope)
    return scope[name]


def is_number(x: Any) -> bool:
    return type(x) in (int, float)
