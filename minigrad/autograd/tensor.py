"""The engine: arrays that record how they were made, so that gradients flow back.

Sorted by difficulty: Tensor, the backward pass, Node, Primitive. Primitive says what a vjp is.
"""

from __future__ import annotations

import heapq
import inspect
import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import update_wrapper
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from .array_methods import ArrayMethods
from .conversion import (
    FLOATS,
    PLAIN_TYPES,
    check_dtype,
    constant_options,
    is_array_like,
    plain_operands,
    to_array,
    to_float_array,
    unwrap,
    with_shapes,
)
from .dispatch import HANDLED_FUNCTIONS, dispatch
from .memory import Plan, ShapeDtype, array_changes, dropped_operands
from .recording import anomaly_detector, is_recording, set_var

creation_order = itertools.count(1)  # numbers nodes, and changes of arrays, to compare them
NO_OPTIONS: dict[str, Any] = {}  # shared by the nodes without options: fewer dicts
GRAD_LOCK = Lock()  # backward passes of several threads may add to one .grad


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

    As in PyTorch, `.grad` adds up over calls of `backward`. The functions are those of NumPy.
    """

    __slots__ = ("data", "grad", "requires_grad", "node", "__weakref__")

    def __init__(self, data: npt.ArrayLike | ArrayMethods, requires_grad: bool = False):
        array = to_array("Tensor", data, requires_grad)
        self.data: np.ndarray = array.copy() if requires_grad else array
        self.grad: np.ndarray | None = None
        self.requires_grad = requires_grad
        self.node: Node | None = None  # the operation that computed it; a leaf has none

    def backward(
        self, gradient: npt.ArrayLike | ArrayMethods | None = None, retain_graph: bool = False
    ) -> None:
        """Add ∂(final result)/∂leaf to `.grad` of every leaf that this tensor depends on.

        gradient: ∂(final result)/∂(this tensor), of this tensor's shape. The final result is
        usually the loss; backward() of the loss itself needs no gradient: it is 1.
        retain_graph: keep the graph for another backward pass. By default it is freed.

        The graph holds the operands' own arrays: do not write into them before this call.
        """
        grads = backward_pass(self, gradient, retain_graph=retain_graph)
        with GRAD_LOCK:
            for leaf, g in grads.items():
                leaf.grad = np.asarray(g if leaf.grad is None else leaf.grad + g)

    def detach(self) -> Tensor:
        """Share the array, drop the graph."""
        return Tensor(self.data)

    # HANDLED_FUNCTIONS maps a NumPy function to ours: a Primitive, or a function that calls some.
    # NumPy calls these methods when its function receives a tensor; x @ w and x**2 look there, too.

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *operands: Any, **options: Any) -> Any:
        if method == "__call__" and not options and ufunc in HANDLED_FUNCTIONS:
            return HANDLED_FUNCTIONS[ufunc](*operands)
        return dispatch(ufunc, operands, options, method)

    def __array_function__(self, function: Callable, types: Any, args: Any, kwargs: Any) -> Any:
        return dispatch(function, args, kwargs)

    def __getitem__(self, index: Any) -> Tensor:
        return HANDLED_FUNCTIONS["getitem"](self, index)

    def astype(self, dtype: npt.DTypeLike) -> Tensor:
        """Convert to another dtype; the gradient is converted back."""
        return HANDLED_FUNCTIONS["astype"](self, dtype=dtype)

    @property
    def version(self) -> int:
        """When the data changed last. After you write into `t.data`, say so by `t.version += 1`."""
        return array_changes.latest_of(self.data)

    @version.setter
    def version(self, _: int) -> None:  # counts in creation_order, to compare it with the nodes
        array_changes.add(self.data, next(creation_order))

    def __reduce__(self) -> tuple:
        """Copy and pickle the values; the copy of a recorded tensor is a constant."""
        is_leaf = self.node is None
        return Tensor, (self.data, self.requires_grad and is_leaf), (None, {"grad": self.grad})


# ---- The backward pass ----


def backward_pass(
    output: Tensor,
    gradient: Any = None,
    retain_graph: bool = False,
    create_graph: bool = False,
    wanted: Collection = (),
    subgraph: Collection | None = None,
) -> dict[Any, Any]:
    """Return {leaf: ∂(final result)/∂leaf}; without `gradient`, the final result is `output`.

    Visit the nodes from newest to oldest. An operation is newer than its operands. So when a node
    is visited, every operation that used its output has been visited: its gradient is complete.

    create_graph: run the vjps on tensors and record them, for higher derivatives; else on arrays.
    wanted: return the gradients of these nodes, too; `grad` needs them.
    subgraph: visit only these nodes; `grad` passes the nodes that lead to its inputs.
    """
    grads = {grad_key(output): initial_gradient(output, gradient, create_graph)}  # by node or leaf
    heap = [output.node] if output.node else []
    with set_var(is_recording, create_graph):
        while heap:
            node = heapq.heappop(heap)
            g = grads[node] if node in wanted else grads.pop(node)
            for key, gx in node.operand_gradients(g, subgraph, create_graph):
                if key in grads:
                    gx = grads[key] + gx  # another operation has used the same operand
                elif isinstance(key, Node):  # met for the first time
                    heapq.heappush(heap, key)
                elif not create_graph and node.needs_copy(gx, g):  # np.add passes g on twice
                    gx = gx.copy()  # the `.grad` of a leaf must own its memory
                grads[key] = gx
            if not retain_graph:
                node.free()
    return grads  # without the nodes, which were popped


def grad_key(x: Any) -> Any:
    """Return the key under which the gradients of x add up: its node, or x itself for a leaf."""
    return x if isinstance(x, Node) else x.node or x  # a Node: an operand without kept values


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
    With b (1, 3) it is the same sum, of shape (1, 3).
    """
    if not isinstance(gx, (np.ndarray, Tensor)):
        gx = np.asarray(gx)
        if gx.dtype.kind not in "fiub":
            who = f"backward: a vjp of {node.primitive.name}"
            raise TypeError(f"{who} must return numbers, it returned {gx.tolist()!r:.60}")
    if gx.shape != x.shape:
        added = gx.ndim - x.ndim  # axes that x does not have
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
    check_dtype("backward", x, requires_grad=True)  # its .data may have been replaced by integers
    return gx.astype(x.dtype)


