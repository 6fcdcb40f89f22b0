"""Test reductions, statistics, products and differences against NumPy's values and exact gradients.

Their derivatives are checked on the expressions of tests/gradcheck_cases.py. Numbers of PyTorch are
those of version 2.13.
"""

import itertools
import warnings

import numpy as np
import pytest

from minigrad import Tensor, grad
from tests.minigrad.autograd.helpers import gradients

NAN, INF = np.nan, np.inf

# ---- Values and dtypes: what NumPy returns for the arrays, or both raise ----

EMPTY_OR_SCALAR = [(), (0,), (1,), (0, 3)]
SHAPES = [(6,), (3, 4), (2, 3, 4)]
AXES = [None, 0, -1, 1, (0, -1)]
DTYPES = ["f8", "f4", "i8", "i1", "u1"]
ARGUMENTS = [
    *itertools.product(EMPTY_OR_SCALAR + SHAPES, ["f8"], AXES, "CF"),
    *itertools.product(SHAPES, ["f8"], [(), (1, 0)], "C"),
    *itertools.product(SHAPES[:2], DTYPES[1:], [None, 0], "F"),
]

# x an array, p positive, b bool, h has NaN, i its axis or axes, k keepdims
REDUCTIONS = """
np.sum(x, axis=i, keepdims=k); np.sum(x, i, np.int16, keepdims=k); np.sum(x, i, initial=2)
np.prod(x, axis=i, keepdims=k); np.prod(x, i, np.float32); np.prod(x, i, initial=2, where=x > 0)
np.mean(x, axis=i, keepdims=k); np.var(x, axis=i, keepdims=k); np.std(x, axis=i, keepdims=k)
np.max(x, axis=i, keepdims=k); np.max(x, i, initial=1, keepdims=k); np.min(x, i, initial=1)
np.max(x, i, initial=2, where=x > 0, keepdims=k); np.ptp(x, axis=i, keepdims=k)
np.nansum(h, axis=i, keepdims=k); np.nansum(h, i, np.float64, initial=2)
np.nansum(h, i, where=p > 2); np.sum(b, i); np.prod(b, i); np.median(b, i)
np.nanprod(h, axis=i, keepdims=k); np.nanvar(h + 0.5, axis=i, keepdims=k); np.nanmax(h, axis=i)
np.nanstd(p * 0.5, axis=i, ddof=0, keepdims=k); np.nanmean(h + 0.5, axis=i)
np.nanmin(h, i, keepdims=k); np.nansum(b, i); np.nanmean(b, i, where=p > 2)
np.median(x, axis=i, keepdims=k); np.median(h, axis=i); np.quantile(h + 0.5, 0.4, axis=i)
np.quantile(p * 1.5, 0.3, axis=i, keepdims=k); np.percentile(p / 2, 30, axis=i, keepdims=k)
np.quantile(p / 2, np.array([[0, 0.25], [0.9, 1]]), axis=i, keepdims=k); np.quantile(p / 2, 1, i)
np.percentile(p / 2, np.array([25, 60]), axis=i, keepdims=k)
"""
# i an axis or, for a function without axis=, ignored
ALONG_AXES = """
np.cumsum(x, axis=i); np.cumsum(x, i, np.int16); np.cumprod(x, axis=i); np.cumprod(x, i, np.float32)
np.diff(x, axis=i); np.diff(x, 0, i); np.diff(x, 2, i); np.diff(x, 7, i)
np.diff(x, axis=i, prepend=p, append=x[..., :1] if np.ndim(x) and i == -1 else p)
np.diff(x, axis=i, append=np.int64(3)); np.trapezoid(x, axis=i); np.trapezoid(x, dx=0.5, axis=i)
np.trapezoid(x, p * p, axis=i); np.gradient(p * 0.5, axis=i); np.gradient(p, 2, axis=i)
np.gradient(p, 0.5, axis=i, edge_order=2); np.gradient(p, 0.5, 2); np.gradient(p, axis=(0, 1))
np.gradient(p, np.array([1, 2, 4]), axis=i); np.gradient(p, [1, 2, 4], 0.5, edge_order=2)
np.cov(x); np.cov(x, rowvar=False, bias=True); np.cov(x, p, ddof=0); np.cov(x, dtype=np.float64)
np.corrcoef(x); np.corrcoef(x, p, rowvar=False); np.nan_to_num(h); np.nan_to_num(p / x, nan=2)
np.nan_to_num(h / x, posinf=3, neginf=-4)
"""
REFUSED_BY_NUMPY = ["np.quantile(p / 2, 1.1, axis=i)", "np.diff(x, -1, i)"]
# x, y arrays
PRODUCTS = """
np.dot(x, y); np.inner(x, y); np.vdot(x, y); np.vecdot(x, y); np.vecdot(x, y, axis=0)
np.kron(x, y); np.cross(x, y); np.cross(x, y, axis=0); np.cross(x, y, axisa=0, axisc=0)
np.cross(x, y, axisb=-2); np.dot(x, 2.0); np.dot(2, x); np.inner(x, 2.0); np.vdot(x[:1], 2.0)
np.dot(x, True); np.inner(np.float32(2), x)
"""
PAIRS = [
    ((), ()), ((3,), ()), ((3,), (3,)), ((0,), (0,)), ((2,), (3,)), ((2,), (2,)), ((4,), (4,)),
    ((3, 4), (4, 3)), ((2, 3), (3,)), ((2, 3), (1, 2)), ((3, 3), (4, 3, 3)), ((0, 3), (3,)),
]  # fmt: skip


