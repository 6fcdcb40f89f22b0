"""Second derivatives as short functions over grad, and the largest learning rate they allow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from .tensor import Tensor, grad


def hessian_vector_product(output: Tensor, inputs: Any, vectors: Any) -> Any:
    """H v, the derivative of ⟨∇f, v⟩, for a scalar f: the cost of a gradient, H is never formed.

    inputs, vectors: a tensor and an array of its shape, or a list of each. Returns arrays alike.
    The graph of `output` is kept, so that more products can follow (Pearlmutter 1994).

    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> hessian_vector_product(np.sum(x**3), x, [1.0, 1.0])
    array([ 6., 12.], dtype=float32)
    """
    single = isinstance(inputs, Tensor)
    inputs, vectors = ([inputs], [vectors]) if single else (list(inputs), list(vectors))
    shapes, received = [x.shape for x in inputs], [np.shape(v) for v in vectors]
    if shapes != received:
        raise ValueError(
            f"hessian_vector_product: vectors of the inputs' shapes {shapes} are required, "
            f"received {received}"
        )
    gradients = grad(output, inputs, create_graph=True)
    products = curve(gradients, inputs, vectors)
    return products[0] if single else products


def curve(gradients: list[Tensor], inputs: Sequence[Tensor], vectors: Sequence) -> list[np.ndarray]:
    """The derivatives of ⟨gradients, vectors⟩."""
    slope = Tensor(0.0)
    for g, v in zip(gradients, vectors):
        slope = slope + np.sum(g * np.asarray(v, g.dtype))
    if not slope.requires_grad:  # a linear function has no curvature
        return [np.zeros_like(x.data) for x in inputs]
    return [h.data for h in grad(slope, inputs, retain_graph=True)]


def jacobian(output: Tensor, input: Tensor, create_graph: bool = False) -> Tensor:
    """J[i, j] = ∂output[i] / ∂input[j], of shape (*output.shape, *input.shape), row by row.

    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> jacobian(x**2, x)
    Tensor([[2., 0.],
            [0., 4.]])
    """
    if not (isinstance(output, Tensor) and isinstance(input, Tensor)):
        raise TypeError(
            "jacobian: output and input must be tensors; what was computed, and from what"
        )
    rows: list[Any] = []
    for i in np.ndindex(output.shape) if output.requires_grad else ():
        unit = np.zeros(output.shape, output.dtype)
        unit[i] = 1
        rows.append(grad(output, input, unit, create_graph, retain_graph=True))
    shape = output.shape + input.shape
    joined: Any = np.stack(rows) if rows else Tensor(np.zeros(shape, input.dtype))
    return joined.reshape(shape)


def hessian(output: Tensor, input: Tensor) -> Tensor:
    """H[i, j] = ∂²f / ∂x[i] ∂x[j] for a scalar f, of shape (*input.shape, *input.shape).

    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> hessian(x[0] ** 2 * x[1], x)
    Tensor([[4., 2.],
            [2., 0.]])
    """
    return jacobian(grad(output, input, create_graph=True), input)


def largest_curvature(
    loss: Tensor, parameters: Sequence[Tensor], steps: int = 1000, tol: float = 1e-6, seed: int = 0
) -> float:
    """The eigenvalue of the loss's Hessian that is largest in size, by power iteration.

        v ← H v / ‖H v‖,    |λ| = ‖H v‖, with the sign of ⟨v, H v⟩

    Gradient descent near a minimum is stable up to lr = 2/λ. Stops when λ changes by less than
    tol·|λ| from one step to the next, or after so many steps (then the last λ is returned).

    >>> x = Tensor([1.0, 1.0], requires_grad=True)
    >>> round(largest_curvature(0.1 * x[0] ** 2 + 2 * x[1] ** 2, [x]), 4)
    4.0
    """
    parameters = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    rng = np.random.default_rng(seed)
    gradients = grad(loss, parameters, create_graph=True)
    product = [rng.standard_normal(x.shape) for x in parameters]
    curvature = 0.0
    for _ in range(steps):
        length = np.sqrt(sum(np.vdot(part, part) for part in product))
        if length == 0:
            return 0.0
        v = [part / length for part in product]
        product = [h.astype(np.float64) for h in curve(gradients, parameters, v)]
        size = math.sqrt(sum(np.vdot(part, part) for part in product))
        before, curvature = curvature, math.copysign(size, sum(map(np.vdot, v, product)))
        if abs(curvature - before) <= tol * size:
            break
    return curvature
