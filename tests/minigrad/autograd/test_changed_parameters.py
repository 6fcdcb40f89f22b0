"""A parameter that changes between forward and backward: refused where a vjp reads its value."""

import numpy as np
import pytest

from minigrad import Tensor, grad
from minigrad.autograd.memory import array_changes
from tests.minigrad.autograd.helpers import leaf


def test_a_step_between_forward_and_backward_is_refused():
    w, z = leaf(2.0), leaf(1.0)
    first, second = w * z * 3, w * z * 3
    w.data -= 1
    w.version += 1  # as an optimizer does
    with pytest.raises(RuntimeError, match=r"np\.multiply used a parameter that step\(\)"):
        first.backward()
    with pytest.raises(RuntimeError, match=r"np\.multiply used a parameter"):
        grad(second, z)


def test_a_step_is_allowed_where_no_vjp_reads_the_value():
    """The gradient of w + z does not depend on w, nor that of w·c on w."""
    w, z = leaf(2.0), leaf(1.0)
    loss = w + z + w * 5.0
    w.version += 1
    loss.backward()
    assert w.grad == 6 and z.grad == 1
    again = w * z
    again.backward()
    assert z.grad == 3


def test_a_changed_parameter_that_grad_does_not_need_is_allowed():
    """Of w·w + 2z, the gradient with respect to z does not need w."""
    w, z = leaf(2.0), leaf(1.0)
    loss = w * w + 2 * z
    w.version += 1
    assert grad(loss, z).item() == 2


VIEWS = [
    lambda w: w.T, lambda w: np.reshape(w, -1), lambda w: w[None], lambda w: w[:1],
    lambda w: np.broadcast_to(w, (2, 2, 2)), lambda w: np.flip(w), lambda w: np.split(w, 2)[0],
    lambda w: w.detach() * Tensor(1.0), lambda w: w.detach(), lambda w: w.data,
]  # fmt: skip


@pytest.mark.parametrize("view", VIEWS)
def test_a_step_is_seen_in_a_view_of_the_parameter(view):
    """PyTorch's x @ W.T keeps a view of W."""
    w, z = leaf([[1.0, 2.0], [3.0, 4.0]]), leaf(1.0)
    y = view(w)
    is_copy = isinstance(y, Tensor) and not np.may_share_memory(y.data, w.data)
    loss = np.sum(y * z)
    w.data -= 1
    w.version += 1
    if is_copy:
        loss.backward()
        assert z.grad == 10
        return
    with pytest.raises(RuntimeError, match=r"np\.multiply used a parameter that step\(\)"):
        loss.backward()


def test_a_change_is_forgotten_with_its_array():
    kept = len(array_changes.orders)
    w = leaf([1.0])
    w.version += 1
    assert w.version > 0 and len(array_changes.orders) == kept + 1
    del w
    assert len(array_changes.orders) == kept
