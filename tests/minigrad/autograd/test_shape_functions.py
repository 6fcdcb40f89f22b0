"""Test that functions which move, join, split and choose elements agree with NumPy on arrays."""

import re
import tracemalloc

import numpy as np
import pytest

from minigrad import Tensor
from minigrad.gradcheck import gradcheck
from tests.minigrad.autograd.helpers import gradients, ids_of, leaf

# NumPy decides what is right: each expression is evaluated with x an array, then with x a tensor.
# Values, shapes, dtypes, lists and tuples must be equal; where NumPy raises, we raise.

EXPRESSIONS = """
np.ravel(x); np.ravel(x, "F"); np.flipud(x); np.fliplr(x); np.matrix_transpose(x); np.real(x)
np.imag(x); np.rot90(x); np.rot90(x, -1); np.rot90(x, 2, (0, -1)); np.rot90(x, 7, axes=(1, 0))
np.rot90(k=3, m=x); np.rollaxis(x, 1); np.rollaxis(x, -1); np.rollaxis(x, 0, 2); np.rollaxis(x, 0)
np.atleast_1d(x); np.atleast_2d(x); np.atleast_3d(x); np.atleast_3d(x, x[..., None])
np.broadcast_arrays(x, x[None]); np.broadcast_arrays(x)
np.broadcast_arrays(x, np.ones((3, 1), x.dtype)); np.meshgrid(x, x); np.meshgrid(x)
np.meshgrid(x, x, x, indexing="ij"); np.meshgrid(x, x, sparse=True); np.meshgrid(x, indexing="no")
np.tile(x, 2); np.tile(x, ()); np.tile(x, 0); np.tile(x, -1); np.tile(x, (2, 1)); np.tile(x, 2.0)
np.tile(x, (1, 2, 1)); np.tile(x, [0, 2]); np.tile(x, np.array([2, 2])); np.moveaxis(x, 0, -1)
np.moveaxis(x, (0, 1), (-1, 0)); np.moveaxis(x, 1, 1); np.moveaxis(x, 0, 5); np.swapaxes(x, 0, -1)
np.swapaxes(x, 0, 1); np.squeeze(x); np.squeeze(x, 0); np.squeeze(x, 1); np.squeeze(x, (1, -3))
np.expand_dims(x, 0); np.expand_dims(x, (0, -1)); np.expand_dims(x, 3); np.flip(x); np.flip(x, 0)
np.flip(x, (0, 1)); np.roll(x, 1); np.roll(x, -2, 0); np.roll(x, 1, -1); np.transpose(x)
np.transpose(x, (1, 0)); np.permute_dims(x); np.broadcast_to(x, (3, 4)); np.pad(x, 1); np.pad(x, 0)
np.pad(x, (1, 2)); np.pad(x, ((1, 0), (2, 1))); np.pad(x, ((1,), (2,))); np.pad(x, -1)
np.pad(x, 1.5); np.pad(x, 1, constant_values=3); np.pad(x, 2, constant_values=(1, 2))
np.pad(x, 1, "constant", constant_values=1.7); np.pad(x, 1, "edge"); np.pad(x, (2, 0), "reflect")
np.pad(x, 3, "symmetric"); np.pad(x, (0, 4), "wrap"); np.pad(x, 1, "edge", constant_values=1)
np.pad(x, 0, "wrap"); np.pad(x, 1, "nonsense"); np.pad(x, ((1, 2), (0, 3)), "reflect")
np.stack([x, x]); np.stack([x, x], -1); np.stack([x, x], 1); np.stack([x, x[None]])
np.vstack([x, x]); np.vstack([x, x[:1]]); np.vstack(x); np.hstack([x, x]); np.hstack(x)
np.hstack([x, x[..., :1]]); np.dstack([x, x]); np.dstack(x); np.column_stack([x, x])
np.column_stack([x, x[..., :1]]); np.column_stack(x); np.append(x, x); np.append(x, x, 0)
np.append(x, x, axis=-1); np.append(x, x[0], 0); np.append(x, x, axis=3); np.concat([x, x])
np.concatenate([x, x], 1); np.concatenate([x, x], None); np.concatenate(x)
np.block([x, x]); np.block([[x, x], [x, x]]); np.block(x)
np.block([[x], x]); np.block([]); np.block((x, x)); np.block([[x, np.ones_like(x)], [x, x]])
np.block([[x[..., :1], x], [x]]); np.block([[[x]], [[x]]]); np.block([x[..., None], x])
np.split(x, 1); np.split(x, 3); np.split(x, [1, 3]); np.split(x, [2, 1]); np.split(x, 2, axis=-1)
np.split(x, 0); np.split(x, [1], 1); np.split(x, 2, axis=4); np.split(x, [-1]); np.split(x, [9])
np.array_split(x, 2); np.array_split(x, 7); np.array_split(x, 2, 1); np.array_split(x, -1)
np.hsplit(x, 1); np.hsplit(x, [1, 2]); np.hsplit(x, 2); np.vsplit(x, 1); np.vsplit(x, [2])
np.vsplit(x, 3); np.dsplit(x, 2); np.dsplit(x, [1, 5]); np.take(x, 0); np.take(x, [0, -1])
np.take(x, [[0, 1]], axis=0); np.take(x, 0, axis=-1); np.take(x, [], axis=0); np.take(x, 9, 1)
np.take(x, np.zeros(0, int), -1); np.take(x, 0, axis=2); np.repeat(x, 2); np.repeat(x, 2, axis=0)
np.repeat(x, [2], axis=-1); np.repeat(x, [1, 0, 2], 0); np.repeat(x, 0); np.repeat(x, 2, axis=5)
np.repeat(x, -1); np.repeat(x, [1, 2]); np.repeat(x, np.array(3), 1)
np.take_along_axis(x, np.argsort(x, -1), -1); np.take_along_axis(x, np.array([0]), 0)
np.take_along_axis(x, np.argsort(x, 0), axis=0); np.take_along_axis(x, np.array([[0]]), 0)
np.take_along_axis(x, np.array([0, 2]), None); np.take_along_axis(x, np.array([[1, 0]]), 1)
np.sort(x); np.sort(x, 0); np.sort(x, None); np.sort(x, axis=-2, kind="stable"); np.sort(x, 7)
np.diagonal(x); np.diagonal(x, 1); np.diagonal(x, -1, -1, 0); np.diagonal(x, 9); np.trace(x)
np.trace(x, 1, -1, 0); np.trace(x, dtype=float); np.tril(x); np.tril(x, -1); np.triu(x, 1)
np.triu(x, -9); np.full_like(x, 3); np.full_like(x, 2.5, dtype=float, shape=(2, 2))
np.select([x > 0, x < 1], [x, -1 * x]); np.select([x > 0], [x], 7)
np.select([x > 0, x > 1], [1, x]); np.select([x > 0], [x, x]); np.select([], [])
np.select([x * 1.0], [x]); np.select([x > 9], [x]); np.select([[True], [False]], [x, x * 2])
np.select(np.array([True, False]), [x, x]); np.piecewise(x, [x > 0], [2])
np.piecewise(x, [x > 0, x > 1], [lambda v: v * 2, 3, lambda v: v]); np.piecewise(x, x > 0, [1, 5])
np.piecewise(x, [x > 0], [1, 2, 3]); np.piecewise(x, [x > 9], [1])
np.piecewise(x, [x > 0, x <= 0], [lambda v: v * 2.5, lambda v: v[0]]);
np.convolve(x, x); np.convolve(x, x[:3], "same")
np.convolve(x[:2], x, "same"); np.convolve(x, x[:2], "valid"); np.convolve(x, x[:4], "same")
np.convolve(x, x, "middle"); np.linspace(x, 3); np.linspace(x, x + 1, 4, axis=-1)
np.linspace(0, x, 3, endpoint=False); np.linspace(x, 2, 1); np.linspace(x, 2, 0)
np.linspace(x, 2, -1); np.linspace(2, x, 2, axis=1); np.linspace(x, x * 3, 5, retstep=True)
np.linspace(x, 2, 1, True, True); np.linspace(x, 1, 2.5)
np.linspace(x, 4, 1, endpoint=False, retstep=True); np.isposinf(x); np.isneginf(x); np.isreal(x)
np.iscomplex(x); np.isrealobj(x); np.iscomplexobj(x); np.isin(x, [0, 1]); np.array_equiv(x, x[None])
np.nanargmax(x); np.nanargmin(x, axis=0); np.flatnonzero(x); np.digitize(x, [0, 1])
np.digitize([0.5], x); np.lexsort((x, x)); np.lexsort(x); np.ix_(x); np.einsum_path("...->", x)[0]
np.einsum(x, [0, 1]); np.einsum(x, [0, 0]); np.einsum(x, [1, 0]); np.einsum(x, [..., 0], [0, ...])
np.einsum(x, [0, 1], x, [2, 1], [0, 2]); np.einsum(x, [...], x, [..., 0]); np.einsum(x, [30, 3])
np.einsum("ii", x); np.einsum("ii->i", x); np.einsum("iij->j", x); np.einsum("iji->j", x)
np.einsum("...ii->...", x); np.einsum("iii", x); np.einsum("ii,ij->j", x, x)
np.einsum("i,ii", x, x); np.einsum(x, [99]); np.einsum(x, [-1]); np.einsum(x, x)
np.einsum("i...i", x); np.einsum("ijij", x[:, :, None, None] * x)
np.sort(np.partition(x, 1)[..., :2]); np.partition(x, 1)[..., 1]; np.partition(x, 9)
np.partition(x, (0, 2), axis=0)[0]; np.partition(x, 1, None)[1]; np.take(x, [7, -9], mode="wrap")
np.take(x, [9, -9], 0, mode="clip"); np.take(x, [True, False]); np.take(x, 1.0); np.take(x, "a")
"""
OF_NUMBERS = """
np.polyval(x, x[:1]); np.polyval([], x); np.polyval(np.ones(2, x.dtype), x)
np.atleast_2d(x, 2.0, [1.0, 2.0], x); np.polyval([2, -1, 3], x); np.polyval(x, 2.0)
np.convolve(x, [1, 2, 1]); np.convolve([1, 2], x, "valid"); np.append(x, [1.5, 2.5])
np.linspace(x, [3.0], 4); np.linspace(1.5, x, 3); np.meshgrid(x, [1.0, 2.0])
np.broadcast_arrays(x, 1.5); np.select([x > 0], [x], 0.5); np.block([x, 1.5])
np.dstack([x, x, [1.5] * x.size]); np.column_stack([x, [0.5] * len(x)])
np.interp(x, [-1.0, 0.5, 1.0], [3.0, 1.0, 2.0]); np.interp(0.3, np.sort(x), x)
np.interp(x, [-0.5, 0.5], [3.0, 1.0], left=9.0); np.interp(x, np.sort(x), x, -1.0, 1.0)
np.interp(x, [0.5], [2.0], right=7.0); np.interp(x, [0.5, 1.0], [2.0]); np.interp(x, [], [])
np.interp(x, np.array([0.0, 0.0, 1.0, 1.0], x.dtype), x[:4])
"""


