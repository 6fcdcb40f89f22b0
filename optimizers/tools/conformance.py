"""Check that an optimizer satisfies the base class's contract: run this on yours.

>>> conformance("sgd")
{}
"""

import itertools
import json
import re
import warnings
from collections.abc import Callable, Iterable
from copy import deepcopy
from functools import partial
from typing import Any

import numpy as np

from .. import optimizer as base
from ..hyperparameters import CHOICES
from ..optimizer import Optimizer
from ..parameters import Parameter
from ..registry import find, get
from ..schedules import CosineDecay
from ..tracing import Refusal


class ConformanceError(Exception):
    """A failed check: what is required, what was received, what to do."""


def conformance(name: str, checks: Iterable[str] | None = None) -> dict[str, str]:
    """Run checks on a registered optimizer, by default all CHECKS; return {check: failure}.

    Every exception is a failure, and inside a check every warning is an error. Raises ValueError
    if no optimizer has this name.
    """
    failures = {}
    find(name)
    for check in CHECKS if checks is None else checks:
        try:
            with warnings.catch_warnings(action="error"):
                CHECKS[check](name)
        except ConformanceError as error:
            failures[check] = f"{name}: {error}"
        except Exception as error:  # an optimizer under test can raise anything
            failures[check] = f"{name}: unexpected {type(error).__name__}: {error}"
    return failures


def report(names: Iterable[str]) -> int:
    """Print one line for each optimizer and check; return 1 if a check failed, else 0."""
    status = 0
    for name in names:
        failures = conformance(name)
        for check in CHECKS:
            print(f"{check}: {failures.get(check, f'{name}: ok')}")
        status = 1 if failures else status
    return status


def require(condition: Any, problem: str) -> None:
    if not condition:
        raise ConformanceError(problem)


def require_error(error: type[Exception], pattern: str, what: str, call: Callable[[], Any]) -> None:
    try:
        call()
    except error as raised:
        problem = f"{what} must raise {error.__name__} with {pattern!r} in the message"
        require(re.search(pattern, str(raised)), f"{problem}; received {str(raised)!r}")
    else:
        raise ConformanceError(f"{what} must raise {error.__name__}; it was accepted")


def require_equal(a: dict[str, np.ndarray], b: dict[str, np.ndarray], problem: str) -> None:
    same = (np.array_equal(a[k], b[k]) and a[k].dtype == b[k].dtype for k in a)
    require(a.keys() == b.keys() and all(same), problem)


def require_descent(name: str, start: Any, loss: Callable, fraction: float) -> None:
    """Require that the loss falls to a fraction of its first value, with the best of eight lrs."""
    first = lowest = loss(np.array(start))[0]
    for lr in (10.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001):
        w = Parameter(np.array(start))
        optimizer = get(name, [w], lr=lr, on_nonfinite="skip")
        with np.errstate(all="ignore"):
            for _ in range(400):
                w.grad = loss(w.data)[1]
                optimizer.step()
                lowest = np.fmin(lowest, loss(w.data)[0])
    problem = f"400 steps must bring the loss from {first:.3g} below {fraction * first:.3g}"
    require(lowest < fraction * first, f"{problem}; received {lowest:.3g}; check the sign of u")


def make(name: str, dtype: Any = float, **hyper: Any) -> Optimizer:
    """Return the optimizer of that name, bound to three arrays in two groups."""
    rng = np.random.default_rng(0)
    shapes = {"scalar": (), "vector": (3,), "matrix": (2, 4)}
    w = [(n, Parameter(np.array(rng.standard_normal(s), dtype))) for n, s in shapes.items()]
    return get(name, [{"params": w[:1], "lr": CosineDecay(0.1, 9)}, {"params": w[1:]}], **hyper)


def arrays(optimizer: Optimizer, prefix: str = "") -> dict[str, np.ndarray]:
    """Return the weights and slots whose names start with the prefix."""
    slots = {f"{n}/{k}": a for n, slots in optimizer.slots.items() for k, a in slots.items()}
    every = {n: p.data for n, p in optimizer.parameters.items()} | slots
    return {n: a for n, a in every.items() if n.startswith(prefix)}


def take_steps(optimizer: Optimizer, n: int, scale: float = 1.0) -> dict[str, np.ndarray]:
    """Take n steps, with gradients that depend only on the step number; return the arrays."""
    for _ in range(n):
        rng = np.random.default_rng(optimizer.steps)
        for p in optimizer.parameters.values():
            p.grad = np.array(scale * rng.standard_normal(p.data.shape), p.data.dtype)
        optimizer.step()
    return arrays(optimizer)


def check_descends_on_a_quadratic(name: str) -> None:
    a = np.array([0.2, 4.0])
    require_descent(name, [-5.0, -2.0], lambda w: (a @ w**2 / 2, a * w), 0.05)


def check_descends_on_rosenbrock(name: str) -> None:
    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        a, b = 1 - w[0], w[1] - w[0] ** 2
        return a**2 + 100 * b**2, np.array([-2 * a - 400 * b * w[0], 200 * b])

    require_descent(name, [-1.5, 2.0], loss, 0.5)


def check_hyperparameters_are_validated(name: str) -> None:
    cls: Any = find(name)
    unknown = "no hyperparameter 'learning_rate'.*lr"
    require_error(TypeError, "positional", "lr without its keyword", lambda: cls(None, 0.1))
    require_error(TypeError, unknown, "learning_rate=0.1", lambda: cls(learning_rate=0.1))
    for h, default in cls.defaults.items():
        wrong = "nonsense" if h in CHOICES or isinstance(default, bool) else float("nan")
        optimizer, what = make(name), f"{h}={wrong!r}"
        before = repr(optimizer)
        require_error(ValueError, h, what, partial(make, name, **{h: wrong}))
        require_error(ValueError, h, f"assigning {what}", partial(setattr, optimizer, h, wrong))
        require(repr(optimizer) == before, f"after refusing {what} nothing must have changed")


