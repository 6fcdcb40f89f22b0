"""The engine: arrays that record how they were made, so that gradients flow back.

Sorted by difficulty: Tensor, the backward pass, Node, Primitive; below the marker, which values a
node keeps.
"""

from __future__ import annotations

import heapq
import inspect
import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import update_wrapper
from typing import Any

import numpy as np
import numpy.typing as npt

from .array_methods import ArrayMethods
from .conversion import (
    FLOATS,
    ShapeDtype,
    check_dtype,
    coerce_lists,
    constant_options,
    to_array,
    to_float_array,
    unwrap,
)
from .dispatch import HANDLED_FUNCTIONS, dispatch
from .recording import anomaly_detector, is_recording, recording

creation_order = itertools.count()


class Tensor(ArrayMethods):
    """An array that takes part in differentiation; NumPy's functions and operators work on it.

    data: an array, an integer or a NumPy scalar keeps its dtype; a Python float or a list becomes
    float32.
    requires_grad: if True, `backward` fills `.grad`, an array of the same shape and dtype. The data
    are copied, because optimizers write into them.

    Raises TypeError for complex, object and float16 data, and for integers with requires_grad.

    >>> x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> np.sum(x**2).backward()
    >>> x.grad
    array([2., 4., 6.], dtype=float32)

    As in PyTorch, `.grad` adds up over calls of `backward`. Unlike there, functions are NumPy's.
    """

    __slots__ = ("data", "grad", "requires_grad", "node", "__weakref__")

    def __init__(self, data: npt.ArrayLike | ArrayMethods, requires_grad: bool = False):
        array = to_array("Tensor", data, requires_grad)
        self.data: np.ndarray = array.copy() if requires_grad else array
        self.grad: np.ndarray | None = None
        self.requires_grad = requires_grad
        self.node: Node | None = None  # the operation that computed it; None for a leaf

    def backward(
        self, gradient: npt.ArrayLike | ArrayMethods | None = None, retain_graph: bool = False
    ) -> None:
        """Add ∂(final result)/∂leaf to `.grad` of every leaf that this tensor depends on.

        gradient: ∂(final result)/∂(this tensor), of this tensor's shape. A scalar such as a loss
        needs none: it is the final result, and the gradient is 1.
        retain_graph: keep the graph for another backward pass. By default it is freed.
        """
        for leaf, g in backward_pass(self, gradient, retain_graph=retain_graph).items():
            leaf.grad = np.asarray(g if leaf.grad is None else leaf.grad + g)  # over several calls

    def detach(self) -> Tensor:
        """Share the array, drop the graph."""
        return Tensor(self.data)

    # NumPy calls these two when one of its functions receives a tensor. `dispatch` finds our
    # Primitive for the function in HANDLED_FUNCTIONS, the table of numpy_vjps.py, and calls it.

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *operands: Any, **options: Any) -> Any:
        return dispatch(ufunc, operands, options, method)

    def __array_function__(self, function: Callable, types: Any, args: Any, kwargs: Any) -> Any:
        return dispatch(function, args, kwargs)

    def __getitem__(self, index: Any) -> Tensor:
        return HANDLED_FUNCTIONS["getitem"](self, index)

    def astype(self, dtype: npt.DTypeLike) -> Tensor:
        """Convert to another dtype; the gradient is converted back."""
        return HANDLED_FUNCTIONS["astype"](self, dtype=dtype)

    def __reduce__(self) -> tuple:
        """Copy and pickle the values; the copy of a recorded tensor is a constant."""
        if self.node is None:
            return make_leaf, (self.data, self.requires_grad, self.grad)
        return make_leaf, (self.data, False, None)


# ---- The backward pass ----


