"""Draw the graph of a result as text: Graphviz's DOT, or Mermaid for Markdown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .autograd.tensor import Node, Tensor, _creation_order
from .layers import Layer, named_members

Calls = list[tuple[Layer, range]]  # the orders of the nodes that each call made
FORMATS = {
    "dot": dict(
        head="digraph {\n  node [shape=box]",
        operation='  n{i} [label="{title}\\n{x.shape} {x.dtype}"]',
        array='  n{i} [label="{title}\\n{x.shape} {x.dtype}", shape=ellipse]',
        frame='  subgraph cluster_{k} {{ label="{layer}"\n{boxes}\n  }}',
        arrow="  n{start} -> n{end}",
        foot="\n}",
    ),
    "mermaid": dict(
        head="flowchart TB",
        operation='  n{i}["{title}<br/>{x.shape} {x.dtype}"]',
        array='  n{i}(["{title}<br/>{x.shape} {x.dtype}"])',
        frame='  subgraph g{k}["{layer}"]\n{boxes}\n  end',
        arrow="  n{start} --> n{end}",
        foot="",
    ),
}


def trace(
    result: Tensor | Callable[[], Tensor], model: Layer | None = None, format: str = "dot"
) -> str:
    """Return a drawing of a result's graph: its operations, and the arrays that enter them.

    result: a tensor, or a function without arguments that computes one.
    model: names the parameters. For a function, the operations of each layer get a frame; for a
    tensor they get none, since the layers ran before trace could record their calls.
    format: "dot" for Graphviz, or "mermaid".
    Python numbers and operations under no_grad are not drawn. Trace before `backward`, which frees
    the graph.

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
    if format not in FORMATS:
        raise ValueError(f"trace: format must be one of {', '.join(FORMATS)}, received {format!r}")
    calls: Calls = []
    if callable(result):
        result = call_recorded(result, calls)
    if not isinstance(result, Tensor):
        raise TypeError(f"trace: a Tensor is required, received {type(result).__name__}")
    names = {id(x): name for name, x in named_members(model)} if model else {}
    return draw(result, names, calls, FORMATS[format])


def call_recorded(function: Callable[[], Tensor], calls: Calls) -> Tensor:
    """Call the function, and record which nodes each call of a layer makes."""
    call_layer = Layer.__call__

    def call_and_record(layer: Layer, *args: Any) -> Tensor:
        first = next(_creation_order)
        out = call_layer(layer, *args)
        calls.append((layer, range(first, next(_creation_order))))  # inner calls end first
        return out

    Layer.__call__ = call_and_record  # type: ignore[assignment, method-assign]
    try:
        return function()
    finally:
        Layer.__call__ = call_layer  # type: ignore[method-assign]


def draw(result: Tensor, names: dict[int, str], calls: Calls, style: dict[str, str]) -> str:
    """Write a box for each operation and each array that enters, oldest first; then the arrows."""
    boxes: dict[str, list[str]] = {"": []}  # by layer; "" for those outside of all layers
    numbers: dict[int, int] = {}  # of the boxes, by the id of the node or array
    arrows = []

    def add_box(kind: str, x: Any, title: str, layer: str = "") -> None:
        boxes.setdefault(layer, []).append(style[kind].format(i=len(numbers), title=title, x=x))
        numbers[id(origin(x))] = len(numbers)

    def add_array(x: Any) -> None:
        kind = "leaf" if getattr(x, "requires_grad", False) else "constant"
        add_box("array", x, names.get(id(x), kind))

    outputs = node_outputs(result)
    if not outputs:
        add_array(result)
    for node in sorted(outputs, key=lambda node: node.order):
        operands = [x for x in node.operands if hasattr(x, "shape")]
        for x in operands:
            if id(origin(x)) not in numbers:
                add_array(x)
        around = [layer for layer, orders in calls if node.order in orders and id(layer) in names]
        layer = f"{names[id(around[0])]} {type(around[0]).__name__}" if around else ""
        title = node.primitive.name.strip("<>")  # Mermaid reads <lambda> as a tag
        add_box("operation", outputs[node], title, layer)
        arrows += [(numbers[id(origin(x))], numbers[id(node)]) for x in operands]

    lines = [style["head"], *boxes.pop("")]
    for k, (layer, members) in enumerate(boxes.items()):
        lines.append(style["frame"].format(k=k, layer=layer, boxes="\n".join(members)))
    lines += [style["arrow"].format(start=start, end=end) for start, end in sorted(arrows)]
    return "\n".join(lines) + style["foot"]


def node_outputs(result: Tensor) -> dict[Node, Any]:
    """Map each node of the graph to its output, or to what is kept of it: shape and dtype."""
    outputs: dict[Node, Any] = {}
    waiting: list[Any] = [result]
    while waiting:
        x = waiting.pop()
        if x.node and x.node not in outputs:
            outputs[x.node] = x
            waiting += [operand for operand, _ in x.node.needed_vjps()]
    return outputs


def origin(x: Any) -> Any:
    """Return the node that computed x, or x itself."""
    return getattr(x, "node", None) or x
