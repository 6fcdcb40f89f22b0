"""The documentation examples of HIPS autograd and MyGrad give the same numbers here."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from minigrad import Tensor, grad

GOLDEN_FOLDER = Path(__file__).parents[1] / "golden"
GOLDEN = json.loads((GOLDEN_FOLDER / "engine.json").read_text())
sys.path.insert(0, str(GOLDEN_FOLDER))
import programs  # noqa: E402

sys.path.remove(str(GOLDEN_FOLDER))


@pytest.mark.parametrize(
    ("name", "f"),
    [
        ("tanh", programs.tanh),
        ("sigmoid", programs.sigmoid),
        pytest.param("sine", programs.sine_by_its_series, marks=pytest.mark.slow),
    ],
)
def test_derivatives_up_to_the_sixth(name, f):
    x = Tensor(programs.POINTS, requires_grad=True)
    y = f(np, x)
    for order, expected in enumerate(GOLDEN[name]):
        np.testing.assert_allclose(
            y.data, expected, rtol=1e-9, atol=1e-11, err_msg=f"order {order}"
        )
        y = grad(y, x, np.ones(y.shape), create_graph=True)


def test_tanh_agrees_with_its_polynomials():
    """P₀ = t, Pₙ₊₁ = Pₙ′·(1 − t²): each derivative of t = tanh x is a polynomial in t."""
    x = Tensor(np.linspace(-4, 4, 9), requires_grad=True)
    y, polynomial, slope = np.tanh(x), np.poly1d([1, 0]), np.poly1d([-1, 0, 1])
    for _ in range(programs.ORDERS + 1):
        np.testing.assert_allclose(y.data, polynomial(np.tanh(x.data)), rtol=1e-9, atol=1e-11)
        y, polynomial = grad(y, x, np.ones(y.shape), create_graph=True), polynomial.deriv() * slope


def test_logistic_regression_has_autograds_losses_and_weights():
    w = Tensor(np.zeros(3), requires_grad=True)
    losses = [programs.logistic_loss(np, w).item()]
    for _ in range(100):
        w.data = w.data - 0.01 * grad(programs.logistic_loss(np, w), w).data
    losses.append(programs.logistic_loss(np, w).item())
    np.testing.assert_allclose(losses, GOLDEN["logistic"]["losses"], rtol=1e-12)
    np.testing.assert_allclose(w.data, GOLDEN["logistic"]["weights"], rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "f", "points"),
    [
        (
            "fluid",
            lambda v: programs.fluid_loss(np, lambda x: x.data, v),
            [programs.fluid_start()[0]],
        ),
        ("rnn", lambda *w: programs.rnn_loss(np, *w), programs.rnn_start()),
        ("rosenbrock", lambda x: programs.rosenbrock(np, x), [np.array([-1.5, 2.0])]),
        ("contraction", lambda *x: programs.contraction(np, *x), programs.contraction_start()),
    ],
)
def test_documented_programs_have_the_stored_values_and_gradients(name, f, points):
    leaves = [Tensor(x, requires_grad=True) for x in points]
    out = f(*leaves)
    out.backward()
    assert out.item() == pytest.approx(GOLDEN[name]["value"], rel=1e-12)
    for x, expected in zip(leaves, GOLDEN[name]["gradients"], strict=True):
        np.testing.assert_allclose(x.grad, expected, rtol=1e-10, atol=1e-13)
