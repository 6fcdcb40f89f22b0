"""Test every function that has a derivative; a new row of the table needs a case to pass."""

import inspect
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from minigrad import Primitive, Tensor, grad
from minigrad.autograd import (
    einsum,
    linalg_vjps,
    numpy_functions,
    numpy_vjps,
    shape_functions,
    statistics,
)
from minigrad.autograd.dispatch import HANDLED_FUNCTIONS, NONDIFFERENTIABLE
from minigrad.autograd.numpy_vjps import defvjp
from minigrad.gradcheck import GradcheckError, gradcheck
from tests.gradcheck_cases import cases, missing
from tests.minigrad.autograd.helpers import gradients

TABLE = cases()
DERIVATIVE_0 = {f"np.{name}" for name in "sign floor ceil trunc rint round floor_divide".split()}
DERIVATIVE_0 |= {"np.heaviside", "scipy.special.gammasgn"}


each_function = pytest.mark.parametrize("function", TABLE)


@contextmanager
def naming(case):
    """Add the text of the case to an error."""
    try:
        yield
    except Exception as error:
        error.add_note(f"in the case {case.text}")
        raise


def test_every_function_is_enrolled():
    assert missing() == set()
    known = HANDLED_FUNCTIONS.copy()
    try:
        defvjp(np.spacing, lambda g, *_: g * 0)
        assert missing() == set() and "np.spacing" in cases()  # elementwise functions need no case
        HANDLED_FUNCTIONS[np.fft.fft] = HANDLED_FUNCTIONS[np.dot]
        assert missing() == {"np.fft.fft"}
    finally:
        HANDLED_FUNCTIONS.clear()
        HANDLED_FUNCTIONS.update(known)


@each_function
def test_derivatives_of_first_and_second_order_pass_gradcheck(function):
    for case in TABLE[function]:
        with naming(case):
            assert gradcheck(case.f, *case.inputs, order=2)


@each_function
def test_values_equal_numpys(function):
    for case in TABLE[function]:
        ours, numpys = case.f(*map(Tensor, case.inputs)), case.f(*case.inputs)
        np.testing.assert_allclose(ours, numpys, rtol=1e-14, strict=True, err_msg=case.text)


@each_function
def test_float32_and_shapes_are_kept_and_operands_are_unchanged(function):
    for case in TABLE[function]:
        with naming(case):
            check_float32(case)


def check_float32(case):
    inputs = [np.array(x, np.float32, order="K") for x in case.inputs]
    for x in inputs:
        x.flags.writeable = False
    leaves = [Tensor(x, requires_grad=True) for x in inputs]
    out = case.f(*leaves)
    float64 = "float64" in case.text or "float_power" in case.text  # as NumPy's
    assert out.dtype == (np.float64 if float64 else np.float32)
    first = grad(out, leaves, np.ones(out.shape), create_graph=True)
    out.backward(np.ones(out.shape))
    for x, g in zip(leaves, first):
        assert g.dtype == x.grad.dtype == np.float32
        assert g.shape == x.grad.shape == x.shape
        np.testing.assert_array_equal(g.data, x.grad)
        assert x.grad.flags.writeable


def test_a_wrong_derivative_is_found(monkeypatch):
    """Make each vjp wrong in turn: then a case must fail."""
    tried = set()
    known = [
        *HANDLED_FUNCTIONS.values(),
        *vars(numpy_vjps).values(),
        *vars(numpy_functions).values(),
        *vars(shape_functions).values(),
        *vars(statistics).values(),
        *vars(linalg_vjps).values(),
        *vars(einsum).values(),
    ]
    table = cases()
    checked = table.keys() - DERIVATIVE_0
    known = {id(p): p for p in known if isinstance(p, Primitive) and p.name in checked}
    for primitive in known.values():
        name = primitive.name
        found = table[name]
        for i, vjp in enumerate(primitive.vjps):
            if vjp is None or (name, i) == ("np.copysign", 1):  # its derivative is 0
                continue

            def wrong(g, *rest, _vjp=vjp, **options):
                return _vjp(g, *rest, **options) * 1.001

            with monkeypatch.context() as patch:
                patch.setattr(primitive, "plans", {})
                vjps = [*primitive.vjps[:i], wrong, *primitive.vjps[i + 1 :]]
                patch.setattr(primitive, "vjps", vjps)
                with pytest.raises(GradcheckError):
                    for case in found:
                        gradcheck(case.f, *case.inputs)
            tried.add(name)
    assert len(tried) > 40


