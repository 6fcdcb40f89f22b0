"""Compile a step: one loop instead of NumPy's many passes over the arrays, with the same bits.

1. `Optimizer.update` runs on symbols and becomes the lines of a loop: see tracing.py.
2. numba compiles each different loop once.
3. A step runs the loop on the arrays, with the numbers of this step as arguments.

So nobody writes a rule twice. The extra `fast` installs numba.
"""

import functools
import hashlib
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import combinations, starmap
from math import inf, nan
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from . import tracing
from .parameters import Parameter, unbound_copy
from .tracing import ArraySymbol, Refusal, Trace

PACKAGE = __name__.removesuffix("compiled")
Hyper = dict[str, Any]
PLAIN_TYPES = (int, float, bool, str, type(None))
SMALL = 1 << 14  # elements: up to this size, an update in NumPy takes less time than tracing


def compile_step(optimizer: Any, *, strict: bool = True) -> Any:
    """Compile the step; return the optimizer. The results have the same bits.

    The update of each parameter becomes one loop over its elements, on one thread. It takes about a
    third of the time for large arrays. Nothing else changes: hyperparameters can change between
    steps, and compiled and uncompiled optimizers can load each other's states. compile() can be
    called before bind(). `optimizer.compiled = None` undoes it.

    A rule can be compiled if it works element by element with + − · /, x**2, x**0.5, np.sqrt, abs,
    comparisons, & | ~, np.where, np.maximum, np.minimum, np.clip, np.sign and np.zeros_like. What
    it computes from hyperparameters and t can be any Python code. If a rule does something else (a
    matrix product, np.exp, an if on values of an array), compile() raises a TypeError that shows
    the line. With strict=False NumPy runs this rule instead, and one warning says so.

    compile() tries the rule on small arrays. A rule of your own is traced in every step, because it
    can read anything. If its arrays are so small that tracing takes longer, NumPy runs the rule.

    Raises ImportError without numba: pip install "minigrad[fast]".

    >>> from minigrad.optimizers import RMSprop
    >>> RMSprop(lr=0.1).compile()    # doctest: +SKIP
    RMSprop(lr=0.1)
    """
    if import_numba().config.DISABLE_JIT:
        raise RuntimeError("compile(): NUMBA_DISABLE_JIT is set, so numba compiles nothing")
    optimizer.compiled = CompiledStep(strict, try_two_steps(optimizer, strict))
    optimizer.compiled.warn(stacklevel=3)
    return optimizer


def try_two_steps(optimizer: Any, strict: bool) -> dict[str, str]:
    """Compile the loops in two steps of a copy with small arrays.

    Return the parameters whose rule cannot be compiled, and why; with strict, raise Refusal.
    """

    def small(name: str, w: Any) -> tuple[str, Parameter]:
        return name, Parameter(np.ones([min(n, 8) for n in w.shape], w.dtype))

    def closure() -> float:
        for parameter in twin.parameters.values():
            parameter.grad = np.ones_like(parameter.data)
        return 1.0

    twin = unbound_copy(optimizer)
    weights = {name: parameter.data for name, parameter in optimizer.parameters.items()}
    groups = [
        group.data | {"params": [small(name, weights[name]) for name in group.names]}
        for group in optimizer.groups
    ]
    twin.bind(groups or [small("any parameter", np.ones(2, np.float32))])
    twin.compiled = CompiledStep(strict, is_trial=True)
    refused = twin.compiled.refused
    try:
        for _ in range(2):
            twin.step(closure)
            twin.steps = optimizer.steps  # a schedule may end here
    except Refusal as refusal:  # without strict: the rule has kept symbols, and NumPy meets them
        if strict:
            raise
        return dict.fromkeys(twin.parameters, next(iter(refused.values()), str(refusal)))
    return refused


def import_numba() -> ModuleType:
    try:
        import numba
    except ImportError as error:
        install = 'pip install "minigrad[fast]"'
        raise ImportError(f"compile() needs numba: {install} ({error})") from error
    return numba


# ---- A compiled step ----