def backward_pass(
    output: Tensor,
    gradient: Any = None,
    retain_graph: bool = False,
    create_graph: bool = False,
    retained: Collection = (),
    subgraph: Collection | None = None,
) -> dict[Any, Any]:
    """Return {x: ∂(final result)/∂x} for every leaf x; without `gradient`, output is the result.

    Visit the nodes from newest to oldest. The operations that use a result are newer than its
    node; they have all been visited before, so the gradient of the result is complete.

    create_graph: run the vjps on tensors and record them; otherwise they run on plain arrays.
    retained: return the gradients of these nodes, too. subgraph: visit only these nodes. Both
    serve `grad`, which computes the gradients of chosen tensors.
    """
    grads = {grad_key(output): initial_gradient(output, gradient, create_graph)}
    heap = [output.node] if output.node else []
    with recording(create_graph):
        while heap:
            node = heapq.heappop(heap)
            g = grads[node] if node in retained else grads.pop(node)
            for x, gx in node.operand_gradients(g, subgraph, create_graph):
                key = grad_key(x)
                if key in grads:
                    grads[key] = grads[key] + gx  # several operations use x
                    continue
                grads[key] = gx
                if x.node:
                    heapq.heappush(heap, x.node)
            if not retain_graph:
                node.free()
    return grads


def grad_key(x: Any) -> Any:
    """Return the key under which the gradients of x add up: its node, or x itself for a leaf."""
    return x if x.node is None else x.node


def initial_gradient(output: Tensor, gradient: Any, create_graph: bool) -> Any:
    """Return the gradient that the backward pass starts with; 1 by default."""
    if not output.requires_grad:
        raise ValueError(
            "backward: this tensor depends on nothing that requires a gradient, or it was computed "
            "under no_grad; create the parameters with Tensor(..., requires_grad=True)"
        )
    if gradient is None:
        if output.size != 1:
            raise ValueError(
                f"backward: a scalar such as a loss is required, received shape {output.shape}. "
                "Reduce it with np.sum or np.mean, or pass gradient=, an array of that shape"
            )
        one = np.ones(output.shape, output.dtype)
        return wrap(one) if create_graph else one
    array = to_float_array("backward", unwrap(gradient), output.dtype).copy()
    if array.shape != output.shape:
        raise ValueError(
            f"backward: gradient must have the shape {output.shape}, received {array.shape}"
        )
    if not create_graph:
        return array
    return gradient.astype(array.dtype) if isinstance(gradient, Tensor) else Tensor(array)


def unbroadcast(gx: Any, x: Any, node: Node) -> Any:
    """Sum a gradient over the axes along which x was broadcast, and give it x's dtype.

    In y + b with y (5, 3) and b (3,), b was used in 5 rows: its gradient is the sum over the rows.
    """
    if not isinstance(gx, (np.ndarray, Tensor)):
        gx = np.asarray(gx)
    if gx.shape != x.shape:
        added = gx.ndim - x.ndim
        fits = all(n in (1, m) for n, m in zip(x.shape, gx.shape[added:]))
        if added < 0 or not fits:
            raise ValueError(
                f"backward: {node.primitive.name} gave a gradient of shape {gx.shape} for an "
                f"operand of shape {x.shape}. Was its .data replaced after the forward pass?"
            )
        stretched = [added + i for i, n in enumerate(x.shape) if n == 1]
        gx = gx.sum(axis=(*range(added), *stretched)).reshape(x.shape)
    if gx.dtype == x.dtype:
        return gx
    check_dtype("backward", x, requires_grad=True)
    return gx.astype(x.dtype)


# ---- Recording ----


