"""The engine: tensors, the backward pass, and the errors for bad input."""

import copy
import math
import operator
import pickle
import sys
import threading
from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse
from scipy.special import xlogy

from minigrad import Tensor, grad, no_grad, primitive
from tests.minigrad.autograd.helpers import ids_of, leaf

# ---- Derivatives with known values ----


def test_the_gradient_of_a_square_is_2x():
    x = leaf(3.0)
    (x * x).backward()
    assert x.grad == 6


def test_gradients_of_two_paths_add_up():
    x = leaf(2.0)
    y = 3 * x
    (2 * y + 5 * y).backward()
    assert x.grad == 21


def test_second_and_third_derivatives_of_tanh_times_cube():
    def derivative(order, at):
        x = y = leaf(at)
        y = np.tanh(x) * x**3
        for _ in range(order):
            y = grad(y, x, create_graph=True)
        return y.item()

    h = 1e-5
    for at in (-1.3, 0.4, 2.0):
        for order in (1, 2, 3):
            difference = (derivative(order - 1, at + h) - derivative(order - 1, at - h)) / (2 * h)
            assert derivative(order, at) == pytest.approx(difference, rel=1e-6, abs=1e-6)


def test_array_plus_tensor_is_a_tensor():
    x = leaf([1.0, 2.0, 3.0], np.float32)
    for y in (
        np.ones(3) + x,
        x + np.ones(3),
        np.ones(3) @ x,
        2 - x,
        2 / x,
        2**x,
        np.float64(2) * x,
    ):
        assert type(y) is Tensor and y.requires_grad


def test_gradients_add_up_over_calls():
    x = leaf([1.0, 2.0])
    for _ in range(3):
        np.sum(x * x).backward()
    assert x.grad.tolist() == [6, 12]


def test_backward_takes_a_gradient():
    x = leaf([1.0, 2.0])
    (x * x).backward([1.0, 10.0])
    assert x.grad.tolist() == [2, 40]


def test_grad_by_intermediates_and_by_unrelated_inputs():
    x, other = leaf(2.0), leaf([1.0, 1.0])
    y = x * x
    by_y, by_x, by_other = grad(y * y * x, [y, x, other])
    assert (by_y.item(), by_x.item()) == (2 * 4 * 2, 5 * 16)
    assert by_other.data.tolist() == [0, 0]
    assert x.grad is None and other.grad is None


def test_grad_visits_only_paths_to_its_inputs():
    called = []

    @primitive(lambda g, _, x: called.append("x") or g)
    def identity(x):
        return x + 0

    x, y = leaf(2.0), leaf(3.0)
    out = identity(x) * (identity(y) * y)
    assert grad(out, y, retain_graph=True).item() == 12
    assert len(called) == 1
    out.backward()
    assert len(called) == 3


def test_a_given_gradient_takes_the_dtype_of_the_output():
    x = leaf([1.0, 2.0], np.float32)
    for given in (np.ones(2), np.ones(2, int)):
        assert grad(x, x, Tensor(given), create_graph=True).dtype == np.float32


def test_the_initial_gradient_is_copied():
    x, v = leaf([1.0, 2.0]), np.ones(2)
    g = grad(x * x, x, v, create_graph=True)
    v[:] = 5
    assert grad(np.sum(g), x).tolist() == [2, 2]


def test_derivative_by_the_initial_gradient():
    """⟨v, J⟩ is linear in v; its derivative by v is the result of forward mode."""
    x, v = leaf([1.0, 2.0]), leaf([0.0, 0.0])
    back = grad(np.exp(x) * x, x, gradient=v, create_graph=True)
    forward = grad(back, v, gradient=np.array([1.0, 10.0]))
    np.testing.assert_allclose(forward.data, np.exp(x.data) * (x.data + 1) * [1, 10])


# ---- float32 stays float32; conversion to tensors ----


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1.5, "float32"),
        ([1, 2], "float32"),
        ([[1.5]], "float32"),
        ((), "float32"),
        (3, "int64"),
        (True, "bool"),
        (np.float64(2), "float64"),
        (np.arange(3, dtype="int8"), "int8"),
        (np.ones(2), "float64"),
    ],
)
def test_lists_and_floats_become_float32_and_arrays_keep_their_dtype(data, dtype):
    assert Tensor(data).dtype == dtype


