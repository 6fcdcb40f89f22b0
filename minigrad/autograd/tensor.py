"""The engine: NumPy arrays that remember how they were made, so that gradients can flow back.

In order of difficulty: Tensor, recording (Node, Primitive), the way back (sweep), grad.
"""

from __future__ import annotations

import heapq
import inspect
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import update_wrapper
from typing import Any

import numpy as np

from .array_methods import (
    FLOATS,
    ArrayMethods,
    ShapeDtype,
    check_dtype,
    coerce_lists,
    from_list,
    plain_options,
    to_array,
)
from .dispatch import HANDLED_FUNCTIONS, dispatch, unwrap

_recording: ContextVar[bool] = ContextVar("recording", default=True)
_anomaly_detector: ContextVar[Any] = ContextVar(
    "watch", default=None
)  # who looks on; see anomaly.py
NO_OPTIONS: dict[str, Any] = {}
_clock = itertools.count()  # nodes are numbered in the order of their creation


class Tensor(ArrayMethods):
    """An array that takes part in differentiation: NumPy's functions and operators work on it.

    data: an array (its dtype is kept), or a number or list (these become float32).
    requires_grad: whether `backward` shall fill `.grad`, an array of the same shape and dtype;
    then the data are copied.
    Integers can't require a gradient; complex, object and float16 data are refused (TypeError).

    >>> x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> np.sum(x**2).backward()
    >>> x.grad
    array([2., 4., 6.], dtype=float32)

    As in PyTorch, `.grad` adds up over calls of `backward`; the functions, though, are NumPy's.
    """

    __slots__ = ("data", "grad", "requires_grad", "node", "__weakref__")

    def __init__(self, data: Any, requires_grad: bool = False):
        array = to_array("Tensor", data, requires_grad)
        # optimizers write into a parameter, and not into the array that it was made from
        self.data: np.ndarray = array.copy() if requires_grad else array
        self.grad: np.ndarray | None = None
        self.requires_grad = requires_grad
        self.node: Node | None = None  # what made it; None for a leaf

    # Out of the graph

    def detach(self) -> Tensor:
        """The same array in a tensor that knows nothing of its making."""
        return Tensor(self.data)

    # A copy or pickle holds values alone: of a recorded tensor, it is a constant

    def __reduce__(self) -> tuple:
        leaf = self.node is None
        return restored, (self.data, leaf and self.requires_grad, self.grad if leaf else None)

    # NumPy's way in

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *operands: Any, **options: Any) -> Any:
        return dispatch(ufunc, operands, options, method)

    def __array_function__(self, function: Callable, types: Any, args: Any, kwargs: Any) -> Any:
        return dispatch(function, args, kwargs)

    def __getitem__(self, index: Any) -> Tensor:
        return HANDLED_FUNCTIONS["getitem"](self, index)

    def astype(self, dtype: Any) -> Tensor:
        return HANDLED_FUNCTIONS["astype"](self, dtype=dtype)

    # The way back

    def backward(self, gradient: Any = None, retain_graph: bool = False) -> None:
        """Add the derivative of this tensor to `.grad` of every leaf that it was made from.

        gradient: the derivative of the final result by this tensor, of this tensor's shape;
        may be left out where this tensor is a scalar, as a loss is.
        retain_graph: keep the graph, so that one can go back through it again; else it is freed.
        """
        for leaf, g in sweep(self, gradient, (), retain_graph, create_graph=False).items():
            leaf.grad = np.asarray(g if leaf.grad is None else leaf.grad + g)