# ---- Options, against NumPy ----


def options_of(function):
    try:
        return set(inspect.signature(function).parameters)
    except ValueError:  # some C functions of NumPy have no signature
        return set()


@pytest.mark.parametrize(
    "function",
    [f for f in HANDLED_FUNCTIONS if callable(f) and not isinstance(f, np.ufunc) and options_of(f)],
)
def test_every_option_is_supported_or_refused_by_name(function):
    """An argument that we lack raises an error that names it."""
    route, parameters = HANDLED_FUNCTIONS[function], inspect.signature(function).parameters
    ours = set(route.option_names) if isinstance(route, Primitive) else options_of(route)
    operands = list(parameters)[: len(route.vjps)] if isinstance(route, Primitive) else []
    required = [n for n, p in parameters.items() if p.default is p.empty or n in operands]
    x = Tensor(np.ones((2, 2)))
    values = [[x, x] if n in ("arrays", "tup") else x for n in required]
    for name in set(parameters) - ours - set(required) - {"kwargs"}:
        with pytest.raises((TypeError, ValueError), match=name):
            function(*values, **{name: np.ones(1)})


def test_scipy_is_not_imported_with_minigrad():
    code = "import sys, minigrad; print([m for m in sys.modules if m.startswith('scipy')])"
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "[]\n", done.stderr


def test_no_function_is_in_both_tables():
    assert not NONDIFFERENTIABLE & HANDLED_FUNCTIONS.keys()


# ---- Ties, zeros, and other edges ----


def test_equal_extremes_share_the_gradient():
    assert gradients(np.maximum, 1.0, 1.0) == gradients(np.minimum, 1.0, 1.0) == [0.5, 0.5]
    assert gradients(np.max, [3.0, 1.0, 3.0]) == [0.5, 0, 0.5]
    assert gradients(lambda x: np.min(x, axis=0), [[1.0, 2.0], [1.0, 0.0]]) == [[0.5, 0], [0.5, 1]]
    assert gradients(lambda x: np.clip(x, 0, 1), [-1.0, 0.0, 0.5, 1.0, 2.0]) == [0, 1, 1, 1, 0]


def test_powers_have_finite_gradients_at_zero():
    assert gradients(lambda x: x**2, 0.0) == gradients(lambda x: x**0, 0.0) == 0
    assert gradients(lambda x: x**1, 0.0) == 1
    assert gradients(lambda n: 0.0**n, 2.0) == 0
    x = Tensor(np.array([-2.0, 0.0]), requires_grad=True)
    assert grad(grad(np.sum(x**2), x, create_graph=True), x, np.ones(2)).tolist() == [2, 2]


def test_prod_with_zeros_has_the_gradient_of_the_other_factors():
    assert gradients(np.prod, [2.0, 0.0, 5.0]) == [0, 10, 0]
    assert gradients(np.prod, [0.0, 0.0, 5.0]) == [0, 0, 0]


def test_a_repeated_index_adds_up():
    assert gradients(lambda x: x[[0, 0, 1]], [1.0, 2.0]) == [2, 1]
    assert gradients(lambda x: x[np.array([True, False])] ** 2, [3.0, 2.0]) == [6, 0]
    assert gradients(lambda x: np.take(x, [[1, 1], [1, 0]]), [1.0, 2.0]) == [1, 3]


@pytest.mark.parametrize("index", [((0, 0, 1), slice(None)), ((0, 0), (1, 1)), ((0, 0, 1),)])
def test_repeated_tuple_indices_add_up(index):
    x = Tensor(np.ones((3, 2)), requires_grad=True)
    np.sum(x[index]).backward()
    expected = np.zeros((3, 2))
    np.add.at(expected, index, 1)
    np.testing.assert_array_equal(x.grad, expected)


def test_the_derivative_by_the_exponent_of_a_power_zero():
    x, n = (Tensor(np.array(value), requires_grad=True) for value in (2.0, 0.0))
    by_x, by_n = grad(x**n, [x, n], create_graph=True)  # n·xⁿ⁻¹ and xⁿ·log x
    assert grad(by_x, n).item() == grad(by_n, x).item() == 1 / 2
    assert gradients(lambda x: x ** np.array([True, False]), [3.0, 0.0]) == [1, 0]


