"""np.linalg and np.diag with their derivatives, for matrices and for stacks of matrices.

Sorted by difficulty: products, norms, inverses, determinants, decompositions. The formulas are from
Giles, "An extended collection of matrix derivative results", 2008, or as named beside them.

cholesky, eigh and eigvalsh read one triangle of A; the gradient is that for a symmetric A, as in
PyTorch. If eigenvalues or singular values are equal, their vectors are not unique: the gradient of
the vectors is NaN or inf, or very large if rounding makes the values differ.
"""

import operator
from functools import reduce

import numpy as np
from numpy import linalg

from .conversion import coerce_lists, unwrap
from .dispatch import HANDLED_FUNCTIONS, NONDIFFERENTIABLE, REFUSAL_REASONS
from .numpy_functions import convert, normalize_axes, root
from .numpy_vjps import defvjp, implements, scatter_add
from .tensor import Primitive

NONDIFFERENTIABLE.add(linalg.matrix_rank)
for _eig in (linalg.eig, linalg.eigvals):
    REFUSAL_REASONS[_eig] = "complex results; use np.linalg.eigh if A = Aᵀ"

# Products and diagonals

implements(linalg.matmul)(lambda x1, x2: np.matmul(x1, x2))
implements(linalg.multi_dot)(lambda arrays: reduce(np.dot, arrays))  # from left to right
HANDLED_FUNCTIONS[linalg.vecdot] = HANDLED_FUNCTIONS[np.vecdot]
implements(linalg.cross)(lambda x1, x2, axis=-1: np.cross(x1, x2, axis=axis))
implements(linalg.tensordot)(lambda x1, x2, axes=2: np.tensordot(x1, x2, axes))
implements(linalg.outer)(lambda x1, x2: np.einsum("i,j->ij", x1, x2))
implements(linalg.diagonal)(lambda x, offset=0: np.diagonal(x, offset, -2, -1))
implements(linalg.trace)(lambda x, offset=0, dtype=None: np.trace(x, offset, -2, -1, dtype))
mT = implements(linalg.matrix_transpose)(lambda x: np.swapaxes(x, -1, -2))  # Xᵀ of each matrix