@dataclass
class CompiledLoop:
    """A compiled loop over the elements of w, g and slots; and how to compute its arguments."""

    kernel: Callable[..., None]
    slot_names: tuple[str, ...]
    replaced: list[str]  # the slots that the rule replaces by other arrays
    is_written: list[bool]  # for w, g and each slot
    # Returns the arguments for hyperparameters h; None if the rule takes another branch with h.
    # The attribute is None if the loop serves one step only.
    compute_arguments: Callable[[Hyper], list[float] | None] | None

    def run(self, w: np.ndarray, g: np.ndarray, slots: Any, arguments: list[float]) -> None:
        for name in self.replaced:
            slots[name] = slots[name].copy()
        arrays = [w, g, *(slots[name] for name in self.slot_names)]
        are_plain = all(a.flags.carray for a in arrays)  # others are copied in and out
        flat = [a.reshape(-1) if are_plain else a.flatten() for a in arrays]
        self.kernel(*flat, np.array(arguments, w.dtype))
        if not are_plain:
            for a, copied, is_written in zip(arrays, flat, self.is_written):
                if is_written:
                    a[...] = copied.reshape(a.shape)


@dataclass
class CompiledStep:
    """What a compiled optimizer keeps for its next steps."""

    strict: bool
    refused: dict[str, str] = field(default_factory=dict)  # parameters that NumPy updates, and why
    loops: dict[Any, list[CompiledLoop]] = field(default_factory=dict)
    is_trial: bool = False  # True: the steps of compile(), which find out what can be compiled
    has_warned: bool = False

    def refuse(self, name: str, refusal: Refusal) -> None:
        if self.is_trial and self.strict:
            raise refusal
        self.refused[name] = str(refusal)

    def warn(self, stacklevel: int) -> None:
        """Say once that NumPy runs a rule. Call it at the end: a warning can be an error."""
        if self.refused and not self.has_warned and not self.is_trial:
            self.has_warned = True
            warnings.warn(next(iter(self.refused.values())), stacklevel=stacklevel)

    def __reduce__(self) -> Any:  # a copy, in another process too, compiles anew
        return CompiledStep, (self.strict, self.refused, {}, False, self.has_warned)


def compiled_update(optimizer: Any, name: str, w: Any, g: Any, slots: Any, h: Hyper) -> bool:
    """Update a parameter by a compiled loop; return False if NumPy has to do it."""
    step = optimizer.compiled
    # The loop updates the slots that are like w. Tracing the rule updates the other slots, such
    # as a single number; so a rule with other slots is traced in every step.
    like_w = tuple(k for k, a in slots.items() if a.shape == w.shape and a.dtype == w.dtype)
    is_reusable = len(like_w) == len(slots) and is_library_rule(type(optimizer))
    if name in step.refused or not suits_a_loop(optimizer, w, g, slots, h, is_reusable):
        return False
    loops = step.loops.setdefault((w.dtype, like_w), [])
    for loop in loops:
        if (arguments := loop.compute_arguments(h)) is not None:
            loop.run(w, g, slots, arguments)
            return True
    try:
        trace, loop, other_slots = trace_update(optimizer, h, w, slots, like_w, is_reusable)
    except Refusal as refusal:
        step.refuse(name, refusal)
        return False
    if loop.compute_arguments and not trace.reads_shape:
        loops.append(loop)
    loop.run(w, g, slots, trace.argument_values())
    for slot_name, (copied, new) in other_slots.items():
        if new is copied:
            slots[slot_name][...] = new  # in place, as the rule does: others can share the array
        else:
            slots[slot_name] = new
    return True


def suits_a_loop(optimizer: Any, w: Any, g: Any, slots: Any, h: Hyper, is_reusable: bool) -> bool:
    """Return whether a loop can update these arrays, and takes less time than NumPy.

    It cannot make slots, or update 0-d arrays, subclasses of ndarray or arrays that share memory.
    It takes longer for small arrays if the rule has no slots, or must be traced again.
    """
    traces_again = not is_reusable
    if w.size <= SMALL and (traces_again or not slots) and not optimizer.compiled.is_trial:
        return False
    if w.ndim == 0 or (optimizer.lazy_slots and h["t"] == 1):
        return False
    arrays = [w, g, *slots.values()]
    if any(starmap(np.may_share_memory, combinations(arrays, 2))):
        return False
    return all(a.ndim == 0 or type(a) is np.ndarray for a in arrays)