def texts(table):
    return [text.strip() for text in table.replace("\n", ";").split(";") if text.strip()]


def draw(shape, dtype, order="C", lowest=-4):
    rng = np.random.default_rng(len(shape) + ord(order))
    return np.array(rng.integers(lowest, 5, shape), dtype, order=order)


def outcome(code, names):
    try:
        result = eval(code, dict(np=np), names)  # the texts come from this file only
    except (TypeError, ValueError, IndexError) as error:
        return error
    return result if isinstance(result, tuple) else (result,)


def assert_same_outcome(text, arrays, **names):
    """Check that tensors and arrays give equal values and dtypes, or an error each."""
    code = compile(text, text, "eval")
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        expected = outcome(code, arrays | names)
        found = outcome(code, {name: Tensor(x) for name, x in arrays.items()} | names)
    what = text, {name: (x.shape, x.dtype) for name, x in arrays.items()}, names
    if isinstance(expected, Exception) or isinstance(found, Exception):
        assert isinstance(expected, Exception) and isinstance(found, Exception), (what, found)
        return False
    assert len(found) == len(expected), what
    for y, z in zip(found, expected):
        y, z = getattr(y, "data", y), np.asarray(z)
        single = any(x.dtype == "f4" for x in arrays.values()) or z.dtype == "f4"
        tolerance = 2e-5 if single else 1e-12
        assert (y.shape, y.dtype) == (z.shape, z.dtype), (what, y, z)
        np.testing.assert_allclose(y, z, tolerance, tolerance, err_msg=str(what))
    return True


def arrays_of(shape, dtype, order):
    x, p = draw(shape, dtype, order), draw(shape, dtype, order, lowest=1)
    h = x.copy(order)
    if h.dtype.kind == "f":
        h[...] = np.where(p == 2, NAN, h)
    return dict(x=x, p=p, b=x > 0, h=h)


@pytest.mark.parametrize("text", texts(REDUCTIONS))
def test_reductions_equal_numpys(text):
    passed = 0
    for shape, dtype, i, order in ARGUMENTS:
        passed += assert_same_outcome(text, arrays_of(shape, dtype, order), i=i, k=order == "F")
    assert passed > 20


@pytest.mark.parametrize("text", REFUSED_BY_NUMPY)
def test_what_numpy_refuses_is_refused(text):
    for shape, dtype, i, order in ARGUMENTS:
        assert not assert_same_outcome(text, arrays_of(shape, dtype, order), i=i)


@pytest.mark.parametrize("text", texts(ALONG_AXES))
def test_functions_along_an_axis_equal_numpys(text):
    passed = 0
    for shape, dtype, i, order in ARGUMENTS:
        passed += np.ndim(i) == 0 and assert_same_outcome(text, arrays_of(shape, dtype, order), i=i)
    assert passed > 5


@pytest.mark.parametrize("text", texts(PRODUCTS))
def test_products_equal_numpys(text):
    passed = 0
    for (one, other), d, e in itertools.product(PAIRS, ["f8", "f4", "i8"], ["f8", "f4", "u1"]):
        passed += assert_same_outcome(text, dict(x=draw(one, d), y=draw(other, e, "F")))
    assert passed > 5


# ---- Gradients where a convention matters ----


def test_median_and_quantiles_give_the_gradient_to_the_chosen_elements():
    assert gradients(np.median, [3.0, 1.0, 2.0]) == [0, 0, 1]
    assert gradients(np.median, [3.0, 1.0, 2.0, 4.0]) == [0.5, 0, 0.5, 0]  # NumPy's mean of two
    assert gradients(lambda x: np.quantile(x, 0.5), [3.0, 1.0, 2.0]) == [0, 0, 1]
    by_torch = [0, 0.1, 0.9, 0]
    assert gradients(lambda x: np.quantile(x, 0.3), [3.0, 1.0, 2.0, 5.0]) == pytest.approx(by_torch)
    tied = gradients(lambda x: np.percentile(x, 40), [3.0, 3.0, 3.0, 5.0])
    assert sorted(tied) == pytest.approx([0, 0, 0.2, 0.8])  # the numbers of torch
    assert np.median(Tensor([INF, INF])).item() == np.median(Tensor([0.0, INF, INF])).item() == INF


