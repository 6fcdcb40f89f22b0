"""Random programs of NumPy functions, to compare their derivatives with finite differences.

    python -m tests.minigrad.autograd.random_programs --programs 20000 --seed 1
    python -m tests.minigrad.autograd.random_programs --seed 1 --only 17      shows one program

A program has 1 to 4 leaves and 1 to 8 lines such as `v2 = np.sum(v1, axis=(0, -1))`. It calls the
functions of HANDLED_FUNCTIONS, so a new row of that table is tested at once. The name of a
parameter decides which values are drawn for it: see ARGUMENTS. If NumPy refuses a line, it is drawn
again.

program_check compares the derivatives. The table counts the outcomes:

    agreed, DISAGREES
    refused       it needs an option that minigrad lacks
    kink          it has a kink or a jump
    singular      a function has no derivative at its point, such as a root at 0
    not finite    it overflows near the point
    rounding      a rounding error decides what NumPy computes
"""

import argparse
import inspect
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minigrad import Tensor
from minigrad.autograd.dispatch import HANDLED_FUNCTIONS, LAZY_TABLES, name_of
from tests.minigrad.autograd.program_check import NAMES, Check, Outcome

for load in LAZY_TABLES.values():
    load()
FUNCTIONS = {  # without those that have no derivative by some operand: see TEMPLATES
    name_of(f): f
    for f, ours in HANDLED_FUNCTIONS.items()
    if not isinstance(f, str) and None not in getattr(ours, "vjps", ())
}
for _name in ("einsum", "piecewise", "block", "interp"):
    del FUNCTIONS[f"np.{_name}"]

# What may stand around an operand, so that it lies where a function is defined
DOMAINS = "{} | np.abs({}) + 0.5 | np.tanh({}) * 0.75 | np.abs({}) + 1.25 | {}".split(" | ")
MATRICES = """{} | np.tanh({}) + 3 * np.eye(np.shape({})[-1])
np.matmul({}, np.swapaxes({}, -1, -2)) + np.eye(np.shape({})[-2])"""
POSITIVE = {  # which operands; rgamma and beta have no derivative at the poles of Γ
    "np.power": [0], "np.float_power": [0], "scipy.special.xlogy": [1],
    "scipy.special.rgamma": [0], "scipy.special.beta": [0, 1],
    "scipy.special.betaln": [0, 1],
}  # fmt: skip
SYMMETRIC = ("np.linalg.cholesky", "np.linalg.eigh", "np.linalg.eigvalsh")  # read one triangle
UP_TO_SIGN = ("np.linalg.eigh", "np.linalg.svd")  # their vectors
NORMS = ("np.linalg.norm", "np.linalg.vector_norm", "np.linalg.matrix_norm")
SPECTRAL = (*UP_TO_SIGN, *NORMS, "np.linalg.eigvalsh", "np.linalg.svdvals", "np.linalg.qr")
NOT_EMPTY = (*NORMS, "np.cov", "np.corrcoef", "np.take")  # NumPy decides by special cases