class Node:
    """One recorded operation: the primitive, its operands and options, and its result."""

    __slots__ = ("order", "primitive", "operands", "options", "needs_grad", "out")

    def __init__(
        self, primitive: Primitive, operands: Any, options: Any, needs_grad: tuple, out: Any
    ):
        self.order = next(creation_order)
        self.primitive, self.operands, self.options = primitive, operands, options
        self.needs_grad, self.out = needs_grad, out

    def __lt__(self, other: Node) -> bool:
        return self.order > other.order  # the heap of the backward pass gives the newest first

    def operand_gradients(self, g: Any, subgraph: Any, create_graph: bool) -> Iterator[Any]:
        """Yield (operand, its gradient) for each operand that needs one; g is the result's."""
        needed, detector = self.needed_vjps(), anomaly_detector.get()
        operands, out = self.saved_values(create_graph)
        for x, vjp in needed:
            if subgraph is not None and grad_key(x) not in subgraph:
                continue
            try:
                gx = unbroadcast(vjp(g, out, *operands, **self.options), x, self)
            except ValueError as error:
                error.add_note(f"This happened in the backward pass of {self.primitive.name}.")
                raise
            if detector:
                detector.backward(self, g, gx)
            if x.node is None and not create_graph and is_shared(gx, (g, out, *operands)):
                gx = gx.copy()  # `.grad` must own its memory; np.add passes the same g twice
            yield x, gx

    def needed_vjps(self) -> list[tuple[Any, Any]]:
        """Return (operand, vjp) for each operand that needs a gradient."""
        if self.operands is None:
            raise RuntimeError(
                "backward: the graph was already freed; recompute, or pass retain_graph=True first"
            )
        vjps = self.primitive.vjps
        return [(x, vjp) for x, vjp, needed in zip(self.operands, vjps, self.needs_grad) if needed]

    def saved_values(self, as_tensors: bool) -> tuple[Sequence, Any]:
        """Return the operands and the result in the form that the vjps need."""
        if not as_tensors:
            return [x.data if isinstance(x, Tensor) else x for x in self.operands], self.out
        if self.out is None:
            return self.operands, None
        out = wrap(self.out)
        out.requires_grad, out.node = True, self
        return self.operands, out

    def free(self) -> None:
        """Drop the references to operands and result, so that their memory can be freed."""
        self.operands = self.options = self.out = None


class Primitive:
    """A function on plain arrays with one vjp for each array operand, in order.

    A vjp (vector-Jacobian product) is written `vjp(g, out, *operands, **options)`. g is
    ∂(final result)/∂out; the vjp returns ∂(final result)/∂operand. Written in NumPy's functions, it
    is itself differentiable.

    A leading _ in an operand's name means: the vjp reads only its shape and dtype. The engine then
    does not keep its values in memory. `_out` means the same for the result.
    Use the decorator `primitive` to make a Primitive from a function of your own.
    """

    def __init__(self, forward: Callable, *vjps: Callable | None, name: str | None = None):
        update_wrapper(self, forward, ("__module__", "__doc__", "__qualname__"), ())
        self.forward, self.vjps = forward, vjps
        self.name = name or forward.__name__
        parameters = inspect.signature(vjps[0]).parameters.values() if vjps[0] else ()
        self.option_names = [p.name for p in parameters if p.default is not p.empty]
        self.unused: dict[tuple, tuple] = {}  # by needs_grad, see unused_operands

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"

    def __reduce__(self) -> str:
        return self.forward.__qualname__  # pickled by name, as a function is

    def __call__(self, *operands: Any, **options: Any) -> Any:
        """Run the function on the operands' arrays; record the call if a gradient needs it."""
        arrays, needs_grad, has_tensor = [], [], False
        for x in operands:
            if isinstance(x, Tensor):
                has_tensor = True
                arrays.append(x.data)
                needs_grad.append(x.requires_grad)
            elif type(x) is list or type(x) is tuple:
                return self(*coerce_lists(self.name, operands), **options)
            else:
                arrays.append(x)
                needs_grad.append(False)
        if options:
            options = constant_options(self.name, options)
        try:
            out = self.forward(*arrays, **options)
        except ValueError as error:
            shapes = " and ".join(str(np.shape(x)) for x in arrays)
            raise ValueError(f"{self.name} of shapes {shapes}: {error}") from error
        if not has_tensor:
            return out
        result = wrap(out)
        if result.data.dtype.char not in FLOATS:
            check_dtype(self.name, result.data)
        elif True in needs_grad and is_recording.get():
            result.requires_grad = True
            result.node = self.record(operands, options, tuple(needs_grad), result.data)
            if detector := anomaly_detector.get():
                detector.forward(result.node, arrays, result.data)
        return result

    def record(self, operands: tuple, options: dict, needs_grad: tuple, out: np.ndarray) -> Node:
        """Make the node of this call; keep only the values that the needed vjps read."""
        if needs_grad not in self.unused:
            self.unused[needs_grad] = (needs_grad, *unused_operands(self, needs_grad))
        needs_grad, unused, reads_out = self.unused[needs_grad]  # all nodes share one tuple
        if unused:
            kept = list(operands)
            for i in unused:
                x = operands[i]
                if isinstance(x, Tensor) and x.node:  # a leaf stays, to receive its gradient
                    kept[i] = ShapeDtype(x.data, x.node)
                elif isinstance(x, np.ndarray):
                    kept[i] = ShapeDtype(x, None)
            operands = tuple(kept)
        return Node(self, operands, options or NO_OPTIONS, needs_grad, out if reads_out else None)