def draw(shape, dtype):
    rng = np.random.default_rng(5)
    if np.dtype(dtype).kind == "f":
        return rng.normal(size=shape).round(1).astype(dtype)
    return rng.integers(0, 5, shape).astype(dtype)


SHAPES = [(), (1,), (5,), (0,), (3, 4), (3, 3), (0, 3), (3, 0), (1, 4), (2, 3, 4), (2, 1, 3, 2)]
FLOATS = [draw(shape, np.float32) for shape in SHAPES]
FLOATS += [np.asfortranarray(draw((2, 3, 4), np.float64)), draw((6, 8), np.float32)[::-2, ::2]]
INTEGERS = [draw(n, dtype) for n in (5, (3, 3)) for dtype in (np.int64, np.int8, bool)]

# On empty arrays NumPy forgives a negative number of copies and an index out of bounds, and reads
# foreign memory on the diagonal of (0, 3); we raise.
STRICTER = ["np.tile(x, -1)", "np.take(x, 9, 1)", 'np.einsum("ii->i", x)']
STRICTER += ["np.interp(x, [], [])", "np.interp(x, np.sort(x), x, -1.0, 1.0)"]


def split_texts(texts):
    return re.split(r"[;\n]\s*", texts.strip())


def outcome(text, x):
    """Return the value of an expression, or the exception."""
    try:
        with np.errstate(all="ignore"):
            return eval(text, dict(np=np, x=x))
    except (TypeError, ValueError, IndexError, ZeroDivisionError, OverflowError) as error:
        return error


