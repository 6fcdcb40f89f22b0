"""np.linalg and np.diag: PyTorch's numbers, degenerate matrices, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from minigrad import Tensor, grad
from minigrad.gradcheck import gradcheck

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "linalg.json").read_text())
SQUARE = np.array([[2.0, 1.0, 0.5], [0.3, 1.5, -0.4], [-0.2, 0.6, 1.0]])
OF_SQUARES = "inv det slogdet cholesky eigh eigvalsh svd svdvals pinv qr norm".split()


def gradient(f, x, of=None):
    """Return ∂⟨of, f(x)⟩/∂x; of is 1 by default."""
    x = Tensor(np.array(x), requires_grad=True)
    out = f(x)
    out.backward(np.ones(out.shape) if of is None else of)
    return x.grad


@pytest.mark.parametrize("text", GOLDEN["expressions"])
def test_values_and_gradients_equal_pytorchs(text):
    expected = GOLDEN["expressions"][text]
    names = expected["gradients"]
    leaves = {x: Tensor(np.array(GOLDEN["inputs"][x]), requires_grad=True) for x in names}
    out = eval(text, {"la": np.linalg} | leaves)  # the texts come from golden/linalg.py
    np.testing.assert_allclose(out.data, expected["value"], rtol=1e-10, atol=1e-13)
    out.backward(np.cos(np.arange(out.size)).reshape(out.shape))
    for name, x in leaves.items():
        np.testing.assert_allclose(x.grad, names[name], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", OF_SQUARES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_results_are_numpys_to_the_bit(name, dtype):
    x = (SQUARE @ SQUARE.T * 8).astype(dtype)
    ours, numpys = getattr(np.linalg, name)(Tensor(x)), getattr(np.linalg, name)(x)
    several = isinstance(numpys, tuple)
    assert not several or ours._fields == numpys._fields
    for part, expected in zip(ours, numpys) if several else [(ours, numpys)]:
        assert part.dtype == expected.dtype
        np.testing.assert_array_equal(getattr(part, "data", part), expected)


def test_derivatives_of_third_order():
    symmetric = SQUARE + SQUARE.T
    for f in (
        lambda x: np.linalg.eigh(x + x.T).eigenvectors,
        lambda x: np.linalg.svd(x[:, :2], full_matrices=False).U,
        lambda x: np.linalg.qr(x).Q,
        lambda x: np.linalg.cholesky(x @ x.T),
        lambda x: np.linalg.det(x) * np.linalg.inv(x),
        lambda x: np.linalg.pinv(x[:, :2]),
    ):
        assert gradcheck(f, symmetric, order=3)


def test_the_derivative_of_one_triangle_is_shared_by_both():
    """cholesky and eigh read one triangle; a function of a symmetric matrix has this gradient."""
    spd, of = SQUARE @ SQUARE.T, np.arange(9.0).reshape(3, 3)
    for f in (np.linalg.cholesky, lambda x: np.linalg.eigh(x).eigenvectors):
        g = gradient(f, spd, of)
        np.testing.assert_allclose(g, g.T, rtol=1e-12)
        symmetrised = gradient(lambda x, f=f: f((x + x.T) / 2), spd, of)
        np.testing.assert_allclose(g, symmetrised, rtol=1e-12)


# ---- Equal eigenvalues, singular matrices ----


def test_equal_eigenvalues_alone_have_a_derivative():
    expected, eye = np.diag([1.0, 2.0, 3.0]), np.eye(3)
    for f in (
        np.linalg.eigvalsh,
        np.linalg.svdvals,
        lambda x: np.linalg.eigh(x).eigenvalues,
        lambda x: np.linalg.svd(x).S,
        lambda x: np.linalg.svd(x, compute_uv=False),
    ):
        np.testing.assert_array_equal(gradient(f, eye, [1.0, 2.0, 3.0]), expected)
    np.testing.assert_array_equal(gradient(lambda x: np.linalg.norm(x, "nuc"), eye), eye)
    np.testing.assert_array_equal(gradient(lambda x: np.linalg.norm(x, 2), eye), eye / 3)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.linalg.eigh(x).eigenvectors,
        lambda x: np.linalg.svd(x).U,
        lambda x: grad(np.sum(np.linalg.eigvalsh(x) ** 2), x, create_graph=True),
    ],
)
def test_equal_eigenvalues_have_no_derivative_of_vectors(f):
    """The second derivative of eigenvalues needs that of the vectors."""
    with pytest.warns(RuntimeWarning, match="divide"):
        assert np.isnan(gradient(f, np.eye(3))).all()


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ([[1.0, 2.0], [2.0, 4.0]], [[4.0, -2.0], [-2.0, 1.0]]),
        ([[0.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]),
        ([[1.0, 0, 0], [0, 2, 0], [0, 0, 0]], [[0.0, 0, 0], [0, 0, 0], [0, 0, 2]]),
        ([[0.0]], [[1.0]]),
    ],
)
def test_the_gradient_of_a_singular_determinant_is_its_cofactors(matrix, expected):
    assert gradient(np.linalg.det, matrix).tolist() == expected
    assert gradcheck(np.linalg.det, matrix, order=2)
    stack = np.array([matrix, np.diag(np.arange(1.0, 1 + len(matrix)))])
    for x, g in zip(stack, gradient(np.linalg.det, stack)):
        np.testing.assert_allclose(g, gradient(np.linalg.det, x), rtol=1e-14, atol=1e-14)


def test_a_determinant_that_underflows_is_not_singular():
    assert gradient(np.linalg.det, np.eye(150) * 1e-3).max() == 0


def test_singular_matrices_raise():
    zeros = np.zeros((2, 2))
    with pytest.raises(ValueError, match=r"np\.linalg\.inv .*Singular matrix"):
        np.linalg.inv(Tensor(zeros))
    for f in (lambda x: np.linalg.slogdet(x).logabsdet, lambda x: np.linalg.qr(x).Q):
        with pytest.raises(np.linalg.LinAlgError, match="Singular matrix") as caught:
            gradient(f, zeros)
        assert "in the backward pass of np.linalg." in caught.value.__notes__[0]


# ---- NumPy's details ----


def test_the_sign_of_slogdet_is_a_constant():
    x = Tensor(-SQUARE, requires_grad=True)
    result = np.linalg.slogdet(x)
    sign, logabsdet = result
    assert sign == result.sign == -1 and result.logabsdet is logabsdet
    (sign * np.exp(logabsdet)).backward()
    np.testing.assert_allclose(x.grad, gradient(np.linalg.det, -SQUARE), rtol=1e-13)


def test_solve_takes_b_with_one_axis_as_a_vector():
    """It was ambiguous before NumPy 2: b of shape (3, 3) was a stack of vectors for such an A."""
    a = np.stack([SQUARE, SQUARE.T, np.eye(3)])
    for b in (np.arange(3.0), np.arange(9.0).reshape(3, 3), np.ones((2, 1, 3, 2))):
        expected = np.linalg.solve(a, b)
        for ours in (
            np.linalg.solve(Tensor(a), b),
            np.linalg.solve(a, Tensor(b)),
            np.linalg.solve(Tensor(a), b.tolist()),
        ):
            np.testing.assert_array_equal(ours, expected)


def test_norm_counts_axes_as_numpy():
    x = np.array([[3.0, -4.0], [0.0, 5.0]])
    for options in (
        dict(ord=1, axis=(0,)),
        dict(ord=1, axis=0),
        dict(ord=1),
        dict(ord="f"),
        dict(ord=np.inf, axis=(1, 0)),
        dict(ord=np.inf, axis=(0, 1), keepdims=True),
        dict(ord=0, axis=1),
        dict(ord=-2, axis=(-2, -1)),
        dict(keepdims=True),
    ):
        ours, numpys = np.linalg.norm(Tensor(x), **options), np.linalg.norm(x, **options)
        np.testing.assert_allclose(ours, numpys, rtol=1e-15)
    assert gradient(np.linalg.norm, -2.0) == -1  # no axis
    for wrong, options in ((2.0, dict(ord=2)), ([x], dict(ord=2)), (x[0], dict(ord="nuc"))):
        with pytest.raises(ValueError):
            np.linalg.norm(np.array(wrong), **options)
        with pytest.raises(ValueError, match=r"np\.linalg\.norm: ord=.* does not fit \d axes"):
            np.linalg.norm(Tensor(np.array(wrong)), **options)


@pytest.mark.parametrize("ord", [None, 1, 2, 2.5, 3, np.inf])
def test_the_gradient_of_a_norm_at_0_is_0(ord):
    """As PyTorch's is."""
    assert not gradient(lambda x: np.linalg.norm(x, ord), np.zeros(2)).any()
    rows = gradient(lambda x: np.linalg.vector_norm(x, axis=1, ord=ord), [[0, 0], [0, -2.0]])
    np.testing.assert_allclose(rows, [[0, 0], [0, -1]], rtol=1e-15)
    if ord != np.inf:  # which has no value
        assert gradient(lambda x: np.linalg.norm(x, ord, axis=1), np.zeros((2, 0))).shape == (2, 0)


