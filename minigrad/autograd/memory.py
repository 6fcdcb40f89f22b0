"""The memory of the graph: what a node keeps, how nodes are freed, which arrays have changed.

In reading order: what a node keeps, which operands a vjp reads, freed nodes, changed arrays.
"""

import inspect
import math
from collections.abc import Callable
from threading import local
from typing import Any
from weakref import ref

import numpy as np

OUT = -1  # the position of `out`: it stands before the operands 0, 1, …


class ShapeDtype:
    """The shape and dtype of an operand whose values no vjp reads: all that a node keeps of it."""

    __slots__ = ("shape", "dtype")
    node = None
    ndim = property(lambda self: len(self.shape))
    size = property(lambda self: math.prod(self.shape))

    def __init__(self, array: np.ndarray):
        self.shape, self.dtype = array.shape, array.dtype


class Plan:
    """What a node keeps, for one primitive and one choice of operands that need a gradient.

    vjps       (index, vjp) for each operand that needs a gradient
    read       the indices of the operands whose values these vjps read
    unread     the indices of the other operands
    constants  the indices in `read` of operands that need no gradient; none if the operands of this
               primitive can be indices or conditions
    reads_out  whether a vjp reads the values of the result
    """

    __slots__ = ("constants", "read", "reads_out", "unread", "vjps")

    def __init__(self, primitive: Any, needs_grad: tuple[bool, ...]):
        n = len(needs_grad)
        self.vjps = [(i, required_vjp(primitive, i)) for i in range(n) if needs_grad[i]]
        positions = set().union(*(positions_read(vjp, n) for _, vjp in self.vjps))
        self.reads_out = OUT in positions
        self.read = [i for i in range(n) if i in positions]
        self.unread = [i for i in range(n) if i not in positions]
        self.constants = [i for i in self.read if primitive.is_numeric and not needs_grad[i]]

    def keep(self, operands: tuple, dtype: np.dtype) -> tuple:
        """Return the operands as a node keeps them; dtype is the result's.

        Integer constants become floats: in a vjp, small integers such as int8 would overflow.
        """
        kept = list(operands)
        for i in self.unread:
            x = operands[i]
            if hasattr(x, "node"):
                kept[i] = x.node or x  # a leaf stays, to receive its gradient
            elif isinstance(x, np.ndarray):
                kept[i] = ShapeDtype(x)
        for i in self.constants:
            if hasattr(x := operands[i], "dtype") and x.dtype.kind in "iu":
                kept[i] = x.astype(dtype)
        return tuple(kept)


def required_vjp(primitive: Any, i: int) -> Callable:
    """Return the vjp of operand i; raise TypeError if there is none."""
    vjp = primitive.vjps[i] if i < len(primitive.vjps) else None
    if vjp is None:
        who = f"{primitive.name} has no derivative with respect to argument {i}"
        raise TypeError(f"{who}; pass its .detach()")
    return vjp


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


class DroppedOperands(local):
    """The operands of freed nodes, in this thread.

    When Python frees a node, it frees the operands, then their nodes, and so on. In a long chain
    this recursion would overflow the stack. So a node hands over its operands, and a loop frees
    them.
    """

    def __init__(self) -> None:
        self.pending: list[tuple] = []
        self.is_running = False

    def free(self) -> None:
        """Free the pending operands; freeing one can add more."""
        if not self.is_running:
            self.is_running = True
            try:
                while self.pending:
                    self.pending.pop()
            finally:  # after Ctrl-C, the next freed node continues
                self.is_running = False


class ArrayChanges:
    """When each array was changed last, as a number of creation_order: see Tensor.version.

    A change of a view is a change of the array that owns its memory.
    """

    def __init__(self) -> None:
        self.latest = 0
        self.orders: dict[int, tuple[int, ref]] = {}  # by the id of the owner

    def add(self, array: np.ndarray, order: int) -> None:
        """Record that this array changes; order: the next number of creation_order."""
        owner = owner_of(array)
        key = id(owner)
        self.orders[key] = order, ref(owner, lambda _: self.orders.pop(key, None))
        self.latest = order

    def latest_of(self, array: np.ndarray) -> int:
        """Return when the array was changed last; 0 if never."""
        order, _ = self.orders.get(id(owner_of(array)), (0, None))
        return order


def owner_of(array: np.ndarray) -> np.ndarray:
    """Return the array that owns the memory of a view."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


dropped_operands, array_changes = DroppedOperands(), ArrayChanges()