def assert_equal(ours, right, dtype=None):
    """Compare values, shapes and dtypes; look into lists and tuples."""
    if isinstance(right, (list, tuple)):
        assert len(ours) == len(right) and isinstance(ours, list) == isinstance(right, list)
        for one, other in zip(ours, right):
            assert_equal(one, other, dtype)
    elif isinstance(right, Exception):
        assert isinstance(ours, (TypeError, ValueError, IndexError)), ours
    elif isinstance(right, str):
        assert ours == right
    else:
        assert not isinstance(ours, Exception), ours
        ours, right = np.asarray(getattr(ours, "data", ours)), np.asarray(right)
        assert (ours.shape, ours.dtype) == (right.shape, dtype or right.dtype)
        if not np.array_equal(ours, right, equal_nan=True):
            close = 3e-6 if ours.dtype == np.float32 else 1e-12
            np.testing.assert_allclose(ours, right, rtol=close, atol=close)


@pytest.mark.parametrize("text", split_texts(EXPRESSIONS))
def test_each_expression_gives_numpys_result(text):
    for x in FLOATS + INTEGERS:
        ours, right = outcome(text, Tensor(x)), outcome(text, x)
        if text in STRICTER and x.size == 0:
            right = ValueError()
        assert_equal(ours, right)


@pytest.mark.parametrize("text", split_texts(OF_NUMBERS))
def test_lists_and_numbers_beside_a_tensor_do_not_widen_float32(text):
    for x in FLOATS:
        right = ValueError() if text in STRICTER and x.size == 0 else outcome(text, x)
        assert_equal(outcome(text, Tensor(x)), right, x.dtype)