# ---- Recording ----


class Node(ShapeDtype):
    """One recorded operation: the primitive, its operands and options, and its result.

    plan: (index, vjp) for each operand that needs a gradient, and which values these vjps read.
    To save memory, an operand whose values no vjp reads is replaced: a tensor by its node, an array
    by its shape and dtype. A leaf stays, because it receives the gradient.
    """

    __slots__ = ("order", "primitive", "plan", "operands", "options", "out")
    node = property(lambda self: self)  # so that each operand has .node

    def __init__(self, primitive: Primitive, plan: Plan, operands: Any, options: Any, out: Any):
        self.order = next(creation_order)
        self.primitive, self.plan, self.operands, self.options = primitive, plan, operands, options
        self.out = out if plan.reads_out else None
        self.shape, self.dtype = out.shape, out.dtype

    def __lt__(self, other: Node) -> bool:
        return self.order > other.order  # the heap of the backward pass gives the newest first

    def operand_gradients(self, g: Any, subgraph: Any, create_graph: bool) -> Iterator[Any]:
        """Yield (key, gradient) for each operand that needs one; g: the gradient of the result."""
        out, operands = self.saved_values(create_graph)
        if self.order < array_changes.latest:  # some array has changed since this operation
            self.check_versions()
        arguments = (g, out, *operands)
        for i, vjp in self.plan.vjps:
            x = self.operands[i]
            key = grad_key(x)
            if subgraph is None or key in subgraph:
                yield key, self.operand_gradient(x, vjp, arguments)

    def operand_gradient(self, x: Any, vjp: Callable, arguments: tuple) -> Any:
        """Return ∂(final result)/∂x for the operand x: the result of its vjp, in x's shape."""
        try:
            gx = vjp(*arguments, **self.options)
            if type(gx) is not np.ndarray or gx.shape != x.shape or gx.dtype != x.dtype:
                gx = unbroadcast(gx, x, self)
        except ValueError as error:
            error.add_note(f"This happened in the backward pass of {self.primitive.name}.")
            raise
        if detector := anomaly_detector.get():  # see minigrad.anomaly; None by default
            detector.backward(self, arguments[0], gx)
        return gx

    def operands_that_need_grad(self) -> list[Any]:
        """Return the operands whose gradients the backward pass computes."""
        self.saved_values(as_tensors=True)  # raises an error if the graph was freed
        return [self.operands[i] for i, _ in self.plan.vjps]

    def saved_values(self, as_tensors: bool) -> tuple[Any, Sequence]:
        """Return the result and the operands for the vjps: as tensors, or as plain arrays."""
        if self.operands is None:
            raise RuntimeError(
                "backward: the graph was already freed; recompute, or pass retain_graph=True first"
            )
        if as_tensors:
            return None if self.out is None else wrap(self.out, self), self.operands
        if not self.plan.read:
            return self.out, self.operands
        return self.out, [x.data if isinstance(x, Tensor) else x for x in self.operands]

    def check_versions(self) -> None:
        """Raise RuntimeError if an array that a vjp reads has changed since the forward pass."""
        read = [unwrap(self.operands[i]) for i in self.plan.read]
        if any(isinstance(x, np.ndarray) and array_changes.latest_of(x) > self.order for x in read):
            raise RuntimeError(
                f"backward: {self.primitive.name} used a parameter that step() or "
                "load_state_dict() has changed since then. Call backward() before step(), or "
                "compute the loss again"
            )

    def needs_copy(self, gx: np.ndarray, g: np.ndarray) -> bool:
        """Return whether gx may belong to others: it is a view, g, or an array of this node."""
        if gx.base is not None or gx is g or gx is self.out:
            return True
        return any(gx is unwrap(x) for x in self.operands)

    def free(self) -> None:
        """Drop the references to operands and result, so that their memory can be freed."""
        self.operands = self.options = self.out = None

    def __del__(self) -> None:
        """Free a long chain of nodes in a loop; Python's own recursion could overflow the stack."""
        if self.operands is not None and dropped_operands is not None:  # None: the program ends
            dropped_operands.pending.append(self.operands)
            self.operands = None
            dropped_operands.free()