def test_python_numbers_and_lists_do_not_promote():
    x = leaf([1.0, 2.0], np.float32)
    for y in (x + 1, 1.5 * x, x**2, x + [1.0, 2.0], (1, 2) * x, np.maximum([0, 0], x), x / True):
        assert y.dtype == np.float32
    assert (leaf([1.0]) + [0.1]).item() == 1.1  # beside float64, a list becomes float64
    np.sum(x * [3.0, 4.0]).backward()
    assert x.grad.tolist() == [3, 4]


def test_each_gradient_has_the_dtype_of_its_leaf():
    x, y = leaf([1.0], np.float32), leaf([2.0])
    z = x * y
    z.backward()
    assert (z.dtype, x.grad.dtype, y.grad.dtype) == ("float64", "float32", "float64")
    back = leaf([3.0])
    (back.astype("float32") * 2).backward()
    assert back.grad.dtype == np.float64


# ---- No aliasing ----


def test_gradients_of_leaves_do_not_share_memory():
    x, y, given = leaf([1.0, 2.0]), leaf([3.0, 4.0]), np.ones(2)
    (x + y).backward(given)
    x.grad[:] = 7
    assert y.grad.tolist() == given.tolist() == [1, 1]
    z = leaf(np.ones((2, 3)))
    np.sum(z.T.reshape(6)).backward()
    z.grad += 1  # a broadcast view would be read-only
    assert z.grad.base is None


def test_accumulation_leaves_the_gradients_of_siblings_unchanged():
    x, y = leaf([1.0]), leaf([1.0])
    z = x + y
    total = z + x
    total.backward()
    assert (x.grad.item(), y.grad.item()) == (2, 1)
    by_z, by_x = grad(x + y + 0 * x, [y, x])
    by_z.data[:] = 9
    assert by_x.item() == 1


def test_gradients_of_intermediates_do_not_share_memory():
    x, given = leaf([1.0, 2.0]), np.ones(2)
    y = x + 1
    z = y + 1
    by_y, by_z = grad(z + 1, [y, z], given)
    by_y.data[:] = 9
    assert by_z.tolist() == [1, 1]
    x.backward(given)
    x.grad += 1
    assert given.tolist() == [1, 1]


def test_backward_never_writes_into_operands_or_its_gradient():
    x, constant, given = leaf([2.0, 3.0]), np.array([4.0, 5.0]), np.array([1.0, 2.0])
    kept = [a.copy() for a in (x.data, constant, given)]
    (np.exp(x) * constant + x / constant - x).backward(given)
    for now, before in zip((x.data, constant, given), kept):
        np.testing.assert_array_equal(now, before)


# ---- The graph: kept, freed, or not made ----


def test_a_second_backward_raises_and_names_retain_graph():
    x = leaf(2.0)
    y = x * x
    y.backward()
    with pytest.raises(RuntimeError, match="retain_graph=True"):
        y.backward()
    assert x.grad == 4
    with pytest.raises(RuntimeError, match="retain_graph=True"):
        grad(y * 2, x)


def test_retain_graph_allows_a_second_backward():
    x = leaf(2.0)
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad == 8


def test_no_grad_and_detach_record_nothing():
    x = leaf(2.0)
    with no_grad():
        assert not (x * x).requires_grad
    assert (x * x).requires_grad and not x.detach().requires_grad
    (x.detach() * x).backward()
    assert x.grad == 2

    @no_grad()
    def predict():
        return x * 2

    assert not predict().requires_grad


def test_backward_of_several_threads_loses_no_gradient():
    x = leaf(np.zeros(1000))

    def run():
        for _ in range(500):
            np.sum(x * 1).backward()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert x.grad.tolist() == [2000] * 1000


def test_no_grad_affects_only_its_thread():
    seen = []
    x = leaf(2.0)
    with no_grad():
        thread = threading.Thread(target=lambda: seen.append((x * x).requires_grad))
        thread.start()
        thread.join()
    assert seen == [True]


def test_recording_is_on_after_an_error_in_no_grad_or_backward():
    x = leaf([1.0, 2.0])
    with pytest.raises(ZeroDivisionError), no_grad():
        raise ZeroDivisionError
    y = np.sum(x * x)
    x.data = np.ones(3)
    with pytest.raises(ValueError):
        y.backward()
    assert (x * x).requires_grad


# ---- What a NumPy user expects ----


def test_a_tensor_behaves_like_a_number_or_an_array():
    x = Tensor([1.5])
    assert (float(x.reshape(())), int(x.reshape(())), bool(x), len(x)) == (1.5, 1, True, 1)
    assert x.item() == 1.5 and x.tolist() == [1.5]
    assert f"{x:.3f} {x.reshape(()):5.1f} {Tensor(2.0)}" == "1.500   1.5 Tensor(2.)"
    assert [row.tolist() for row in Tensor([[1, 2], [3, 4]])] == [[1, 2], [3, 4]]
    assert list(range(Tensor(3))) == [0, 1, 2]
    with pytest.raises(ValueError, match="ambiguous"):
        bool(Tensor([1, 2]))
    with pytest.raises(TypeError, match="unsized"):
        len(Tensor(1.0))


