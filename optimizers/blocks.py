"""Update a large array block by block: reading memory takes longer than the arithmetic."""

from collections.abc import Iterator
from typing import Any

BLOCK = 1 << 15  # elements: small enough that a block stays in the cache during a step


def blocks(optimizer: Any, w: Any, g: Any, slots: Any) -> Iterator[tuple[Any, Any, dict[str, Any]]]:
    """Yield (w, g, slots) whole, or in blocks if the arrays are large and the rule allows it.

    Raises TypeError if the rule replaces a slot: its block would not reach the array.
    """
    arrays = (w, g, *slots.values())
    is_large = optimizer.elementwise and w.size > BLOCK
    if not is_large or any(a.shape != w.shape or not a.flags.c_contiguous for a in arrays):
        yield w, g, slots
        return
    w, g, *flat_slots = (a.reshape(-1) for a in arrays)
    for start in range(0, w.size, BLOCK):
        block = slice(start, start + BLOCK)
        views = {k: a[block] for k, a in zip(slots, flat_slots)}
        passed = dict(views)
        yield w[block], g[block], passed
        if passed.keys() != views.keys() or any(passed[k] is not a for k, a in views.items()):
            how = "make slots in init, write slots[name][...] = …, or delete elementwise = True"
            raise TypeError(f"{type(optimizer).__name__}: direction replaces or adds a slot; {how}")