def test_a_nan_receives_the_gradient_0():
    x = [3.0, NAN, 2.0]
    assert gradients(np.nansum, x) == [1, 0, 1]  # torch gives the same for these three
    assert gradients(np.nanmean, x) == [0.5, 0, 0.5]
    assert gradients(np.nan_to_num, [3.0, NAN, INF]) == [1, 0, 0]
    assert gradients(np.nanvar, x) == [0.5, 0, -0.5]
    assert gradients(np.nanstd, x) == [0.5, 0, -0.5]
    assert gradients(np.nanprod, x) == [2, 0, 3]
    assert gradients(np.nanmax, x) == [1, 0, 0] and gradients(np.nanmin, x) == [0, 0, 1]


def test_std_of_constants_has_the_gradient_0():  # as in torch
    assert gradients(np.std, [2.0, 2.0, 2.0]) == [0, 0, 0] and gradients(np.std, [2.0]) == [0]
    rows = gradients(lambda x: np.std(x, axis=1), [[2.0, 2.0, 2.0], [1.0, 2.0, 3.0]])
    np.testing.assert_allclose(rows, [[0, 0, 0], [-(1 / 6**0.5), 0, 1 / 6**0.5]], atol=1e-15)
    x = Tensor(np.full(3, 2.0), requires_grad=True)
    first = grad(np.std(x, ddof=1), x, create_graph=True)
    assert grad(first, x, np.array([2.0, 1.0, 1.0])).tolist() == [0, 0, 0]
    with np.errstate(invalid="ignore"):
        assert np.isnan(gradients(lambda x: np.std(x, ddof=1), [2.0])).all()


def test_cumprod_with_zeros_has_pytorchs_gradient():
    assert gradients(np.cumprod, [2.0, 0.0, 3.0, 0.0, 4.0]) == [1, 8, 0, 0, 0]  # torch's numbers
    assert gradients(np.cumprod, [2.0, 0.0, 3.0, 4.0]) == [1, 32, 0, 0]


def test_cumprod_keeps_products_below_the_normal_range():
    x = np.repeat(np.float32([3, 0.1]), 60)
    np.testing.assert_array_equal(np.cumprod(Tensor(x)).data, np.cumprod(x))
    assert np.cumprod(x)[-1] > 0


def test_cov_corrcoef_trapezoid_and_cross_have_pytorchs_gradients():
    weights = np.array([[1.0, 2.0], [3.0, 4.0]])
    x = [[1.0, 2.0, 4.0], [3.0, -1.0, 2.0]]
    by_torch = [[17 / 6, -37 / 6, 10 / 3], [10 / 3, -61 / 6, 41 / 6]]
    np.testing.assert_allclose(gradients(lambda x: weights * np.cov(x), x), by_torch, rtol=1e-14)
    by_torch = [
        [1.2354785575651182, -1.8532178363476772, 0.6177392787825592],
        [-0.9978865272641341, -0.33262884242137775, 1.3305153696855119],
    ]
    found = gradients(lambda x: weights * np.corrcoef(x), x)
    np.testing.assert_allclose(found, by_torch, rtol=1e-13)
    found = gradients(np.trapezoid, [3.0, 3.0, 2.0], [0.0, 1.0, 4.0])
    assert found == [[0.5, 2, 1.5], [-3, 0.5, 2.5]]
    found = gradients(lambda a, b: [1, 2, 3] * np.cross(a, b), [3.0, 3.0, 2.0], [0.0, 1.0, 4.0])
    assert found == [[-5, 4, -1], [-5, 7, -3]]


def test_extremes_of_nothing_and_an_initial_value():
    assert gradients(lambda x, start: np.max(x, initial=start), [], 1.0) == [[], 1]
    assert gradients(lambda x, start: np.min(x, axis=0, initial=start), [[], []], 1.0) == [
        [[], []],
        0,
    ]
    assert gradients(lambda x, start: np.max(x, initial=start), [1.0, 3.0], 2.0) == [[0, 1], 0]
    assert gradients(lambda x: np.max(x, initial=3.0), [3.0, 1.0]) == [0.5, 0]


