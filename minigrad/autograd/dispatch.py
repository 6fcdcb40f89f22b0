"""Map NumPy functions called on Tensors to differentiable implementations.

NumPy calls `dispatch` whenever one of its functions meets a Tensor (NEP 13 and NEP 18).
"""

import inspect
import sys
from collections.abc import Callable, Sequence
from functools import cache
from itertools import takewhile
from typing import Any

import numpy as np

from .array_methods import HANDLED_FUNCTIONS as HANDLED_FUNCTIONS
from .array_methods import ArrayMethods, in_place_error
from .conversion import coerce_lists, unwrap_nested

NONDIFFERENTIABLE: set[Callable] = set()  # these run on the arrays and return plain arrays
IN_PLACE = {np.copyto, np.fill_diagonal, np.place, np.put, np.put_along_axis, np.putmask}
VARIADIC = {  # these take any number of operands, which have no names
    np.einsum, np.gradient, np.atleast_1d, np.atleast_2d, np.atleast_3d, np.broadcast_arrays,
    np.meshgrid,
}  # fmt: skip
# Functions that cannot have a derivative here, and why
REFUSAL_REASONS: dict[Any, str] = dict.fromkeys(IN_PLACE, "it writes into a plain array")
LAZY_TABLES: dict[str, Callable] = {}  # module name → loader of its table
UFUNC_OPTIONS = dict(out=None, where=True, casting="same_kind", order="K", dtype=None, subok=True)
UFUNC_ADVICE = {
    "out": "; write a = a + t for a += t",
    "where": "; write np.where(mask, result, others)",
}
UFUNC_METHODS: dict[str, dict[Any, Callable]] = dict(  # np.add.reduce is np.sum
    reduce={np.add: np.sum, np.multiply: np.prod, np.maximum: np.max, np.minimum: np.min},
    accumulate={np.add: np.cumsum, np.multiply: np.cumprod},
)


def dispatch(function: Callable, args: Sequence, options: dict, method: str = "__call__") -> Any:
    """Call our implementation of a NumPy function; raise TypeError if there is none."""
    if method != "__call__":
        return call_method(function, method, args, options)
    if options:
        out = options.get("out")
        if any(isinstance(x, ArrayMethods) for x in (out if isinstance(out, tuple) else (out,))):
            raise in_place_error(f"{name_of(function)}(..., out=tensor)")
    if function in NONDIFFERENTIABLE:
        constants = {name: unwrap_nested(x) for name, x in options.items()}
        return function(*map(unwrap_nested, args), **constants)
    implementation = HANDLED_FUNCTIONS.get(function)
    if implementation is None:
        implementation = find_implementation(function, *args, *options.values())
    if options or len(args) > shared_arguments(function, implementation):
        args, options = bind_arguments(function, implementation, args, options)
    return implementation(*args, **options)


def find_implementation(function: Callable, *args: Any) -> Callable:
    """Return our implementation, looking also in the lazy tables of modules that are imported.

    Raise TypeError if there is none, or if the function would write into a tensor.
    """
    if function in IN_PLACE and isinstance(args[0], ArrayMethods):
        raise in_place_error(f"{name_of(function)}(tensor, ...)")
    for module, load in LAZY_TABLES.items():
        if module in sys.modules:
            load()
    if function not in HANDLED_FUNCTIONS:
        reason = f": {REFUSAL_REASONS[function]}" if function in REFUSAL_REASONS else ""
        advice = "If you need its value alone, leave the graph on purpose: pass x.data"
        raise TypeError(f"{name_of(function)} has no derivative in minigrad{reason}. {advice}")
    return HANDLED_FUNCTIONS[function]


def call_method(ufunc: Any, method: str, args: Sequence, options: dict) -> Any:
    """Call the function that equals this method of a ufunc; raise TypeError if there is none."""
    name, table = f"{name_of(ufunc)}.{method}", UFUNC_METHODS.get(method, {})
    if method == "outer":
        a, b = coerce_lists(name, args)
        return ufunc(np.reshape(a, np.shape(a) + (1,) * np.ndim(b)), b, **options)
    if method == "at":
        raise in_place_error(name)
    if ufunc not in table or "out" in options:
        raise TypeError(
            f"{name} has no derivative in minigrad. Without out=, these have: reduce of add, "
            "multiply, maximum, minimum, logaddexp; accumulate of add, multiply; outer. "
            "If you need its value alone, pass x.data"
        )
    if "dtype" in options and options["dtype"] is None:
        del options["dtype"]  # np.max has no dtype=
    return table[ufunc](*args, **dict(axis=0) | options)


def name_of(function: Callable) -> str:
    """Return the name that users write: np.exp, np.linalg.norm, scipy.special.erf."""
    name = function.__name__
    for module in ("numpy", "scipy.special"):
        if getattr(sys.modules.get(module), name, None) is function:
            return f"{module}.{name}".replace("numpy", "np")
    owner = getattr(function, "__module__", None)  # ufuncs have none
    return f"{owner}.{name}".replace("numpy", "np") if owner else name


def bind_arguments(
    function: Any, implementation: Any, args: Sequence, options: dict
) -> tuple[list, dict]:
    """Return the operands in order and the options by name.

    Leave out options with NumPy's default value; raise TypeError for one that we lack.
    """
    is_ufunc = isinstance(function, np.ufunc)
    defaults = signature_defaults(function, implementation)
    if is_primitive(implementation):
        operand_count, supported = len(implementation.vjps), implementation.option_names
    else:  # composed: its operands go by name, too
        operand_count, supported = 0, list(signature_defaults(implementation))
    if is_ufunc or function in VARIADIC:
        operands, named = list(args), options
    else:
        named = dict(zip(defaults, args)) | options
        operands = [named.pop(name) for name in list(defaults)[:operand_count]]
    given = {name: x for name, x in named.items() if x is not defaults.get(name)}
    if is_ufunc and "dtype" in given and np.dtype(given["dtype"]).kind == "f":
        dtype = given.pop("dtype")
        operands = [x.astype(dtype) if hasattr(x, "astype") else x for x in operands]
    if unsupported := sorted(given.keys() - supported):
        advice = "".join(UFUNC_ADVICE.get(name, "") for name in unsupported) if is_ufunc else ""
        who = f"{name_of(function)}: minigrad does not support the argument"
        required = f"supported: {', '.join(supported) or 'none'}"
        raise TypeError(f"{who} {', '.join(unsupported)}; {required}{advice}")
    return operands, given


def is_primitive(implementation: Any) -> bool:
    return hasattr(implementation, "vjps")


@cache
def shared_arguments(function: Callable, implementation: Any) -> int:
    """Count the leading arguments with the same names in both signatures; they need no binding."""
    if is_primitive(implementation):
        return len(implementation.vjps)
    names = zip(signature_defaults(function, implementation), signature_defaults(implementation))
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], names))


@cache
def signature_defaults(function: Any, implementation: Any = None) -> dict[str, Any]:
    """Return a function's parameter names in order, with their defaults."""
    if isinstance(function, np.ufunc):
        return UFUNC_OPTIONS
    try:
        signature = inspect.signature(function)
    except ValueError:  # a C function without a signature; ours has the same names
        signature = inspect.signature(implementation)
    defaults = {name: p.default for name, p in signature.parameters.items()}
    # NumPy 2.0 calls the shape of np.reshape newshape
    return {"shape" if name == "newshape" else name: x for name, x in defaults.items()}
