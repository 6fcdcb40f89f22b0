"""Check derivatives against finite differences."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from .autograd import Tensor, grad

TOLERANCE = 1e-6  # of what is compared, relative to the larger of 1 and the numbers summed up


class GradcheckError(ArithmeticError):
    """A derivative and the differences disagree, or there is no derivative: a kink."""


def gradcheck(f: Callable, *inputs: Any, order: int = 1, eps: float = 1e-5) -> bool:
    """Compare the derivatives of f at `inputs` with central differences; True, or GradcheckError.

        ⟨u, J v⟩ ≈ (φ(x + εv) − φ(x − εv)) / 2ε,    φ(x) = ⟨u, f(x)⟩,    u, v random

    f takes tensors and returns one; the inputs are arrays or tensors, checked in float64.
    One random direction serves for all elements at once; only where it fails are they gone
    through one by one, and the error names the input, the element and both numbers. Where the
    slopes to the left and to the right differ, it says that this is a kink.
    order=2 goes on to check the derivative of ⟨u, J v⟩, and so forth. PyTorch's gradcheck
    differs: it compares the whole Jacobian, element by element.

    >>> gradcheck(lambda x, y: np.sin(x) * y, np.ones(3), [[2.0], [3.0]], order=2)
    True
    >>> gradcheck(np.abs, np.array([1.0, 0.0]))
    Traceback (most recent call last):
    minigrad.gradcheck.GradcheckError: gradcheck: a kink, in output (1,) by input 0 at element \
(1,): the slope is -1 to the left and 1 to the right, ours is 0. Check it beside the kink
    """
    if not (isinstance(order, int) and order >= 1):
        raise ValueError(f"gradcheck: order must be 1 or more, received {order!r}")
    rng = np.random.default_rng(0)
    points = [np.array(getattr(x, "data", x), np.float64) for x in inputs]
    for nth in range(1, order + 1):
        out = f(*map(Tensor, points))
        if not isinstance(out, Tensor):
            raise TypeError(f"gradcheck: f must return a Tensor, not {type(out).__name__}")
        if not np.all(np.isfinite(out)):
            raise GradcheckError("gradcheck: f is not finite at these inputs, or its derivative")
        phi = weighted(f, draw(rng, out.shape))
        directions = [draw(rng, x.shape) for x in points]
        if not agrees(phi, points, directions, eps):
            locate_failure(f, points, out.shape, eps, nth)
        f = along(phi, directions)
    return True


def draw(rng: np.random.Generator, shape: tuple) -> np.ndarray:
    """Numbers of both signs, none so near to 0 that it hides an element."""
    return rng.choice([-1.0, 1.0], shape) * rng.uniform(0.5, 1.5, shape)


def weighted(f: Callable, u: np.ndarray) -> Callable:
    """φ(x) = ⟨u, f(x)⟩"""
    return lambda *xs: np.sum(f(*xs) * u)


def along(phi: Callable, directions: list[np.ndarray]) -> Callable:
    """The slope of φ along the directions v, as a function of x: ⟨∇φ(x), v⟩"""
    return lambda *xs: sum(np.sum(g * v) for g, v in zip(slopes(phi, xs), directions))


def slopes(phi: Callable, xs: Any) -> list[Tensor]:
    """∇φ, differentiable itself."""
    leaves = [x if x.requires_grad else Tensor(x, requires_grad=True) for x in xs]
    out = phi(*leaves)
    if not out.requires_grad:
        return [Tensor(np.zeros(x.shape)) for x in xs]
    return grad(out, leaves, create_graph=True)


def one_sided(phi: Callable, points: list, directions: list, eps: float) -> tuple[float, float]:
    """The slopes of φ along the directions, to the left and to the right."""
    left, here, right = (
        phi(*(Tensor(x + step * v) for x, v in zip(points, directions))).item()
        for step in (-eps, 0, eps)
    )
    return (here - left) / eps, (right - here) / eps


def agrees(phi: Callable, points: list, directions: list, eps: float) -> bool:
    """Whether the differences along the directions are what the derivatives promise."""
    left, right = one_sided(phi, points, directions, eps)
    parts = [g.data * v for g, v in zip(slopes(phi, list(map(Tensor, points))), directions)]
    scale = max(1, float(sum(np.sum(np.abs(part)) for part in parts)))
    smooth = abs(right - left) <= 1e-2 * scale
    difference = abs((left + right) / 2 - sum(np.sum(part) for part in parts))
    return bool(smooth and difference <= TOLERANCE * scale)


def locate_failure(f: Callable, points: list, shape: tuple, eps: float, nth: int) -> None:
    """Find the elements that disagree, and raise what there is to say about them."""
    for k, i in itertools.product(np.ndindex(shape), range(len(points))):
        phi = weighted(f, unit(shape, k))
        ours = slopes(phi, list(map(Tensor, points)))[i]
        for element in np.ndindex(points[i].shape):
            directions = [np.zeros(x.shape) for x in points]
            directions[i] = unit(points[i].shape, element)
            if agrees(phi, points, directions, eps):
                continue
            left, right = one_sided(phi, points, directions, eps)
            nearer = one_sided(phi, points, directions, eps / 10)
            where = f"in output {k} by input {i} at element {element}"
            where += f", in the derivative of order {nth}" if nth > 1 else ""
            if abs(nearer[1] - nearer[0]) > abs(right - left) / 2 > 1e-3:  # if smooth, a tenth
                raise GradcheckError(
                    f"gradcheck: a kink, {where}: the slope is {left:.6g} to the left and "
                    f"{right:.6g} to the right, ours is {ours.data[element]:.6g}. "
                    "Check it beside the kink"
                )
            raise GradcheckError(
                f"gradcheck: a wrong derivative, {where}: ours is {ours.data[element]:.9g}, "
                f"the differences give {(left + right) / 2:.9g}"
            )
    raise GradcheckError("gradcheck: the derivatives disagree with the differences along a line")


def unit(shape: tuple, index: tuple) -> np.ndarray:
    """Zeros, and a 1 at the index."""
    array = np.zeros(shape)
    array[index] = 1
    return array
