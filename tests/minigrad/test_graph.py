"""The pictures of a graph: every box and every arrow."""

import re

import numpy as np
import pytest

from minigrad import Tensor, primitive
from minigrad.functional import cross_entropy
from minigrad.graph import trace
from minigrad.layers import Dense
from minigrad.models import Sequential


@pytest.fixture
def small():
    model = Sequential([Dense(8, activation="relu", input_shape=(4,)), Dense(3)])
    return model, cross_entropy(model(np.ones((2, 4), np.float32)), [0, 1])


def test_a_primitive_without_a_name_is_no_tag_in_mermaid():
    same = primitive(lambda g, *_: g)(lambda x: x + 0)
    text = trace(same(Tensor([1.0], requires_grad=True)), format="mermaid")
    assert 'n1["lambda<br/>(1,) float32"]' in text


def test_dot(small):
    model, loss = small
    text = trace(loss, model)
    boxes = dict(re.findall(r'(n\d+) \[label="(.*?)"', text))
    arrows = {
        (boxes[a].split("\\n")[0], boxes[b].split("\\n")[0])
        for a, b in re.findall(r"(n\d+) -> (n\d+)", text)
    }
    assert ("layers.0.kernel", "linear") in arrows and ("relu", "linear") in arrows
    assert ("linear", "relu") in arrows and ("constant", "linear") in arrows
    assert (
        "relu\\n(2, 8) float32" in boxes.values()
        and "layers.1.bias\\n(3,) float32" in boxes.values()
    )
    assert len(boxes) == 10 and text.count("->") == 9
    first, second = re.findall(r"subgraph.*?\n  }", text, re.S)
    assert 'label="layers.0 Dense"' in first and "linear" in first and "relu" in first
    assert 'label="layers.1 Dense"' in second and "linear" in second and "relu" not in second
    assert text.startswith("digraph {") and text.count("{") == text.count("}")


def test_mermaid(small):
    model, loss = small
    text = trace(loss, model, format="mermaid")
    assert text.startswith("flowchart TB") and text.count("subgraph") == text.count("  end") == 2
    assert len(set(re.findall(r"^  (n\d+)[\[(]", text, re.M))) == 10
    assert text.count("-->") == 9


def test_without_a_model_and_of_a_leaf():
    x = Tensor([1.0, 2.0], requires_grad=True)
    text = trace(np.sum(x * x))
    assert text.count("leaf") == 1 and text.count("n0 -> n1") == 2
    assert trace(x).count("label") == 1


def test_bad_input(small):
    with pytest.raises(ValueError, match="one of dot, mermaid, received 'png'"):
        trace(small[1], format="png")
    with pytest.raises(TypeError, match="a Tensor is required, received float"):
        trace(3.0)
    small[1].backward()
    with pytest.raises(RuntimeError, match="freed"):
        trace(small[1])