def test_comparisons_are_plain_arrays():
    x = Tensor([1.0, 2.0, 3.0])
    for compare in (operator.lt, operator.le, operator.eq, operator.ne, operator.ge, operator.gt):
        for left, right in ((x, 2), (2, x), (x, x.data), (x.data, x), (x, Tensor([3.0, 2.0, 1.0]))):
            result = compare(left, right)
            arrays = (y.data if isinstance(y, Tensor) else y for y in (left, right))
            assert type(result) is np.ndarray and result.tolist() == compare(*arrays).tolist()
    assert x in [x] and {x: 1}[x] == 1  # `in` and dict keys compare by identity
    assert 2.0 in x.reshape(1, 3) and 4.0 not in x


def test_asarray_shares_the_data_and_array_copies_it():
    x = Tensor(np.array([1.0, 2.0]))
    assert np.asarray(x) is x.data and x.numpy() is x.data
    assert np.array(x) is not x.data and np.asarray(x, np.float32).dtype == np.float32
    np.testing.assert_allclose(x, [1, 2])


def test_conversion_of_a_recorded_tensor_is_refused():
    """The array would lose the graph. Without recording there is no graph to lose."""
    x = leaf([1.0, 2.0])
    for lose in (np.asarray, np.array, lambda x: np.array([x, x]), lambda x: X_.dot(x)):
        with pytest.raises(TypeError, match=r"np\.stack.*x\.data, x\.detach\(\).*no_grad\(\)"):
            lose(x * 1)
        with no_grad():
            lose(x)
        lose(x.detach())


def test_a_tensor_of_a_recorded_tensor_is_refused():
    x = leaf([1.0])
    with pytest.raises(TypeError, match=r"its gradient would be lost.*x\.detach\(\)"):
        Tensor(x * 2)
    assert Tensor((x * 2).detach()).tolist() == [2]


X_ = np.ones((3, 2))


@pytest.mark.parametrize("convert", [float, int, complex, math.exp, math.floor])
def test_conversion_to_a_python_number_warns(convert):
    x = leaf(2.0)
    with pytest.warns(UserWarning, match=r"tensor\.item\(\)") as caught:
        convert(x)
    assert caught[0].filename == __file__ or convert in (math.exp, math.floor)
    with no_grad():
        convert(x)
    convert(x.detach())


def test_comparing_printing_and_measuring_are_silent():
    x = leaf([1.0, 2.0])
    assert f"{x[0]:.1f} {x[0]} {x!r} {len(x)}" and bool(x[0] > 0) and 1.0 in x and x[0].item() == 1
    assert (x > 1).tolist() == [False, True] and max(x[0], x[1]) == 2 and x.tolist() == [1, 2]


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_copies_keep_data_and_gradient_but_no_graph(copied):
    x = leaf([1.0, 2.0])
    np.sum(x * x).backward()
    twin = copied(x)
    assert twin.requires_grad and twin.tolist() == [1, 2] and twin.grad.tolist() == [2, 4]
    twin.data[:] = twin.grad[:] = 9
    assert x.tolist() == [1, 2] and x.grad.tolist() == [2, 4]
    assert not copied(x * 2).requires_grad  # a copy of a recorded tensor is a constant


def test_repr_shows_values_dtype_and_requires_grad():
    assert repr(leaf([1.0, 2.0])) == "Tensor([1., 2.], dtype=float64, requires_grad=True)"
    assert repr(Tensor([[1.0], [2.0]])) == "Tensor([[1.],\n        [2.]])"


# ---- Custom primitives ----


def test_a_primitive_can_have_several_operands_and_options():
    @primitive(
        lambda g, _, _x, y, power=1: g * y**power,
        lambda g, _, x, y, power=1: g * x * power * y ** (power - 1),
    )
    def times_power(x, y, power=1):
        return x * y**power

    x, y = leaf(3.0), leaf(2.0)
    by_x, by_y = grad(times_power(x, y, power=3), [x, y], create_graph=True)
    assert (by_x.item(), by_y.item()) == (8, 36)
    assert grad(by_y, y).item() == 3 * 6 * 2
    assert times_power(3.0, 2.0) == 6  # on plain numbers it is an ordinary function


