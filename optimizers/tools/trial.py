"""Try an optimizer out: what the checks of conformance have in common."""

import contextlib
import os
from collections.abc import Callable, Iterator
from copy import deepcopy
from traceback import extract_tb
from typing import Any

import numpy as np

from ..parameters import Parameter
from ..schedules import CosineDecay

Make = Callable[..., Any]  # (params, **hyper) -> optimizer
Problems = Iterator[str]
Check = Callable[[Make], Problems]
Arrays = dict[str, np.ndarray]
FOLDERS = (os.path.dirname(os.path.dirname(__file__)), os.path.dirname(np.__file__))
OTHER_CODE = (*(folder + os.sep for folder in FOLDERS), contextlib.__file__, "<string>", "<__array")
SHAPES = {"scalar": (), "vector": (3,), "matrix": (2, 4), "tensor": (2, 1, 3, 2)}
STEPS = 8  # a rule can change its formula after some steps, as RAdam does


def make_bound(make: Make, dtype: Any = float, group: Any = None, **hyper: Any) -> Any:
    """Return an optimizer bound to four arrays, in two groups, or in one with these overrides."""
    rng = np.random.default_rng(0)
    w = [(n, Parameter(np.array(rng.standard_normal(s), dtype))) for n, s in SHAPES.items()]
    two = [{"params": w[:1], "lr": CosineDecay(0.1, 99)}, {"params": w[1:]}]
    return make(two if group is None else [{"params": w} | group], **hyper)


def legal_hyper(make: Make, **hyper: Any) -> dict[str, Any]:
    """Return those hyperparameters that do not contradict the optimizer's others."""
    optimizer = make(None)
    present = {name: getattr(optimizer, name) for name in optimizer.defaults}
    broken = {k: optimizer.contradictions(present | {k: v}).values() for k, v in hyper.items()}
    return {name: value for name, value in hyper.items() if not any(broken[name])}


def wrapper_chain(optimizer: Any) -> list[Any]:
    """Return the wrappers, from the outside in, and then the optimizer that they hold."""
    inner = vars(optimizer).get("inner")
    return [optimizer, *wrapper_chain(inner)] if hasattr(inner, "step") else [optimizer]


def random_gradient(w: np.ndarray, t: int) -> np.ndarray:
    """Return a gradient that depends on nothing but the step number and the size of w."""
    return np.random.default_rng([t, w.size]).standard_normal(w.shape)


def closure_of(
    optimizer: Any, gradient: Any = random_gradient, without: str = "", read_only: bool = False
) -> Callable[[], float]:
    """Return a closure that sets the gradients gradient(w, steps), and whose loss is 0.5."""

    def closure() -> float:
        for name, p in optimizer.parameters.items():
            g = np.array(gradient(p.data, optimizer.steps), p.data.dtype)
            g.flags.writeable = not read_only
            p.grad = None if name == without else g
        return 0.5

    return closure


def step(optimizer: Any, closure: Callable[[], float]) -> None:
    if optimizer.needs_closure:
        optimizer.step(closure)
    else:
        closure()
        optimizer.step()


def take_steps(n: int, *optimizers: Any, **options: Any) -> None:
    for optimizer in optimizers:
        for _ in range(n):
            step(optimizer, closure_of(optimizer, **options))


def weights(optimizer: Any) -> Arrays:
    return {n: p.data for n, p in optimizer.parameters.items()}


def flat_slots(optimizer: Any) -> Arrays:
    return {f"{n}/{k}": a for n, own in optimizer.slots.items() for k, a in own.items()}


def difference(a: Arrays, b: Arrays) -> str:
    """Return the names of some arrays that are not the same in a and b, "" if all are."""
    both = a.keys() & b.keys()
    same = {n for n in both if a[n].dtype == b[n].dtype}
    same = {n for n in same if np.array_equal(a[n], b[n], equal_nan=True)}
    return ", ".join([n for n in a | b if n not in same][:3])


def state_difference(one: Any, other: Any) -> str:
    """Return the names of some weights, slots or weights for evaluation that are not the same."""
    states = []
    for optimizer in (one, other):
        states.append(deepcopy(weights(optimizer)) | flat_slots(optimizer))
        with optimizer.evaluating():
            for name, w in weights(optimizer).items():
                states[-1][f"{name} for evaluation"] = w.copy()
    return difference(*states)


def intercept(optimizer: Any, call: Callable[..., Any]) -> None:
    """Replace direction(g, slots, **h) by call(direction, g, slots, h)."""
    rule = wrapper_chain(optimizer)[-1]
    direction = rule.direction
    vars(rule)["direction"] = lambda g, slots, **h: call(direction, g, slots, h)


def error_location(error: BaseException) -> str:
    """Return the function, file and line of the rule that raised the error, if it is known."""
    for line in reversed(extract_tb(error.__traceback__)):
        if not line.filename.startswith(OTHER_CODE):
            return f" in {line.name} ({line.filename}, line {line.lineno})"
    return ""