# More calls than a function's name and parameters tell; A, B and C are operands, B often a constant
TEMPLATE_TEXT = """
A + B; B + A; A - B; B - A; A * B; B * A; A / B; B / (np.abs(C) + 0.5); A @ B; B @ A; -A; abs(A)
A ** 2; A ** 3; A ** 0; (np.abs(A) + 0.5) ** B; 2.5 ** A; 2 ** A; A % B; A // B; divmod(A, 0.7)
A.T; A.mT; A.flatten("F"); A.reshape(-1); A.transpose(); A.astype(np.float32); A.astype(np.float64)
A.sum(-1).mean(); sum(A); round(A, 1); np.where(A > 0, A, B); np.where(A > C, B, A)
np.einsum("...i->...", A); np.einsum("ij,jk", A, A.T); np.einsum("i...,i...", A, A)
np.einsum("ij->ji", A); np.einsum("...ij,...kj->...ik", A, A); np.einsum("ii->i", A)
np.einsum("ii", A); np.einsum(A, [0, 1], [1]); np.einsum("i,i->i", A, B)
np.einsum("a...,...->a", A, B); np.meshgrid(A, B); np.meshgrid(A, B, A, indexing="ij")
np.atleast_2d(A, B); np.broadcast_arrays(A, B); np.select([A > 0.3, A > -0.3], [A * 2, B])
np.select([A > 0.3, C > 0], [A, B], 0.5); np.block([[A, A], [A, A]]); np.block([A, A])
np.piecewise(A, [A < 0.2], [lambda x: x * x, lambda x: 3 * x]); np.append(A, B)
np.gradient(A, 0.5); np.gradient(A, axis=0); np.linspace(A, B, 3); np.clip(A, B, None)
np.interp([-0.5, 0.7], [-1.0, 0.0, 1.0], A * np.ones(1))
np.interp(A * np.ones(1), [-2.0, 0.1, 2.0], [1.0, 3.0, 2.0])
np.interp(A * np.ones(1), np.cumsum(A * A + 0.1), A)
np.add.reduce(A, axis=-1); np.multiply.reduce(A); np.maximum.reduce(A); np.add.outer(A, B)
np.add.accumulate(A); np.nan_to_num(A / np.array(0.0)); np.trapezoid(A, dx=0.5)
np.convolve(A, B, mode="same"); np.polyval(A, B); np.linalg.multi_dot([A, A.T, A])
scipy.special.jv(1.5, np.abs(A) + 0.5); scipy.special.yv(0.5, np.abs(A) + 0.5)
scipy.special.iv(2, A); scipy.special.ive(2, A)
scipy.special.gammainc(1.5, np.abs(A)); scipy.special.gammaincc(2, np.abs(A) + 0.5)
scipy.special.betainc(1.5, 2, np.tanh(np.abs(A)))
"""


TEMPLATES = re.split(r"[;\n]\s*", TEMPLATE_TEXT.strip())