class Node:
    """One recorded operation: what was called, on what, and what came out."""

    __slots__ = ("order", "primitive", "operands", "options", "needs", "out")

    def __init__(self, primitive: Primitive, operands: Any, options: Any, needs: tuple, out: Any):
        self.order, self.primitive, self.operands = next(_clock), primitive, operands
        self.options, self.needs, self.out = options, needs, out

    def needed_vjps(self) -> list[tuple[Any, Any]]:
        """(operand, derivative by it) for each operand that needs a gradient."""
        if self.operands is None:
            raise RuntimeError(
                "backward: this graph was gone through before, and freed. Compute the result anew, "
                "or keep the graph the first time: backward(retain_graph=True)"
            )
        vjps = self.primitive.vjps
        return [(x, vjp) for x, vjp, needed in zip(self.operands, vjps, self.needs) if needed]

    def recall(self, as_tensors: bool) -> tuple[Sequence, Any]:
        """The operands and the result, as the derivatives want them: tensors or plain arrays."""
        if not as_tensors:
            return [x.data if isinstance(x, Tensor) else x for x in self.operands], self.out
        if self.out is None:
            return self.operands, None
        out = wrap(self.out)
        out.requires_grad, out.node = True, self
        return self.operands, out


class Primitive:
    """A function on plain arrays, beside its derivatives: one for each array operand, in order.

    A derivative is written `vjp(g, out, *operands, **options)`: it gets g, the derivative of the
    final result by this function's result, and returns that by the operand. Written in NumPy's
    functions, it is itself differentiable. A parameter whose name begins with `_` is not read: of
    such an operand only shape and dtype are kept in memory (of such an `out`, nothing).
    `primitive` makes one of a function of your own.
    """

    def __init__(self, forward: Callable, *vjps: Callable | None, name: str | None = None):
        update_wrapper(self, forward, ("__module__", "__doc__", "__qualname__"), ())
        self.forward, self.vjps = forward, vjps
        self.name = name or forward.__name__
        names = inspect.signature(vjps[0]).parameters.values() if vjps[0] else ()
        self.options = [p.name for p in names if p.default is not p.empty]
        self.unread: dict[tuple, tuple] = {}

    def __repr__(self) -> str:
        return f"<primitive {self.name}>"

    def __reduce__(self) -> str:
        return self.forward.__qualname__  # pickled by name, like the function that it stands for

    def __call__(self, *operands: Any, **options: Any) -> Any:
        arrays, needs, mixed = [], [], False
        for x in operands:
            if isinstance(x, Tensor):
                mixed = True
                arrays.append(x.data)
                needs.append(x.requires_grad)
            elif type(x) is list or type(x) is tuple:
                return self(*coerce_lists(self.name, operands), **options)
            else:
                arrays.append(x)
                needs.append(False)
        if options:
            options = plain_options(self.name, options)
        try:
            out = self.forward(*arrays, **options)
        except ValueError as error:
            shapes = " and ".join(str(np.shape(x)) for x in arrays)
            raise ValueError(f"{self.name} of shapes {shapes}: {error}") from error
        if not mixed:
            return out
        result = wrap(out)
        if result.data.dtype.char not in FLOATS:
            check_dtype(self.name, result.data)
        elif True in needs and _recording.get():
            result.requires_grad = True
            result.node = self.record(operands, options, tuple(needs), result.data)
            if watch := _anomaly_detector.get():
                watch.forward(result.node, arrays, result.data)
        return result

    def record(self, operands: tuple, options: dict, needs: tuple, out: np.ndarray) -> Node:
        """The memory of this call, of which only what the wanted derivatives read is kept."""
        if needs not in self.unread:
            self.unread[needs] = self.find_unread(needs)
        needs, unread, out_is_read = self.unread[needs]  # one tuple for all calls alike
        if unread:
            kept = list(operands)
            for i in unread:
                x = operands[i]
                if isinstance(x, np.ndarray):
                    kept[i] = ShapeDtype(x, None)
                elif isinstance(x, Tensor) and x.node:
                    kept[i] = ShapeDtype(x.data, x.node)
            operands = tuple(kept)
        return Node(self, operands, options or NO_OPTIONS, needs, out if out_is_read else None)

    def find_unread(self, needs: tuple) -> tuple[tuple, list[int], bool]:
        """Which operands no wanted derivative reads, by the names in it, and if one reads out."""
        read: set[int] = set()  # 0 for out, 1 for the first operand, …
        for i in itertools.compress(itertools.count(), needs):
            vjp = self.vjps[i] if i < len(self.vjps) else None
            if vjp is None:
                raise TypeError(
                    f"{self.name} has no derivative by argument {i}; pass its .detach()"
                )
            for k, p in enumerate(inspect.signature(vjp).parameters.values(), start=-1):
                if p.kind <= p.VAR_POSITIONAL and k <= len(needs) and not p.name.startswith("_"):
                    read.update(range(k, len(needs) + 1) if p.kind == p.VAR_POSITIONAL else [k])
        return needs, [i for i in range(len(needs)) if i + 1 not in read], 0 in read


