"""Derivatives as functions: grad, jacobian, hessian, Hessian-vector products, largest curvature.

Sorted by difficulty. Each is built from grad, and grad from the backward pass.
"""

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .tensor import Node, Tensor, backward_pass, grad_key

TensorOrList: TypeAlias = Any  # one for one input, a list for a list of inputs
ArrayOrList: TypeAlias = Any


def grad(
    output: Tensor,
    inputs: Tensor | Sequence[Tensor],
    gradient: npt.ArrayLike | Tensor | None = None,
    create_graph: bool = False,
    retain_graph: bool | None = None,
) -> TensorOrList:
    """Return ∂output/∂input for each of `inputs`, as tensors; leave `.grad` unchanged.

    inputs: a tensor, or a list of tensors; then the result is a list.
    gradient: ∂(final result)/∂output, of output's shape; 1 for a scalar.
    create_graph: record the gradient itself, so that it can be differentiated again.
    retain_graph: keep the graph for another backward pass; the default is create_graph.

    An input that `output` does not depend on has the gradient 0; PyTorch raises an error instead.
    Raises ValueError for an input that does not require a gradient.

    >>> x = Tensor(3.0, requires_grad=True)
    >>> first = grad(x**3, x, create_graph=True)
    >>> first, grad(first, x)
    (Tensor(27., requires_grad=True), Tensor(18.))
    """
    if not isinstance(output, Tensor):
        raise TypeError(f"grad: output must be a Tensor, received {output!r:.60}")
    is_single = isinstance(inputs, Tensor) or not hasattr(inputs, "__iter__")
    xs: list[Any] = [inputs] if is_single else list(inputs)
    for i, x in enumerate(xs):
        if not isinstance(x, Tensor) or not x.requires_grad:
            required = "every input must be a Tensor that requires a gradient"
            raise ValueError(f"grad: {required}; input {i} is {x!r:.60}")
    retain = create_graph if retain_graph is None else retain_graph
    keys = {grad_key(x) for x in xs}
    grads = backward_pass(
        output, gradient, retain, create_graph, wanted=keys, subgraph=subgraph_to(keys, output)
    )
    results = []
    for x in xs:
        gx = grads.get(grad_key(x))
        if gx is None:
            gx = np.zeros_like(x.data)
        elif not create_graph:
            gx = gx.copy()  # gradients of intermediates can share memory
        results.append(gx if isinstance(gx, Tensor) else Tensor(gx))
    return results[0] if is_single else results


def subgraph_to(keys: set, output: Tensor) -> set:
    """Return the keys and all nodes between them and `output`: only these need a gradient."""
    subgraph = set(keys)
    for result in computed_tensors(output):  # operands before results
        if any(grad_key(x) in subgraph for x in result.node.operands_that_need_grad()):
            subgraph.add(result.node)
    return subgraph


def computed_tensors(output: Tensor) -> list[Any]:
    """Return the result of each node, oldest first; its node if the graph does not keep it."""
    found: dict[Node, Any] = {}
    waiting: list[Any] = [output]
    while waiting:
        x = waiting.pop()
        if x.node and x.node not in found:
            found[x.node] = x
            waiting += x.node.operands_that_need_grad()
    return sorted(found.values(), key=lambda x: x.node.order)


def jacobian(output: Tensor, input: Tensor, create_graph: bool = False) -> Tensor:
    """Return J[i, j] = ∂output[i] / ∂input[j], of shape (*output.shape, *input.shape).

    Costs one backward pass for each element of `output`.

    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> jacobian(x**2, x)
    Tensor([[2., 0.],
            [0., 4.]])
    """
    if not (isinstance(output, Tensor) and isinstance(input, Tensor)):
        raise TypeError("jacobian: output and input must be tensors")
    rows = []
    for i in np.ndindex(output.shape) if output.requires_grad else ():
        one_hot = np.zeros(output.shape, output.dtype)
        one_hot[i] = 1
        rows.append(grad(output, input, one_hot, create_graph, retain_graph=True))
    shape = output.shape + input.shape
    stacked: Any = np.stack(rows) if rows else Tensor(np.zeros(shape, input.dtype))
    return stacked.reshape(shape)