class Primitive:
    """A function on plain arrays with one vjp for each array operand, in order.

    A vjp (vector-Jacobian product) is written `vjp(g, out, *operands, **options)`. g is
    ∂(final result)/∂out; the vjp returns ∂(final result)/∂operand, and does not write into g.
    Written in NumPy's functions, it is itself differentiable.

    A leading _ in an operand's name means: the vjp reads only its shape and dtype. The engine then
    does not keep its values in memory. `_out` means the same for the result.
    vjps: None for an operand without a derivative. is_numeric: vjps receive integers as floats.
    """

    def __init__(self, forward: Callable, *vjps: Callable | None, name: str | None = None,
                 is_numeric: bool = False):  # fmt: skip
        if not vjps or not callable(forward):
            raise TypeError("primitive: write @primitive(vjp, …), one vjp for each array operand")
        update_wrapper(self, forward, ("__module__", "__doc__", "__qualname__"), ())
        self.forward, self.vjps, self.is_numeric = forward, vjps, is_numeric
        self.name = name or forward.__name__.lstrip("_")
        parameters = inspect.signature(vjps[0]).parameters.values() if vjps[0] else ()
        self.option_names = [p.name for p in parameters if p.default is not p.empty]
        self.plans: dict[tuple, Plan] = {}  # needs_grad of the operands → what a node keeps

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
            elif type(x) in PLAIN_TYPES or not is_array_like(x):
                arrays.append(x)
                needs_grad.append(False)
            else:  # a list, or an array of another library: convert all operands and start again
                return self(*plain_operands(self.name, operands), **options)
        if options:
            options = constant_options(self.name, options)
        try:
            out = self.forward(*arrays, **options)
        except ValueError as error:
            raise with_shapes(error, self.name, arrays) from error
        if not has_tensor:
            return out
        if not isinstance(out, np.ndarray):
            out = np.asarray(out)
        if out.dtype.char not in FLOATS:  # integers and booleans get no gradient; complex raises
            check_dtype(self.name, out)
        elif True in needs_grad and is_recording.get():
            node = self.record(operands, options, tuple(needs_grad), out)
            if detector := anomaly_detector.get():
                detector.forward(node, arrays, out)
            return wrap(out, node)
        return wrap(out)

    def record(self, operands: tuple, options: dict, needs_grad: tuple, out: np.ndarray) -> Node:
        """Make the node of this call; plan.keep drops the values that no needed vjp reads."""
        plan = self.plans.get(needs_grad)
        if plan is None:
            plan = self.plans[needs_grad] = Plan(self, needs_grad)
        if plan.unread or plan.constants:
            operands = plan.keep(operands, out.dtype)
        return Node(self, plan, operands, options or NO_OPTIONS, out)


def primitive(*vjps: Callable | None) -> Callable[[Callable], Primitive]:
    """Make a function on arrays differentiable: one vjp (see Primitive) for each array operand.

    >>> @primitive(lambda g, _out, x: g * 3 * x**2)
    ... def cube(x):
    ...     return x**3
    >>> x = Tensor(2.0, requires_grad=True)
    >>> cube(x).backward()
    >>> x.grad
    array(12., dtype=float32)
    """
    return lambda forward: Primitive(forward, *vjps)


def wrap(out: Any, node: Node | None = None) -> Tensor:
    """Wrap a result, skipping validation."""
    result = Tensor.__new__(Tensor)
    result.data, result.grad = out, None
    result.node, result.requires_grad = node, node is not None
    return result