def test_a_vjp_of_the_wrong_shape_is_refused():
    double = primitive(lambda g, _, x: np.ones(5))(lambda x: 2 * x)
    with pytest.raises(ValueError, match=r"gave a gradient of shape \(5,\).* shape \(2,\)"):
        double(leaf([1.0, 2.0])).backward(np.ones(2))


@pytest.mark.parametrize("x", [leaf(2.0), leaf([1.0, 2.0])])
def test_a_vjp_without_return_is_refused(x):
    double = primitive(lambda g, _out, _x: None)(lambda x: 2 * x)
    with pytest.raises(TypeError, match=r"a vjp of <lambda> must return numbers, .* None"):
        np.sum(double(x)).backward()


# ---- Bad input: (call, error, pattern of the message) ----

X, N = leaf([1.0, 2.0]), Tensor(np.arange(2))
REFUSED = [
    (
        lambda: (X * 2).backward(),
        ValueError,
        r"scalar such as a loss is required.*\(2,\).*np\.sum.*gradient=",
    ),
    (lambda: Tensor(1.0).backward(), ValueError, r"requires_grad=True"),
    (lambda: (X * 2).backward(np.ones(3)), ValueError, r"shape \(2,\), received \(3,\)"),
    (lambda: grad(3.0, X), TypeError, r"output must be a Tensor, received 3\.0"),
    (lambda: grad(X[0], [3.0]), ValueError, r"input 0 is 3\.0"),
    (lambda: grad(X[0], [X, N]), ValueError, r"input 1 is Tensor"),
    (lambda: Tensor(3, requires_grad=True), TypeError, r"floating-point.*int64.*astype"),
    (lambda: Tensor([1j]), TypeError, r"Tensor: .*number"),
    (lambda: Tensor(np.ones(2, complex)), TypeError, r"complex128.*astype"),
    (lambda: Tensor(np.array([None])), TypeError, r"object.*astype"),
    (lambda: Tensor("word"), TypeError, r"'word'"),
    (lambda: Tensor("3"), TypeError, r"number.*required; received '3'"),
    (lambda: Tensor(None), TypeError, r"number.*required; received None"),
    (lambda: Tensor([1.0, None]), TypeError, r"number.*required; received \[1\.0, None\]"),
    (lambda: X * [1.0, None], TypeError, r"np\.multiply: .*number.*None"),
    (lambda: (X * 2).backward([1j, 1j]), TypeError, r"backward: .*number.*1j"),
    (lambda: Tensor([[1.0], [1.0, 2.0]]), TypeError, r"rectangular"),
    (lambda: Tensor(np.ones(2, np.float16)), TypeError, r"float16.*astype\('float32'\)"),
    (lambda: X.astype("float16"), TypeError, r"float16.*astype\('float32'\)"),
    (lambda: np.sqrt(Tensor(np.ones(2, np.int8))), TypeError, r"np\.sqrt: .*received float16"),
    (lambda: X * 1j, TypeError, r"np\.multiply: .*complex128"),
    (lambda: X * np.array([Fraction(1, 2)] * 2), TypeError, r"np\.multiply: .*received object"),
    (lambda: Tensor([X[0], 2.0]), TypeError, r"Tensor: a list of tensors.*np\.stack"),
    (lambda: X + [X[0], X[1]], TypeError, r"np\.add: a list of tensors.*np\.stack"),
    (lambda: grad(X[0], 3), ValueError, r"grad: every input must be a Tensor .* input 0 is 3"),
    (lambda: operator.setitem(X, 0, 1.0), TypeError, r"np\.where\(mask, x, t\)"),
    (lambda: operator.iadd(X, 1.0), TypeError, r"t = t \+ x"),
    (lambda: operator.imul(X, 2.0), TypeError, r"t = t \+ x"),
    (lambda: operator.imod(X, 2.0), TypeError, r"t = t \+ x"),
    (lambda: operator.ifloordiv(X, 2.0), TypeError, r"t = t \+ x"),
    (lambda: X.fill(0.0), TypeError, r"tensor\.fill\(value\) would change"),
    (lambda: X.sort(), TypeError, r"write np\.sort\(tensor\)"),
]


@pytest.mark.parametrize(("act", "error", "message"), REFUSED, ids=ids_of(REFUSED))
def test_tensor_backward_and_grad_refuse_bad_input(act, error, message):
    with pytest.raises(error, match=message):
        act()
    assert X.tolist() == [1, 2] and X.grad is None and N.tolist() == [0, 1]