# ---- Functions that returned plain arrays, so that gradients were lost ----


def test_the_fill_value_of_full_like_has_a_derivative():
    x, v = leaf([2.0, 3.0]), Tensor(np.zeros((3, 2), np.float32))
    filled = np.full_like(v, x)
    assert filled.dtype == np.float32 and filled.tolist() == [[2, 3]] * 3
    np.sum(filled).backward()
    assert x.grad.tolist() == [3, 3]
    assert np.full_like(v, x[0], dtype=float, shape=4).tolist() == [2] * 4
    assert type(np.full_like(v, 7.0)) is np.ndarray  # to write into, as np.zeros_like(v)


def test_imaginary_part_is_a_constant():
    assert type(np.imag(leaf([1.0]))) is np.ndarray and not np.imag(leaf([1.0])).any()


# ---- Edges ----


def test_interp_outside_of_the_points_and_at_nan():
    points = [-np.inf, -1.0, 0.5, 3.0, np.inf, np.nan]
    xp, fp = [0.0, 1.0, 2.0], [1.0, 3.0, 2.0]
    for options in ({}, dict(left=-5.0), dict(left=0.0, right=7.0)):
        ours = np.interp(Tensor(np.array(points)), xp, fp, **options)
        np.testing.assert_array_equal(ours, np.interp(points, xp, fp, **options))
    with np.errstate(invalid="raise"):
        by_x, by_fp = gradients(lambda x, fp: np.interp(x, xp, fp), points[:-1], fp)
    assert by_x == [0, 0, 2, 0, 0] and by_fp == [2.5, 0.5, 2]
    assert gradients(lambda x: np.interp(0.5, x, fp), xp) == [-1, -1, 0]


def test_interp_of_a_number_keeps_the_dtype_of_the_points():
    assert np.interp(0.25, [0.0, 1.0], leaf([1.0, 3.0])).item() == 1.5
    assert np.interp(0.25, [0.0, 1.0], Tensor([1.0, 3.0])).dtype == np.float32


