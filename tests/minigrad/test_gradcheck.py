"""gradcheck finds wrong derivatives and kinks; the program prints the table of functions."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minigrad import Tensor, primitive
from minigrad.gradcheck import GradcheckError, gradcheck
from tests import gradcheck_cases
from tests.gradcheck_cases import Case

ROOT = Path(__file__).parents[2]


def test_right_derivatives_of_three_orders_pass():
    points = np.array([0.3, -1.2]), np.array([[0.5], [2.0]])
    assert gradcheck(lambda x, y: np.tanh(x) * y**3, *points, order=3)


def test_float32_tensors_and_lists_are_checked_in_float64():
    x = Tensor([1.0, 2.0], requires_grad=True)
    assert gradcheck(lambda x, y: np.exp(x) * y, x, [3.0, 4.0])
    assert x.grad is None and x.dtype == np.float32


def test_the_error_names_input_element_and_both_numbers():
    @primitive(
        lambda g, _, _x, y: g * y, lambda g, _, x, _y: g * x * (np.arange(6) != 4).reshape(2, 3)
    )
    def product(x, y):
        return x * y

    x, y = np.full((2, 3), 2.0), np.full((2, 3), 3.0)
    with pytest.raises(
        GradcheckError,
        match=r"at output \(1, 1\), input 1, element \(1, 1\): the derivative is 0, .* give 2",
    ):
        gradcheck(product, x, y)


def test_a_small_error_is_found_in_spite_of_the_random_direction():
    @primitive(lambda g, _, x: g * 1.00001)
    def identity(x):
        return x + 0

    with pytest.raises(
        GradcheckError, match=r"element \(0,\): the derivative is 1\.00001, .* give "
    ):
        gradcheck(identity, [20.0])


@pytest.mark.parametrize("order", [0, -1, 1.5, "2"])
def test_the_order_must_be_a_positive_integer(order):
    with pytest.raises(ValueError, match="order must be a positive integer"):
        gradcheck(np.sin, [1.0], order=order)


def test_order_2_finds_a_wrong_second_derivative():
    @primitive(lambda g, _, x: g * 3 * (x.data if isinstance(x, Tensor) else x) ** 2)
    def cube(x):
        return x**3

    assert gradcheck(cube, [1.0, 2.0])
    with pytest.raises(
        GradcheckError, match=r"element \(0,\), in the .* order 2: the derivative is 0"
    ):
        gradcheck(cube, [1.0, 2.0], order=2)


@pytest.mark.parametrize(
    ("f", "point", "message"),
    [
        (
            np.abs,
            [1.0, 0.0],
            r"kink at output \(1,\), input 0, element \(1,\): .* is -1 to the left",
        ),
        (lambda x: np.maximum(x, 1), [[1.0], [0.5]], r"kink .* input 0, element \(0, 0\)"),
        (lambda x: np.clip(x, 0, 1) * 1e3, [0.5, 1.0], r"kink .* input 0, element \(1,\)"),
        (np.max, [2.0, 3.0, 3.0], r"kink .* input 0, element \(1,\)"),
    ],
)
def test_kinks_are_reported(f, point, message):
    with pytest.raises(GradcheckError, match=message):
        gradcheck(f, point)
    assert gradcheck(
        f, np.add(point, 0.01 * np.arange(1, np.size(point) + 1).reshape(np.shape(point)))
    )


def test_high_curvature_is_no_kink():
    assert gradcheck(lambda x: np.sqrt(x * x + 1e-4), [0.0, 0.1], order=1)
    assert gradcheck(lambda x: x**2 * 50, [0.0, 1.0], order=2)


def test_infinite_values_and_other_types_are_refused():
    with np.errstate(divide="ignore"), pytest.raises(GradcheckError, match="f is not finite"):
        gradcheck(np.log, [0.0, 1.0])
    with pytest.raises(TypeError, match=r"f must return a Tensor, received float"):
        gradcheck(lambda x: 3.0, [1.0])


@pytest.mark.slow
def test_the_table_shows_two_orders_for_every_function():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.gradcheck_cases"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    *rows, last = done.stdout.splitlines()[1:]
    assert all(row.split()[1:3] == ["1,", "2"] for row in rows), done.stdout
    assert len(rows) > 110 and int(last.split()[0]) >= 100


def test_the_table_shows_which_orders_pass(monkeypatch, capsys):
    detached = Case("np.exp(x.data)", lambda x: np.exp(x.data) + 0 * x, [np.ones(2)])
    once = Case("x * x.data", lambda x: x * x.data, [np.ones(2)])
    table = {"np.exp": gradcheck_cases.cases()["np.exp"], "np.detached": [detached, once]}
    monkeypatch.setattr(gradcheck_cases, "cases", lambda: table)
    gradcheck_cases.main()
    _, right, wrong, last = capsys.readouterr().out.splitlines()
    assert right.split() == ["np.exp", "1,", "2", "6"]
    assert wrong.split() == ["np.detached", "none", "2"]
    assert last.startswith("2 functions of NumPy and SciPy")


def test_the_example_with_a_custom_primitive(monkeypatch, capsys):
    path = ROOT / "examples" / "custom_primitive.py"
    monkeypatch.setattr(sys, "argv", [path.name, "--order", "3"])
    monkeypatch.syspath_prepend(path.parent)
    runpy.run_path(str(path), run_name="__main__")
    *derivatives, right, wrong = capsys.readouterr().out.splitlines()
    assert right == "gradcheck of gelu: True" and "a wrong derivative at output (0,)" in wrong
    values = np.array([line.split(":")[1].split() for line in derivatives], float)
    x, density = (
        np.linspace(-2, 2, 5),
        np.exp(-(np.linspace(-2, 2, 5) ** 2) / 2) / np.sqrt(2 * np.pi),
    )
    np.testing.assert_allclose(values[2], density * (2 - x**2), atol=1e-6)  # GELU″ = φ(x)·(2 − x²)
    np.testing.assert_allclose(values[3], density * (x**3 - 4 * x), atol=1e-6)
