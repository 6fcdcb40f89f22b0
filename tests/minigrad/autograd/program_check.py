"""Compare the derivatives of a random program with finite differences of NumPy alone.

The reference derivative comes from NumPy alone: the program runs on np.longdouble arrays, and
central differences in a random direction are extrapolated to a step of 0.
"""

import re
import types
import warnings
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
import scipy.special

from minigrad import Tensor, grad

STEP = 2e-3  # of the finite differences
MISSING = re.compile(  # the messages of what minigrad lacks
    "has no derivative|minigrad (does not )?support|needs full_matrices=False in minigrad|"
    "np.einsum: axes . and . have one index"
)
NAMES = dict(np=np, scipy=scipy)  # what programs use beside their leaves and constants


class Outcome(NamedTuple):
    """agreed, DISAGREES, refused, kink, singular, not finite or rounding; and the message."""

    kind: str
    text: str = ""


class Check:
    """Check the derivatives of φ = Σ⟨u, result⟩ in random directions v and w of the leaves."""

    def __init__(self, program: Any):
        self.program, self.rng = program, program.rng
        self.u = {name: self.direction(program.values[name]) for name in program.results}
        self.v, self.w = ([self.direction(x) for x in program.leaves.values()] for _ in range(2))
        self.moves = {name: self.direction(program.values[name]) for name in program.lines}
        self.lines_move = False
        is_single = "float32" in str(program)
        self.tolerance = 1e-3 if is_single else 1e-9  # in the program's own dtypes

    def direction(self, x: np.ndarray) -> np.ndarray:
        return self.rng.choice([-1.0, 1.0], x.shape) * self.rng.uniform(0.5, 1.5, x.shape)

    def total(self, values: dict[str, Any]) -> Any:
        """Return Σ⟨u, result⟩; with lines_move, a sum over all lines."""
        weights = self.moves if self.lines_move else self.u
        return sum(np.sum(values[name] * u) for name, u in weights.items())

    def outcome(self, second_order: bool) -> Outcome:
        checks = [(1, self.values), (1, self.gradients_in_float64), (1, self.gradients)]
        for order, check in checks + [(2, self.second_derivatives)] * second_order:
            for step in (STEP, STEP / 8, STEP / 64):  # smaller beside kinks and in steep functions
                if not np.isfinite(truth := self.derivative(order, step)):
                    return Outcome("not finite")
                if not (wrong := self.what_is_wrong(check, truth)):
                    break
            if MISSING.search(wrong):
                return Outcome("refused", wrong)
            if wrong:
                return self.unfit(order, wrong) or Outcome(
                    "DISAGREES", f"{check.__name__}: {wrong}"
                )
        return Outcome("agreed")

    def what_is_wrong(self, check: Callable, truth: Any) -> str:
        """Return the message of a check, or of its exception. A warning counts as an exception."""
        try:
            with warnings.catch_warnings(action="error"):
                return check(truth)
        except Exception as exception:
            return repr(exception)

    # The truth

    def phi(self, t: float, s: float = 0) -> np.longdouble:
        """Return φ(x + t·v + s·w), computed by NumPy; NaN if it refuses."""
        try:
            with np.errstate(all="ignore"):
                return self.total(self.exact_values(t, s))
        except np.linalg.LinAlgError:  # a singular matrix
            return np.longdouble(np.nan)

    def exact_values(self, t: float, s: float = 0) -> dict[str, Any]:
        """Return the values of the lines at x + t·v + s·w, computed in np.longdouble.

        With lines_move, add (t + s)·move to the result of each line.
        """
        moved = {
            name: np.asarray(x.astype(np.longdouble) + t * v + s * w)
            for (name, x), v, w in zip(self.program.leaves.items(), self.v, self.w)
        }
        constants = self.program.constants | self.program.lists
        moves = {v: (t + s) * move for v, move in self.moves.items()} if self.lines_move else {}
        with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
            return run_all(self.program, moved, constants, np.longdouble, moves)

    def difference(self, order: int, h: float, at: float = 0) -> np.longdouble:
        """Return the central difference for ∂φ/∂t, or for ∂²φ/∂t∂s, at t = s = at."""
        if order == 1:
            return (self.phi(at + h) - self.phi(at - h)) / (2 * h)
        corners = [i * j * self.phi(at + i * h, at + j * h) for i in (-1, 1) for j in (-1, 1)]
        return sum(corners) / (4 * h * h)

    @cache  # noqa: B019
    def derivative(self, order: int, step: float) -> Any:
        """Return the central differences, extrapolated to a step of 0 (Richardson)."""
        d = [self.difference(order, step / k) for k in (1, 2, 4)]
        coarse, fine = (4 * d[1] - d[0]) / 3, (4 * d[2] - d[1]) / 3
        return (16 * fine - coarse) / 15

    def unfit(self, order: int, wrong: str) -> Outcome | None:
        """Return why the differences are useless: a kink, a jump or a choice made by rounding.

        After a warning, also look for a function without a derivative at its point. Moving the
        leaves does not always move its argument: np.sqrt(x - x) is 0 everywhere. So move the lines.
        """

        def gap(h: float) -> Any:
            """Return how much the derivatives on both sides differ from the one in the middle."""
            with np.errstate(all="ignore"):
                middle = self.difference(order, h)
                return sum(abs(self.difference(order, h, at) - middle) for at in (h, -h))

        for kind in ("kink", "singular") if "Warning" in wrong else ("kink",):
            self.lines_move = kind == "singular"
            for h in (STEP, STEP / 4):
                if not gap(h / 64) <= max(gap(h) / 32, 1e-7 if order == 1 else 1e-4):
                    return Outcome(kind)
        self.lines_move = False
        exact = self.exact_values(0)
        agrees = [np.allclose(exact[v], self.program.values[v], 1e-3, 1e-3) for v in exact]
        return None if all(agrees) else Outcome("rounding")

    # minigrad's results: each check returns what is wrong

    def run(self, dtype: Any = None) -> tuple[list[Tensor], dict[str, Any]]:
        """Run the program on tensors; return the leaves and the values."""
        leaves = {n: recorded(each_array(x, dtype)) for n, x in self.program.leaves.items()}
        return list(leaves.values()), run_all(self.program, leaves, self.program.constants, dtype)

    def values(self, _truth: Any) -> str:
        for name, ours in self.run()[1].items():
            expected, ours = self.program.values[name], np.asarray(getattr(ours, "data", ours))
            if (ours.dtype, ours.shape) != (expected.dtype, expected.shape):
                shapes = f"{ours.shape}, expected {expected.dtype} {expected.shape}"
                return f"{name} is {ours.dtype} {shapes}"
            if not np.allclose(ours, expected, rtol=self.tolerance, atol=self.tolerance):
                return f"{name} is {ours.tolist()}, expected {expected.tolist()}"
        return ""

    def gradients_in_float64(self, truth: Any) -> str:
        return self.gradients(truth, np.float64)

    def gradients(self, truth: Any, dtype: Any = None) -> str:
        leaves, values = self.run(dtype)
        total, products = self.total(values), [np.zeros(1)]
        if getattr(total, "requires_grad", False):
            total.backward()
        for name, x, v in zip(self.program.leaves, leaves, self.v):
            if x.grad is None:
                continue
            products.append((x.grad * v).ravel())
            if (x.grad.dtype, x.grad.shape) != (x.data.dtype, x.data.shape):
                return f"{name}.grad is {x.grad.dtype} {x.grad.shape}"
            others = [y.grad for y in leaves if y is not x and y.grad is not None]
            if any(np.may_share_memory(x.grad, y) for y in [x.data, *others, *self.u.values()]):
                return f"{name}.grad shares memory"
        tolerance = 1e-7 if dtype else max(self.tolerance, 1e-7)
        return compare(np.concatenate(products), truth, tolerance)

    def second_derivatives(self, truth: Any) -> str:
        leaves, values = self.run(np.float64)
        slope, products = self.total(values), [np.zeros(1)]
        for direction in (self.v, self.w):
            if not getattr(slope, "requires_grad", False):
                return compare(np.zeros(1), truth, 1e-5)
            gs = grad(slope, leaves, create_graph=True)
            slope = sum(np.sum(g * d) for g, d in zip(gs, direction))
            products = [np.ravel(g.data * d) for g, d in zip(gs, direction)]
        return compare(np.concatenate(products), truth, 1e-5)