def test_small_integers_beside_float32_have_numpys_dtype_and_do_not_wrap():
    """NumPy's dtypes, and differences that do not wrap."""
    x, small = Tensor(np.float32([1, 2])), np.array([-100, 100], np.int8)
    for f in (lambda x: np.linspace(x, small, 3), lambda x: np.polyval(x, small > 0)):
        np.testing.assert_array_equal(f(x).data, f(x.data), strict=True)
    assert np.interp(x, small, small).dtype == np.float32
    assert gradients(lambda x: np.interp(x, small, [0.0, 1.0]), [50.0]) == [1 / 200]
    assert gradients(lambda x: np.interp(x, [0.0, 1.0], small), [0.5]) == [200]


def test_linspace_ends_exactly_at_stop_and_does_not_wrap():
    stop = leaf([0.3, 0.7])
    assert np.linspace(0.1, stop, 8)[-1].tolist() == stop.tolist()
    small = Tensor(np.array([200, 3], np.uint8))
    assert np.linspace(small, 4, 3).tolist() == [[200, 3], [102, 3.5], [4, 4]]


def test_piecewise_and_select_accept_tensors_as_conditions():
    x, yes = Tensor([1.0, 2.0]), Tensor(np.array([True, False]))
    assert np.select([yes], [x], -1.0).tolist() == [1, -1]
    assert np.select([[False, True]], [[5.0, 6.0]], x).tolist() == [1, 6]
    assert np.piecewise(x, [yes], [np.square, 7]).tolist() == [1, 7]
    assert np.piecewise(x, [x > 5], [np.log]).tolist() == [0, 0]  # not called without elements
    assert np.lexsort((x, yes)).tolist() == [1, 0]


def test_convolve_in_all_modes_takes_memory_for_the_results_only():
    rng = np.random.default_rng(0)
    x, k = (Tensor(rng.normal(size=n), requires_grad=True) for n in (20_000, 300))
    for mode in ("full", "same", "valid"):
        x.grad = k.grad = None
        tracemalloc.start()
        y = np.convolve(x, k, mode)
        y.backward(g := rng.normal(size=y.shape))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 20 * x.data.nbytes  # a table of the windows takes 300 times
        i, j = 7_000, 41  # y[n] is the sum of x[i]·k[n − i]; `first` numbers of 'full' are left out
        first = {"full": 0, "same": 149, "valid": 299}[mode]
        by_x = np.sum(g[i - first : i - first + 300] * k.data)
        windows = np.pad(x.data, 300)[300 + first - j :][: len(g)]
        np.testing.assert_allclose(x.grad[i], by_x, rtol=1e-9)
        np.testing.assert_allclose(k.grad[j], g @ windows, rtol=1e-9)


def test_third_derivatives_pass_gradcheck():
    v, w = np.array([0.3, -1.2, 0.8]), np.array([0.5, 1.5])
    assert gradcheck(lambda v, w: np.convolve(v, w, "same") ** 3, v, w, order=3)
    assert gradcheck(lambda v: np.polyval(v, v), v, order=3)
    assert gradcheck(lambda v: np.rot90(np.block([[v, v[:1]], [v**3, 1.0]])) ** 3, v, order=3)