@pytest.mark.parametrize("f", [np.sum, np.prod, np.max, np.min, np.nansum, np.nanprod, np.nanmax])
def test_reductions_of_a_number_along_axis_0(f):
    for axis in (0, -1):
        assert gradients(lambda x, axis=axis: f(x, axis=axis), 2.0) == 1
        assert gradients(lambda x, axis=axis: f(x, axis=axis, keepdims=True), 2.0) == 1
        with pytest.raises(ValueError, match="out of bounds"):
            f(Tensor(2.0), axis=1)


# ---- Dtypes ----


def test_products_with_a_number_have_the_dtype_of_numpy():
    x = Tensor([2.0], requires_grad=True)
    for y in (x.dot(3.0), np.dot(3, x), np.inner(x, 3.0), np.vdot(x, 3.0)):
        assert y.dtype == np.float64
        np.sum(y).backward()
        assert x.grad.dtype == np.float32 and x.grad == 3
        x.grad = None
    assert np.dot(x, np.float32(3)).dtype == np.float32


def test_lists_and_numbers_beside_float32():
    x = Tensor([1.0, 2.0, 4.0], requires_grad=True)
    for y in (
        np.dot(x, [1.0, 2.0, 3.0]),
        np.inner([1.0, 2.0, 3.0], x),
        np.vdot([[1.0, 2.0, 3.0]], x),
        np.vecdot([1, 2, 3], x),
        np.kron(x, [1.0, 2.0]),
        np.cross([1.0, 2.0, 3.0], x),
        np.quantile(x, [0.1, 0.6]),
        np.percentile(x, (10, 60)),
        np.diff(x, prepend=0, append=[3.0, 1.0]),
        np.trapezoid(x, [1.0, 2.0, 3.0]),
        np.trapezoid([1.0, 2.0, 3.0], x),
        np.gradient(x, [1.0, 2.0, 4.0]),
        np.gradient([1.0, 2.0, 4.0], x),
        np.nan_to_num(x, nan=1.0),
    ):
        assert y.dtype == np.float32 and y.requires_grad
    assert np.cov([1.0, 2.0, 3.0], x).dtype == np.float64  # as in NumPy, which computes in float64
    assert np.quantile([1.0, 3.0], Tensor(0.5)).tolist() == 2


# ---- Errors ----


def test_unsupported_arguments_raise_an_error_that_names_them():
    x = Tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    with pytest.raises(TypeError, match=r"np\.quantile has no derivative with respect to q"):
        np.quantile(x, x[0, 0])
    with pytest.raises(TypeError, match=r"np\.percentile: .* does not support the argument method"):
        np.percentile(x, 30, method="hazen")
    with pytest.raises(TypeError, match=r"np\.nanmax: .* does not support the argument initial"):
        np.nanmax(x, initial=1.0)
    for q in (-0.1, [0.5, NAN]):
        with pytest.raises(ValueError, match="must be in the range"):
            np.quantile(x, q)
    with pytest.raises(ValueError, match=r"np\.cov: arrays of at most two axes"):
        np.cov(x[None])
    with pytest.raises(ValueError, match="dimension"):
        np.cross(np.ones(1_000_000), np.ones(1_000_000) * x[0, 0])
    with pytest.raises(ValueError, match=r"np\.diff: n must be 0 or more, received -1"):
        np.diff(x, -1)
    with pytest.raises(TypeError):
        np.gradient(x, 1.0, 2.0, 3.0)
    with pytest.raises(ValueError):
        np.gradient(x, edge_order=2)


@pytest.mark.skipif(np.lib.NumpyVersion(np.__version__) >= "2.5.0", reason="NumPy refuses them")
def test_cross_products_of_two_components_warn_as_numpy_does():
    with pytest.warns(DeprecationWarning, match="2-dimensional vectors"):
        found = gradients(np.cross, [1.0, 2.0], [3.0, 5.0])
    assert found == [[5, -3], [-2, 1]]
    with pytest.warns(DeprecationWarning, match="2-dimensional vectors"):
        found = gradients(np.cross, [1.0, 2.0, 3.0], [3.0, 5.0])
    assert found == [[5, -3, -2], [1, -2]]


def test_the_sum_of_the_weights_has_the_dtype_of_the_average():
    x, weights = np.array([1.0, 2.0]), np.float32([0.1, 0.2])
    expected = np.average(x, weights=weights, returned=True)
    ours = np.average(Tensor(x), weights=Tensor(weights), returned=True)
    assert [y.dtype for y in ours] == [y.dtype for y in expected]
    np.testing.assert_allclose([y.item() for y in ours], expected, rtol=1e-15)


def test_gradient_with_a_bool_as_spacing():
    x = np.array([1.0, 4.0, 2.0, 5.0])
    np.testing.assert_array_equal(np.gradient(Tensor(x), np.True_).data, np.gradient(x, np.True_))
