"""What a node keeps of its operands, how a long chain is dropped, and which arrays have changed.

In reading order: what a node keeps, which operands a vjp reads, dropped nodes, changed arrays.
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
    """What a node keeps of a constant whose values no vjp reads."""

    __slots__ = ("shape", "dtype")
    node = None
    ndim = property(lambda self: len(self.shape))
    size = property(lambda self: math.prod(self.shape))

    def __init__(self, array: np.ndarray):
        self.shape, self.dtype = array.shape, array.dtype


class Plan:
    """What the nodes of a primitive keep, if these of its operands need a gradient.

    vjps       (index, vjp) for each operand that needs a gradient
    read       the indices of the operands whose values these vjps read
    unread     the indices of the other operands
    constants  those that are read and need no gradient, if the primitive computes with numbers
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

        The vjps compute with the constants. Small integers would overflow: they become floats.
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
    """The operands of dropped nodes, in this thread.

    To drop a node drops its operands, and so their nodes. In a long chain this recursion would
    overflow the stack of a thread. Here a node hands over its operands, and a loop drops them.
    """

    def __init__(self) -> None:
        self.pending: list[tuple] = []
        self.is_running = False

    def free(self) -> None:
        """Drop what waits, and what that adds."""
        if not self.is_running:
            self.is_running = True
            try:
                while self.pending:
                    self.pending.pop()
            finally:  # Ctrl-C: the next node that is dropped goes on
                self.is_running = False


class ArrayChanges:
    """When optimizers changed arrays: the order of the newest node at that time.

    A view of an array counts as the array: both have the same owner of memory.
    """

    def __init__(self) -> None:
        self.latest = 0
        self.orders: dict[int, tuple[int, ref]] = {}  # by the id of the owner

    def add(self, array: np.ndarray, order: int) -> None:
        """Note that this array changes now."""
        owner = owner_of(array)
        key = id(owner)
        self.orders[key] = order, ref(owner, lambda _: self.orders.pop(key, None))
        self.latest = order

    def newest(self, array: np.ndarray) -> int:
        """Return the order at the array's newest change, 0 if there was none."""
        order, _ = self.orders.get(id(owner_of(array)), (0, None))
        return order


def owner_of(array: np.ndarray) -> np.ndarray:
    """Return the array that owns the memory of a view."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


dropped_operands, array_changes = DroppedOperands(), ArrayChanges()
