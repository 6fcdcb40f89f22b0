"""Code in which a tensor may leave the graph: it must never give a wrong gradient silently.

The loss is Σx² + Σ idiom(x): if the second term loses its gradient, the first still has one. The
right gradient comes from central differences of the same code on plain arrays.
"""

import math
import statistics
import warnings
from collections.abc import Callable
from functools import reduce
from typing import NamedTuple

import numpy as np
import pytest
import scipy

from minigrad import Tensor

POINT = np.array([0.5, 1.2, 2.1])
NAMES = dict(  # what the idioms use beside the leaf x
    np=np,
    math=math,
    scipy=scipy,
    statistics=statistics,
    reduce=reduce,
    A=np.array([[1.0, 2.0, 0.5], [3.0, 4.0, 1.5], [0.3, 2.5, 5.0]]),
    v=np.array([1.5, -2.0, 0.7]),
    rng=lambda: np.random.default_rng(0),
)

IDIOMS = """
A.dot(x) + 1
v.dot(x)
v.clip(x - 1, x)
v.searchsorted(x) * x
A @ x + v * x - x / v
v + [x[0], x[1], x[2]]
[x[0], x[1], x[2]] * v
x * [x[0], x[1], x[2]]
np.multiply(v, [x[0], x[1], x[2]])
np.where(v > 0, v, [x[0], x[1], x[2]])
np.where([True, False, True], [x[0], x[1], x[2]], v)
np.maximum([x[0], x[1]], [0.1, 3.0])
10 * np.sum([np.sum(x**2)])
10 * np.sum([np.sum(x**2), np.sum(x)], axis=0)
10 * sum([np.sum(x**2), np.sum(x)])
sum(x[i] ** 2 for i in range(3))
reduce(lambda a, b: a * b, x)
np.mean([x, x + 2])
np.mean((x, x + 2), axis=0)
np.max([x[0] + 1, x[1]])
np.min([x[0] + 1, x[1]])
max([x[0] + 1, x[1]])
np.prod([x[0], x[1]])
np.std([x[0], x[1]])
np.var([x, x**2], axis=0)
np.cumsum([x[0], x[1]])
np.median([x[0], x[1], x[2]])
np.average([x[0], x[1]], weights=[0.3, 0.7])
np.average([1.0, 5.0, 2.0], weights=x)
np.sort([x[1], x[0]]) * v[:2]
np.dot([x[0], x[1]], [2.0, 3.0])
np.dot(A, [x[0], x[1], x[2]])
np.matmul([[x[0], x[1]]], A[:2])
np.outer([x[0], x[1]], v)
np.inner([x[0], x[1]], [2.0, 3.0])
np.einsum("i,i", [x[0], x[1]], v[:2])
np.trace([[x[0], 1.0], [1.0, x[1]]])
np.diag([x[0], x[1]])
np.exp([x[0], x[1]])
np.tanh((x[0], x[1]))
np.linalg.norm([x, x + 1])
np.linalg.norm([x[0], x[1]])
np.linalg.det([[x[0], 1.0], [1.0, x[1]]])
np.linalg.inv([[x[0], 1.0], [1.0, x[1] + 3]])
np.linalg.solve(A, [x[0], x[1], x[2]])
np.linalg.solve(A, x)
np.reshape([x[0], x[1]], (2, 1))
np.array([x, x**2])
np.array([x[0], x[1] ** 2])
np.array([[1.0, x[0]], [x[1], 2.0]])
np.array(x) ** 2
np.array(x, dtype=np.float32) ** 2
np.array(x, copy=False) ** 2
np.asarray(x) * x
np.asanyarray(x) * x
np.ascontiguousarray(x) * x
np.asarray_chkfinite(x) * x
np.float64(x[0]) * x
np.float32(x[0]) * x
float(x[0]) * x
complex(x[0]).real * x
x[0].__float__() * x
math.exp(x[0])
math.sqrt(x[0]) * x[1]
math.hypot(x[0], x[1])
math.fsum(x)
math.dist(x, v)
math.prod(x)
pow(x[0], 3) + abs(-x[0])
round(x[0], 2) * x
divmod(x[0], 0.4)[1]
statistics.fmean(x)
statistics.mean([x[0], x[1]])
np.r_[x, 1.0] ** 2
np.r_[x[0], x[1]] ** 2
np.c_[x, x**2]
np.stack([x, x**2]) * 2
np.stack([v, [x[0], x[1], x[2]]])
np.concatenate([x, [1.0]]) ** 2
np.concatenate([v, [x[0], x[1]]]) ** 2
np.hstack([x[0], x[1]]) ** 2
np.vstack([[x[0], x[1]], [1.0, 2.0]]) ** 2
np.column_stack([x, x**2])
np.block([[x[:2], x[1:]], [x[1:], x[:2]]])
np.append(x, 1.0) ** 2
np.append(v, x) ** 2
np.full(3, x[0]) ** 2
np.full((2, 3), x) ** 2
np.full_like(v, x) ** 2
np.full_like(x, x[0]) ** 2
np.full_like(v, fill_value=x[0])
np.unique(x) ** 2
np.nan_to_num(x) ** 2
np.real(x) ** 2
np.abs(np.fft.rfft(x)) ** 2
np.linspace(0, x[0], 4) ** 2
np.linspace(x, 3.0, 4) ** 2
np.geomspace(1.0, x[0], 4)
np.vander(x) * 2
np.arange(3) * x[0]
np.arange(0.0, 3.0 * x[0], x[0])[1:2]
np.meshgrid(x, v)[0] ** 2
np.interp(x, [0.0, 1.0, 3.0], [0.0, 2.0, 3.0])
np.interp([0.4, 1.4], [0.0, 1.0, 3.0], x)
np.polyval([1.0, 2.0, 3.0], x)
np.polyval([x[0], x[1]], 2.0)
np.convolve(x, [1.0, 2.0]) ** 2
np.kron([1.0, 2.0], x) ** 2
np.select([x < 1, x >= 1], [x**2, x**3])
np.select([v < 1, v >= 1], [x**2, x**3])
np.piecewise(x, [x < 1], [lambda t: t**2, lambda t: t**3])
np.piecewise(v, [v < 1, v >= 1], [x[0], x[1]])
np.choose([0, 1, 0], [x, x**2])
np.vectorize(lambda t: t**2)(x)
np.vectorize(math.exp)(x)
np.frompyfunc(lambda t: t**2, 1, 1)(x).sum()
np.apply_along_axis(lambda t: t**2, 0, x)
np.fromiter((t**2 for t in x), float)
np.fromiter(x, float) ** 2
np.array([t**2 for t in x])
np.array(list(map(math.exp, x)))
np.array(tuple(x)) ** 2
np.array([math.exp(t) for t in x])
np.array([f(x) for f in (np.sum, np.mean)])
np.broadcast_to([x[0], x[1]], (2, 2)) ** 2
np.tile([x[0], x[1]], 2) ** 2
np.repeat([x[0], x[1]], 2) ** 2
np.pad([x[0], x[1]], 1) ** 2
np.pad(v, 1, constant_values=x[0]) ** 2
np.clip(v, x[0] - 1, [x[1], x[1], x[1]])
np.sum(v, initial=x[0])
np.max(v, initial=x[2])
np.add(v, 1.0, where=x > 1, out=np.zeros(3)) * x
np.add.reduce([x, x**2])
np.add.outer(v, [x[0], x[1]])
np.add.outer(v, x) ** 2
np.lib.stride_tricks.sliding_window_view(x, 2) ** 2
np.lib.stride_tricks.as_strided(x, (3,), (8,)) ** 2
np.atleast_2d([x[0], x[1]]) ** 2
np.matrix(A) * x.reshape(3, 1)
np.matrix(A) @ x
np.matrix(A).dot(x)
np.matrix(x) * 2
np.asmatrix(x) * 2
np.bmat([[x.reshape(3, 1), A]])
np.ma.masked_array(v, v < 0) * x
x * np.ma.masked_array(v, v < 0)
np.ma.masked_array(x, v < 0) ** 2
np.ma.masked_array(x, v < 0).sum()
np.ma.masked_where(v < 0, x) ** 2
np.ma.array([x[0], x[1]]) ** 2
np.ma.exp(x)
np.ma.dot(A, x)
np.ma.average(x)
rng().normal(x, 0.1) ** 2
rng().normal(0.0, x[0], 3) ** 2
rng().normal(0.0, 1.0, 3) * x
np.random.RandomState(0).normal(x, 0.1) ** 2
np.trapezoid([x[0], x[1]])
np.gradient([x[0], x[1] ** 2])
np.cov(x) + np.cov([x[0], x[1]])
np.poly1d(x)(2.0)
np.polynomial.Polynomial(x)(2.0)
np.polynomial.polynomial.polyval(2.0, x)
np.histogram(v, bins=3, weights=x)[0] ** 2
np.bincount([0, 1, 1], weights=x) ** 2
np.ndarray.__add__(v, x)
np.ndarray.sum(x)
np.lib.scimath.sqrt(x)
np.emath.log(x)
np.i0(x)
x * scipy.stats.norm.cdf(x)
scipy.stats.norm.logpdf(x, loc=x[0])
scipy.stats.norm(x[0], 1.0).logpdf(v)
scipy.special.logsumexp(x)
scipy.special.logsumexp([x[0], x[1]])
scipy.special.softmax(x) * v
scipy.special.log_softmax(x) * v
scipy.special.expit(x) * v
scipy.special.expit([x[0], x[1]])
scipy.special.xlogy(v, x)
scipy.special.gammaln(x)
scipy.special.ndtr(x)
scipy.special.eval_legendre(2, x)
scipy.linalg.norm(x)
scipy.linalg.solve(A, x)
scipy.linalg.inv(A + x)
scipy.linalg.det(A + x)
scipy.linalg.expm(A / 10 * x)
scipy.linalg.cho_solve(scipy.linalg.cho_factor(A @ A.T), x)
scipy.linalg.block_diag(x, v)
scipy.linalg.toeplitz(x)
scipy.sparse.csr_matrix(A) @ x
scipy.sparse.csr_matrix(A).dot(x)
scipy.sparse.csr_matrix(A) * x
scipy.sparse.csr_array(A) * x
scipy.sparse.csr_array(A) @ x
scipy.sparse.csr_array(A).multiply(x)
x @ scipy.sparse.csr_array(A)
x * scipy.sparse.csr_array(A)
scipy.sparse.diags([x[:2]], [1])
scipy.sparse.csr_array(x * A)
scipy.sparse.linalg.spsolve(scipy.sparse.csc_array(A), x)
scipy.sparse.linalg.aslinearoperator(A) @ x
scipy.fft.dct(x) ** 2
scipy.signal.convolve(x, [1.0, 2.0]) ** 2
scipy.ndimage.gaussian_filter(x, 1.0) ** 2
scipy.integrate.quad(lambda t: t * float(x[0]), 0, 1)[0]
scipy.integrate.quad(lambda t: t * x[0], 0, 1)[0]
scipy.integrate.trapezoid(x**2)
scipy.interpolate.interp1d([0.0, 1.0, 3.0], [0.0, 2.0, 3.0])(x)
scipy.interpolate.CubicSpline([0.0, 1.0, 3.0], x)(0.7)
scipy.optimize.brentq(lambda t: t - x[0], 0, 9)
scipy.spatial.distance.cdist(x.reshape(1, 3), A)
scipy.spatial.distance.euclidean(x, v)
scipy.cluster.vq.whiten(A * x)
pd.DataFrame(A) @ x
pd.DataFrame(A).dot(x)
pd.DataFrame(A) * x
x @ pd.DataFrame(A)
x * pd.Series(v)
pd.Series(v) * x
pd.Series(v) * x[0]
pd.Series(v).dot(x)
pd.Series(x) ** 2
pd.Series([x[0], x[1]]) ** 2
pd.Series(v).map(lambda t: t * x[0])
pd.Series(v).apply(lambda t: t * x[0])
pd.DataFrame(dict(a=x, b=v)) ** 2
pd.DataFrame(A).assign(new=x) ** 2
pd.DataFrame(A).apply(lambda row: np.sum(row.to_numpy() * x), axis=1)
pd.Series(v).add(x) ** 2
pd.Series(v).clip(x - 1, x)
pd.Series(v).where(v > 0, x)
"""
CASES: list = IDIOMS.strip().splitlines()