class Program:
    """Leaves, constants and lines, with NumPy's values of the lines."""

    def __init__(self, rng: np.random.Generator):
        self.rng = rng
        self.leaves: dict[str, np.ndarray] = {}
        self.constants: dict[str, Any] = {}
        self.lists: dict[str, np.ndarray] = {}  # what minigrad makes of those that are lists
        self.lines: dict[str, str] = {}
        self.values: dict[str, np.ndarray] = {}
        rank = rng.integers(0, 5)
        shape = tuple(rng.choice([1, 2, 3, 4, 0], rank, p=[0.2, 0.3, 0.3, 0.17, 0.03]).tolist())
        for i in range(rng.integers(1, 5)):
            self.leaves[f"x{i}"] = self.values[f"x{i}"] = draw_leaf(rng, self.broadcastable(shape))
        for _ in range(rng.integers(1, 9)):
            self.add_line()
        self.text = "\n".join(f"{name} = {text}" for name, text in self.lines.items())
        self.codes = {v: compile(text, "random program", "eval") for v, text in self.lines.items()}
        used = set(re.findall(r"\b[cv]\d+", " ".join(self.lines.values())))
        self.constants = {c: x for c, x in self.constants.items() if c in used}
        self.results = [v for v in self.lines if v not in used]

    def __str__(self) -> str:
        inputs = (self.leaves | self.constants).items()
        return "\n".join([*(f"{name} = {literal(x)}" for name, x in inputs), self.text])

    def broadcastable(self, shape: tuple) -> tuple:
        """Drop leading axes, and set lengths to 1."""
        shape = shape[self.rng.choice([0, 0, 0, 1, len(shape)]) :]
        return tuple(1 if self.rng.random() < 0.15 else n for n in shape)

    def pick(self, *options: Any) -> Any:
        return options[self.rng.integers(len(options))]

    def add_line(self) -> None:
        """Draw calls until NumPy accepts one and its result is fit for a program."""
        for _ in range(60):
            try:
                text = self.call()
                value = self.run(text)
                while isinstance(value, (tuple, list)):
                    k = self.rng.integers(len(value))
                    text, value = f"({text})[{k}]", value[k]
                if fit(value):
                    name = f"v{len(self.lines)}"
                    self.lines[name], self.values[name] = text, value
                    return
            except Exception:  # NumPy refuses the arguments
                continue

    def run(self, text: str) -> Any:
        """Evaluate an expression with NumPy; raise an error for its warnings."""
        with warnings.catch_warnings(action="error"):
            return eval(text, NAMES | self.constants | self.lists | self.values)

    def operand(self) -> str:
        """Return the name of a value, often the newest."""
        names = list(self.values)
        return names[-1] if self.rng.random() < 0.6 else self.pick(*names)

    def second(self, a: str, python_numbers: bool = False) -> str:
        """Return an operand beside a: another value, or a constant."""
        if self.rng.random() < 0.35:
            return self.pick(a, f"{a}.T", *self.values)
        name = f"c{len(self.constants)}"
        shape = np.shape(self.run(a))
        transposed = (*shape[:-2], *shape[:-3:-1])
        shape = self.pick(*[self.broadcastable(shape)] * 4, transposed, shape[-1:], (2, 3))
        constant = draw_constant(self.rng, shape)
        if type(constant) in (bool, int, float) and not python_numbers:
            constant = np.float32(constant)
        if isinstance(constant, list):  # beside a plain array, NumPy alone would convert it
            array = np.array(constant, self.values[a].dtype if a in self.leaves else np.float32)
            constant, self.lists[name] = (constant, array) if a in self.leaves else (array, array)
        self.constants[name] = constant
        return name

    def in_a_domain(self, x: str) -> str:
        """Wrap an operand; not a constant, because NumPy alone would compute that."""
        return x if x in self.constants else self.pick(*DOMAINS).format(x)

    def call(self) -> str:
        kind, a = self.rng.random(), self.operand()
        if kind < 0.15:
            return f"{a}[{self.index(np.shape(self.values[a]))}]"
        if kind < 0.35:
            text = self.pick(*TEMPLATES)
            weak = "np." not in text or "np.where" in text  # NumPy: 2.0 does not promote float32
            operands = dict(A=a, B=self.second(a, python_numbers=weak), C=self.operand())
            return re.sub(r"\b[ABC]\b", lambda found: operands[found.group()], text)
        return self.function_call(self.pick(*FUNCTIONS), a)

    def function_call(self, name: str, a: str) -> str:
        function = FUNCTIONS[name]
        if isinstance(function, np.ufunc):
            both = [a, self.second(a, python_numbers=True)][: function.nin]
            operands = [self.in_a_domain(x) for x in self.rng.permutation(both).tolist()]
            if any(np.any(np.asarray(self.run(operands[i])) <= 0) for i in POSITIVE.get(name, [])):
                raise ValueError("no derivative")
            return f"{name}({', '.join(operands)})"
        if name.startswith("np.linalg"):
            wrappers = re.split(r" \| |\n", MATRICES)
            a = (wrappers[-1] if name in SYMMETRIC else self.pick(*wrappers)).replace("{}", a)
        if name in NOT_EMPTY and np.size(self.run(a)) == 0:
            raise ValueError("an empty array")
        if name in ("np.cov", "np.corrcoef") and np.shape(self.run(a))[:1] == (1,):
            raise ValueError("one row, which NumPy 2.0 does not transpose for rowvar=False")
        if name in SPECTRAL and np.ndim(self.run(a)) > 1:
            s = np.linalg.svdvals(self.run(a))
            if np.any(-np.diff(s, append=0) < 1e-3):
                raise ValueError("no derivative where values are equal, or 0")
        arguments = []
        for parameter in supported_parameters(function):
            if parameter.kind is parameter.VAR_KEYWORD:
                continue
            draw = ARGUMENTS.get(parameter.name, Program.second)
            required = parameter.default is parameter.empty
            if required and not arguments and parameter.name not in FIRST:
                draw = lambda self, a: a  # noqa: E731
            if required:
                arguments.append(str(draw(self, a)))
            elif parameter.name in ARGUMENTS and self.rng.random() < 0.5:
                arguments.append(f"{parameter.name}={draw(self, a)}")
        if name in UP_TO_SIGN:
            parts = f"{name}({', '.join(arguments)})"
            return parts if "compute_uv=False" in parts else f"np.abs({parts}[{self.pick(0, 1)}])"
        first, *rest = arguments
        is_method = hasattr(Tensor, name.split(".")[-1]) and first in self.leaves
        if is_method and self.rng.random() < 0.5:
            return f"({first}).{name.split('.')[-1]}({', '.join(rest)})"
        return f"{name}({', '.join(arguments)})"

    def index(self, shape: tuple) -> str:
        """Draw an index: basic, advanced, or a mask."""
        if self.rng.random() < 0.1:
            return literal(self.rng.random(shape) < 0.6)
        parts = []
        for n in shape[: self.rng.integers(len(shape) + 1)]:
            some = self.rng.integers(-n, max(n, 1), self.rng.integers(1, 4)).tolist()
            mask = (self.rng.random(n) < 0.6).tolist()
            basic = self.pick("0", "-1", ":", "::-1", "::2", "1:", ":-1", "None, :")
            advanced = self.pick(some, f"np.array([{some}])", f"np.int8({some[0]})", mask)
            parts.append(str(self.pick(basic, basic, advanced)))
        return ", ".join(parts + self.pick([], ["..."], [":"])) or "..."