def trace_update(
    optimizer: Any, h: Hyper, w: Any, slots: Any, like_w: tuple[str, ...], is_reusable: bool
) -> tuple[Trace, CompiledLoop, dict[str, Any]]:
    """Run the optimizer's update on symbols; return the trace, the loop, and the slots unlike w.

    is_reusable: later steps run the loop, too, so symbols also replace numbers. Nothing is
    written. Raises Refusal if the rule cannot be compiled.
    """
    trace = Trace(w, h)
    symbols = {name: ArraySymbol(trace, f"s{n}_i") for n, name in enumerate(like_w)}
    others = {name: a.copy() for name, a in slots.items() if name not in like_w}
    w_symbol, after = ArraySymbol(trace, "w_i"), others | symbols
    is_reusable = is_reusable and all(type(v) in PLAIN_TYPES for v in h.values())
    h_or_symbols = trace.symbols_of(h) if is_reusable else h
    try:
        if w.dtype not in (np.float32, np.float64):
            trace.refuse(f"its parameter has {w.dtype}, not float32 or float64")
        with isolated(optimizer, h, trace):
            optimizer.update(w_symbol, trace.gradient, after, h_or_symbols)
        if after.keys() != slots.keys():
            trace.refuse(f"it makes or drops slots after its first update: {[*after]}")
        check_traced_slots(optimizer, trace, w_symbol, symbols, after)
        if trace.refusal:  # the rule has caught it
            raise trace.refusal
        arrays = {"w": w_symbol, "g": trace.gradient}
        arrays |= {f"s{n}": after[name] for n, name in enumerate(like_w)}
        kernel = compile_kernel(trace.kernel_source(arrays), w.dtype)
    except Exception as error:  # a rule can fail on symbols in any way
        raise Refusal(refusal_text(optimizer, trace.refusal or error, error)) from error
    replaced = [name for name, symbol in symbols.items() if after[name] is not symbol]
    is_written = [x.name != f"{key}_i" for key, x in arrays.items()]
    arguments = run_source(trace.arguments_source(), "arguments") if is_reusable else None
    loop = CompiledLoop(kernel, like_w, replaced, is_written, arguments)
    return trace, loop, {name: (others[name], after[name]) for name in others}


def check_traced_slots(
    optimizer: Any, trace: Trace, w: Any, symbols: dict[str, Any], after: dict[str, Any]
) -> None:
    """Refuse a rule that has replaced a slot by an array that the loop cannot write."""
    if any(type(after[name]) is not ArraySymbol or after[name].is_mask for name in symbols):
        trace.refuse(f"a slot is no longer an array of {trace.dtype}")
    new = {name: after[name] for name, symbol in symbols.items() if after[name] is not symbol}
    how = f"write slots[{next(iter(new), '')!r}][...] = …"
    if new and optimizer.elementwise:
        trace.refuse(f"it replaces a slot, which it cannot do in blocks; {how}")
    held = [w, trace.gradient, *symbols.values(), *new.values()]
    if len({*map(id, held)}) < len(held):
        trace.refuse(f"a slot becomes another name of w, g or a slot; {how}")


@contextmanager
def isolated(optimizer: Any, h: Hyper, trace: Trace) -> Iterator[None]:
    """Hide parameters and slots from the rule; after an error, restore the optimizer and h.

    Their arrays still have the values from before the update, which the rule must not read.
    """
    before, h_before = dict(vars(optimizer)), dict(h)
    hidden = dict.fromkeys(("parameters", "slots"), trace.gradient)
    vars(optimizer).update(hidden)
    try:
        yield
    except BaseException:
        vars(optimizer).clear()
        vars(optimizer).update(before)
        h.update(h_before)
        raise
    finally:
        vars(optimizer).update({name: before[name] for name in hidden})


def refusal_text(optimizer: Any, why: Exception, error: Exception) -> str:
    """Return the message: who, why, the line of the rule, what to do."""
    ours = (__file__, tracing.__file__, np.lib.mixins.__file__)
    at = [f for f in traceback.extract_tb(error.__traceback__) if f.filename not in ours][-1:]
    line = "".join(f" ({Path(f.filename).name}, line {f.lineno}: {f.line})" for f in at)
    reason = why if isinstance(why, Refusal) else f"{type(why).__name__}: {why}"
    advice = "compile(strict=False) runs such a rule in NumPy, as it is"
    return f"{type(optimizer).__name__} cannot be compiled: {reason}{line}. {advice}"


@functools.cache
def compile_kernel(source: str, dtype: Any) -> Callable[..., None]:
    """Compile a loop. numba keeps it on disk for other processes, if that is possible."""
    numba = import_numba()
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

    numba's cache needs an existing file: the source claims to be part of this one.
    """
    scope = {"sqrt": np.sqrt, "inf": inf, "nan": nan, "__name__": __name__}
    exec(compile(source, __file__, "exec"), scope)
    return scope[name]


def is_library_rule(cls: Any) -> bool:
    """Return whether this package defines the rule: its rules depend only on h and arrays."""
    methods = (cls.update, cls.direction, cls.apply_momentum)
    modules = (getattr(method, "__globals__", {}).get("__name__", "") for method in methods)
    return all(module.startswith(PACKAGE) for module in modules)
