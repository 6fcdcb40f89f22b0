"""Trace a rule: run it on symbols, and note what it does as the lines of a loop.

An `ArraySymbol` replaces an array. Each operation on it becomes a line of the loop. A number that
meets an array (lr, 1 − β₁ᵗ, …) becomes an argument of the loop.

A `NumberSymbol` can replace a hyperparameter or t. Each operation on it becomes a line of a
function that computes the arguments. The next steps call this function, and trace nothing.
"""

from collections.abc import Callable
from math import inf, nan
from typing import Any, NoReturn

import numpy as np

# NumPy's functions as Python code, for which numba gives the same bits. exp, log, tanh and general
# powers are missing: numba's differ in the last digit.
ARITHMETIC = {
    "add": "{} + {}", "subtract": "{} - {}", "multiply": "{} * {}", "divide": "{} / {}",
    "negative": "-{}", "positive": "+{}", "absolute": "abs({})", "fabs": "abs({})",
    "square": "{0} * {0}", "sqrt": "sqrt({})",
}  # fmt: skip
COMPARISONS = {
    "less": "{} < {}", "less_equal": "{} <= {}", "equal": "{} == {}",
    "greater": "{} > {}", "greater_equal": "{} >= {}", "not_equal": "{} != {}",
}  # fmt: skip
LOGIC = {"bitwise_and": "{} & {}", "bitwise_or": "{} | {}", "invert": "not {}"}
POWERS = {2: np.square, 1: np.positive, 0.5: np.sqrt}  # what NumPy calls for x**2, x**1, x**0.5

# Operators on numbers. They always run in Python, so every one has the same bits.
OPERATORS = {
    "add": "+", "sub": "-", "mul": "*", "truediv": "/", "pow": "**",
    "lt": "<", "le": "<=", "eq": "==", "ne": "!=", "gt": ">", "ge": ">=",
}  # fmt: skip


class Refusal(TypeError):
    """A rule cannot be compiled; the message says why, and where."""