def hessian(output: Tensor, input: Tensor) -> Tensor:
    """Return H[i, j] = ∂²f / ∂x[i] ∂x[j] of a scalar f, of shape (*input.shape, *input.shape).

    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> hessian(x[0] ** 2 * x[1], x)
    Tensor([[4., 2.],
            [2., 0.]])
    """
    return jacobian(grad(output, input, create_graph=True), input)


def hessian_vector_product(
    output: Tensor, inputs: Tensor | Sequence[Tensor], vectors: ArrayOrList
) -> ArrayOrList:
    """Return H v, the gradient of ⟨∇f, v⟩, of a scalar f. H itself is never formed.

    inputs, vectors: a tensor and an array of its shape, or a list of each. The result has the form
    of `vectors`. A product costs about two gradients (Pearlmutter 1994).
    The graph of `output` is kept, so that more products can follow.

    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> hessian_vector_product(np.sum(x**3), x, [1.0, 1.0])
    array([ 6., 12.], dtype=float32)
    """
    if isinstance(inputs, Tensor):
        return hessian_vector_product(output, [inputs], [vectors])[0]
    xs, vs = list(inputs), list(vectors)
    shapes, received = [x.shape for x in xs], [np.shape(v) for v in vs]
    if shapes != received:
        required = f"vectors must have the shapes of the inputs, {shapes}"
        raise ValueError(f"hessian_vector_product: {required}; received {received}")
    return gradient_of_inner_product(grad(output, xs, create_graph=True), xs, vs)


def gradient_of_inner_product(gs: list[Tensor], xs: list[Tensor], vs: list) -> list[np.ndarray]:
    """Return ∂⟨gs, vs⟩/∂x for each x of xs."""
    inner_product = Tensor(0.0)
    for g, v in zip(gs, vs):
        inner_product = inner_product + np.sum(g * np.asarray(v, g.dtype))
    if not inner_product.requires_grad:  # the gradient of a linear function is constant
        return [np.zeros_like(x.data) for x in xs]
    return [h.data for h in grad(inner_product, xs, retain_graph=True)]


def largest_curvature(
    loss: Tensor,
    parameters: Tensor | Sequence[Tensor],
    steps: int = 1000,
    tol: float = 1e-6,
    seed: int = 0,
) -> float:
    """Return the eigenvalue of the loss's Hessian with the largest |λ|, by power iteration.

        v ← H v / ‖H v‖,    |λ| = ‖H v‖, with the sign of ⟨v, H v⟩

    Gradient descent near a minimum is stable for lr < 2/λ. The iteration stops when λ changes by
    less than tol·|λ|, or after `steps` steps; then the last λ is returned.

    >>> x = Tensor([1.0, 1.0], requires_grad=True)
    >>> round(largest_curvature(0.1 * x[0] ** 2 + 2 * x[1] ** 2, [x]), 4)
    4.0
    """
    xs = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    rng = np.random.default_rng(seed)
    gs = grad(loss, xs, create_graph=True)
    hv = [rng.standard_normal(x.shape) for x in xs]
    curvature = 0.0
    for _ in range(steps):
        length = math.sqrt(sum(np.vdot(part, part) for part in hv))
        if length == 0:
            return 0.0
        v = [part / length for part in hv]
        hv = [h.astype(np.float64) for h in gradient_of_inner_product(gs, xs, v)]
        size = math.sqrt(sum(np.vdot(part, part) for part in hv))
        previous, curvature = curvature, math.copysign(size, sum(map(np.vdot, v, hv)))
        if abs(curvature - previous) <= tol * size:
            break
    return curvature