def idiom(function: Callable) -> Callable:
    """Add a function to the cases."""
    CASES.append(function)
    return function


@idiom
def fill_by_index(x):
    out = np.empty_like(x)
    out[POINT > 1] = x[POINT > 1] ** 2
    out[POINT <= 1] = np.exp(x[POINT <= 1])
    return out


@idiom
def fill_element_by_element(x):
    out = np.zeros(3)
    for i in range(3):
        out[i] = x[i] ** 2
    return out


@idiom
def fill_with_a_list(x):
    out = np.zeros((2, 3))
    out[1] = [x[0], x[1], x[2]]
    return out


@idiom
def add_in_place(x):
    out = np.zeros(3)
    out += x**2
    return out


@idiom
def add_in_place_at_an_index(x):
    out = np.zeros(3)
    out[1:] += x[1:] ** 2
    return out


@idiom
def subtract_in_place_with_repeated_indices(x):
    out = np.zeros(2)
    np.subtract.at(out, [0, 1, 1], x)
    return out


@idiom
def add_into_out(x):
    return np.add(x, 1.0, out=np.empty(3)) ** 2


@idiom
def sum_into_out(x):
    return np.sum(x, out=np.empty(())) ** 2


@idiom
def dot_into_out(x):
    return np.dot(NAMES["A"], x, out=np.empty(3)) ** 2