@implements(linalg.matrix_power)
def matrix_power(a, n):
    if operator.index(n) < 0:
        return matrix_power(linalg.inv(a), -n)
    if n < 2:
        return a if n else np.where(True, np.eye(a.shape[-1], dtype=a.dtype), a)
    half = matrix_power(a, n // 2)
    return half @ half @ a if n % 2 else half @ half


@implements(np.diag)
def diag(v, k=0):
    shape = np.diag(unwrap(v), k).shape
    if v.ndim == 2:
        return np.diagonal(v, k)
    rows = np.arange(v.size) + max(-k, 0)
    return scatter_add(v, index=(rows, rows + k), shape=shape)


# Norms


@implements(linalg.vector_norm)
def vector_norm(x, axis=None, keepdims=False, ord=2):
    """(Σ|x|ᵖ)^(1/p) with p = ord. The derivative at 0 is 0."""
    x, reduced = convert(x, None, float), dict(axis=axis, keepdims=keepdims)
    p = 2.0 if ord is None else float(ord)
    if p == 2:
        return root(np.sum(np.square(x), **reduced))
    if np.isinf(p):
        return (np.max if p > 0 else np.min)(np.abs(x), **reduced)
    if p == 0:
        return np.sum(np.abs(np.sign(x)), **reduced)
    return root(np.sum(np.abs(x) ** p, **reduced), p)


@implements(linalg.norm)
def norm(x, ord=None, axis=None, keepdims=False):
    """Return the norm of all elements, of vectors along one axis, or of matrices along two.

    Norms of matrices: Frobenius (None, "fro"); the sum of the singular values ("nuc"); the largest
    of the column sums (1), of the singular values (2), of the row sums (inf); with a negative ord
    the smallest of these.
    """
    x, axes = convert(x, None, float), normalize_axes(x, axis)
    if ord is None or (ord in ("fro", "f") and len(axes) == 2):
        return vector_norm(x, axes, keepdims)
    if len(axes) == 1 and not isinstance(ord, str):
        return vector_norm(x, axes, keepdims, ord)
    if len(axes) != 2 or ord not in ("nuc", 1, -1, 2, -2, np.inf, -np.inf):
        required = "one axis needs a number, two axes need 'fro', 'nuc', ±1, ±2 or ±inf"
        raise ValueError(f"np.linalg.norm: ord={ord!r} does not fit {len(axes)} axes; {required}")
    x = np.moveaxis(x, axes, (-2, -1))
    if ord in ("nuc", 2, -2):
        sizes = linalg.svdvals(x)
    else:
        sizes = np.sum(np.abs(x), -2 if abs(ord) == 1 else -1)
    result = (np.sum if ord == "nuc" else np.max if ord > 0 else np.min)(sizes, -1)
    return np.expand_dims(result, axes) if keepdims else result


implements(linalg.matrix_norm)(
    lambda x, keepdims=False, ord="fro": norm(x, ord, (-2, -1), keepdims)
)

# Inverses and determinants


def pinv_vjp(g, P, a, rcond=None, rtol=None):
    """(I − AP)GᵀPPᵀ + PᵀPGᵀ(I − PA) − PᵀGPᵀ, at constant rank (Golub and Pereyra, 1973)."""
    left, right = mT(g) @ P @ mT(P), mT(P) @ P @ mT(g)
    return left - a @ (P @ left) + right - (right @ P) @ a - mT(P) @ g @ mT(P)


defvjp(linalg.pinv, pinv_vjp)
defvjp(linalg.inv, lambda g, out, _a: -mT(out) @ g @ mT(out))
solve_columns = Primitive(
    linalg.solve,
    lambda g, out, a, _b: -linalg.solve(mT(a), g) @ mT(out),
    lambda g, _out, a, _b: linalg.solve(mT(a), g),
    name="np.linalg.solve",
)


@implements(linalg.solve)
def solve(a, b):
    a, b = coerce_lists("np.linalg.solve", (a, b))
    return solve_columns(a, b[:, None])[..., 0] if np.ndim(b) == 1 else solve_columns(a, b)


def det_vjp(g, out, a):
    """G times the cofactors of A, which are det(A) A⁻ᵀ, or minors if a matrix is singular.

    If A is nearly singular, second derivatives lose about log₁₀(condition number) digits.
    """
    try:
        cofactors = np.expand_dims(out, (-2, -1)) * mT(linalg.inv(a))
    except ValueError:  # LinAlgError: singular
        n = a.shape[-1]
        others = np.array([np.delete(np.arange(n), i) for i in range(n)])  # row i: all but i
        minors = linalg.det(a[..., others[:, None, :, None], others[None, :, None, :]])
        cofactors = np.where(np.indices((n, n)).sum(0) % 2, -minors, minors)
    return np.expand_dims(g, (-2, -1)) * cofactors


defvjp(linalg.det, det_vjp)
log_det = Primitive(
    lambda a: linalg.slogdet(a).logabsdet,
    lambda g, _out, a: np.expand_dims(g, (-2, -1)) * mT(linalg.inv(a)),
    name="np.linalg.slogdet",
)
implements(linalg.slogdet)(lambda a: linalg.slogdet(unwrap(a))._replace(logabsdet=log_det(a)))

# Decompositions. NumPy computes all parts at once; the vjps get them as the option `parts`. A vjp
# that reads another part calls the primitive of that part, so that it can be differentiated again


def symmetric(a):
    """Return the symmetric matrix that has the lower triangle of A."""
    return np.tril(a) + mT(np.tril(a, -1))


def cholesky_vjp(g, L, _a, upper=False):
    """½ L⁻ᵀ symmetric(LᵀG) L⁻¹ (Murray, 2016)."""
    L, g = (mT(L), mT(g)) if upper else (L, g)
    half = linalg.solve(mT(L), symmetric(mT(L) @ g))
    return linalg.solve(mT(L), mT(half)) / 2


def qr_vjp(g, out, _a, parts=()):
    """(G + Q symmetric(R Hᵀ − Gᵀ Q)) R⁻ᵀ with G, H for Q, R (Walter and Lehmann, 2010)."""
    (Q, R), (G, H) = (np.split(x, [_a.shape[-2]], -2) for x in (out, g))
    return mT(linalg.solve(R, mT(G + Q @ symmetric(R @ mT(H) - mT(G) @ Q))))


def part(i, vjp, name):
    """Make the primitive that returns part i of the decomposition of A."""
    return Primitive(lambda a, parts: parts[i], vjp, name=name)


def skew_over_gaps(M, w):
    """(M − Mᵀ)ᵢⱼ / (wⱼ − wᵢ), and 0 on the diagonal."""
    gaps = np.expand_dims(w, -2) - np.expand_dims(w, -1) + np.eye(w.shape[-1], dtype=w.dtype)
    return (M - mT(M)) / gaps


def eigenvalues_vjp(g, _out, a, parts=()):
    """V diag(g) Vᵀ."""
    V = eigenvectors(a, parts=parts)
    return V * np.expand_dims(g, -2) @ mT(V)


def eigenvectors_vjp(g, V, a, parts=()):
    """½ V ((VᵀG − GᵀV) / (wⱼ − wᵢ)) Vᵀ."""
    return V @ skew_over_gaps(mT(V) @ g, eigenvalues(a, parts=parts)) @ mT(V) / 2


def singular_values_vjp(g, _out, a, parts=()):
    """U diag(g) Vᵀ."""
    return left_vectors(a, parts=parts) * np.expand_dims(g, -2) @ right_vectors(a, parts)


def left_vectors_vjp(g, U, a, parts=()):
    """(U K S + (I − UUᵀ) G S⁻¹) Vᵀ with K = (UᵀG − GᵀU) / (sⱼ² − sᵢ²) (Townsend, 2016)."""
    s = singular_values(a, parts=parts)
    K, S = skew_over_gaps(mT(U) @ g, s * s), np.expand_dims(s, -2)
    left = U @ K * S
    if U.shape[-2] > U.shape[-1]:  # otherwise I = UUᵀ
        left = left + (g - U @ (mT(U) @ g)) / S
    return left @ right_vectors(a, parts)


def right_vectors(a, parts):
    """Return Vᵀ; the parts of Aᵀ are V, s, Uᵀ."""
    U, s, Vt = parts
    return mT(left_vectors(mT(a), parts=(mT(Vt), s, mT(U))))


defvjp(linalg.cholesky, cholesky_vjp)
q_above_r = part(0, qr_vjp, "np.linalg.qr")
eigenvalues = part(0, eigenvalues_vjp, "np.linalg.eigh")
eigenvectors = part(1, eigenvectors_vjp, "np.linalg.eigh")
left_vectors = part(0, left_vectors_vjp, "np.linalg.svd")
singular_values = part(1, singular_values_vjp, "np.linalg.svd")
defvjp(
    linalg.eigvalsh,
    lambda g, _out, a, UPLO="L": eigenvalues_vjp(g, None, a, linalg.eigh(unwrap(a), UPLO)),
)
defvjp(
    linalg.svdvals,
    lambda g, _out, a: singular_values_vjp(g, None, a, linalg.svd(unwrap(a), False)),
)


@implements(linalg.qr)
def qr(a, mode="reduced"):
    QR = linalg.qr(unwrap(a))
    if mode != "reduced" or QR.R.shape[-2] < QR.R.shape[-1]:
        supported = "minigrad supports mode='reduced' and at least as many rows as columns"
        raise TypeError(f"np.linalg.qr: {supported}; received mode={mode!r}, shape {a.shape}")
    packed = q_above_r(a, parts=(np.concatenate(QR, -2),))
    return type(QR)(*np.split(packed, [a.shape[-2]], -2))


@implements(linalg.eigh)
def eigh(a, UPLO="L"):
    parts = linalg.eigh(unwrap(a), UPLO)
    return type(parts)(eigenvalues(a, parts=parts), eigenvectors(a, parts=parts))


@implements(linalg.svd)
def svd(a, full_matrices=True, compute_uv=True):
    if not compute_uv:
        return linalg.svdvals(a)
    parts = linalg.svd(unwrap(a), full_matrices=False)
    if full_matrices and a.shape[-2] != a.shape[-1]:
        raise TypeError(f"np.linalg.svd of shape {a.shape} needs full_matrices=False in minigrad")
    left, values = left_vectors(a, parts=parts), singular_values(a, parts=parts)
    return type(parts)(left, values, right_vectors(a, parts))