def primitive(*vjps: Callable | None) -> Callable[[Callable], Primitive]:
    """Make a function on arrays differentiable: by each array operand, as Primitive says.

    >>> @primitive(lambda g, _, x: g * 3 * x**2)
    ... def cube(x):
    ...     return x**3
    >>> x = Tensor(2.0, requires_grad=True)
    >>> cube(x).backward()
    >>> x.grad
    array(12., dtype=float32)
    """
    return lambda forward: Primitive(forward, *vjps)


def restored(data: np.ndarray, requires_grad: bool, grad: np.ndarray | None) -> Tensor:
    """A leaf from what a copy or a pickle kept of it."""
    tensor = Tensor(data, requires_grad)
    tensor.grad = grad
    return tensor


def wrap(out: Any) -> Tensor:
    """A constant tensor around a result; Tensor(out) without the questions."""
    result = Tensor.__new__(Tensor)
    result.data = out if isinstance(out, np.ndarray) else np.asarray(out)
    result.grad = result.node = None
    result.requires_grad = False
    return result


# The way back


def sweep(
    output: Tensor, gradient: Any, inputs: Sequence[Tensor], retain_graph: bool, create_graph: bool
) -> dict[Any, Any]:
    """Go back from `output`, newest operation first: the gradient of every leaf and of `inputs`.

    With create_graph the derivatives run on tensors and are recorded, else on plain arrays.
    """
    g: Any = seed(output, gradient)
    wanted = {grad_key(x) for x in inputs}
    on_the_way = leading_to(wanted, output) if inputs else set()
    if create_graph:
        g = gradient.astype(g.dtype) if isinstance(gradient, Tensor) else Tensor(g)
    pending: dict[Any, Any] = {grad_key(output): g}
    heap = [(-output.node.order, output.node)] if output.node else []
    found, watch = {}, _anomaly_detector.get()
    token = _recording.set(create_graph)
    try:
        while heap:
            node = heapq.heappop(heap)[1]
            g = pending.pop(node)
            if node in wanted:
                found[node] = g if create_graph else g.copy()
            edges = node.needed_vjps()
            operands, out = node.recall(create_graph)
            held = [g, out, *operands]
            for x, vjp in edges:
                target = grad_key(x)
                if on_the_way and target not in on_the_way:
                    continue
                try:
                    r = fit(vjp(g, out, *operands, **node.options), x, node)
                except ValueError as error:
                    error.add_note(f"It is from the way back through {node.primitive.name}.")
                    raise
                if watch:
                    watch.backward(node, g, r)
                if target in pending:
                    pending[target] = pending[target] + r
                    continue
                if x.node:
                    heapq.heappush(heap, (-target.order, target))
                elif not create_graph and (r.base is not None or id(r) in map(id, held)):
                    r = r.copy()  # a leaf's gradient is its own memory
                pending[target] = r
            if not retain_graph:
                node.operands = node.options = node.out = None
    finally:
        _recording.reset(token)
    return pending | found


def leading_to(wanted: set, output: Tensor) -> set:
    """Those in `wanted`, and all nodes of the output's graph that were made from them."""
    nodes: set[Node] = set()
    ahead = [output.node]
    while ahead:
        node = ahead.pop()
        if node and node not in nodes:
            nodes.add(node)
            ahead += [x.node for x, _ in node.needed_vjps()]
    found = set(wanted)
    for node in sorted(nodes, key=lambda node: node.order):
        if any(grad_key(x) in found for x, _ in node.needed_vjps()):
            found.add(node)
    return found