def test_multi_dot_of_two_arrays_is_dot():
    x = np.arange(12.0).reshape(2, 3, 2)
    found = np.linalg.multi_dot([Tensor(x), Tensor(SQUARE[:2])])
    np.testing.assert_array_equal(found.data, np.linalg.multi_dot([x, SQUARE[:2]]), strict=True)
    assert np.linalg.multi_dot([Tensor(3.0), Tensor(2.0)]).item() == 6


def test_matrix_power_gives_numpys_values_for_every_integer():
    for n in range(-5, 10):
        ours, numpys = (np.linalg.matrix_power(x, n) for x in (Tensor(SQUARE), SQUARE))
        np.testing.assert_allclose(ours, numpys, rtol=1e-12)
    x = Tensor(SQUARE, requires_grad=True)
    for n in (0, 1):
        assert np.linalg.matrix_power(x, n).requires_grad
    with pytest.raises(TypeError, match="integer"):
        np.linalg.matrix_power(x, 0.5)


def test_diag_needs_one_or_two_axes():
    for shape in ((), (2, 2, 2)):
        with pytest.raises(ValueError, match="1- or 2-d"):
            np.diag(Tensor(np.ones(shape)))


def test_empty_matrices_have_empty_gradients():
    empty = np.zeros((0, 0))
    for f in (np.linalg.det, np.linalg.inv, np.linalg.eigvalsh, lambda x: np.linalg.svd(x).U):
        assert gradient(f, empty).shape == (0, 0)
    assert gradient(lambda x: np.linalg.qr(x).R, np.zeros((0, 3, 2))).shape == (0, 3, 2)
    assert np.linalg.det(Tensor(empty)).item() == 1


def test_the_rank_is_a_plain_number():
    assert type(np.linalg.matrix_rank(Tensor(SQUARE))) is type(np.linalg.matrix_rank(SQUARE))


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda x: np.linalg.svd(x[:2]), r"svd of shape \(2, 3\) needs full_matrices=False"),
        (lambda x: np.linalg.svd(x, hermitian=True), "svd: .* the argument hermitian"),
        (lambda x: np.linalg.qr(x[:2]), r"qr: .*as many rows as columns; received .*\(2, 3\)"),
        (lambda x: np.linalg.qr(x, "raw"), "qr: minigrad supports mode='reduced' .* mode='raw'"),
        (np.linalg.eig, r"eig has no derivative.* complex results; use np\.linalg\.eigh"),
        (np.linalg.eigvals, r"eigvals has no derivative in minigrad: complex results"),
    ],
)
def test_what_is_not_supported_is_refused(f, message):
    with pytest.raises(TypeError, match=message):
        f(Tensor(SQUARE, requires_grad=True))