@idiom
def method_dot_into_out(x):
    return NAMES["A"].dot(x, out=np.empty(3)) ** 2


@idiom
def copyto(x):
    out = np.zeros(3)
    np.copyto(out, x**2)
    return out


@idiom
def put(x):
    out = np.zeros(3)
    np.put(out, [0, 2], x[:2])
    out.put(1, x[2] ** 2)
    return out


@idiom
def putmask(x):
    out = np.zeros(3)
    np.putmask(out, POINT > 1, x)
    return out


@idiom
def place(x):
    out = np.zeros(3)
    np.place(out, POINT > 1, x[1:])
    return out


@idiom
def put_along_axis(x):
    out = np.zeros(3)
    np.put_along_axis(out, np.array([2, 0, 1]), x, 0)
    return out


@idiom
def fill(x):
    out = np.zeros(3)
    out.fill(x[0] ** 2)
    return out


@idiom
def fill_diagonal(x):
    out = np.ones((3, 3))
    np.fill_diagonal(out, x**2)
    return out


@idiom
def flat(x):
    out = np.zeros(3)
    out.flat = x**2
    return out


@idiom
def itemset_of_a_structured_array(x):
    out = np.zeros(3, [("a", float)])
    out["a"] = x**2
    return out["a"]


@idiom
def nditer(x):
    return sum(t**2 for t in np.nditer(x))