def grad_key(x: Any) -> Any:
    """Where a gradient is gathered: at the node that made x, or at x itself, a leaf."""
    return x if x.node is None else x.node


def seed(output: Tensor, gradient: Any) -> np.ndarray:
    """The gradient to begin with, checked."""
    if not output.requires_grad:
        raise ValueError(
            "backward: this tensor was made from nothing that requires a gradient, or under "
            "no_grad; create the parameters with Tensor(..., requires_grad=True)"
        )
    if gradient is None:
        if output.size != 1:
            raise ValueError(
                f"backward: a scalar is required, as a loss is, not the shape {output.shape}. "
                "Reduce it with np.sum or np.mean, or pass gradient=, an array of that shape"
            )
        return np.ones(output.shape, output.dtype)
    array = from_list("backward", unwrap(gradient), output.dtype)
    if array.shape != output.shape:
        raise ValueError(
            f"backward: the gradient needs the shape {output.shape}, received {array.shape}"
        )
    return array.copy()


def fit(r: Any, x: Any, node: Node) -> Any:
    """Sum a derivative over the axes along which x was broadcast, and give it x's dtype."""
    if not isinstance(r, (np.ndarray, Tensor)):
        r = np.asarray(r)
    if r.shape != x.shape:
        new = r.ndim - x.ndim
        if new < 0 or any(n not in (1, m) for n, m in zip(x.shape, r.shape[new:])):
            raise ValueError(
                f"backward: {node.primitive.name} gave a derivative of shape {r.shape} for an "
                f"operand of shape {x.shape}. Was its .data replaced after the forward pass?"
            )
        stretched = [new + i for i, n in enumerate(x.shape) if n == 1]
        r = r.sum(axis=(*range(new), *stretched)).reshape(x.shape)
    if r.dtype == x.dtype:
        return r
    check_dtype("backward", x, requires_grad=True)
    return r.astype(x.dtype)


def grad(
    output: Tensor,
    inputs: Tensor | Sequence[Tensor],
    gradient: Any = None,
    create_graph: bool = False,
    retain_graph: bool | None = None,
) -> Any:
    """The derivative of `output` by each of `inputs`, as tensors; `.grad` is left alone.

    create_graph: record the derivative itself, so that it can be differentiated again.
    An input that the output does not depend on has the gradient 0 (PyTorch raises instead).

    >>> x = Tensor(3.0, requires_grad=True)
    >>> first = grad(x**3, x, create_graph=True)
    >>> first, grad(first, x)
    (Tensor(27., requires_grad=True), Tensor(18.))
    """
    if not isinstance(output, Tensor):
        raise TypeError(f"grad: the output must be a Tensor, received {output!r:.60}")
    several = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    for i, x in enumerate(several):
        if not isinstance(x, Tensor) or not x.requires_grad:
            raise ValueError(
                f"grad: an input must be a Tensor that requires a gradient; input {i} is {x!r:.60}"
            )
    retain = create_graph if retain_graph is None else retain_graph
    found = sweep(output, gradient, several, retain, create_graph)
    results = [
        found[grad_key(x)] if grad_key(x) in found else np.zeros_like(x.data) for x in several
    ]
    results = [r if isinstance(r, Tensor) else Tensor(r) for r in results]
    return results[0] if isinstance(inputs, Tensor) else results


@contextmanager
def no_grad() -> Iterator[None]:
    """Within this context (or decorated function) nothing is recorded, in this thread.

    Of a generator, neither decorate it nor yield within: the context would not hold, or stay on.

    >>> x = Tensor(3.0, requires_grad=True)
    >>> with no_grad():
    ...     (x * x).requires_grad
    False
    """
    token = _recording.set(False)
    try:
        yield
    finally:
        _recording.reset(token)
