"""Derivatives of SciPy's functions: exact values, high orders, the ends of their domains.

tests/gradcheck_cases.py compares all of them with finite differences.
"""

import numpy as np
import pytest
import scipy.special
from scipy.special import polygamma

from minigrad import Tensor, grad
from minigrad.autograd import scipy_vjps as scipy_vjps
from minigrad.autograd.dispatch import HANDLED_FUNCTIONS

OF_SCIPY = [f for f in HANDLED_FUNCTIONS if isinstance(f, np.ufunc) and not hasattr(np, f.__name__)]


def derivatives_up_to(f, x, order):
    """Return [f(x), f'(x), …], up to this order, as numbers."""
    x = Tensor(np.float64(x), requires_grad=True)
    found = [f(x)]
    for _ in range(order):
        found.append(grad(found[-1], x, create_graph=True))
    return [y.item() for y in found]


@pytest.mark.parametrize("x", [1.0, 0.3, 7.5, -0.6])
def test_gammaln_has_derivatives_of_any_order(x):
    expected = [float(polygamma(n, x)) for n in range(5)]
    assert derivatives_up_to(scipy.special.gammaln, x, 5)[1:] == pytest.approx(expected, rel=1e-12)


def test_derivatives_of_gamma_psi_and_bessel_functions_equal_known_constants():
    gamma, zeta3 = 0.5772156649015329, 1.2020569031595943  # Euler's and Apéry's constants
    of_psi = [-gamma, np.pi**2 / 6, -2 * zeta3]
    assert derivatives_up_to(scipy.special.digamma, 1.0, 2) == pytest.approx(of_psi, rel=1e-14)
    of_gamma = [1.0, -gamma, gamma**2 + np.pi**2 / 6]
    assert derivatives_up_to(scipy.special.gamma, 1.0, 2) == pytest.approx(of_gamma, rel=1e-14)
    of_j0 = [1, 0, -1 / 2, 0, 3 / 8]  # the series of J₀ at 0, times n!
    assert derivatives_up_to(scipy.special.j0, 0.0, 4) == pytest.approx(of_j0, abs=1e-15)
    of_i1 = [0, 1 / 2, 0, 3 / 8]
    assert derivatives_up_to(scipy.special.i1, 0.0, 3) == pytest.approx(of_i1, abs=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_slope_of_log_ndtr_far_out(dtype):
    """φ/Φ at −x is x + 1/x − 2/x³ + …; exp(−x²/2 − log Φ) would lose the digits."""
    x = Tensor(np.array([-1000, -30, 0, 1000], dtype), requires_grad=True)
    np.sum(scipy.special.log_ndtr(x)).backward()
    expected = [1000.000999998, 30.03325966, np.sqrt(2 / np.pi), 0]
    np.testing.assert_allclose(x.grad, expected, rtol=max(1e-9, 4 * np.finfo(dtype).eps))
    second = derivatives_up_to(scipy.special.log_ndtr, 70.0, 2)[2]
    assert second == 0  # −70·φ(70), which is below every float64


@pytest.mark.parametrize("one", [True, np.True_, np.array(True), np.int8(1)])
def test_the_logarithm_of_a_small_type_has_all_digits(one):
    found = derivatives_up_to(lambda x: scipy.special.xlog1py(x, one), 3.0, 1)[1]
    assert found == pytest.approx(np.log(2), rel=1e-15)


def test_derivatives_at_0_are_finite():
    assert derivatives_up_to(lambda x: scipy.special.ive(1, x), 0.0, 1) == [0, 0.5]  # e^−|x|·I₁(x)
    assert derivatives_up_to(lambda x: scipy.special.gammainc(1.0, x), 0.0, 1) == [0, 1]  # 1 − e⁻ˣ
    x, y = (Tensor(v, requires_grad=True) for v in (0.0, 2.0))
    by_y = grad(scipy.special.xlogy(x, y), y, create_graph=True)
    assert (by_y.item(), grad(by_y, x).item()) == (0, 0.5)  # x/y, and 1/y


@pytest.mark.parametrize(
    ("name", "y", "expected"),
    [("xlogy", 0.0, 0.0), ("xlog1py", -1.0, 0.0), ("rel_entr", 0.0, 0.0), ("kl_div", 0.0, 1.0)],
)
def test_zero_times_the_logarithm_of_zero_is_zero(name, y, expected):
    y = Tensor(np.float64(y), requires_grad=True)
    out = getattr(scipy.special, name)(0.0, y)
    out.backward()
    assert (out.item(), y.grad) == (0, expected)


@pytest.mark.parametrize("f", OF_SCIPY, ids=lambda f: f.__name__)
def test_float32_stays_float32(f):
    constants = [np.float32(2)] * HANDLED_FUNCTIONS[f].vjps.count(None)
    n = f.nin - len(constants)
    operands = [Tensor(np.float32([0.25, 0.5]), requires_grad=True) for _ in range(n)]
    out = f(*constants, *operands)
    slopes = grad(np.sum(out), operands, create_graph=True)
    assert {x.dtype for x in (out, *slopes)} == {np.dtype(np.float32)}


def test_the_order_of_a_bessel_function_has_no_derivative():
    with pytest.raises(TypeError, match=r"scipy\.special\.jv has no derivative .* argument 0"):
        scipy.special.jv(Tensor(2.0, requires_grad=True), 1.0)