class Trace:
    """What a rule does with hyperparameters h: a loop, its arguments, how to compute these."""

    def __init__(self, w: np.ndarray, h: dict[str, Any]) -> None:
        self.shape, self.dtype = w.shape, w.dtype
        self.loop_lines: list[str] = []
        self.arguments: list[Any] = []  # c0, c1, … in the lines of the loop
        self.number_lines: list[str] = []  # they compute the arguments
        self.scope: dict[str, Any] = {"h": h, "inf": inf, "nan": nan}  # what these lines can read
        self.reads_shape = False
        self.gradient = ArraySymbol(self, "g_i")
        self.refusal: Refusal | None = None  # kept, because a rule can catch the exception

    def symbols_of(self, h: dict[str, Any]) -> dict[str, Any]:
        return {k: NumberSymbol(self, f"h[{k!r}]") if is_number(v) else v for k, v in h.items()}

    def refuse(self, problem: str) -> NoReturn:
        self.refusal = Refusal(problem)
        raise self.refusal

    def operand(self, x: Any) -> str:
        """Return the name of an array in the loop; make an argument of a number."""
        if isinstance(x, ArraySymbol):
            if x.trace is not self:
                self.refuse("it keeps an array of an earlier step outside the slots")
            return x.name
        if isinstance(x, np.ndarray | np.generic) and (x.ndim or x.dtype != self.dtype):
            kind = f"an array of {x.dtype} and shape {x.shape} meets arrays of {self.dtype}"
            self.refuse(f"{kind}; use g, the slots, np.zeros_like(g) and Python numbers")
        if not isinstance(x, int | float | NumberSymbol | np.ndarray | np.generic):
            self.refuse(f"{type(x).__name__} is not a number, and not an array of this step")
        if not isinstance(x, NumberSymbol):
            x = int(x) if isinstance(x, int) else float(x)  # an array could change later
        self.arguments.append(x)
        return f"c{len(self.arguments) - 1}"

    def emit(self, template: str, *operands: Any, is_mask: bool = False) -> "ArraySymbol":
        """Append a line such as `x7 = x3 + c1` to the loop; return the symbol of x7."""
        name, code = f"x{len(self.loop_lines)}", template.format(*map(self.operand, operands))
        self.loop_lines.append(f"{name} = {code}")
        return ArraySymbol(self, name, is_mask)

    def where(self, mask: Any, a: Any, b: Any) -> "ArraySymbol":
        if not is_mask(mask) or is_mask(a) or is_mask(b):
            self.refuse("np.where needs a condition, and arrays or numbers to choose from")
        if not isinstance(a, ArraySymbol) and not isinstance(b, ArraySymbol):
            self.refuse("np.where of two numbers makes float64; write np.full_like(g, number)")
        return self.emit("{1} if {0} else {2}", mask, a, b)

    def assign(self, target: Any, value: Any) -> Any:
        """Give an array this value from here on; return the array."""
        value = value if isinstance(value, ArraySymbol) else self.emit("{}", value)
        if type(target) is not ArraySymbol or target.is_mask != value.is_mask:
            self.refuse(f"it writes {value.dtype} into an array of {target.dtype}")
        if target is self.gradient:
            self.refuse("it writes into the gradient; write g * 0.5 instead of g *= 0.5")
        target.name = value.name
        return target

    def compute(self, template: str, *operands: Any) -> Any:
        """Compute a number now, and append the line that computes it in the next step."""
        if any(isinstance(x, ArraySymbol) for x in operands):
            return NotImplemented
        code = template.format(*(f"({code_of(x)})" for x in operands))
        value = eval(code, self.scope)
        if isinstance(value, bool):  # a guard: with another result the rule takes another branch
            self.number_lines.append(f"if ({code}) is not {value}: return None")
            return value
        name = f"n{len(self.number_lines)}"
        self.number_lines.append(f"{name} = {code}")
        self.scope[name] = value
        return NumberSymbol(self, name)

    def argument_values(self) -> list[float]:
        return [eval(code_of(x), self.scope) for x in self.arguments]

    def kernel_source(self, results: dict[str, Any]) -> str:
        """Return the loop as a function of arrays; results: what each array becomes."""
        names = {key: self.operand(x) for key, x in results.items()}
        body = [f"{key}_i = {key}[i]" for key in results] + self.loop_lines
        body += [f"{key}[i] = {name}" for key, name in names.items() if name != f"{key}_i"]
        lines = [f"def kernel({', '.join(results)}, c):"]
        lines += [f"    c{n} = c[{n}]" for n in range(len(self.arguments))]
        lines += ["    for i in range(w.size):", *(f"        {line}" for line in body)]
        return "\n".join(lines)

    def arguments_source(self) -> str:
        """Return the function that computes the arguments; it returns None for another branch."""
        others = {k: v for k, v in self.scope["h"].items() if not is_number(v)}
        checks = [f"if h[{k!r}] != {v!r}: return None" for k, v in others.items()]
        result = f"return [{', '.join(map(code_of, self.arguments))}]"
        return "\n    ".join(["def arguments(h):", *checks, *self.number_lines, result])


class NumberSymbol:
    """Replaces a hyperparameter, t, or what a rule computes from them; `code` gives its value."""

    def __init__(self, trace: Trace, code: str) -> None:
        self.trace, self.code = trace, code

    def __bool__(self) -> bool:
        return bool(self.trace.compute("{} != {}", self, 0))


for _name, _sign in OPERATORS.items():
    _form = f"{{}} {_sign} {{}}"
    setattr(NumberSymbol, f"__{_name}__", lambda x, y, form=_form: x.trace.compute(form, x, y))
    setattr(NumberSymbol, f"__r{_name}__", lambda x, y, form=_form: x.trace.compute(form, y, x))


def is_number(x: Any) -> bool:
    return type(x) in (int, float)


def code_of(x: Any) -> str:
    """Return the code of a number, which repr writes with all its digits."""
    return x.code if isinstance(x, NumberSymbol) else repr(x)