def literal(x: Any) -> str:
    """Return a constant as source text."""
    if not isinstance(x, np.ndarray):
        return repr(x)
    reshape = f".reshape({x.shape})" if x.size == 0 else ""
    return f"np.array({x.tolist()}, np.{x.dtype}){reshape}"


def draw_leaf(rng: np.random.Generator, shape: tuple) -> np.ndarray:
    """Draw numbers of both signs, as an array of a random dtype and memory layout."""
    x = rng.choice([-1, 1], shape) * rng.uniform(0.2, 1.4, shape)
    x = np.asarray(x, rng.choice([np.float32, np.float64]))
    layouts: list[Callable] = [
        lambda x: x,
        np.asfortranarray,
        lambda x: np.repeat(x, 2, -1)[..., ::2] if x.ndim else x,  # not contiguous
        lambda x: x[::-1] if x.ndim else x,  # negative strides
    ]
    x = layouts[rng.integers(4)](x)
    x.setflags(write=False)  # whoever writes into it raises an error
    return x


def draw_constant(rng: np.random.Generator, shape: tuple) -> Any:
    """Draw a Python number, a NumPy scalar, an array of any real dtype, or a list."""
    dtype = np.dtype(rng.choice([*"bhilBI?fd"]))
    low, high = (0, 2) if dtype.char == "?" else (0, 21) if dtype.kind == "u" else (-12, 13)
    integers = rng.integers(low, high, shape)
    halves = integers / 8 if dtype.kind == "f" else integers  # exact in each dtype
    array = np.asarray(halves, dtype)
    array.setflags(write=False)
    one = np.asarray(array.ravel()[0] if array.size else dtype.type(1))
    equal_rows = np.broadcast_to(array[:1], shape) if shape else array  # a stride of 0
    return [array, equal_rows, one[()], one.item(), array.tolist()][rng.integers(5)]


def any_axis(p: Program, a: str) -> str:
    n = np.ndim(p.run(a))
    axes = list(range(-n, n)) or [0, -1]
    pair = tuple(p.rng.permutation(n)[: p.rng.integers(1, 3)].tolist())
    return repr(p.pick(None, *[p.pick(*axes) for _ in range(4)], pair))


def any_shape(p: Program, a: str) -> str:
    shape = np.shape(p.run(a))
    return repr(p.pick((-1,), (2, -1), (-1, 1), shape[::-1], (2, *shape), (*shape, -1), -1))


def arrays(p: Program, a: str) -> str:
    b = p.pick(a, f"{a} * 2", p.second(a))
    return p.pick(f"[{a}, {b}]", f"({b}, {a})", f"[{a}, {b}, {a}]", f"[{a}]")


def one_of(*options: Any) -> Callable:
    return lambda p, _a: p.pick(*options)


def points(p: Program, a: str) -> str:
    """Return an operand with one axis or with as many axes as a."""
    x = p.second(a)
    return x if np.ndim(p.run(x)) in (1, np.ndim(p.run(a))) else a


def permutation(p: Program, a: str) -> str:
    axes = p.rng.permutation(np.ndim(p.run(a))).tolist()
    return repr(p.pick(axes, tuple(axes), axes[:2], ([-1], [-1]), 1, 2, None))


def mask(p: Program, a: str) -> str:
    return f"np.array({(p.rng.random(np.shape(p.run(a))) < 0.7).tolist()})"