def test_clip_with_crossed_bounds_returns_the_upper_bound():
    for x, low, high in ((0.0, 2.0, 1.0), (1.5, 2.0, 1.0), (3.0, 2.0, 1.0)):
        assert np.clip(x, low, high) == high and gradients(np.clip, x, low, high) == [0, 0, 1]
    assert gradients(np.clip, [0.0, 5.0], 1.0, 2.0) == [[0, 0], 1, 1]


def test_einsum_broadcasts_axes_of_one_element():
    a, b = np.array([[2.0], [3.0]]), np.array([[1.0, 4.0, 5.0], [6.0, 7.0, 8.0]])
    assert gradcheck(lambda a, b: np.einsum("ij,ij", a, b) ** 2, a, b, order=2)
    assert gradcheck(lambda a, b: np.einsum("j,ij->", a, b) ** 2, a[0], b, order=2)


@pytest.mark.parametrize(
    "f",
    [
        np.prod,
        np.linalg.norm,
        np.std,
        np.tril,
        lambda x: np.mean(x, where=np.ones(300, bool)),
        lambda x: np.var(x, where=np.arange(300) < 290),
        lambda x: np.average(x, weights=np.full(300, 3, np.uint8)),
    ],
)
@pytest.mark.parametrize("x", [np.full(300, 200, np.uint8), np.ones(300, bool)], ids=str)
def test_reductions_of_small_integers_do_not_overflow(f, x):
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(f(Tensor(x)).data.astype(float), np.asarray(f(x), float))


def test_options_change_neither_dtype_nor_shape():
    x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    for f in (np.sum, np.max, np.min, np.prod):
        assert f(x, initial=np.float64(2)).dtype == np.float32
        assert f(x, initial=np.float64(2), where=[True, False, True]).dtype == np.float32
        for wrong in (dict(where=np.ones((2, 3), bool)), dict(initial=np.ones(3))):
            with pytest.raises(ValueError):
                f(x, **dict(initial=1.0) | wrong)
    assert np.linalg.norm(x, np.float64(3)).dtype == np.float32


def test_lists_and_numbers_beside_tensors():
    x = Tensor([1.0, 2.0], requires_grad=True)
    for y in (
        np.stack([[1.0, 2.0], x]),
        np.vstack([x, [1, 2]]),
        np.hstack([x, 1.0]),
        np.stack([x[0], 2.0]),
        np.outer([1.0, 2.0], x),
        np.tensordot([1.0, 2.0], x, 1),
        np.average([1.0, 2.0], weights=x),
        np.average(x, weights=[1.0, 2.0]),
        np.tile(x, Tensor(2)),
    ):
        assert y.dtype == np.float32 and y.requires_grad
    with pytest.raises(TypeError, match=r"np\.pad has no derivative .* constant_values"):
        np.pad(x, 1, constant_values=x[0])


def test_xlogy_of_0_and_0_has_gradient_0():
    from scipy.special import xlogy

    assert gradients(lambda y: xlogy(0.0, y), 0.0) == 0
    assert gradients(xlogy, 2.0, 4.0) == [np.log(4.0), 0.5]


def test_reductions_of_empty_arrays_give_empty_gradients():
    empty = np.zeros((0, 3))
    assert gradients(np.sum, empty) == [] and gradients(lambda x: np.prod(x, 0), empty) == []
    with pytest.warns(RuntimeWarning):
        assert np.isnan(np.mean(Tensor(np.zeros(0))).item())


def test_joining_tensors_arrays_and_lists():
    x, y = (Tensor(np.ones(2, t), requires_grad=True) for t in (np.float32, np.float64))
    joined = np.concatenate([x, [1, 2], y, np.arange(2)])
    assert joined.dtype == np.float64 and joined.tolist() == [1, 1, 1, 2, 1, 1, 0, 1]
    np.sum(joined * np.arange(8)).backward()
    assert x.grad.tolist() == [0, 1] and y.grad.tolist() == [4, 5]
    assert (x.grad.dtype, y.grad.dtype) == (np.float32, np.float64)
    assert gradients(lambda m: np.concatenate(m), [[1.0, 2.0], [3.0, 4.0]]) == [[1, 1], [1, 1]]


