"""Check derivatives against finite differences."""

import itertools
from collections.abc import Callable, Sequence
from typing import NoReturn

import numpy as np
from numpy.typing import ArrayLike

from .autograd import Tensor, grad
from .utils import positive_int

TOLERANCE = 1e-6  # relative to the sum of |gᵢ·vᵢ| over all elements, or to 1 if it is below 1
Function = Callable[..., Tensor]
Arrays = Sequence[np.ndarray]


class GradcheckError(ArithmeticError):
    """A derivative disagrees with finite differences, or does not exist because of a kink."""


def gradcheck(f: Function, *inputs: Tensor | ArrayLike, order: int = 1, eps: float = 1e-5) -> bool:
    """Compare derivatives with central differences; return True or raise GradcheckError.

        ⟨u, J·v⟩ ≈ (φ(x + ε·v) − φ(x − ε·v)) / 2ε,    φ(x) = ⟨u, f(x)⟩,    u, v random

    f: takes tensors and returns one.
    inputs: the point x; arrays or tensors, converted to float64.
    order: 2 also checks the derivative of ⟨u, J·v⟩, and so on for higher orders.
    eps: ε, the step of the differences.

    One random direction v checks all elements at once. If that fails, gradcheck checks element by
    element; the error names the input, the element and both numbers. If the slopes to the left and
    to the right differ, the error reports a kink. PyTorch's gradcheck compares the whole Jacobian.

    >>> gradcheck(lambda x, y: np.sin(x) * y, np.ones(3), [[2.0], [3.0]], order=2)
    True
    >>> gradcheck(np.abs, np.array([1.0, 0.0]))
    Traceback (most recent call last):
    minigrad.gradcheck.GradcheckError: gradcheck: a kink at output (1,), input 0, element (1,): \
the slope is -1 to the left and 1 to the right, the derivative is 0. Check beside the kink
    """
    positive_int("gradcheck: order", order)
    rng = np.random.default_rng(0)
    x = [np.array(getattr(value, "data", value), np.float64) for value in inputs]
    for nth in range(1, order + 1):
        out = f(*map(Tensor, x))
        if not isinstance(out, Tensor):
            raise TypeError(f"gradcheck: f must return a Tensor, received {type(out).__name__}")
        if not np.all(np.isfinite(out)):
            which = "f" if nth == 1 else f"the derivative of order {nth - 1}"
            raise GradcheckError(f"gradcheck: {which} is not finite at these inputs")
        phi = inner_product(f, random_direction(rng, out.shape))
        v = [random_direction(rng, value.shape) for value in x]
        if not agrees(phi, x, v, eps):
            locate_failure(f, x, out.shape, eps, nth)
        f = directional_derivative(phi, v)
    return True


def random_direction(rng: np.random.Generator, shape: tuple) -> np.ndarray:
    """Draw numbers with |v| from 0.5 to 1.5 and random signs. A v near 0 would hide an error."""
    return rng.choice([-1.0, 1.0], shape) * rng.uniform(0.5, 1.5, shape)


def inner_product(f: Function, u: np.ndarray) -> Function:
    """Return φ(x) = ⟨u, f(x)⟩ as a function of x."""
    return lambda *x: np.sum(f(*x) * u)


def directional_derivative(phi: Function, v: Arrays) -> Function:
    """Return ⟨∇φ(x), v⟩ as a function of x."""
    return lambda *x: sum(np.sum(g * d) for g, d in zip(gradients(phi, x), v))


def gradients(phi: Function, x: Sequence[Tensor]) -> list[Tensor]:
    """Return ∇φ(x) as tensors that can be differentiated again."""
    leaves = [value if value.requires_grad else Tensor(value, requires_grad=True) for value in x]
    out = phi(*leaves)
    if not out.requires_grad:
        return [Tensor(np.zeros(value.shape)) for value in x]
    return grad(out, leaves, create_graph=True)


def one_sided_slopes(phi: Function, x: Arrays, v: Arrays, eps: float) -> tuple[float, float]:
    """Return (φ(x) − φ(x − ε·v)) / ε and (φ(x + ε·v) − φ(x)) / ε."""
    points = [[value + step * d for value, d in zip(x, v)] for step in (-eps, 0, eps)]
    left, here, right = (phi(*map(Tensor, point)).item() for point in points)
    return (here - left) / eps, (right - here) / eps


def agrees(phi: Function, x: Arrays, v: Arrays, eps: float) -> bool:
    """Return whether φ is smooth along v and its slope is ⟨∇φ(x), v⟩."""
    left, right = one_sided_slopes(phi, x, v, eps)
    products = [g.data * d for g, d in zip(gradients(phi, list(map(Tensor, x))), v)]
    slope = sum(np.sum(product) for product in products)
    scale = max(1, float(sum(np.sum(np.abs(product)) for product in products)))
    smooth = abs(right - left) <= 1e-2 * scale
    return bool(smooth and abs((left + right) / 2 - slope) <= TOLERANCE * scale)


def locate_failure(f: Function, x: Arrays, shape: tuple, eps: float, nth: int) -> NoReturn:
    """Check element by element, and raise GradcheckError for the first that disagrees."""
    for k, i in itertools.product(np.ndindex(shape), range(len(x))):
        u = np.zeros(shape)
        u[k] = 1
        phi = inner_product(f, u)
        g = gradients(phi, list(map(Tensor, x)))[i].data
        for element in np.ndindex(x[i].shape):
            v = [np.zeros(value.shape) for value in x]
            v[i][element] = 1
            if not agrees(phi, x, v, eps):
                where = f"at output {k}, input {i}, element {element}"
                where += f", in the derivative of order {nth}" if nth > 1 else ""
                raise make_error(where, g[element].item(), phi, x, v, eps)
    problem = "the derivative disagrees with finite differences in a random direction"
    raise GradcheckError(f"gradcheck: {problem}, but in no single element; try another eps")


def make_error(where: str, slope: float, phi: Function, x: Arrays, v: Arrays,
               eps: float) -> GradcheckError:  # fmt: skip
    """Make the error for a derivative `slope` that disagrees: it is wrong, or there is a kink."""
    left, right = one_sided_slopes(phi, x, v, eps)
    left_nearer, right_nearer = one_sided_slopes(phi, x, v, eps / 10)
    # a tenth of the step makes right − left ten times smaller, unless there is a kink
    if abs(right_nearer - left_nearer) > abs(right - left) / 2 > 1e-3:
        slopes = f"the slope is {left:.6g} to the left and {right:.6g} to the right"
        advice = f"the derivative is {slope:.6g}. Check beside the kink"
        return GradcheckError(f"gradcheck: a kink {where}: {slopes}, {advice}")
    numbers = f"the derivative is {slope:.9g}, finite differences give {(left + right) / 2:.9g}"
    return GradcheckError(f"gradcheck: a wrong derivative {where}: {numbers}")
