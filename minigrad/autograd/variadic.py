"""Primitives of any number of operands: np.concatenate and np.einsum."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from .memory import OUT, Plan, positions_read
from .tensor import NO_OPTIONS, Node, Primitive


class VariadicPrimitive(Primitive):
    """A function of any number of arrays, with one vjp: `vjp(g, out, operands, i, **options)`.

    The vjp returns ∂(final result)/∂operands[i]. The name `_operands` means: it reads no values.
    The vjp gets the operands as one list: with *operands, each of its n calls would copy all n.
    The plans are not cached: there would be one for every number of operands.
    """

    def record(self, operands: tuple, options: dict, needs_grad: tuple, out: np.ndarray) -> Node:
        """Make the node of this call; keep only the values that the vjp reads."""
        plan = VariadicPlan(self.vjps[0], needs_grad)
        kept = plan.keep(operands, out.dtype)
        return VariadicNode(self, plan, kept, options or NO_OPTIONS, out)


class VariadicPlan(Plan):
    """What one node of a VariadicPrimitive keeps."""

    __slots__ = ("needs_grad", "vjp")

    def __init__(self, vjp: Any, needs_grad: tuple[bool, ...]):
        self.vjp, self.needs_grad, self.constants = vjp, needs_grad, []
        positions, every = positions_read(vjp, 1), list(range(len(needs_grad)))
        self.reads_out = OUT in positions
        self.read, self.unread = (every, []) if 0 in positions else ([], every)

    @property
    def vjps(self) -> list[tuple[int, Callable]]:  # type: ignore[override]
        return [(i, partial(self.vjp, i=i)) for i, needed in enumerate(self.needs_grad) if needed]


class VariadicNode(Node):
    """One recorded operation of a VariadicPrimitive."""

    __slots__ = ()

    def saved_values(self, as_tensors: bool) -> tuple[Any, Sequence]:
        out, operands = super().saved_values(as_tensors)
        return out, [operands]
