"""The graph behind a tensor, as a picture: Graphviz's DOT, or Mermaid for Markdown."""

from __future__ import annotations

from typing import Any, NamedTuple

from .autograd.tensor import Node, Tensor, grad_key
from .layers import Layer, walk


class Box(NamedTuple):
    """An operation, or an array that goes in."""

    title: str
    form: str  # shape and dtype
    is_operation: bool
    layer: str


def trace(tensor: Tensor, model: Layer | None = None, format: str = "dot") -> str:
    """The text of a picture of how a tensor was made: its operations, and what went into them.

    model: gives the parameters their names, and puts a frame around the operations of each layer
    (of its last call, if it was called several times).
    format: "dot" for Graphviz, or "mermaid".
    Python's numbers and what was not recorded are left out. Trace before backward frees the graph.

    >>> import numpy as np
    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> print(trace(np.sum(np.exp(x)), format="mermaid"))
    flowchart TB
      n0(["leaf<br/>(2,) float32"])
      n1["np.exp<br/>(2,) float32"]
      n2["np.sum<br/>() float32"]
      n0 --> n1
      n1 --> n2
    """
    if format not in STYLES:
        raise ValueError(f"trace: format must be one of {', '.join(STYLES)}, received {format!r}")
    if not isinstance(tensor, Tensor):
        raise TypeError(f"trace: a Tensor is required, received {type(tensor).__name__}")
    return write(*collect(tensor, model), STYLES[format])


def collect(tensor: Tensor, model: Layer | None) -> tuple[list[Box], list[tuple[int, int]]]:
    """The boxes in the order of their making, and the arrows between their numbers."""
    forms: dict[Any, Any] = {grad_key(tensor): tensor}  # node or leaf -> something of its form
    orders: dict[Any, float] = {}
    arrows, ahead = [], [grad_key(tensor)]
    while ahead:
        node = ahead.pop()
        if not isinstance(node, Node):
            continue
        node.needed_vjps()  # raises where the graph was freed
        orders[node] = node.order
        for x in node.operands:
            if hasattr(x, "shape"):
                start = getattr(x, "node", None) or x
                start = start if isinstance(start, (Node, Tensor)) else id(start)
                arrows.append((start, node))
                orders[start] = min(orders.get(start, node.order), node.order - 0.5)
                if start not in forms:
                    forms[start] = x
                    ahead.append(start)
    things = dict(walk(model)) if model else {}
    titles = {x: name for name, x in things.items() if isinstance(x, Tensor)}
    layers = [(name, x) for name, x in things.items() if isinstance(x, Layer)]
    ordered = sorted(forms, key=lambda thing: orders.get(thing, 0))
    boxes = []
    for thing in ordered:
        form = f"{forms[thing].shape} {forms[thing].dtype}"
        if isinstance(thing, Node):
            title = thing.primitive.name.strip("<>")  # <lambda> would be a tag in Mermaid
            boxes.append(Box(title, form, True, layer_of(thing, layers)))
        else:
            leaf = getattr(forms[thing], "requires_grad", False)
            boxes.append(Box(titles.get(thing, "leaf" if leaf else "constant"), form, False, ""))
    numbers = {thing: i for i, thing in enumerate(ordered)}
    return boxes, sorted((numbers[a], numbers[b]) for a, b in arrows)


def layer_of(node: Node, layers: list[tuple[str, Layer]]) -> str:
    """The innermost layer in whose last call the operation was made."""
    around = [(len(x.made), name, x) for name, x in layers if node.order in x.made]
    if not around:
        return ""
    _, name, layer = min(around, key=lambda found: found[0])
    return f"{name} {type(layer).__name__}"


STYLES = dict(  # head, operation, array, frame around a layer, its end, arrow, foot
    dot=(
        "digraph {\n  node [shape=box]",
        '  n{i} [label="{box.title}\\n{box.form}"]',
        '  n{i} [label="{box.title}\\n{box.form}", shape=ellipse]',
        '  subgraph cluster_{k} {{ label="{title}"',
        "  }",
        "  n{a} -> n{b}",
        ["}"],
    ),
    mermaid=(
        "flowchart TB",
        '  n{i}["{box.title}<br/>{box.form}"]',
        '  n{i}(["{box.title}<br/>{box.form}"])',
        '  subgraph g{k}["{title}"]',
        "  end",
        "  n{a} --> n{b}",
        [],
    ),
)


def write(boxes: list[Box], arrows: list[tuple[int, int]], style: Any) -> str:
    head, operation, array, frame, end, arrow, foot = style
    frames: dict[str, list[str]] = {"": []}  # the boxes of each layer, those of none first
    for i, box in enumerate(boxes):
        line = (operation if box.is_operation else array).format(i=i, box=box)
        frames.setdefault(box.layer, []).append(line)
    lines = [head, *frames.pop("")]
    for k, (title, members) in enumerate(frames.items()):
        lines += [frame.format(k=k, title=title), *members, end]
    return "\n".join([*lines, *(arrow.format(a=a, b=b) for a, b in arrows), *foot])