def test_options_accept_constant_tensors():
    x = leaf([1.0, 2.0, 3.0])
    assert np.roll(x, shift=N[1]).tolist() == [3, 1, 2]
    total = np.sum(x, where=Tensor(np.array([True, False, True])), initial=leaf(5.0))
    assert total.item() == 9 and total.requires_grad


def test_backward_refuses_integer_data_whose_requires_grad_was_set():
    n = Tensor(np.arange(3))
    n.requires_grad = True
    with pytest.raises(TypeError, match="floating-point data, received int64"):
        np.sum(n * leaf(2.0)).backward()


def test_backward_refuses_data_of_another_shape():
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    for output in (np.sum(x * y), np.sum(x + y), np.sum(x.reshape(1, 2) * 2)):
        x.data = np.ones(3)
        with pytest.raises(ValueError, match=r"\(3,\)") as caught:
            output.backward()
        assert "np." in " ".join([str(caught.value), *getattr(caught.value, "__notes__", [])])
        x.data = np.array([1.0, 2.0])


def test_nondifferentiable_functions_return_plain_arrays():
    x = leaf([[3.0, 1.0], [2.0, 4.0]])
    assert np.argmax(x) == 3 and x.argmax(axis=0).tolist() == [0, 1]
    assert type(np.argsort(x)) is np.ndarray and np.where(x > 2)[0].tolist() == [0, 1]
    assert np.shape(x) == (2, 2) and np.ndim(x) == 2 and np.size(x) == 4
    assert type(np.zeros_like(x)) is np.ndarray and np.allclose(x, x.data) and np.isfinite(x).all()
    assert np.where(x, 1.0, x).tolist() == [[1, 1], [1, 1]]


# ---- Constants beside tensors ----


@pytest.mark.parametrize(
    ("f", "slope"),
    [
        (lambda x: np.arctan2(np.array([20], np.int8), x), -20 / 401),  # 20² + 1 is no int8
        (lambda x: x ** np.array([0], np.uint32), 0),  # 0 − 1 is no uint32
        (lambda x: x ** np.uint8(0), 0),
        (lambda x: np.array([3], np.uint8) ** x, 3 * math.log(3)),
        (lambda x: xlogy(x, np.array([3], np.int8)), math.log(3)),
        (lambda x: xlogy(x, Tensor(np.array([3], np.int8))), math.log(3)),
    ],
)
def test_small_integers_do_not_overflow_in_a_vjp(f, slope):
    """NumPy computes with int8 in int8, and takes its logarithm in float16."""
    x = leaf([1.0])
    np.sum(f(x)).backward()
    np.testing.assert_allclose(x.grad, [slope], rtol=1e-12, atol=1e-15)


def test_a_custom_primitive_receives_integers_unchanged():
    """They can be indices, which a vjp needs as integers."""

    def put_back(g, _out, x, index):
        out = np.zeros(x.shape)
        out[index] = g
        return out

    pick = primitive(put_back, None)(lambda x, index: x[index])
    x = leaf([1.0, 2.0, 3.0])
    np.sum(pick(x, np.array([2]))).backward()
    assert x.grad.tolist() == [0, 0, 1]


class Frame:
    """Stand for an array of another library, such as a pandas Series."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype)


def test_an_array_of_another_library_is_converted():
    x = leaf([1.0, 2.0])
    out = x * Frame([3.0, 4.0])
    assert type(out.data) is np.ndarray
    np.sum(out).backward()
    assert x.grad.tolist() == [3, 4]


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@pytest.mark.parametrize(
    "other",
    [
        lambda: np.ma.array([1.0, 2.0], mask=[True, False]),
        lambda: np.matrix([1.0, 2.0]),
        lambda: scipy.sparse.csr_array([[1.0, 2.0]]),
    ],
)
@pytest.mark.parametrize(
    "combine",
    [lambda x, y: x * y, lambda x, y: y * x, lambda x, y: np.add(x, y), lambda x, y: x @ y.T],
)
def test_masked_matrix_and_sparse_arrays_are_refused(other, combine):
    """On their own, they compute other values than ordinary arrays."""
    messages = "ordinary array is required|gradient would be lost|no attribute 'view'"  # SciPy 1.13
    with pytest.raises((TypeError, AttributeError), match=messages):
        combine(leaf([1.0, 2.0]), other())


def test_a_tensor_of_a_masked_array_is_refused():
    """The mask would be lost."""
    with pytest.raises(TypeError, match=r"Tensor: an ordinary array .* MaskedArray; .*filled\(0\)"):
        Tensor(np.ma.array([1.0, 2.0], mask=[True, False]))
