"""Compile a step: one loop instead of NumPy's many passes over the arrays, with the same bits.

1. `Optimizer.update` runs on symbols and becomes the lines of a loop: see tracing.py.
2. numba compiles each different loop once.
3. A step runs the loop on the arrays, with the numbers of this step as arguments.

So nobody writes a rule twice. The extra `fast` installs numba.
"""

import functools
import hashlib
import itertools
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy, deepcopy
from dataclasses import dataclass, field
from math import inf, nan
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from . import tracing
from .parameters import Parameter
from .tracing import ArraySymbol, NumberSymbol, Refusal, Trace, is_number

PACKAGE = __name__.removesuffix("compiled")
Hyper = dict[str, Any]
SMALL = 1 << 14  # elements: up to here NumPy is faster than tracing a rule, or than w −= lr·g


def compile_step(self: Any, *, strict: bool = True) -> Any:
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
    may read things that change. For small arrays this takes longer than the update; then NumPy does
    the update.

    Raises ImportError without numba: pip install "minigrad[fast]".

    >>> from minigrad.optimizers import RMSprop
    >>> RMSprop(lr=0.1).compile()    # doctest: +SKIP
    RMSprop(lr=0.1)
    """
    if import_numba().config.DISABLE_JIT:
        raise RuntimeError("compile(): NUMBA_DISABLE_JIT is set, so numba compiles nothing")

    def small(name: str, w: Any) -> tuple[str, Parameter]:
        ones = np.ones([min(n, 8) for n in w.shape], w.dtype)
        return name, Parameter(ones, ones.copy())

    def ones() -> float:
        for parameter in twin.parameters.values():
            parameter.grad = np.ones_like(parameter.data)
        return 1.0

    # two steps of a copy with small arrays compile the loops, and show what cannot be compiled
    twin = copy(self)
    vars(twin).update(parameters={}, groups=[], slots={}, compiled=None, is_evaluating=False)
    twin = deepcopy(twin)  # the rule may change what it holds
    named = {name: p.data for name, p in self.parameters.items()}
    groups = [{**g.data, "params": [small(n, named[n]) for n in g.names]} for g in self.groups]
    twin.bind(groups or [{"params": [small("any parameter", np.ones(2, np.float32))]}])
    twin.compiled = CompiledState(strict, is_trial=True)
    refused = twin.compiled.refused
    try:
        for _ in range(2):
            twin.step(ones)
            twin.steps = self.steps  # a schedule may end here
    except Refusal as refusal:  # strict=False: the rule has kept a symbol, which NumPy receives
        if strict:
            raise
        refused = dict.fromkeys(twin.parameters, next(iter(refused.values()), str(refusal)))
    self.compiled = CompiledState(strict, refused)
    self.compiled.warn(stacklevel=3)
    return self


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
    # h → the numbers of the loop, or None if the rule takes another branch with h.
    # The attribute itself is None if the loop holds numbers of this step: it cannot be used again.
    compute_arguments: Callable[[Hyper], list[float] | None] | None

    def run(self, w: np.ndarray, g: np.ndarray, slots: Any, arguments: np.ndarray) -> None:
        for name in self.replaced:
            slots[name] = slots[name].copy()
        arrays = [w, g, *(slots[name] for name in self.slot_names)]
        odd = [a for a in arrays if not a.flags.carray]  # they are copied in and out
        flat = [a.reshape(-1) for a in arrays] if not odd else [a.flatten() for a in arrays]
        self.kernel(*flat, arguments)
        if odd:
            for a, copied, is_written in zip(arrays, flat, self.is_written):
                if is_written:
                    a[...] = copied.reshape(a.shape)


@dataclass
class CompiledState:
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
        """Warn once that NumPy runs a rule. `step` calls it last: a warning can be an error."""
        if self.refused and not self.has_warned and not self.is_trial:
            self.has_warned = True
            warnings.warn(next(iter(self.refused.values())), stacklevel=stacklevel)

    def __reduce__(self) -> Any:  # a copy, in another process too, compiles anew
        return CompiledState, (self.strict, self.refused, {}, False, self.has_warned)


def compiled_update(optimizer: Any, name: str, w: Any, g: Any, slots: Any, h: Hyper) -> bool:
    """Update a parameter by a compiled loop; return False if NumPy has to do it."""
    state = optimizer.compiled
    like_w = tuple(k for k, a in slots.items() if a.shape == w.shape and a.dtype == w.dtype)
    is_reusable = len(like_w) == len(slots) and is_library_rule(type(optimizer))
    if name in state.refused or not suits_a_loop(optimizer, w, g, slots, h, is_reusable):
        return False
    loops = state.loops.setdefault((w.dtype, like_w), [])
    for loop in loops:
        if (numbers := loop.compute_arguments(h)) is not None:
            loop.run(w, g, slots, np.array(numbers, w.dtype))
            return True
    try:
        trace, loop, other_slots = trace_update(optimizer, h, w, slots, like_w, is_reusable)
        numbers = trace.argument_values()
    except Refusal as refusal:
        state.refuse(name, refusal)
        return False
    if loop.compute_arguments and not trace.reads_shape:
        loops.append(loop)
    loop.run(w, g, slots, np.array(numbers, w.dtype))
    for slot_name, (copied, new) in other_slots.items():
        if new is copied:
            slots[slot_name][...] = new  # in place, as the rule does: others can share the array
        else:
            slots[slot_name] = new
    return True


def suits_a_loop(optimizer: Any, w: Any, g: Any, slots: Any, h: Hyper, is_reusable: bool) -> bool:
    """Return whether a loop can update these arrays, and takes less time than NumPy.

    NumPy updates 0-d arrays, subclasses, arrays that share memory, and small arrays under a rule
    that has no slots or that has to be traced in each step. It also does the first update of a rule
    that makes its slots then.
    """
    makes_slots = optimizer.lazy_slots and h["t"] == 1
    is_worth_it = (is_reusable and slots) or w.size > SMALL or optimizer.compiled.is_trial
    if makes_slots or w.ndim == 0 or not is_worth_it:
        return False
    arrays = [w, g, *slots.values()]
    if any(itertools.starmap(np.may_share_memory, itertools.combinations(arrays, 2))):
        return False
    return all(a.ndim == 0 or type(a) is np.ndarray for a in arrays)


def trace_update(
    optimizer: Any, h: Hyper, w: Any, slots: Any, like_w: tuple[str, ...], is_reusable: bool
) -> tuple[Trace, CompiledLoop, dict[str, Any]]:
    """Run the optimizer's update on symbols; return the trace, the loop, and the slots unlike w.

    is_reusable: the loop will serve later steps, so symbols replace the hyperparameters as well.
    Nothing is written.
    Raises Refusal if the rule cannot be compiled.
    """
    trace, keys = Trace(w, h), ["w", "g", *(f"s{n}" for n in range(len(like_w)))]
    w_symbol, *slot_symbols = [ArraySymbol(trace, f"{key}_i") for key in keys if key != "g"]
    others = {name: a.copy() for name, a in slots.items() if name not in like_w}
    own = others | dict(zip(like_w, slot_symbols))
    is_plain = all(is_number(v) or type(v) in (bool, str, type(None)) for v in h.values())
    is_reusable = is_reusable and is_plain
    h_or_symbols = number_symbols(trace, h) if is_reusable else h
    try:
        if w.dtype not in (np.float32, np.float64):
            trace.refuse(f"its parameter has {w.dtype}, not float32 or float64")
        with hide_other_arrays(optimizer, h, trace):
            optimizer.update(w_symbol, trace.gradient, own, h_or_symbols)
        if own.keys() != slots.keys():
            trace.refuse(f"it makes or drops slots after its first update: {[*own]}")
        slot_results = [own[name] for name in like_w]
        new = {k: x for k, x, old in zip(like_w, slot_results, slot_symbols) if x is not old}
        inputs = [w_symbol, trace.gradient, *slot_symbols]
        check_slot_results(trace, slot_results, inputs, new, optimizer.elementwise)
        if trace.refusal:
            raise trace.refusal
        results = [w_symbol, trace.gradient, *slot_results]
        kernel = compile_kernel(trace.kernel_source(keys, results), w.dtype)
    except Exception as error:  # a rule can fail on symbols in any way
        raise Refusal(refusal_text(optimizer, trace.refusal or error, error)) from error
    arguments = run_source(trace.arguments_source(), "arguments") if is_reusable else None
    is_written = [x.name != f"{key}_i" for key, x in zip(keys, results)]
    loop = CompiledLoop(kernel, like_w, [*new], is_written, arguments)
    return trace, loop, {name: (others[name], own[name]) for name in others}


def check_slot_results(
    trace: Trace, results: list[Any], inputs: list[Any], new: dict[str, Any], is_elementwise: bool
) -> None:
    """Refuse a rule whose slots end as what a loop cannot write; new: the slots it replaced."""
    if any(type(x) is not ArraySymbol or x.is_mask for x in results):
        trace.refuse(f"a slot is no longer an array of {trace.dtype}")
    how = f"write slots[{next(iter(new), '')!r}][...] = …"
    if new and is_elementwise:
        trace.refuse(f"it replaces a slot, which it cannot do in blocks; {how}")
    ids = [id(x) for x in (*inputs, *new.values())]
    if len({*ids}) < len(ids):
        trace.refuse(f"a slot becomes another name of w, g or a slot; {how}")


def number_symbols(trace: Trace, h: Hyper) -> Hyper:
    return {k: NumberSymbol(trace, f"h[{k!r}]") if is_number(v) else v for k, v in h.items()}


@contextmanager
def hide_other_arrays(optimizer: Any, h: Hyper, trace: Trace) -> Iterator[None]:
    """Hide the arrays that the optimizer holds from the rule; after an error, undo what it set.

    These arrays still have the values from before the update.
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

    numba's cache needs the name of an existing file: the source says that it is of this one.
    """
    scope = {"sqrt": np.sqrt, "inf": inf, "nan": nan, "__name__": __name__}
    exec(compile(source, __file__, "exec"), scope)
    return scope[name]


def is_library_rule(cls: Any) -> bool:
    """Tell whether the rule is one of this package: these depend on nothing but h and arrays."""
    methods = (cls.update, cls.direction, cls.apply_momentum)
    modules = (getattr(method, "__globals__", {}).get("__name__", "") for method in methods)
    return all(module.startswith(PACKAGE) for module in modules)
