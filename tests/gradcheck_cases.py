"""The gradcheck cases of every function: expressions, and the arrays to evaluate them on.

Elementwise functions are checked on all shapes below, all others on the expressions below. A test
checks that every function with a derivative has a case.

    python -m tests.gradcheck_cases        print a table: the functions, and the orders that pass
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import scipy.special

from minigrad import Primitive, functional
from minigrad.autograd import scipy_vjps as scipy_vjps
from minigrad.autograd.dispatch import HANDLED_FUNCTIONS, NONDIFFERENTIABLE, name_of
from minigrad.gradcheck import GradcheckError, gradcheck

# The arrays of the expressions: s a number, v, w vectors, m, n matrices, t with three axes,
# q square, r a column, e empty, d broadcasts with e; and below f in Fortran order, c not contiguous
SHAPES = dict(
    s=(), v=(4,), w=(4,), m=(3, 4), n=(4, 2), t=(2, 3, 4), q=(3, 3), e=(0, 3), d=(1, 3), r=(3, 1)
)  # fmt: skip
UNARY = "s v e f c t"
BINARY = "mf sm ms vm mv rv cf ts ed"
POSITIVE = """np.log np.log2 np.log10 np.log1p np.sqrt np.power np.float_power np.arccosh
scipy.special.xlogy scipy.special.beta scipy.special.betaln scipy.special.entr scipy.special.erfcinv
scipy.special.kl_div scipy.special.logit scipy.special.ndtri scipy.special.rel_entr scipy.special.y0
scipy.special.y1""".split()
SHIFTED = {"np.arccosh": "1 + "}  # what is added, to come into the domain

EXPRESSIONS = """
np.sum(t); np.sum(t, axis=(0, -1)); np.sum(f, axis=-2, keepdims=True); np.sum(s); np.sum(e, axis=0)
np.sum(m, where=MASK, initial=2.0); np.sum(m, axis=()); np.sum(m, dtype=np.float64)
np.mean(t); np.mean(t, axis=(0, 2), keepdims=True); np.mean(m, axis=1, where=MASK)
np.mean(e, axis=1); np.var(m); np.var(t, axis=(0, -1), ddof=1)
np.var(m, axis=1, where=MASK, keepdims=True); np.std(m, axis=0); np.std(t, ddof=1)
np.std(c, axis=-1, keepdims=True); np.average(m); np.average(m, 1, w)
np.average(m, weights=q[:, :1] ** 2 + 1 + m * 0); np.max(m); np.max(t, axis=(0, -1))
np.max(m, axis=-1, keepdims=True); np.max(m, initial=0.1); np.max(s)
np.max(m, axis=0, where=MASK, initial=-3.0); np.amax(f, axis=0); np.min(m); np.min(t, axis=(1, 2))
np.min(m, axis=0, where=MASK, initial=3.0); np.amin(c, axis=0); np.prod(m, axis=1); np.prod(t)
np.prod(m * ZEROS, axis=1); np.prod(t, axis=(0, -1), keepdims=True); np.prod(e, axis=0)
np.prod(m, where=MASK, initial=2.0); np.prod(s); np.prod(e, axis=-1)
np.sum(s, axis=0); np.max(s, axis=-1); np.prod(s, axis=0); np.min(s, 0, initial=5.0)
np.max(e, axis=0, initial=1.0); np.std(m - m[:1], axis=1); np.std(m * 0); np.std(s)
np.ptp(t); np.ptp(f, axis=(0, -1), keepdims=True); np.ptp(c, axis=-1)
np.cumsum(m); np.cumsum(t, axis=-2); np.cumsum(e, axis=0); np.cumsum(s); np.cumsum(s, axis=-1)
np.cumprod(m); np.cumprod(t, axis=1); np.cumprod(e, axis=1); np.cumprod(s); np.cumprod(s, axis=0)
np.cumprod(m * ZEROS, axis=0); np.cumprod(m * ZEROS); np.cumprod(f, dtype=np.float64); np.cumprod(c)
np.nansum(gaps(m)); np.nansum(t, axis=(0, -1), keepdims=True); np.nansum(gaps(m), 1, initial=2.0)
np.nanmean(gaps(m)); np.nanmean(gaps(m), axis=0, where=MASK); np.nanmean(gaps(m), 1, keepdims=True)
np.nanmean(s, axis=0); np.nanvar(gaps(m), axis=-1); np.nanvar(gaps(m), ddof=1); np.nanstd(t)
np.nanstd(gaps(m), axis=0); np.nanprod(gaps(m), axis=0); np.nanprod(gaps(m)); np.nanmax(gaps(m))
np.nanmax(gaps(m), axis=-1); np.nanmax(t, axis=(0, 2)); np.nanmin(gaps(m), axis=0, keepdims=True)
np.nanmin(s, axis=0); np.nan_to_num(gaps(m)); np.nan_to_num(gaps(m, np.inf), posinf=2.0)
np.nan_to_num(gaps(-m, -np.inf), nan=1.0, neginf=3.0)
np.median(m); np.median(v); np.median(t, axis=(0, -1)); np.median(f, 0, keepdims=True); np.median(s)
np.median(e, axis=1); np.quantile(m, 0.3); np.quantile(t, [0.0, 0.4, 1.0], axis=(0, -1))
np.quantile(f, [[0.1, 0.7]], axis=0, keepdims=True); np.quantile(s, 0.5); np.quantile(q, 0.5, -1)
np.quantile(e, 0.2, axis=1); np.percentile(t, 35, axis=1); np.percentile(c, [10, 50.0])
np.percentile(m, 99.0, axis=(1, 0), keepdims=True)
np.cov(m, dtype=np.float64); np.cov(v, w, dtype=np.float64); np.cov(s * v, ddof=0, dtype=np.float64)
np.cov(f, rowvar=False, bias=True, dtype=np.float64); np.cov(m, v, dtype=np.float64)
np.corrcoef(m, dtype=np.float64); np.corrcoef(v, w, dtype=np.float64)
np.corrcoef(t[0], rowvar=False, dtype=np.float64)
np.add.reduce(t); np.add.reduce(m, axis=-1, keepdims=True, initial=2.0, where=MASK)
np.multiply.reduce(m); np.maximum.reduce(t, axis=(0, -1)); np.minimum.reduce(m, initial=0.1)
np.logaddexp.reduce(t); np.logaddexp.reduce(m, axis=None, keepdims=True); np.logaddexp.reduce(s)
np.logaddexp.reduce(m, axis=1, initial=0.3, where=MASK); np.logaddexp.reduce(e, axis=1)
np.add.accumulate(t); np.add.accumulate(m, axis=-1); np.multiply.outer(m, v)
np.divide.outer(s, m); np.arctan2.outer(v, t); np.subtract.outer(e, s)
np.divmod(m, f)[1]; np.divmod(m, v)[0]; np.round(m); np.round(t, 1); np.around(f, decimals=-1)
np.sinc(s); np.sinc(m); np.sinc(t * 4); np.sinc(e); np.sinc(c * ZEROS)
np.linalg.norm(m); np.linalg.norm(t, axis=-1); np.linalg.norm(v, 3); np.linalg.norm(m, 1, axis=0)
np.linalg.norm(v, np.inf); np.linalg.norm(v, -np.inf, keepdims=True); np.linalg.norm(t, axis=(0, 2))
np.linalg.norm(m, "fro"); np.linalg.norm(s); np.linalg.norm(m, 1, (0,))
np.linalg.norm(t, 2, (0, 2)); np.linalg.norm(m, 1); np.linalg.norm(t, -1, (0, 1), True)
np.linalg.norm(m, -2); np.linalg.norm(t, "nuc", (-1, 0)); np.linalg.norm(m, np.inf, keepdims=True)
np.linalg.norm(m, -np.inf); np.linalg.norm(v, 0); np.linalg.vector_norm(m)
np.linalg.vector_norm(t, axis=(0, 2), ord=3); np.linalg.vector_norm(t, keepdims=True, ord=1)
np.linalg.matrix_norm(t); np.linalg.matrix_norm(t, ord=1, keepdims=True)
np.linalg.matrix_norm(q, ord="nuc"); np.linalg.matmul(m, n)
np.linalg.tensordot(t, m, axes=([2], [1])); np.linalg.tensordot(q, m, axes=1); np.linalg.outer(v, w)
np.linalg.vecdot(t, m); np.linalg.vecdot(t, t[:1], axis=1); np.linalg.cross(q, q.T)
np.linalg.cross(t[..., 1:], q[0]); np.linalg.cross(f[:, :1], m, axis=0); np.multiply.accumulate(t)
np.linalg.diagonal(t, offset=-1); np.linalg.trace(t); np.linalg.trace(t, offset=1)
np.linalg.matrix_transpose(t); np.linalg.multi_dot([v, m.T, q, m, n]); np.linalg.multi_dot([m, n])
np.linalg.multi_dot([q, m, v]); np.linalg.multi_dot([t, n]); np.linalg.matrix_power(q, 3)
np.linalg.matrix_power(t @ np.swapaxes(t, 1, 2), 2); np.linalg.matrix_power(q, -2)
np.linalg.matrix_power(q, 0); np.linalg.matrix_power(q, 1); np.diag(v); np.diag(v, 2)
np.diag(w, -1); np.diag(m); np.diag(m, 1); np.diag(f, -2); np.diag(e[:, 0]); np.linalg.inv(q)
np.linalg.inv(t[..., 1:]); np.linalg.inv(q[:0, :0]); np.linalg.pinv(m); np.linalg.pinv(n)
np.linalg.pinv(t); np.linalg.pinv(m[:, :1] * v); np.linalg.pinv(q, rcond=1e-9)
np.linalg.solve(q, m); np.linalg.solve(q, q[0]); np.linalg.solve(t[..., 1:], q)
np.linalg.solve(t[..., 1:], q[0]); np.linalg.solve(q, t); np.linalg.solve(t[:, None, :, 1:], t[:1])
np.linalg.det(q); np.linalg.det(t[..., 1:]); np.linalg.det(q[:, :1] * q[0]); np.linalg.det(q * 0)
np.linalg.det(t[..., 1:] * t[:, :1, :1] * [[[0]], [[1]]]); np.linalg.det(q[:1, :1] * 0)
np.linalg.slogdet(q).logabsdet; np.linalg.slogdet(t[..., 1:])[1]; np.linalg.cholesky(q @ q.T)
np.linalg.cholesky(t @ np.swapaxes(t, 1, 2)); np.linalg.cholesky(q @ q.T, upper=True)
np.linalg.qr(q).Q; np.linalg.qr(n).Q; np.linalg.qr(n).R; np.linalg.qr(np.swapaxes(t, 1, 2)).Q
np.linalg.qr(np.swapaxes(t, 1, 2)).R; np.linalg.eigh(q + q.T).eigenvalues
np.linalg.eigh(q + q.T).eigenvectors; np.linalg.eigh(q + q.T, "U").eigenvectors
np.linalg.eigh(t @ np.swapaxes(t, 1, 2)).eigenvectors
np.linalg.eigh(t @ np.swapaxes(t, 1, 2)).eigenvalues; np.linalg.eigvalsh(q + q.T)
np.linalg.eigvalsh(t @ np.swapaxes(t, 1, 2), "U"); np.linalg.svdvals(m); np.linalg.svdvals(t)
np.linalg.svd(q).U; np.linalg.svd(q).S; np.linalg.svd(q).Vh; np.linalg.svd(m, False).U
np.linalg.svd(m, False).S; np.linalg.svd(m, False).Vh; np.linalg.svd(n, False).U
np.linalg.svd(n, False).Vh; np.linalg.svd(t, False).U; np.linalg.svd(t, False).Vh
np.linalg.svd(t, compute_uv=False)
np.copy(f); np.copy(s); np.reshape(t, (4, -1))
np.reshape(m, 12, order="F"); np.reshape(s, (1, 1)); np.reshape(e, (3, 0))
np.ravel(t); np.ravel(f, "F"); np.ravel(s); np.expand_dims(m, (0, -1)); np.expand_dims(s, 0)
np.squeeze(t[:1]); np.squeeze(t[:, :1], axis=-2); np.transpose(t); np.transpose(t, (-1, 0, 1))
np.transpose(s); np.swapaxes(t, 0, -1); np.moveaxis(t, 0, -1); np.moveaxis(t, (0, 1), (-1, 0))
np.broadcast_to(v, (3, 4)); np.broadcast_to(s, (2, 2)); np.broadcast_to(m, (2, 3, 4))
np.flip(t); np.flip(t, (0, -1)); np.roll(m, 5); np.roll(t, (1, -2), axis=(0, -1)); np.roll(m, -1, 0)
np.flipud(t); np.fliplr(f); np.rot90(m); np.rot90(t, -1, (0, 2)); np.rollaxis(t, -1)
np.matrix_transpose(t); np.real(c); np.atleast_1d(s); np.atleast_1d(s, v)[1] * s; np.atleast_2d(v)
np.atleast_3d(m); np.atleast_3d(v); np.broadcast_arrays(m, v, s)[1] + m * s
np.meshgrid(v, w)[0] + w[:, None]; np.meshgrid(v, w[:2], s)[1] * s + v[:, None]
np.meshgrid(v, w, indexing="ij", sparse=True)[1] * v
np.tile(v, 3); np.tile(m, (2, 1, 2)); np.tile(t, 2); np.tile(s, 2); np.tile(e, (2, 2))
np.repeat(m, 2); np.repeat(m, [1, 0, 2], axis=0); np.repeat(t, 3, axis=-1)
np.pad(m, 1); np.pad(v, (2, 0), constant_values=3.0); np.pad(t, ((0, 1), (2, 0), (0, 0)))
np.pad(e, 1); np.pad(s, 1); np.pad(m, 2, "edge"); np.pad(t, 1, "reflect")
np.pad(v, (1, 6), "symmetric"); np.pad(m, ((0, 5), (1, 0)), mode="wrap")
np.where(MASK, m, 1.0); np.where(MASK, 0.0, m); np.where(MASK, v, q[:, :1])
np.where(m > 0, m, s); np.clip(m, -0.5, 0.7); np.clip(m, None, s); np.clip(m, v - 1, 2.0)
np.clip(m, a_max=None, a_min=0.1); indexing(m[0]); indexing(t[..., 1:, ::-2])
indexing(m[[0, 0, 2]]); indexing(m[MASK]); indexing(v[-1]); indexing(m[:, None, [1, 1]])
indexing(m[np.array([[0, 1], [2, 0]]), [1, 3]]); indexing(s[()]); astype((m * 2).astype(np.float64))
np.astype(m, np.float64); np.take(m, [0, 5, 5]); np.take(t, [[1, 0], [1, 1]], axis=-1)
np.take(v, 2); np.take(s, [0, 0], axis=0); np.take(m, [7, -9], axis=1, mode="wrap")
np.repeat(s, 2, axis=0)
np.select([MASK, m > 0], [m, f], s); np.select([m > 0], [v]) * m; np.full_like(m, s) * m
np.piecewise(m, [m > 0, MASK], [np.exp, np.square, 3.0]); np.piecewise(m, [m > 0], [np.sum])
np.partition(m, 1); np.partition(t, (0, 1), axis=0); np.partition(m, 5, axis=None)
np.linspace(v, w, 5); np.linspace(s, m, 4, False)
np.linspace(m, 2.0, 1, axis=-1); np.linspace(s, 2.0, 3, retstep=True)[1]; np.polyval(v, m)
np.polyval([2.0, -0.5], t); np.interp(m, np.sort(v), w); np.interp(m, v[:1], w[:1])
np.interp(t, np.cumsum(v**2) - 1, w, s, 0.5)
np.convolve(v, m[0]); np.convolve(v, q[0], "same"); np.convolve(s, v)
np.convolve(v, w[:2], "same"); np.convolve(q[0], v, "valid"); np.convolve(v, w, "valid")
np.take_along_axis(m, np.argsort(m, axis=0), axis=0)
np.take_along_axis(t, np.argmax(t, 1)[:, None], 1); np.sort(m); np.sort(t, axis=0)
np.sort(m, axis=None); np.diagonal(m); np.diagonal(t, 1, -1, 0); np.diagonal(m, -1)
np.trace(m); np.trace(t, 1, 1, 2); np.triu(m); np.triu(t, -1); np.tril(m, 1); np.tril(q)
np.concatenate([m, n.T, m]); np.concatenate([t, m[None]], axis=-3)
np.concatenate([m, v], axis=None); np.concatenate([m[:, :1], m], axis=-1); np.concatenate([e, q])
np.stack([v, w]); np.stack([v, w, v], axis=-1); np.stack([s, s]); np.hstack([v, w])
np.hstack([m, q]); np.hstack([s, v]); np.vstack([v, m]); np.vstack([v, w])
np.split(v, 2)[1]; np.split(t, [1, 2], axis=-1)[1]; np.array_split(v, 3)[0]
np.array_split(m, 3, 1)[2]; np.hsplit(m, 2)[1]; np.hsplit(v, [1, 3])[1]; np.vsplit(m, 3)[1]
np.dsplit(t, [1])[1]; np.dstack([m, f]); np.dstack([v, w]); np.column_stack([v, w])
np.column_stack([r, q, s * v[:3]]); np.append(m, v); np.append(m, f, axis=0)
np.block([[q, r], [d, s]]); np.block([v, w])
np.matmul(m, n); np.matmul(t, n); np.matmul(m, v); np.matmul(v, n)
np.matmul(v, w); np.matmul(q, t); np.matmul(t[:, None], n); np.matmul(t, v); np.matmul(e, q)
np.matmul(f, n); np.matmul(v, t[0].T @ t); np.dot(m, n); np.dot(s, m); np.dot(v, w); np.dot(t, v)
np.dot(m, t[0].T); np.dot(v, np.swapaxes(t, 1, 2)); np.outer(v, w); np.outer(m, v)
np.tensordot(t, m); np.tensordot(t, m, ([2], [1])); np.tensordot(v, w, 0)
np.tensordot(t, t, ((0, -1), (0, 2))); np.tensordot(q, e, ([0], [1]))
np.inner(v, w); np.inner(t, m); np.inner(m, v); np.inner(s, m); np.inner(q, e); np.inner(s, s)
np.vdot(v, w); np.vdot(m, f); np.vdot(s, s); np.vdot(t, np.flip(t)); np.vecdot(v, w)
np.vecdot(t, v); np.vecdot(t, r, axis=-2); np.vecdot(t, q[:2, 0], axis=0); np.vecdot(m, t, axis=-1)
np.kron(v, w); np.kron(m, n); np.kron(v, t); np.kron(t, q); np.kron(s, m); np.kron(e, d)
np.kron(s, s); np.cross(q, r[:, 0]); np.cross(q, d); np.cross(r, t[0, :, :3], axis=0)
np.cross(t, m, 1, 0, 0); np.cross(e, q[0]); np.diff(v); np.diff(t, 2, 1)
np.diff(m, axis=0, prepend=d[:, :1] + m[:1])
np.diff(s * v, 3, append=s); np.diff(f, prepend=1.0, append=c); np.diff(e, append=0)
np.diff(m, 0); np.diff(v, 5); np.diff(e, axis=0, prepend=s, append=2)
np.trapezoid(v); np.trapezoid(v, w)
np.trapezoid(t, dx=0.3, axis=1); np.trapezoid(m, v); np.trapezoid(m, q[:, 0], axis=0)
np.trapezoid(t, 2 * t, axis=0); np.trapezoid(f, m); np.trapezoid(e); np.trapezoid(v, dx=s)
np.gradient(v); np.gradient(m)[1]; np.gradient(t, 2.0, axis=(0, -1))[0]; np.gradient(f, axis=-1)
np.gradient(v, 0.5, edge_order=2); np.gradient(v, np.cumsum(w * w)); np.gradient(v, s)
np.gradient(m, [1.0, 2.0, 4.0], s, edge_order=2)[1]; np.gradient(e, axis=1)
np.einsum("ij,jk", m, n); np.einsum("ij->j", m); np.einsum("i,j->ij", v, w)
np.einsum("...i->...", t); np.einsum("...ij,jk->...ik", t, n); np.einsum("ij,ij->", m, m)
np.einsum("a,b->", v, w); np.einsum("bij,i,j->b", t, q[0], v); np.einsum("...,...", t, m)
np.einsum("ij,jk,kl->il", q, q, m); np.einsum("ii", q); np.einsum("ii->i", q)
np.einsum("iij,j->i", t[:, :2], v); np.einsum("...ii->...", t[:, :, :3] @ q); np.einsum(m, [1, 0])
np.einsum(m, [0, 1], n, [1, 2], [0, 2]); np.einsum(t, [..., 1], v, [1], [...])
np.einsum("ij,jk", m, n, optimize=True); np.einsum("...i,...i", t[:1], t); np.einsum("i->", e[:, 0])
F.relu(m); F.sigmoid(t); F.softmax(m); F.softmax(t, axis=0); F.log_softmax(m)
F.logsumexp(m, axis=0); F.logsumexp(t, keepdims=True); F.linear(m, n, n[0]); F.linear(t, n, n[0])
F.linear(v, n, n[0]); F.cross_entropy(m, [0, 3, 1]); F.cross_entropy(t, [[0, 1, 2], [3, 0, 0]])
F.mean_squared_error(m, f); F.mean_absolute_error(m, f)
F.huber_loss(m, f); F.huber_loss(m, f, 0.6); F.hinge(m, MASK); F.hinge(m, 2.0 * MASK - 1)
F.binary_cross_entropy(m**2, f**2); F.binary_cross_entropy_with_logits(m, f**2)
F.binary_cross_entropy_with_logits(m, MASK, v); F.nll_loss(m, [0, 3, 1]); F.nll_loss(m, f)
F.kl_divergence_with_logits(m, F.softmax(f)); F.gelu(m); F.gelu(t, "tanh"); F.silu(m); F.elu(m)
F.elu(t, 0.3); F.leaky_relu(m); F.leaky_relu(t, 0.3); F.softplus(m); F.layer_norm(m, 4)
F.layer_norm(t, (3, 4), m, f, 0.1); F.rms_norm(m, 4); F.rms_norm(t, (3, 4), m, 0.1)
F.dropout(m, 0.5, np.random.default_rng(0))
scipy.special.jv(2, m); scipy.special.jv(0.5, v**2); scipy.special.iv(2, m)
scipy.special.yv(2, v**2); scipy.special.ive(2, m); scipy.special.gammainc(np.float64(1.5), v**2)
scipy.special.gammaincc(np.float64(1.5), v**2); scipy.special.betainc(1.5, 2.5, v**2)
"""

if hasattr(np, "unstack"):  # from NumPy 2.1
    EXPRESSIONS += "np.unstack(t, axis=1)[0]; np.unstack(v)[2]"


class Case(NamedTuple):
    """An expression, as a function of its arrays."""

    text: str
    f: Callable
    inputs: list[np.ndarray]


@cache
def arrays(positive: bool) -> dict[str, np.ndarray]:
    """Draw the arrays: numbers of both signs, at a distance from the kinks at 0 and ±1."""
    rng = np.random.default_rng(3)

    def draw(*shape: int) -> np.ndarray:
        sign = 1 if positive else rng.choice([-1, 1], shape)
        return np.asarray(sign * rng.uniform(0.2, 0.9, shape))

    drawn = {name: draw(*shape) for name, shape in SHAPES.items()}
    return drawn | dict(f=np.asfortranarray(draw(3, 4)), c=draw(3, 8)[:, ::2])


NAMES = dict(  # what else the expressions use
    np=np,
    F=functional,
    scipy=scipy,
    indexing=lambda x: x,
    astype=lambda x: x,
    gaps=lambda x, gap=np.nan: np.where(NAMES["MASK"], x, gap),
    MASK=np.arange(12).reshape(3, 4) % 3 != 0,
    ZEROS=(np.arange(12).reshape(3, 4) % 5 != 0).astype(np.float32),
)


def case(text: str, positive: bool = False) -> Case:
    """Parse an expression."""
    letters = sorted(set(re.findall(r"\b[a-z]\b", re.sub(r'"[^"]*"', "", text))))
    drawn = arrays(positive)
    f = eval(f"lambda {', '.join(letters)}: {text}", NAMES)  # the texts come from this file only
    return Case(text, f, [drawn[letter] for letter in letters])


def cases() -> dict[str, list[Case]]:
    """Map the name of each function to its cases."""
    found: dict[str, list[Case]] = {}
    for function in HANDLED_FUNCTIONS:
        is_elementwise = isinstance(function, np.ufunc) and function.signature is None
        vjps = getattr(HANDLED_FUNCTIONS[function], "vjps", ())
        if is_elementwise and None not in vjps and function is not np.divmod:
            name = name_of(function)
            operands = (UNARY if function.nin == 1 else BINARY).split()
            texts = [f"{name}({SHIFTED.get(name, '')}{', '.join(letters)})" for letters in operands]
            found[name] = [case(text, name in POSITIVE) for text in texts]
    for text in re.split(r"[;\n]\s*", EXPRESSIONS.strip()):
        name = text.split("(")[0].replace("F.", "functional.")
        found.setdefault(name, []).append(case(text))
    return found


def missing() -> set[str]:
    """Return the names of functions that have a derivative but no case."""
    named = {x if isinstance(x, str) else name_of(x) for x in HANDLED_FUNCTIONS}
    primitives = {k.strip("_") for k, x in vars(functional).items() if isinstance(x, Primitive)}
    ours = {f"functional.{name}" for name in primitives | {*functional.__all__}}
    return {name.replace("getitem", "indexing") for name in named | ours} - cases().keys()


def passes(case: Case, order: int) -> bool:
    """Return whether the derivatives up to this order are right."""
    try:
        return gradcheck(case.f, *case.inputs, order=order)
    except GradcheckError:
        return False


def main() -> None:
    """Print which orders of derivative pass for each function, and on how many cases."""
    table = cases()
    print(f"{'function':30} {'orders passed':14} cases")
    for name, tried in table.items():
        passed = [order for order in (1, 2) if all(passes(case, order) for case in tried)]
        print(f"{name:30} {', '.join(map(str, passed)) or 'none':14} {len(tried)}")
    of_numpy = sum(name.startswith(("np.", "scipy.")) for name in table)
    print(
        f"{of_numpy} functions of NumPy and SciPy have derivatives, {len(NONDIFFERENTIABLE)} more "
        f"return plain arrays; {len(table) - of_numpy} are minigrad's own"
    )


if __name__ == "__main__":
    main()