def check_repr_recreates_the_optimizer(name: str) -> None:
    cls = find(name)
    text = repr(cls(lr=0.125, weight_decay=0.5))
    again = eval(text, {cls.__name__: cls})
    same = (repr(again), again.lr, again.weight_decay) == (text, 0.125, 0.5) and "\n" not in text
    require(same, f"repr must be one line that recreates the optimizer; received {text!r}")


def check_resumes_bit_for_bit(name: str) -> None:
    optimizer = make(name, lr=CosineDecay(0.01, 7), weight_decay=0.01)
    resumed = make(name)
    take_steps(optimizer, 3)
    for n, p in resumed.parameters.items():
        p.data[...] = optimizer.parameters[n].data
    state = optimizer.state_dict()
    slots = state.pop("slots")
    resumed.load_state_dict(json.loads(json.dumps(state)) | {"slots": slots})
    problem = "a resumed optimizer must repeat every bit; keep all state in slots"
    require_equal(take_steps(optimizer, 4), take_steps(resumed, 4), problem)


def _check_dtype(dtype: Any, name: str) -> None:
    optimizer = make(name, dtype, weight_decay=0.01)
    before = arrays(optimizer)
    take_steps(optimizer, 3)
    same = all(p.data is before[n] for n, p in optimizer.parameters.items())
    require(same, "a step must write into the arrays of the weights, not replace them")
    g, slots = np.ones((2, 4), dtype), optimizer.slots["matrix"]
    h = optimizer.hyperparameters_at_step(optimizer.groups[0]) | {"t": 4}
    required = {k: h[k] for k in optimizer.required_hyperparameters["direction"]}
    u = optimizer.direction(g, slots, **required)
    for what, a in {"u": u, **{k: a for k, a in slots.items() if a.shape}}.items():
        problem = f"{what} must have g's dtype and shape, {g.dtype} and {g.shape}"
        problem += f"; received {a.dtype} and {a.shape}; use Python numbers, no NumPy scalars"
        require((a.dtype, a.shape) == (g.dtype, g.shape), problem)


check_keeps_float32 = partial(_check_dtype, np.float32)
check_keeps_float64 = partial(_check_dtype, np.float64)


def check_never_writes_into_a_gradient(name: str) -> None:
    g = np.array([1.0, -2.0, 0.0])
    g.flags.writeable = False
    optimizer = get(name, [Parameter(np.ones(3), g)])
    problem = "direction wrote into the gradient; write g * 0.5 instead of g *= 0.5"
    try:
        optimizer.step()
        optimizer.step()
    except ValueError as error:
        require("read-only" not in str(error), problem)
        raise


def check_no_two_arrays_share_memory(name: str) -> None:
    optimizer = make(name, momentum=0.5)
    named = take_steps(optimizer, 2)
    named |= {f"{n}.grad": p.grad for n, p in optimizer.parameters.items()}
    for (m, a), (n, b) in itertools.combinations(named.items(), 2):
        require(not np.shares_memory(a, b), f"{m} and {n} must not share memory; store a copy")


def check_zero_gradients(name: str) -> None:
    finite = all(np.isfinite(a).all() for a in take_steps(make(name), 3, scale=0.0).values())
    require(finite, "zero gradients must leave all arrays finite; add eps to the denominator")


def check_parameter_without_gradient(name: str) -> None:
    optimizer = make(name)
    take_steps(optimizer, 2)
    optimizer.parameters["vector"].grad = None
    before = deepcopy(arrays(optimizer, "vector"))
    optimizer.step()
    problem = "a parameter without a gradient, and its slots, must stay unchanged"
    require_equal(before, arrays(optimizer, "vector"), problem)
    counts = [*optimizer.updates.values()]
    require(counts == [3, 2, 3], f"updates must count steps with a gradient; received {counts}")


def check_same_steps_give_the_same_bits(name: str) -> None:
    problem = "equal steps must give equal bits; use no randomness and no global state"
    require_equal(take_steps(make(name), 3), take_steps(make(name), 3), problem)


def check_large_arrays(name: str) -> None:
    """Check that updating a large array block by block does not change the result."""
    if not find(name).elementwise:
        return
    g = np.sin(np.arange(base.BLOCK + 5, dtype=float))
    large, tail = Parameter(np.ones(g.size), g), Parameter(np.ones(7), g[-7:].copy())
    optimizer = get(name, [large, tail], momentum=0.5)
    optimizer.step()
    optimizer.step()
    same = np.array_equal(large.data[-7:], tail.data)
    require(same, "blocks of an array must give the same bits; set elementwise = False")


def check_compiled_steps_have_the_same_bits(name: str) -> None:
    """Check this where numba is installed, for rules that can be compiled."""
    for dtype in (np.float32, np.float64):
        plain, compiled = (make(name, dtype, momentum=0.5, weight_decay=0.01) for _ in range(2))
        try:
            compiled.compile()
        except (ImportError, Refusal):
            return
        problem = "compile() changed bits; let direction depend on nothing but its arguments"
        require_equal(take_steps(plain, 3), take_steps(compiled, 3), problem)


CHECKS: dict[str, Callable[[str], None]] = {
    key.removeprefix("check_"): value for key, value in globals().items() if key[:6] == "check_"
}