def compare(products: np.ndarray, truth: Any, tolerance: float) -> str:
    """Return "" if Σ products equals the truth, up to tolerance·Σ|products|; else a message."""
    if abs(products.sum() - truth) <= tolerance * max(1, abs(products).sum()):
        return ""
    return f"the derivative is {products.sum():.12g}, truth {truth:.12g}"


def recorded(array: np.ndarray) -> Tensor:
    """Return a leaf that holds this array itself, so that its memory layout stays."""
    leaf = Tensor(array, requires_grad=True)
    leaf.data = array
    return leaf


# ---- Running a program in another dtype ----


def run_all(
    program: Any, leaves: dict, constants: dict, dtype: Any = None, moves: Any = ()
) -> dict[str, Any]:
    """Return the values of all lines, each with its move added; compute floats in `dtype`."""
    names = leaves | each_array(constants, dtype)
    names |= dict(np=Cast(np, dtype), scipy=Cast(scipy, dtype)) if dtype else NAMES
    for line, code in program.codes.items():
        value = eval(code, names)
        names[line] = value + moves[line] if line in moves else value
    return {line: names[line] for line in program.lines}


class Cast:
    """A module in which every float dtype is `dtype`; a function that refuses it gets float64."""

    def __init__(self, module: Any, dtype: Any):
        self.module, self.dtype = module, dtype

    def __getattr__(self, name: str) -> Any:
        found = self.dtype if name in ("float32", "float64") else getattr(self.module, name)
        if isinstance(found, types.ModuleType):
            return Cast(found, self.dtype)
        takes_longdouble = isinstance(found, (type, np.ufunc)) and self.module is np
        return found if takes_longdouble or not callable(found) else partial(self.call, found)

    def call(self, function: Callable, *args: Any, **options: Any) -> Any:
        try:
            return function(*args, **options)
        except TypeError:
            if self.dtype is not np.longdouble:
                raise
        return each_array(function(*each_array(args, np.float64), **options), np.longdouble)


def each_array(x: Any, dtype: Any) -> Any:
    """Convert the float arrays in dicts, tuples and lists."""
    if isinstance(x, dict):
        return {name: each_array(part, dtype) for name, part in x.items()}
    if isinstance(x, (tuple, list)):
        return [each_array(part, dtype) for part in x]
    return x.astype(dtype) if dtype and hasattr(x, "dtype") and x.dtype.kind == "f" else x
