"""Draw the graph of a result as text: Graphviz's DOT, or Mermaid for Markdown."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from .autograd.recording import anomaly_detector
from .autograd.tensor import Node, Tensor
from .layers import Layer, named_members

Calls = dict[Node, list[Layer]]  # the layers in whose calls a node was made, innermost first
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
    recorder = CallRecorder()
    if callable(result):
        context = copy_context()  # other threads, and later calls, do not see the recorder
        context.run(anomaly_detector.set, recorder)
        result = context.run(result)
    if not isinstance(result, Tensor):
        raise TypeError(f"trace: a Tensor is required, received {type(result).__name__}")
    names = {id(x): name for name, x in named_members(model)} if model else {}
    style = {part: texts[FORMATS.index(format)] for part, texts in PARTS.items()}
    return draw(result, names, recorder.calls, style)


class CallRecorder:
    """Record in which layers' calls each node is made; detect_anomaly goes on checking."""

    def __init__(self) -> None:
        self.detector = anomaly_detector.get()
        self.calls: Calls = {}

    def forward(self, node: Node, *values: Any) -> None:
        calls = self.calls[node] = []
        frame: Any = sys._getframe()
        while frame := frame.f_back:
            if frame.f_code is Layer.__call__.__code__:
                calls.append(frame.f_locals["self"])
        if self.detector:
            self.detector.forward(node, *values)

    def backward(self, node: Node, *values: Any) -> None:
        if self.detector:
            self.detector.backward(node, *values)


def draw(result: Tensor, names: dict[int, str], calls: Calls, style: dict[str, str]) -> str:
    """Write a box for each operation and each array that enters, oldest first; then the arrows."""
    boxes: dict[str, list[str]] = {"": []}  # by layer; "" is for those outside of all layers
    numbers: dict[int, int] = {}  # of the boxes
    arrows = []
    for out in computed_tensors(result) or [result]:
        operands = [x for x in out.node.operands if hasattr(x, "shape")] if out.node else []
        for x in (*operands, out):
            if box_key(x) in numbers:
                continue
            i = numbers[box_key(x)] = len(numbers)
            node: Any = getattr(x, "node", None)
            if node:
                part, title = "operation", node.primitive.name.strip("<>")  # a tag in Mermaid
            else:
                kind = "leaf" if getattr(x, "requires_grad", False) else "constant"
                part, title = "array", names.get(id(x), kind)
            around = [layer for layer in calls.get(node, []) if id(layer) in names]
            layer = f"{names[id(around[0])]} {type(around[0]).__name__}" if around else ""
            box = style[part].format(i=i, title=title, type=f"{x.shape} {x.dtype}")
            boxes.setdefault(layer, []).append(box)
        arrows += [(numbers[box_key(x)], numbers[box_key(out)]) for x in operands]

    lines = [style["head"], *boxes.pop("")]
    for k, (layer, members) in enumerate(boxes.items()):
        lines += [style["frame"].format(k=k, layer=layer), *members, style["end of frame"]]
    lines += [style["arrow"].format(start=start, end=end) for start, end in sorted(arrows)]
    return "\n".join(lines) + style["foot"]


def computed_tensors(result: Tensor) -> list[Any]:
    """Return the result of each node, oldest first; of some only shape and dtype are kept."""
    found: dict[Node, Any] = {}
    waiting: list[Any] = [result]
    while waiting:
        x = waiting.pop()
        if x.node and x.node not in found:
            found[x.node] = x
            waiting += [operand for operand, _ in x.node.needed_vjps()]
    return sorted(found.values(), key=lambda x: x.node.order)


def box_key(x: Any) -> int:
    """Return the id of the node that computed x, or of x itself."""
    return id(getattr(x, "node", None) or x)