def primitive(*vjps: Callable | None) -> Callable[[Callable], Primitive]:
    """Make a function on arrays differentiable, with one vjp for each array operand.

    >>> @primitive(lambda g, _out, x: g * 3 * x**2)
    ... def cube(x):
    ...     return x**3
    >>> x = Tensor(2.0, requires_grad=True)
    >>> cube(x).backward()
    >>> x.grad
    array(12., dtype=float32)

    See Primitive for how a vjp is written.
    """
    return lambda forward: Primitive(forward, *vjps)


def wrap(out: Any) -> Tensor:
    """Wrap a result, skipping validation."""
    result = Tensor.__new__(Tensor)
    result.data = out if isinstance(out, np.ndarray) else np.asarray(out)
    result.grad = result.node = None
    result.requires_grad = False
    return result


# ---- For advanced readers ----

NO_OPTIONS: dict[str, Any] = {}  # shared by the nodes without options
OUT = -1  # the position of `out`: it stands before the operands 0, 1, …


def unused_operands(primitive: Primitive, needs_grad: tuple) -> tuple[list[int], bool]:
    """Return the operands that no needed vjp reads, by index, and whether one reads `out`."""
    n, read = len(needs_grad), set()
    for i, needed in enumerate(needs_grad):
        if not needed:
            continue
        vjp = primitive.vjps[i] if i < len(primitive.vjps) else None
        if vjp is None:
            who = f"{primitive.name} has no derivative with respect to argument {i}"
            raise TypeError(f"{who}; pass its .detach()")
        read |= positions_read(vjp, n)
    return [i for i in range(n) if i not in read], OUT in read


def positions_read(vjp: Callable, n: int) -> set[int]:
    """Return the positions whose values vjp(g, out, *operands) reads: OUT, and 0 … n − 1.

    A name that begins with _ is not read; a variadic *operands reads all that remain.
    """
    read: set[int] = set()
    position = OUT - 1  # g stands before `out`
    for p in inspect.signature(vjp).parameters.values():
        if p.kind in (p.KEYWORD_ONLY, p.VAR_KEYWORD) or position >= n:  # the options begin here
            break
        if not p.name.startswith("_"):
            last = n - 1 if p.kind is p.VAR_POSITIONAL else position
            read.update(range(position, last + 1))
        position += 1
    return read


def is_shared(gx: np.ndarray, arrays: Sequence) -> bool:
    """Return whether gx is a view or one of these arrays."""
    return gx.base is not None or id(gx) in map(id, arrays)


def make_leaf(data: np.ndarray, requires_grad: bool, grad: np.ndarray | None) -> Tensor:
    """Make the leaf that a copy or a pickle describes."""
    leaf = Tensor(data, requires_grad)
    leaf.grad = grad
    return leaf