# ---- Elementwise functions at their edges ----


def test_the_derivative_of_a_step_is_zero():
    for f in (np.floor, np.ceil, np.trunc, np.rint, np.round, np.around, round):
        assert gradients(f, [-1.5, 0.2, 2.0]) == [0, 0, 0]
    assert gradients(lambda x: x // 2, [5.0, -5.0]) == gradients(lambda x: 2 // x, [5.0, 0.3])
    assert gradients(lambda x: np.round(x, 1), [1.25]) == [0]
    assert round(Tensor(1.26), 1).item() == Tensor(1.26).round(1).item() == np.float32(1.3)
    x = Tensor([1.5], requires_grad=True)
    np.sum(x * np.floor(x)).backward()  # what stands beside the step still learns
    assert x.grad.tolist() == [1]


@pytest.mark.parametrize("b", [3.0, -3.0, 0.1])
def test_remainder_fmod_and_divmod_have_numpys_values_and_slopes(b):
    a = np.array([5.0, -5.0, 1.0, -0.5])
    assert gradients(lambda a: a % b, a) == gradients(lambda a: np.fmod(a, b), a) == [1] * 4
    for remainder in (np.remainder, np.fmod):
        of_b = gradients(lambda b, f=remainder: f(a, b), np.full(4, b))
        np.testing.assert_allclose(remainder(a, b), a + b * np.array(of_b), atol=1e-15)
    quotient, rest = divmod(Tensor(a), b)
    assert quotient.tolist() == (a // b).tolist() and rest.tolist() == (a % b).tolist()
    assert [x.tolist() for x in divmod(b, Tensor(a))] == [x.tolist() for x in divmod(b, a)]
    assert (b % Tensor(a)).tolist() == (b % a).tolist()
    assert gradients(lambda a: divmod(a, b)[1] + divmod(a, b)[0], a) == [1] * 4


def test_whole_numbers_stay_whole():
    n = np.array([7, -7, 3])
    for f in (
        *(lambda x: x % 4, lambda x: x // 4, lambda x: 20 % x, lambda x: divmod(x, 4)[0]),
        *(np.floor, np.trunc, lambda x: np.round(x, -1), lambda x: np.fmod(x, 4)),
        *(np.conj, np.fabs, np.add.reduce, np.multiply.reduce, np.add.accumulate),
        lambda x: np.subtract.outer(x, x),
    ):
        ours = f(Tensor(n))
        np.testing.assert_array_equal(ours.data, f(n), strict=True)
        assert not ours.requires_grad
    assert round(Tensor(n), -1).tolist() == [10, -10, 0]  # arrays have no __round__


def test_fmax_and_fmin_ignore_nan():
    nan = np.nan
    assert gradients(np.fmax, [nan, 1.0, 1.0, 2.0], [1.0, nan, 1.0, 3.0]) == [
        [0, 1, 0.5, 0],
        [1, 0, 0.5, 1],
    ]
    assert gradients(np.fmin, [nan, 1.0, 1.0, 2.0], [1.0, nan, 1.0, 3.0]) == [
        [0, 1, 0.5, 1],
        [1, 0, 0.5, 0],
    ]
    assert gradients(np.fmax, nan, nan) == [0, 0]


def test_signs_and_steps_at_zero():
    assert gradients(np.heaviside, [0.0, 2.0, -1.0], [0.5, 0.5, 0.5]) == [[0, 0, 0], [1, 0, 0]]
    # PyTorch 2.13: torch.copysign
    ours = gradients(np.copysign, [0.0, 1.0, -1.0, -2.0, -0.0], [1.0, -1.0, 0.0, -0.0, -1.0])
    assert ours == [[0, -1, -1, 1, 0], [0] * 5]


# sinc′(x) and sinc″(x), from their series in 40 digits; (cos πx − sinc x) / x would be NaN at 0,
# and at 10⁻⁸ have no digit
SINC = {
    0.0: (0.0, -3.2898681336964528729),
    1e-300: (-3.2898681336964529554e-300, -3.2898681336964528729),
    1e-8: (-3.2898681336964526171e-8, -3.2898681336964518989),
    1e-4: (-0.00032898681012267561337, -3.2898680362873624112),
    0.1: (-0.32575126788312397004, -3.1930298359648538298),
    0.75: (-1.3429496265407771746, 0.61927704533649496748),
    1.0: (-1.0, 2.0),
    2.25: (0.26980961553194180988, -1.2271380889524741081),
}


@pytest.mark.parametrize("x", SINC)
def test_sinc_keeps_its_digits_near_zero(x):
    for sign in (1, -1):
        leaf = Tensor(np.array(sign * x), requires_grad=True)
        first = grad(np.sinc(leaf), leaf, create_graph=True)
        second = grad(first, leaf)
        expected = sign * SINC[x][0], SINC[x][1]
        np.testing.assert_allclose([first.item(), second.item()], expected, rtol=2e-15)


def test_inverse_functions_beside_the_ends_of_their_domains():
    """x is 1 ∓ 2⁻³⁰; 1 − x·x would have half of the digits."""
    for f, x, expected in (
        (np.arcsin, 1 - 2**-30, 23170.475011315585891),
        (np.arccos, 1 - 2**-30, -23170.475011315585891),
        (np.arctanh, 1 - 2**-30, 536870912.25000000012),
        (np.arccosh, 1 + 2**-30, 23170.475000525992672),
        (np.arccosh, 1e200, 1e-200),
        (np.arcsinh, -1e200, 1e-200),
    ):
        np.testing.assert_allclose(gradients(f, x), expected, rtol=1e-15)


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_radius_and_angle_at_scales_whose_squares_overflow(scale):
    y, x = (Tensor(np.array(value * scale), requires_grad=True) for value in (3.0, 4.0))
    by_y, by_x = grad(np.hypot(y, x), [y, x], create_graph=True)
    np.testing.assert_allclose([by_y.item(), by_x.item()], [0.6, 0.8], rtol=1e-15)
    second = [g.item() * scale for g in grad(by_y, [y, x])]
    np.testing.assert_allclose(second, [16 / 125, -12 / 125], rtol=1e-14)  # x²/r³, −xy/r³
    by_y, by_x = grad(np.arctan2(y, x), [y, x])
    first = [by_y.item() * scale, by_x.item() * scale]
    np.testing.assert_allclose(first, [4 / 25, -3 / 25], rtol=1e-15)  # x/r², −y/r²


def test_extremes_with_a_bound_of_another_dtype():
    """NumPy converts a Python float to float32. A float64 0.1 is less than a float32 0.1."""
    x = np.array([0.1, 0.3], np.float32)
    for bound, expected in ((0.1, 0.5), (np.float64(0.1), 1), (np.array([0.1, 0.2]), 1)):
        leaf = Tensor(x, requires_grad=True)
        np.sum(np.maximum(leaf, bound)).backward()
        assert leaf.grad.tolist() == [expected, 1]
        assert grad(np.sum(np.fmin(leaf, bound)), leaf).tolist() == [1 - expected, 0]


def test_clip_gives_x_the_gradient_1_at_its_bounds():
    """PyTorch 2.13: torch.clamp gives x the gradient 1 at both bounds, and the bounds 0 there."""
    x, ones, twos = [0.0, 1.0, 1.5, 2.0, 3.0], [1.0] * 5, [2.0] * 5
    assert gradients(np.clip, x, ones, twos) == [[0, 1, 1, 1, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 1]]
    assert gradients(lambda x: np.clip(x, 1, 1), [0.0, 1.0, 2.0]) == [0, 1, 0]
    ones = [1.0] * 3  # here PyTorch gives nothing to anyone for x = 0
    assert gradients(np.clip, [0.0, 1.0, 2.0], ones, ones) == [[0, 1, 0], [1, 0, 0], [0, 0, 1]]
    above = gradients(lambda x, low: np.clip(x, low, None), [0.0, 1.0, 2.0], ones)
    below = gradients(lambda x, high: np.clip(x, None, high), [0.0, 1.0, 2.0], ones)
    assert above == [[0, 1, 1], [1, 0, 0]] and below == [[1, 1, 0], [0, 0, 1]]


@pytest.mark.parametrize("kind", [int, np.uint8, np.uint64, np.int8, np.float32])
def test_powers_of_and_by_scalars_of_any_kind(kind):
    for n, expected in ((0, [0, 0]), (1, [1, 1]), (2, [4, 0])):
        assert gradients(lambda x, n=n: x ** kind(n), [2.0, 0.0]) == expected
        assert gradients(lambda x, n=n: np.float_power(x, kind(n)), [2.0, 0.0]) == expected
    by_n = gradients(lambda n: kind(3) ** n, 2.0)
    np.testing.assert_allclose(by_n, 9 * np.log(3), rtol=1e-6 if kind is np.float32 else 1e-15)


# ---- Axes and shifts that NumPy permits ----


@pytest.mark.parametrize("axis", [0, -1])
def test_a_number_may_have_an_axis(axis):
    for f in (np.sum, np.max, np.min):
        for keepdims in (False, True):
            assert gradients(lambda s, f=f, k=keepdims: f(s, axis=axis, keepdims=k), 3.0) == 1
    assert gradients(lambda s: np.cumsum(s, axis=axis), 3.0) == 1
    assert gradients(lambda s: np.squeeze(s, axis=axis), 3.0) == 1
    for f in (np.add, np.maximum, np.minimum, np.logaddexp):
        assert gradients(lambda s, f=f: f.reduce(s, axis=axis), 3.0) == 1


def test_an_axis_may_be_a_number():
    weights = np.arange(3.0)
    assert gradients(lambda v: np.transpose(v, 0) * weights, np.ones(3)) == [0, 1, 2]
    assert gradients(lambda v: v.transpose(-1) * weights, np.ones(3)) == [0, 1, 2]
    t, moved = np.zeros((2, 3, 4)), np.arange(24.0).reshape(3, 4, 2)
    for axes in (np.array([1, 2, 0], np.uint8), np.array([1, -1, 0]), [1, 2, 0]):
        found = gradients(lambda t, axes=axes: np.transpose(t, axes) * moved, t)
        assert found == np.transpose(moved, (2, 0, 1)).tolist()


@pytest.mark.parametrize("kind", [np.uint8, np.uint64, np.int8])
def test_a_shift_of_any_kind_rolls_back(kind):
    weights = np.arange(4.0)
    try:
        np.roll(weights, kind(1))
    except RuntimeWarning:
        pytest.skip("this NumPy warns of an unsigned shift")
    assert gradients(lambda v: np.roll(v, kind(1)) * weights, np.ones(4)) == [1, 2, 3, 0]
    square = np.arange(9.0).reshape(3, 3)
    found = gradients(lambda m: np.roll(m, np.array([1, 2], kind), (0, 1)) * square, square)
    assert found == np.roll(square, (-1, -2), (0, 1)).tolist()


# ---- Methods and options of ufuncs, and methods of tensors ----

M = np.array([[1.0, 5.0, 3.0], [4.0, 2.0, 6.0]])


@pytest.mark.parametrize(
    "options",
    [
        {},
        dict(axis=1),
        dict(axis=None),
        dict(axis=-1, keepdims=True),
        dict(axis=(0, 1)),
        dict(initial=2.5),
        dict(axis=1, initial=2.5, where=[True, False, True], dtype=None),
    ],
)
@pytest.mark.parametrize(
    "ufunc", [np.add, np.multiply, np.maximum, np.minimum, np.logaddexp], ids=lambda f: f.__name__
)
def test_ufunc_reduce_gives_numpys_values_and_passes_gradcheck(ufunc, options):
    if ufunc is np.logaddexp and options.get("axis") == (0, 1):
        expected = ufunc.reduce(M, axis=None)  # NumPy reduces only one axis, or all
    else:
        expected = ufunc.reduce(M, **options)
    ours = ufunc.reduce(Tensor(M), **options)
    np.testing.assert_allclose(ours.data, expected, rtol=1e-15, strict=False)
    assert ours.shape == np.shape(expected)
    assert gradcheck(lambda m: ufunc.reduce(m, **options), M, order=2)


def test_logaddexp_reduce_of_infinities_and_large_numbers():
    assert gradients(np.logaddexp.reduce, [-np.inf, 0.0, 0.0]) == [0, 0.5, 0.5]
    assert gradients(np.logaddexp.reduce, [2000.0, 2000.0]) == [0.5, 0.5]
    for x in ([-np.inf, -np.inf], [np.inf, 0.0], []):
        x = np.array(x)
        assert np.logaddexp.reduce(Tensor(x)).item() == np.logaddexp.reduce(x)


def test_ufunc_accumulate_gives_numpys_values():
    for options in ({}, dict(axis=1)):
        found = np.add.accumulate(Tensor(M), **options)
        np.testing.assert_array_equal(found.data, np.add.accumulate(M, **options))
    assert gradients(lambda m: np.add.accumulate(m)[1], M) == np.ones((2, 3)).tolist()
    products = np.multiply.accumulate(Tensor(M), axis=1)
    np.testing.assert_array_equal(products.data, np.multiply.accumulate(M, axis=1))
    assert gradients(np.multiply.accumulate, [2.0, 3.0, 4.0]) == [16, 10, 6]


def test_real_and_cumprod_are_attributes_of_a_tensor():
    assert gradients(lambda x: x.real**2, [3.0, -1.0]) == [6, -2]
    assert gradients(lambda x: x.cumprod(), [2.0, 3.0, 4.0]) == [16, 10, 6]
    assert Tensor(M).cumprod(axis=1).tolist() == M.cumprod(axis=1).tolist()


def test_the_gradients_of_angle_and_length_at_0_are_0():
    """PyTorch has 0 for arctan2, and NaN for hypot."""
    assert gradients(np.arctan2, 0.0, 0.0) == gradients(np.hypot, 0.0, 0.0) == [0, 0]
    assert gradients(np.arctan2, [0.0, 3.0], [0.0, 4.0]) == [[0, 0.16], [0, -0.12]]


def test_expm1_far_left_has_a_derivative_in_float32():
    x = Tensor(np.float32(-40), requires_grad=True)
    np.expm1(x).backward()
    np.testing.assert_allclose(x.grad, np.exp(-40), rtol=1e-6)


def test_numbers_joined_without_an_axis_do_not_promote():
    x = np.ones((2, 2), np.float32)
    for others in ([16], [1.5, 2], [True]):
        expected = np.concatenate([x, *others], axis=None)
        np.testing.assert_array_equal(
            np.concatenate([Tensor(x), *others], axis=None).data, expected, strict=True
        )


@pytest.mark.parametrize(
    "ufunc",
    [f for f in HANDLED_FUNCTIONS if isinstance(f, np.ufunc) and f.nin == 2 and not f.signature],
    ids=lambda f: f.__name__,
)
def test_ufunc_outer_gives_numpys_values(ufunc):
    a, b = M / 4, np.array([0.7, 1.2])
    for x, y in ((a, b), (b, a), (a, 0.5), (0.5, a), ([0.25, 1.0], b)):
        expected, ours = ufunc.outer(x, y), ufunc.outer(x, Tensor(np.array(y)))
        np.testing.assert_allclose(unwrapped(ours), expected)
    if ufunc.nout == 1:
        assert np.shape(ufunc.outer(Tensor(a), Tensor(b))) == (2, 3, 2)


def unwrapped(x):
    """Return the array of a tensor, or of several."""
    return [part.data for part in x] if isinstance(x, tuple) else x.data


def test_the_dtype_argument_of_a_ufunc_sets_the_dtype():
    x = Tensor([1.0, 2.0], requires_grad=True)
    y = np.multiply(x, np.array([0.1, 0.2]), dtype=np.float32)
    z = np.exp(x, dtype="float64")
    assert (y.dtype, z.dtype) == (np.float32, np.float64)
    np.testing.assert_array_equal(z.data, np.exp(np.array([1.0, 2.0])))
    np.sum(y + z).backward()
    assert x.grad.dtype == np.float32
    np.testing.assert_allclose(x.grad, [0.1 + np.e, 0.2 + np.e**2], rtol=1e-6)
    default = np.add(x, 1, where=True, casting="same_kind", order="K", subok=True, dtype=None)
    assert default.tolist() == [2, 3] and np.add(x, 1, out=None).dtype == np.float32


def test_mT_conj_and_round_give_numpys_values():
    x = Tensor(M, requires_grad=True)
    assert x.mT.tolist() == M.T.tolist() and x[None].mT.shape == (1, 3, 2)
    assert x.conj().tolist() == x.conjugate().tolist() == M.tolist() and x.conj().requires_grad
    assert (x / 4).round().tolist() == np.round(M / 4).tolist()