def test_pad_takes_widths_by_axis_and_as_a_tensor():
    x = leaf([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    assert np.pad(x, {-1: (1, 0)}).tolist() == [[0, 1, 2, 3], [0, 4, 5, 6]]
    assert np.pad(x, {0: 1}, "edge").tolist() == np.pad(x.data, ((1, 1), (0, 0)), "edge").tolist()
    assert np.pad(x, Tensor(1)).shape == (4, 5) and np.pad(leaf([2.0])[0], 1).shape == ()


# ---- What is refused ----

X, V, A = leaf([1.0, 2.0]), leaf([[1.0, 2.0], [3.0, 4.0]]), np.ones(2)
REFUSED = [
    (lambda: np.pad(X, 1, "linear_ramp"), r"np\.pad: .*'wrap', received mode='linear_ramp'"),
    (lambda: np.pad(X, 1, "empty"), r"np\.pad: .*received mode='empty'"),
    (lambda: np.pad(X, 1, lambda *_: None), r"np\.pad: .*received mode=<function"),
    (lambda: np.pad(X, 1, "reflect", reflect_type="odd"), r"np\.pad: .*argument reflect_type"),
    (lambda: np.pad(X, 1, "mean", stat_length=1), r"np\.pad: .*argument stat_length"),
    (lambda: np.pad(X, 1, "linear_ramp", end_values=1), r"np\.pad: .*argument end_values"),
    (lambda: np.pad(X, {3: 1}), r"axis 3 is out of bounds"),
    (lambda: np.interp(X, A, A, period=2), r"np\.interp: .*argument period"),
    (lambda: np.interp(X, A, V), r"np\.interp: .*equal length, .* \(2,\) and \(2, 2\)"),
    (lambda: np.interp(X, [], []), r"np\.interp: .*received the shapes \(0,\)"),
    (lambda: np.linspace(X, 2, dtype=int), r"np\.linspace: .*argument dtype"),
    (lambda: np.meshgrid(X, copy=False), r"np\.meshgrid: .*argument copy"),
    (lambda: np.piecewise(X, [X > 1], [np.add], 3), r"np\.piecewise: .*argument args"),
    (lambda: np.convolve(X, X, "sam"), r"np\.convolve: mode must be .* received 'sam'"),
    (lambda: np.convolve(V, X), r"np\.convolve of shapes"),
    (lambda: np.unique(X), r"np\.unique has no derivative"),
    (lambda: np.histogram(X), r"np\.histogram has no derivative .* pass x\.data$"),
    (lambda: np.bincount([0, 1, 1], X), r"np\.bincount has no derivative"),
    (lambda: np.full_like(A, X[0]), r"np\.copyto .* minigrad: it writes into a plain array\. If"),
    (lambda: A.clip(X - 1, X), r"^clip has no derivative"),
    (lambda: np.hsplit(V, 3), r"np\.hsplit: .*equal division, shape \(2, 2\); np\.array_split"),
    (lambda: np.vsplit(X, 2), r"np\.vsplit: .* 2 or more dimensions"),
    (lambda: np.take_along_axis(V, np.array([0]), 1), r"np\.take_along_axis of shape \(2, 2\)"),
    (lambda: np.einsum(X, X), r"np\.einsum: a string .* or after each operand a list"),
    (lambda: np.einsum(X, [52]), r"np\.einsum: .* numbers from 0 to 51"),
    (lambda: np.einsum("iii", V), r"np\.einsum of shapes \(2, 2\): .*too many subscripts"),
    (lambda: np.block([(X, X)]), r"tuple"),
    (lambda: np.full(2, X[0], float), r"np\.copyto has no derivative"),
    (lambda: np.copyto(A, X), r"np\.copyto has no derivative"),
    (lambda: np.put(A, [0], X[:1]), r"np\.put has no derivative"),
    (lambda: np.apply_along_axis(np.sum, 0, X), r"np\.apply_along_axis has no derivative"),
    (lambda: np.copyto(X, A), r"np\.copyto\(tensor, \.\.\.\) would change values"),
    (lambda: np.copyto(dst=X, src=A), r"np\.copyto\(tensor, \.\.\.\) would change values"),
    (lambda: np.put(X, 0, 1.0), r"np\.put\(tensor, \.\.\.\) would change"),
    (lambda: np.place(X, A > 0, [1.0]), r"np\.place\(tensor, \.\.\.\) would change"),
    (lambda: np.putmask(X, A > 0, 0.0), r"np\.putmask\(tensor, \.\.\.\) would change"),
    (lambda: np.fill_diagonal(V, 0.0), r"np\.fill_diagonal\(tensor, \.\.\.\) would change"),
    (lambda: np.put_along_axis(V, np.array([[0]]), 1.0, 0), r"np\.put_along_axis\(tensor"),
]


@pytest.mark.parametrize(("act", "message"), REFUSED, ids=ids_of(REFUSED))
def test_unsupported_calls_raise_and_change_nothing(act, message):
    before = X.data.copy(), V.data.copy(), A.copy()
    with pytest.raises((TypeError, ValueError), match=message):
        act()
    for x, y in zip((X.data, V.data, A), before):
        np.testing.assert_array_equal(x, y)
