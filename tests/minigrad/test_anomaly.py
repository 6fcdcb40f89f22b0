"""detect_anomaly names the operation, its operands and the line."""

import inspect

import numpy as np
import pytest

from minigrad import detect_anomaly
from minigrad.anomaly import AnomalyError
from minigrad.layers import Dense
from tests.minigrad.autograd.helpers import leaf

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


def here():
    """Return the caller's line number."""
    return inspect.currentframe().f_back.f_lineno


def test_an_error_in_the_forward_pass_names_operation_operands_and_line():
    x = leaf([[1.0, -4.0, 2.0]])
    with detect_anomaly(), pytest.raises(AnomalyError) as caught:
        line = here() + 1
        np.sum(np.log(x))
    text = str(caught.value)
    assert "np.log gave NaN, from shape (1, 3) from -4 to 2" in text
    assert f"{__file__}:{line}: np.sum(np.log(x))" in text


def test_an_error_in_the_backward_pass_names_the_line_of_the_forward_pass():
    x = leaf([0.0, 4.0])
    with detect_anomaly():
        line = here() + 1
        root = np.sqrt(x)
        with pytest.raises(AnomalyError) as caught:
            np.sum(root * 3).backward()
    text = str(caught.value)
    assert "the derivative of np.sqrt gave an infinity" in text
    assert "gradient shape (2,) from 3 to 3" in text and f"{__file__}:{line}: root" in text
    assert x.grad is None


def test_an_infinity_and_a_python_number_are_named():
    with (
        detect_anomaly(),
        pytest.raises(AnomalyError, match=r"np\.divide gave an inf.* and 0; called"),
    ):
        leaf([1.0, 2.0]) / 0


def test_nan_in_the_data_is_counted():
    with detect_anomaly(), pytest.raises(AnomalyError, match=r"from 1 to 2 and 1 NaN"):
        leaf([1.0, 1.0, 1.0]) * np.array([1.0, np.nan, 2.0])


def test_an_error_in_a_layer_names_the_line_that_called_it():
    layer = Dense(2)
    layer(np.ones((1, 1), np.float32))
    layer.kernel.data[:] = np.inf
    with detect_anomaly(), pytest.raises(AnomalyError) as caught:
        line = here() + 1
        layer(np.ones((3, 1), np.float32))
    assert "linear gave an infinity" in str(caught.value)
    assert f"{__file__}:{line}" in str(caught.value)


def test_finite_numbers_pass_and_outside_nothing_is_checked():
    assert np.isnan(np.log(leaf([-1.0])).item())
    x = leaf([1.0, 2.0])
    with detect_anomaly():
        np.sum(np.exp(x)[:0]).backward()
        np.sum(np.exp(x)).backward()
    assert np.isinf(np.log(leaf([0.0])).item())
    assert np.allclose(x.grad, np.exp([1, 2]))