small, some_axis = one_of(0, 1, -1, 2, "np.int64(1)"), one_of(0, 1, -1, -2, 2)
flag, several = one_of(True, False), one_of(2, "[0, -1, 0]", "(1, 2)", "np.array([1, 0, 2])", 0)
ARGUMENTS: dict[str, Callable] = dict(
    axis=any_axis, axis1=some_axis, axis2=some_axis, source=some_axis, destination=some_axis,
    start=some_axis, axes=permutation, shape=any_shape, keepdims=flag, returned=flag, sparse=flag,
    rowvar=flag, bias=flag, full_matrices=flag, compute_uv=flag, stable=flag, hermitian=flag,
    endpoint=flag, ddof=one_of(0, 1, 0.5), correction=one_of(0, 1), offset=small, k=small, n=small,
    decimals=one_of(0, 1, 2), ord=one_of(None, 1, 2, 3, 2.5, "np.inf", "-np.inf", "'fro'", "'nuc'"),
    order=one_of("'C'", "'F'"), shift=one_of(1, -2, (1, 2), "np.uint8(1)"), repeats=several,
    reps=one_of(2, (1, 2), "[0, 3]"), pad_width=one_of(1, (1, 0), "[[0, 2]]"),
    indices_or_sections=one_of(2, "[1]", "[1, 2]"),
    mode=one_of("'constant'", "'reflect'", "'edge'", "'wrap'", "'symmetric'", "'full'", "'valid'"),
    indices=lambda p, a: p.pick(0, "[0, -1, 0]", f"np.argsort({a}, 0)"), arrays=arrays, tup=arrays,
    dtype=one_of("np.float64", "np.float32"), where=mask,
    initial=one_of(0.75, 2, "np.float64(1.5)"),
    weights=lambda p, a: f"np.abs({p.operand()}) + 0.5", condition=lambda p, a: f"{a} > 0.1",
    q=one_of(0.3, "np.float32([0.25, 0.6])", "np.array([[0.7]])", 1),
    method=one_of("'linear'", "'lower'", "'midpoint'", "'hazen'"),
    kth=one_of(0, 1, -1), kind=one_of("None", "'stable'"), dx=one_of(0.5), num=one_of(3),
    fill_value=lambda p, a: p.pick(a, f"np.sum({a})", 2.5),
    constant_values=one_of(0, 1.5), a_min=Program.second, a_max=Program.second, min=Program.second,
    max=Program.second, x=points, y=Program.second, prepend=Program.second,
    append=Program.second, edge_order=one_of(1, 2), UPLO=one_of("'L'", "'U'"),
)  # fmt: skip
FIRST = ("arrays", "tup", "condition")  # first parameters that are no array


def supported_parameters(function: Any) -> Iterator[inspect.Parameter]:
    """Yield the parameters of a NumPy function that minigrad's implementation has, too."""
    ours = HANDLED_FUNCTIONS[function]
    own = None if hasattr(ours, "option_names") else inspect.signature(ours).parameters
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # a C function of an older NumPy
        parameters = inspect.signature(getattr(ours, "forward", ours)).parameters.values()
    for p in parameters:
        if p.default is p.empty or p.name in (ours.option_names if own is None else own):
            yield p


def fit(value: Any) -> bool:
    """Return whether a program may use a value: a small float array without rounding residues."""
    return (
        isinstance(value, (np.ndarray, np.generic))
        and value.dtype.char in "fd"
        and value.size <= 100
        and bool(np.all((np.abs(value) < 100) & ((np.abs(value) > 1e-6) | (value == 0))))
    )


def run(seed: int, number: int) -> tuple[Program, Outcome]:
    program = Program(np.random.default_rng([seed, number]))
    return program, Check(program).outcome(second_order=number % 3 == 0)


def main() -> None:
    """Run many programs and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--programs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="show the program of this number")
    options = parser.parse_args()
    counts: Counter = Counter()
    called: set[str] = set()
    refused: Counter = Counter()
    for number in range(options.programs) if options.only is None else [options.only]:
        program, (kind, text) = run(options.seed, number)
        counts[kind] += 1
        called |= set(re.findall(r"[\w.]+(?=\()", program.text))
        refused[text] += kind == "refused"
        if kind == "DISAGREES" or options.only is not None:
            print(f"# program {number} of seed {options.seed}: {kind} {text}\n{program}\n")
    for kind, n in counts.most_common():
        print(f"{kind:12} {n}")
    print("refused:", *(f"{n:6} {text}" for text, n in refused.most_common(20) if n), sep="\n")
    print("never called:", *sorted(FUNCTIONS.keys() - called))


if __name__ == "__main__":
    main()
