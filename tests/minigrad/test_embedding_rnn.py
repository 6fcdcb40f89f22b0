"""Embedding and SimpleRNN against their formulas, written out in NumPy."""

import numpy as np
import pytest

from minigrad import Tensor, grad
from minigrad.layers import Dense, Embedding, SimpleRNN
from minigrad.models import Sequential

rng = np.random.default_rng(0)


def in_float64(layer, x):
    """Build the layer for x and convert it to float64 for finite differences."""
    layer(x)
    for name, p in layer.named_parameters():
        setattr(layer, name, Tensor(p.data.astype(np.float64), requires_grad=True))
    return layer


def test_embedding_equals_one_hot_rows_times_a_matrix():
    x = np.array([[3, 1, 3, 3], [0, 1, 2, 3]])
    layer = Embedding(5, 2)
    out = layer(x)
    one_hot = np.eye(5, dtype=np.float32)[x]
    np.testing.assert_array_equal(out.data, one_hot @ layer.embeddings.data)

    weight = rng.standard_normal(out.shape).astype(np.float32)
    np.sum(out * weight).backward()
    expected = np.einsum("ntv,ntd->vd", one_hot, weight)
    np.testing.assert_allclose(layer.embeddings.grad, expected, rtol=1e-6)
    assert np.all(layer.embeddings.grad[4] == 0)


def test_a_repeated_index_receives_the_sum_of_gradients():
    layer = Embedding(3, 2)
    np.sum(layer(np.array([1, 1, 1, 2]))).backward()
    np.testing.assert_array_equal(layer.embeddings.grad, [[0, 0], [3, 3], [1, 1]])


@pytest.mark.parametrize("return_sequences", [True, False])
def test_rnn_equals_its_recurrence(return_sequences):
    x = rng.standard_normal((2, 4, 3))
    start = rng.standard_normal((2, 5))
    layer = in_float64(SimpleRNN(5, return_sequences), x)
    w, u, b = (p.data for p in layer.parameters())
    b += rng.standard_normal(5)
    h, states = start, []
    for t in range(4):
        h = np.tanh(x[:, t] @ w + h @ u + b)
        states.append(h)
    out = layer(x, start)
    expected = np.stack(states, axis=1) if return_sequences else h
    np.testing.assert_allclose(out.data, expected, rtol=1e-12)


def test_rnn_gradients_against_finite_differences():
    x = Tensor(rng.standard_normal((2, 4, 3)), requires_grad=True)
    start = Tensor(rng.standard_normal((2, 5)), requires_grad=True)
    layer = in_float64(SimpleRNN(5), x)
    weight = rng.standard_normal((2, 5))
    inputs = [x, start, *layer.parameters()]

    def loss():
        return np.sum(layer(x, start) * weight)

    for tensor, g in zip(inputs, grad(loss(), inputs)):
        direction = rng.standard_normal(tensor.shape)
        home, ends = tensor.data.copy(), []
        for sign in (1, -1):
            tensor.data[...] = home + sign * 1e-6 * direction
            ends.append(loss().item())
        tensor.data[...] = home
        assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(np.sum(g.data * direction), rel=1e-6)


def test_two_pieces_equal_the_whole_and_a_data_state_stops_the_gradient():
    x = rng.standard_normal((2, 6, 3)).astype(np.float32)
    layer = SimpleRNN(4, return_sequences=True)
    whole = layer(x)
    first = Tensor(x[:, :3], requires_grad=True)
    state = layer(first)[:, -1]
    second = layer(x[:, 3:], state.data)
    np.testing.assert_array_equal(second.data, whole.data[:, 3:])
    np.sum(second).backward()
    assert first.grad is None
    np.sum(layer(x[:, 3:], state)).backward()
    assert np.any(first.grad)


def test_recurrent_kernel_is_orthogonal_and_float32():
    layer = SimpleRNN(8)
    assert layer(np.ones((1, 2, 3))).dtype == np.float32
    u = layer.recurrent_kernel.data
    np.testing.assert_allclose(u @ u.T, np.eye(8), atol=1e-6)


def test_an_rnn_learns_the_first_symbol_of_a_sequence():
    """Learn to name the first symbol of a sequence; this needs memory over all of it."""
    x = rng.integers(0, 3, (300, 6))
    model = Sequential([Embedding(3, 8), SimpleRNN(16), Dense(3)], seed=0)
    model.compile("adam", loss="cross_entropy", metrics=["accuracy"])
    model.optimizer.lr = 0.01
    model.fit(x, x[:, 0], epochs=15, verbose=0)
    assert model.evaluate(x, x[:, 0])[1] == 1
    assert list(model.state_dict()) == [
        "layers.0.embeddings",
        *(f"layers.1.{name}" for name in ("kernel", "recurrent_kernel", "bias")),
        "layers.2.kernel",
        "layers.2.bias",
    ]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Embedding(0, 2), "input_dim must be a positive integer, received 0"),
        (lambda: Embedding(3, 2.5), "output_dim must be a positive integer, received 2.5"),
        (lambda: Embedding(3, 2)(np.array([3])), r"0 … 2; received 3 … 3"),
        (lambda: Embedding(3, 2)(np.array([-1, 0])), r"0 … 2; received -1 … 0"),
        (lambda: Embedding(3, 2)(np.array([0.5])), "integers are required"),
        (lambda: Embedding(3, 2)(np.array([np.nan])), "integers are required"),
        (lambda: SimpleRNN(0), "units must be a positive integer, received 0"),
        (lambda: SimpleRNN(2)(np.ones((3, 4))), r"features\) is required, received \(batch, 4\)"),
        (lambda: SimpleRNN(2)(np.ones((3, 0, 4))), r"received \(3, 0, 4\)"),
        (lambda: SimpleRNN(2)(np.ones((3, 1, 4)), np.ones((1, 2))), r"\(3, 2\) is required"),
    ],
)
def test_wrong_sizes_indices_and_shapes_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_state_may_be_a_list():
    layer, x = SimpleRNN(2), np.ones((3, 4, 5))
    assert np.array_equal(layer(x, [[0.0, 0.0]] * 3).data, layer(x).data)
    with pytest.raises(ValueError, match=r"a state of shape \(3, 2\) is required, received \(2,\)"):
        layer(x, [0.0, 0.0])


def test_rnn_converts_the_state_to_its_dtype():
    layer = SimpleRNN(2)
    x = np.ones((1, 2, 3), np.float32)
    assert layer(x, np.ones((1, 2))).dtype == np.float32
    assert np.array_equal(layer(x, np.ones((1, 2))).data, layer(x, [[1.0, 1.0]]).data)