class ArraySymbol(np.lib.mixins.NDArrayOperatorsMixin):
    """Replaces an array, or a mask of True and False; `name` is its variable in the loop."""

    __class__ = property(lambda self: np.ndarray)  # a rule may ask isinstance(g, np.ndarray)

    def __init__(self, trace: Trace, name: str, is_mask: bool = False) -> None:
        self.trace, self.name, self.is_mask = trace, name, is_mask
        self.dtype = np.dtype(bool) if is_mask else trace.dtype

    def __array_ufunc__(
        self, ufunc: Any, method: str, *inputs: Any, out: Any = (None,), **options: Any
    ) -> Any:
        trace, name, masks = self.trace, ufunc.__name__, [is_mask(x) for x in inputs]
        if method != "__call__" or options:
            trace.refuse(f"np.{name} with {options or method} cannot be compiled")
        if name in LOGIC and all(masks):
            result = trace.emit(LOGIC[name], *inputs, is_mask=True)
        elif any(masks):
            trace.refuse(f"np.{name} of a condition; write np.where(condition, a, b)")
        elif name in ARITHMETIC:
            result = trace.emit(ARITHMETIC[name], *inputs)
        elif name in COMPARISONS:
            result = trace.emit(COMPARISONS[name], *inputs, is_mask=True)
        elif ufunc in DERIVED:
            # Numbers become variables, too: the formulas compare arrays
            result = DERIVED[ufunc](trace, *(trace.emit("{}", x) for x in inputs))
        else:
            trace.refuse(f"np.{name} is not among the functions that can be compiled")
        return result if out[0] is None else trace.assign(out[0], result)

    def __array_function__(self, function: Any, _: Any, args: Any, options: Any) -> Any:
        if options or function not in DERIVED:
            call = f"{function.__name__}{f' with {options}' if options else ''}"
            self.trace.refuse(f"np.{call} is not among the functions that can be compiled")
        return DERIVED[function](self.trace, *args)

    def __pow__(self, exponent: Any) -> Any:
        if not is_number(exponent) or exponent not in POWERS:
            self.trace.refuse("powers other than x**2 and x**0.5 have other bits in numba")
        return POWERS[exponent](self)

    def __ipow__(self, exponent: Any) -> Any:
        return self.trace.assign(self, self**exponent)

    def __getitem__(self, index: Any) -> Any:
        if index is not Ellipsis and not (isinstance(index, slice) and index == slice(None)):
            self.trace.refuse("it reads or writes single elements")
        return self

    def __setitem__(self, index: Any, value: Any) -> None:
        self.trace.assign(self[index], value)

    @property
    def shape(self) -> tuple[int, ...]:
        self.trace.reads_shape = True
        return self.trace.shape

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def copy(self) -> Any:
        return +self

    def __bool__(self) -> NoReturn:
        self.trace.refuse("it branches on values of an array; write np.where(condition, a, b)")

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        self.trace.refuse("it needs the values of an array")

    __float__ = __int__ = __len__ = __iter__ = __array__

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        self.trace.refuse(f"it uses .{name} of an array")


def is_mask(x: Any) -> bool:
    return isinstance(x, ArraySymbol) and x.is_mask


def full_like(trace: Trace, x: Any, number: Any) -> ArraySymbol:
    if is_mask(x):
        trace.refuse("it makes an array of True and False")
    return trace.emit("{}", number)


def clip(trace: Trace, x: Any, lower: Any, upper: Any) -> ArraySymbol:
    if any(isinstance(limit, ArraySymbol) or limit != limit for limit in (lower, upper)):
        trace.refuse("np.clip needs two numbers as limits; see np.minimum and np.maximum")
    x = trace.where(x < lower, lower, x)
    return trace.where(x > upper, upper, x)


def sign(trace: Trace, x: Any) -> ArraySymbol:
    """Return 1, −1 or 0; NaN stays NaN, and −0 becomes 0, as in NumPy."""
    x = trace.where(x == 0, 0, x)
    return trace.where(x > 0, 1, trace.where(x < 0, -1, x))


DERIVED: dict[Any, Callable[..., ArraySymbol]] = {  # with NumPy's results for NaN and for −0
    np.maximum: lambda trace, a, b: trace.where((a > b) | (a != a), a, b),
    np.minimum: lambda trace, a, b: trace.where((a < b) | (a != a), a, b),
    np.sign: sign,
    np.clip: clip,
    np.where: Trace.where,
    np.zeros_like: lambda trace, x: full_like(trace, x, 0),
    np.ones_like: lambda trace, x: full_like(trace, x, 1),
    np.full_like: full_like,
}
