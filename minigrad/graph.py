"""Draw the graph of a result as text: Graphviz's DOT, or Mermaid for Markdown."""

from collections.abc import Callable
from typing import Any

from .autograd.differential_operators import computed_tensors
from .autograd.recording import set_var
from .autograd.tensor import Tensor, creation_order
from .layer import Layer, named_members
from .layer_state import forward_wrapper

Calls = list[tuple[Layer, range]]  # (layer, the orders of the nodes of one call)
FORMATS = ("dot", "mermaid")
PARTS = {  # of a drawing, in each format
    "head": ("digraph {\n  node [shape=box]", "flowchart TB"),
    "operation": ('  n{i} [label="{title}\\n{type}"]', '  n{i}["{title}<br/>{type}"]'),
    "array": ('  n{i} [label="{title}\\n{type}", shape=ellipse]', '  n{i}(["{title}<br/>{type}"])'),
    "frame": ('  subgraph cluster_{k} {{ label="{layer}"', '  subgraph g{k}["{layer}"]'),
    "end of frame": ("  }", "  end"),
    "arrow": ("  n{start} -> n{end}", "  n{start} --> n{end}"),
    "foot": ("\n}", ""),
}


def trace(
    result: Tensor | Callable[[], Tensor], model: Layer | None = None, format: str = "dot"
) -> str:
    """Return a drawing of a result's graph: its operations, and the arrays that enter them.

    result: a tensor, or a function without arguments that computes one.
    model: names the parameters. For a function, each layer's operations get a frame; for a tensor
    they get none, because the layers ran before.
    format: "dot" for Graphviz, or "mermaid".
    Not drawn: Python numbers, operations under no_grad. Trace before `backward` frees the graph.

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
    calls = [(layer, node_orders) for layer, node_orders in calls if id(layer) in names]
    templates = {part: texts[FORMATS.index(format)] for part, texts in PARTS.items()}
    return draw(result, names, calls, templates)


def call_recorded(function: Callable, calls: Calls) -> Any:
    """Call the function; record which nodes each call of a layer creates, inner calls first."""

    def forward_and_record(layer: Layer, *args: Any) -> Any:
        first = next(creation_order)
        out = layer.forward(*args)
        calls.append((layer, range(first, next(creation_order))))
        return out

    with set_var(forward_wrapper, forward_and_record):
        return function()


def draw(result: Tensor, names: dict[int, str], calls: Calls, templates: dict[str, str]) -> str:
    """Write a box for each operation and each input array, oldest first; then the arrows."""
    boxes: dict[str, list[str]] = {"": []}  # by frame; "" is for those outside of all layers
    numbers: dict[int, int] = {}  # of the boxes
    arrows = []
    for out in computed_tensors(result) or [result]:
        operands = [x for x in out.node.operands if hasattr(x, "shape")] if out.node else []
        for x in (*operands, out):
            if box_key(x) not in numbers:
                i = numbers[box_key(x)] = len(numbers)
                part, title, frame = describe(x, names, calls)
                box = templates[part].format(i=i, title=title, type=f"{x.shape} {x.dtype}")
                boxes.setdefault(frame, []).append(box)
        arrows += [(numbers[box_key(x)], numbers[box_key(out)]) for x in operands]

    lines = [templates["head"], *boxes.pop("")]
    for k, (frame, members) in enumerate(boxes.items()):
        lines += [templates["frame"].format(k=k, layer=frame), *members, templates["end of frame"]]
    lines += [templates["arrow"].format(start=start, end=end) for start, end in sorted(arrows)]
    return "\n".join(lines) + templates["foot"]


def describe(x: Any, names: dict[int, str], calls: Calls) -> tuple[str, str, str]:
    """Return what x's box is, "operation" or "array", its title, and the frame around it."""
    node = getattr(x, "node", None)
    if node is None:
        kind = "leaf" if getattr(x, "requires_grad", False) else "constant"
        return "array", names.get(id(x), kind), ""
    layers = [layer for layer, node_orders in calls if node.order in node_orders]  # inner first
    frame = f"{names[id(layers[0])]} {type(layers[0]).__name__}" if layers else ""
    return "operation", node.primitive.name.strip("<>"), frame  # <…> would be a tag in Mermaid


def box_key(x: Any) -> int:
    """Return the id of the node that computed x, or of x itself."""
    return id(getattr(x, "node", None) or x)
