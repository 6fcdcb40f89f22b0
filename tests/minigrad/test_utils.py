"""Helpers check their arguments and say what they require."""

import re

import numpy as np
import pytest

from minigrad.utils import lookup, one_hot, positive_int, to_categorical


@pytest.mark.parametrize("n", [1, np.int64(3)])
def test_a_positive_integer_is_returned_as_int(n):
    assert positive_int("units", n) == n and type(positive_int("units", n)) is int


@pytest.mark.parametrize("n", [0, -1, 1.0, "1", True, None])
def test_other_values_are_refused(n):
    message = f"units must be a positive integer, received {n!r}"
    with pytest.raises(ValueError, match=re.escape(message)):
        positive_int("units", n)


def test_lookup_ignores_case_and_takes_names_only():
    table = {"relu": 1, "tanh": 2}
    assert lookup("activation", "ReLU", table) == 1
    with pytest.raises(ValueError, match=r"unknown activation None\. Available: relu, tanh"):
        lookup("activation", None, table)


def test_one_hot_rows_of_any_shape_and_dtype():
    rows = one_hot("test", np.array([[2, 0], [1, 1]]), 3, np.float64)
    assert rows.dtype == np.float64
    np.testing.assert_array_equal(rows, np.eye(3)[[[2, 0], [1, 1]]])
    assert one_hot("test", np.zeros(0, int), 3, np.float32).shape == (0, 3)


@pytest.mark.parametrize("labels", [[0, 3], [-1, 0]])
def test_labels_out_of_range_are_refused(labels):
    message = f"0 … 2 for 3 classes; received {min(labels)} … {max(labels)}"
    for who, call in {
        "cross_entropy": lambda: one_hot("cross_entropy", np.array(labels), 3, np.float32),
        "to_categorical": lambda: to_categorical(labels, num_classes=3),
    }.items():
        with pytest.raises(ValueError, match=re.escape(f"{who}: labels must lie in {message}")):
            call()


@pytest.mark.parametrize("labels", [[0.0, 1.0], [], ["a"]])
def test_to_categorical_takes_integers_only(labels):
    with pytest.raises(ValueError, match="to_categorical: integer labels are required"):
        to_categorical(labels)
