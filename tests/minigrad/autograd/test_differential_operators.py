"""Second derivatives, and the learning rate at which gradient descent diverges."""

from pathlib import Path

import numpy as np
import pytest

from minigrad import Tensor, grad, hessian, hessian_vector_product, jacobian, largest_curvature
from minigrad.datasets import airfoil
from tests.minigrad.autograd.helpers import leaf

A = np.array([[2.0, -1.0, 0.5], [-1.0, 3.0, 0.0], [0.5, 0.0, 1.0]])


def quadratic(x):
    return x @ A @ x / 2


def test_the_hessian_of_a_quadratic_is_its_matrix():
    x = leaf([1.0, -2.0, 0.3])
    np.testing.assert_allclose(hessian(quadratic(x), x), A, rtol=1e-14)
    v = np.array([1.0, 0.0, -2.0])
    np.testing.assert_allclose(hessian_vector_product(quadratic(x), x, v), A @ v, rtol=1e-14)
    [product] = hessian_vector_product(quadratic(x), [x], [v])
    np.testing.assert_allclose(product, A @ v, rtol=1e-14)
    assert largest_curvature(quadratic(x), [x]) == pytest.approx(np.linalg.eigvalsh(A)[-1], 1e-5)


def test_jacobian_shapes_and_values():
    x = leaf([[0.1, 0.2], [0.3, 0.4]])
    J = jacobian(np.sin(x)[0] * x[1, 0], x)
    assert J.shape == (2, 2, 2)
    expected = np.zeros((2, 2, 2))
    expected[[0, 1], 0, [0, 1]] = np.cos(x.data[0]) * 0.3
    expected[:, 1, 0] = np.sin(x.data[0])
    np.testing.assert_allclose(J, expected, rtol=1e-14)
    assert jacobian(x[:0], x).shape == (0, 2, 2, 2)
    assert not jacobian(Tensor([1.0]), x).data.any()
    assert jacobian(x**2, x, create_graph=True).requires_grad


def test_linear_functions_have_no_curvature():
    x = leaf([1.0, 2.0])
    assert hessian_vector_product(np.sum(3 * x), x, [1.0, 1.0]).tolist() == [0, 0]
    assert hessian(np.sum(3 * x), x).tolist() == [[0, 0], [0, 0]]
    assert largest_curvature(np.sum(3 * x), [x]) == 0


def test_negative_curvature_is_found_too():
    x = leaf([1.0, 1.0])
    assert largest_curvature(x[0] ** 2 - 3 * x[1] ** 2, [x]) == pytest.approx(-6, rel=1e-5)


def test_curvatures_of_equal_size_and_opposite_sign():
    x = leaf([1.0, 1.0])
    assert abs(largest_curvature(x[0] * x[1], [x])) == pytest.approx(1, rel=1e-12)


def test_vectors_of_other_shapes_are_refused():
    x = leaf([1.0, 2.0])
    for inputs, vectors in ((x, [1.0]), (x, 1.0), ([x, x], [[1.0, 1.0]])):
        with pytest.raises(
            ValueError, match=r"must have the shapes of the inputs, \[\(2,\).*received"
        ):
            hessian_vector_product(np.sum(x**3), inputs, vectors)


def test_several_parameters_share_one_hessian():
    w, b = leaf([[0.3], [0.2]]), leaf([0.1])
    X = np.random.default_rng(0).normal(size=(50, 2))
    loss = np.mean(np.square(X @ w + b)) / 2
    full = np.c_[X, np.ones(50)]
    expected = np.linalg.eigvalsh(full.T @ full / 50)[-1]
    assert largest_curvature(loss, [w, b]) == pytest.approx(expected, rel=1e-4)


def test_gradient_descent_is_stable_up_to_two_over_lambda():
    start = leaf([1.0, -2.0, 0.3])
    limit = 2 / largest_curvature(quadratic(start), [start], tol=1e-12)

    def distance(lr):
        x = leaf(start.data)
        for _ in range(500):
            x.data = x.data - lr * grad(quadratic(x), x).data
        return np.linalg.norm(x.data)

    assert distance(0.99 * limit) < 1e-3 < 1e3 < distance(1.01 * limit)


def test_the_largest_stable_lr_on_the_airfoil_data_is_0_953(monkeypatch):
    """On the textbook's 1,500 standardised rows, gradient descent with lr > 2/λ diverges."""
    shared = Path(__file__).parents[3] / "shared" / "data"
    if not shared.is_dir():
        pytest.skip("the measurements are not in ../shared/data")
    monkeypatch.setattr(airfoil, "MIRRORS", ())
    monkeypatch.setenv("MINIGRAD_DATA", str(shared))
    table = np.column_stack(airfoil.load_data())
    table = ((table - table.mean(0)) / table.std(0))[:1500]
    w, b = leaf(np.zeros(5)), leaf(0.0)
    loss = np.mean(np.square(table[:, :5] @ w + b - table[:, 5])) / 2
    assert 2 / largest_curvature(loss, [w, b]) == pytest.approx(0.953, abs=5e-4)