@idiom
def ndenumerate(x):
    return sum(t**2 for _, t in np.ndenumerate(x))


@idiom
def object_array(x):
    out = np.empty(3, object)
    for i in range(3):
        out[i] = x[i] ** 2
    return out.sum()


@idiom
def list_comprehension(x):
    return sum([t**2 for t in x])


@idiom
def zip_of_rows(x):
    return sum(a * b for a, b in zip(x, NAMES["v"]))


@idiom
def a_function_of_python_numbers(x):
    return sum(math.sin(t) if t > 1 else t for t in x)


class Outcome(NamedTuple):
    """One of right, refused, warned, silent; and the message, or both gradients."""

    kind: str
    text: str


def as_function(case: str | Callable) -> Callable:
    """Return the case as a function of x; skip the test if pandas is needed and missing."""
    if callable(case):
        return case
    names = NAMES | dict(pd=pytest.importorskip("pandas")) if "pd." in case else NAMES
    return eval(f"lambda x: {case}", names)  # the texts come from this file only


def loss_of(f: Callable, x):
    """Return Σx² + Σ f(x)."""
    value = f(x)
    while isinstance(value, list) or getattr(value, "ndim", 0):
        value = sum(value) if isinstance(value, list) else value.sum()
    return np.sum(np.square(x)) + value


def right_gradient(f: Callable, h: float = 1e-3) -> np.ndarray:
    """Return central differences of the same code on plain arrays."""
    steps = h * np.eye(len(POINT))
    slopes = [loss_of(f, POINT + step) - loss_of(f, POINT - step) for step in steps]
    return np.array(slopes, float) / (2 * h)


def outcome(case: str | Callable) -> Outcome:
    """Run the idiom on a leaf that requires a gradient."""
    f = as_function(case)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        expected = right_gradient(f)
        x = Tensor(POINT, requires_grad=True)
        try:
            loss_of(f, x).backward()
        except Exception as error:  # whatever the library raises is loud
            return Outcome("refused", f"{type(error).__name__}: {error}")
    if np.allclose(x.grad, expected, rtol=1e-3, atol=1e-3):
        return Outcome("right", "")
    for message in (str(w.message) for w in caught if "gradient" in str(w.message)):
        return Outcome("warned", message)
    return Outcome("silent", f"the gradient is {x.grad}, right is {expected.round(3)}")


@pytest.mark.parametrize("case", CASES, ids=lambda case: getattr(case, "__name__", case))
def test_no_idiom_is_wrong_in_silence(case):
    kind, text = outcome(case)
    assert kind != "silent", text


STAYS_IN_THE_GRAPH = """
A @ x + v * x - x / v
10 * sum([np.sum(x**2), np.sum(x)])
sum(x[i] ** 2 for i in range(3))
reduce(lambda a, b: a * b, x)
max([x[0] + 1, x[1]])
np.average([1.0, 5.0, 2.0], weights=x)
np.linalg.solve(A, x)
math.prod(x)
pow(x[0], 3) + abs(-x[0])
round(x[0], 2) * x
divmod(x[0], 0.4)[1]
np.stack([x, x**2]) * 2
np.concatenate([x, [1.0]]) ** 2
np.append(v, x) ** 2
np.full_like(x, x[0]) ** 2
np.linspace(0, x[0], 4) ** 2
np.meshgrid(x, v)[0] ** 2
np.interp([0.4, 1.4], [0.0, 1.0, 3.0], x)
np.convolve(x, [1.0, 2.0]) ** 2
np.select([v < 1, v >= 1], [x**2, x**3])
np.piecewise(x, [x < 1], [lambda t: t**2, lambda t: t**3])
np.add.outer(v, x) ** 2
scipy.special.gammaln(x)
"""


@pytest.mark.parametrize("case", STAYS_IN_THE_GRAPH.strip().splitlines())
def test_an_idiom_that_stays_in_the_graph_has_the_right_gradient(case):
    assert case in CASES
    kind, text = outcome(case)
    assert kind == "right", text
