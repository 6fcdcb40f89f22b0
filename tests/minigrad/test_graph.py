"""The drawing of a graph has a box for each node and array, an arrow for each operand."""

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from minigrad import Tensor, detect_anomaly, grad, primitive
from minigrad.anomaly import AnomalyError
from minigrad.functional import cross_entropy
from minigrad.graph import trace
from minigrad.layers import Dense, Layer, ReLU
from minigrad.models import Sequential


@pytest.fixture
def small():
    """Return a model and a function that computes its loss."""
    model = Sequential([Dense(8, activation="relu", input_shape=(4,)), Dense(3)])
    return model, lambda: cross_entropy(model(np.ones((2, 4), np.float32)), [0, 1])


def test_mermaid_does_not_take_a_lambda_for_a_tag():
    identity = primitive(lambda g, *_: g)(lambda x: x + 0)
    text = trace(identity(Tensor([1.0], requires_grad=True)), format="mermaid")
    assert 'n1["lambda<br/>(1,) float32"]' in text


def test_dot_has_a_box_for_each_node_and_a_frame_for_each_layer(small):
    model, compute_loss = small
    text = trace(compute_loss, model)
    boxes = dict(re.findall(r'(n\d+) \[label="(.*?)"', text))
    arrows = {
        (boxes[a].split("\\n")[0], boxes[b].split("\\n")[0])
        for a, b in re.findall(r"(n\d+) -> (n\d+)", text)
    }
    assert {("layers.0.kernel", "linear"), ("constant", "linear")} <= arrows
    assert {("linear", "relu"), ("relu", "linear")} <= arrows
    assert {"relu\\n(2, 8) float32", "layers.1.bias\\n(3,) float32"} <= set(boxes.values())
    assert len(boxes) == 10 and text.count("->") == 9
    first, second = re.findall(r"subgraph.*?\n  }", text, re.S)
    assert 'label="layers.0 Dense"' in first and "linear" in first and "relu" in first
    assert 'label="layers.1 Dense"' in second and "linear" in second and "relu" not in second
    assert text.startswith("digraph {") and text.count("{") == text.count("}")


def test_mermaid_has_the_same_boxes_arrows_and_frames(small):
    model, compute_loss = small
    text = trace(compute_loss, model, format="mermaid")
    assert text.startswith("flowchart TB") and text.count("subgraph") == text.count("  end") == 2
    assert len(set(re.findall(r"^  (n\d+)[\[(]", text, re.M))) == 10
    assert text.count("-->") == 9


def test_a_function_may_give_the_mode_of_a_layer(small):
    model, _ = small
    x = np.ones((2, 4), np.float32)
    text = trace(lambda: np.sum(model(x, training=True)), model)
    assert text.count("subgraph") == 2


def test_a_tensor_has_names_but_no_frames(small):
    model, compute_loss = small
    text, framed = trace(compute_loss(), model), trace(compute_loss, model)
    assert "subgraph" not in text and framed.count("subgraph") == 2
    outside = re.sub(r"  subgraph.*\n|  }\n", "", framed)
    assert sorted(text.splitlines()) == sorted(outside.splitlines())


def test_a_frame_holds_all_calls_of_its_layer_and_is_the_innermost():
    inner = Dense(2, input_shape=(2,))
    model = Sequential([Sequential([inner, inner]), ReLU()])
    text = trace(lambda: model(np.ones((1, 2), np.float32)), model)
    frames = dict(re.findall(r'subgraph cluster_\d+ { label="(.*?)"\n(.*?)\n  }', text, re.S))
    assert {name: lines.count("label") for name, lines in frames.items()} == {
        "layers.0.layers.0 Dense": 2,
        "layers.1 ReLU": 1,
    }


def test_layers_are_as_before_also_after_an_error(small):
    call = Layer.__call__

    def fail():
        raise KeyError("missing")

    with pytest.raises(KeyError, match="missing"):
        trace(fail, small[0])
    assert trace(small[1]).count("subgraph") == 0  # without a model, layers have no names
    assert Layer.__call__ is call


def test_trace_needs_no_model_and_draws_a_leaf():
    x = Tensor([1.0, 2.0], requires_grad=True)
    text = trace(np.sum(x * x))
    assert text.count("leaf") == 1 and text.count("n0 -> n1") == 2
    assert trace(x).count("label") == 1


def test_trace_refuses_other_formats_other_objects_and_freed_graphs(small):
    loss = small[1]()
    with pytest.raises(ValueError, match="one of dot, mermaid, received 'png'"):
        trace(loss, format="png")
    for wrong in (3.0, lambda: 3.0):
        with pytest.raises(TypeError, match="a Tensor is required, received float"):
            trace(wrong)
    loss.backward()
    with pytest.raises(RuntimeError, match="freed"):
        trace(loss)


def test_threads_trace_one_after_the_other_and_restore_the_layers(small):
    model, compute_loss = small
    call_layer, alone = Layer.__call__, trace(compute_loss, model)
    first_is_inside = threading.Event()

    def compute_slowly():
        first_is_inside.set()
        time.sleep(0.05)  # the second trace starts meanwhile
        return compute_loss()

    def trace_second(_):
        first_is_inside.wait(10)
        return trace(compute_loss, model)

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(trace, compute_slowly, model)
        second = threads.submit(trace_second, None)
        assert first.result() == second.result() == alone
    assert Layer.__call__ is call_layer


def test_detect_anomaly_goes_on_checking(small):
    x = Tensor([-1.0], requires_grad=True)
    with np.errstate(invalid="ignore"), detect_anomaly():
        assert trace(small[1], small[0]).count("subgraph") == 2
        with pytest.raises(AnomalyError, match=r"np\.log gave NaN"):
            trace(lambda: np.log(x))


def test_a_gradient_is_drawn_and_a_layer_that_build_makes_has_a_frame():
    class Late(Layer):
        def build(self, input_shape):
            self.inner = Dense(1, input_shape=input_shape)

        def forward(self, x):
            return self.inner(x)

    x = Tensor([[1.0, 2.0]], requires_grad=True)
    model = Sequential([Late()])
    text = trace(lambda: grad(np.sum(model(x) ** 2), x, create_graph=True), model)
    assert 'label="layers.0.inner Dense"' in text and "layers.0.inner.kernel" in text


def test_a_call_of_another_thread_draws_no_frame():
    inside, go_on = threading.Event(), threading.Event()

    class Waiting(Layer):
        def forward(self, x):
            inside.set()
            go_on.wait(10)
            return x * 1

    x, model = Tensor([[1.0]], requires_grad=True), Sequential([Waiting()])

    def compute():
        other = threading.Thread(target=model, args=[x])
        other.start()
        inside.wait(10)
        out = np.sum(x * 2)  # while the other thread is inside the layer
        go_on.set()
        other.join()
        return out

    assert "subgraph" not in trace(compute, model)
