"""gradcheck says what is wrong and where; the program prints the table."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minigrad import Tensor, primitive
from minigrad.gradcheck import GradcheckError, gradcheck

ROOT = Path(__file__).parents[2]


def test_right_derivatives_of_three_orders():
    points = np.array([0.3, -1.2]), np.array([[0.5], [2.0]])
    assert gradcheck(lambda x, y: np.tanh(x) * y**3, *points, order=3)


def test_it_takes_float32_tensors_and_lists_and_checks_in_float64():
    x = Tensor([1.0, 2.0], requires_grad=True)
    assert gradcheck(lambda x, y: np.exp(x) * y, x, [3.0, 4.0])
    assert x.grad is None and x.dtype == np.float32


def test_it_names_input_element_and_both_numbers():
    @primitive(
        lambda g, _, _x, y: g * y, lambda g, _, x, _y: g * x * (np.arange(6) != 4).reshape(2, 3)
    )
    def product(x, y):
        return x * y

    x, y = np.full((2, 3), 2.0), np.full((2, 3), 3.0)
    with pytest.raises(
        GradcheckError,
        match=r"output \(1, 1\) by input 1 at element \(1, 1\): ours is 0, .* give 2",
    ):
        gradcheck(product, x, y)


def test_a_small_mistake_is_not_hidden_by_the_random_direction():
    @primitive(lambda g, _, x: g * 1.00001)
    def same(x):
        return x + 0

    with pytest.raises(GradcheckError, match=r"element \(0,\): ours is 1\.00001, .* give "):
        gradcheck(same, [20.0])


@pytest.mark.parametrize("order", [0, -1, 1.5, "2"])
def test_an_order_that_checks_nothing_is_refused(order):
    with pytest.raises(ValueError, match="order must be 1 or more"):
        gradcheck(np.sin, [1.0], order=order)


def test_a_second_derivative_may_be_wrong_where_the_first_is_right():
    @primitive(lambda g, _, x: g * 3 * (x.data if isinstance(x, Tensor) else x) ** 2)
    def cube(x):
        return x**3

    assert gradcheck(cube, [1.0, 2.0])
    with pytest.raises(GradcheckError, match=r"element \(0,\), in the .* order 2: ours is 0"):
        gradcheck(cube, [1.0, 2.0], order=2)


@pytest.mark.parametrize(
    ("f", "point", "message"),
    [
        (
            np.abs,
            [1.0, 0.0],
            r"kink, in output \(1,\) by input 0 at element \(1,\): .* is -1 to the left",
        ),
        (lambda x: np.maximum(x, 1), [[1.0], [0.5]], r"kink, .* by input 0 at element \(0, 0\)"),
        (lambda x: np.clip(x, 0, 1) * 1e3, [0.5, 1.0], r"kink, .* by input 0 at element \(1,\)"),
        (np.max, [2.0, 3.0, 3.0], r"kink, .* by input 0 at element \(1,\)"),
    ],
)
def test_kinks_are_recognised(f, point, message):
    with pytest.raises(GradcheckError, match=message):
        gradcheck(f, point)
    assert gradcheck(
        f, np.add(point, 0.01 * np.arange(1, np.size(point) + 1).reshape(np.shape(point)))
    )


def test_sharp_bends_are_no_kinks():
    assert gradcheck(lambda x: np.sqrt(x * x + 1e-4), [0.0, 0.1], order=1)
    assert gradcheck(lambda x: x**2 * 50, [0.0, 1.0], order=2)


def test_functions_that_are_not_finite_or_not_tensors():
    with np.errstate(divide="ignore"), pytest.raises(GradcheckError, match="not finite"):
        gradcheck(np.log, [0.0, 1.0])
    with pytest.raises(TypeError, match=r"f must return a Tensor, .* float"):
        gradcheck(lambda x: 3.0, [1.0])


def test_the_table_is_printed_and_complete():
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
    assert len(rows) > 85 and last.startswith("7")


def test_the_example_of_a_primitive_of_ones_own(monkeypatch, capsys):
    path = ROOT / "examples" / "custom_primitive.py"
    monkeypatch.setattr(sys, "argv", [path.name, "--order", "3"])
    runpy.run_path(str(path), run_name="__main__")
    *derivatives, right, wrong = capsys.readouterr().out.splitlines()
    assert right == "gradcheck of gelu: True" and "a wrong derivative, in output (0,)" in wrong
    values = np.array([line.split(":")[1].split() for line in derivatives], float)
    x, density = (
        np.linspace(-2, 2, 5),
        np.exp(-(np.linspace(-2, 2, 5) ** 2) / 2) / np.sqrt(2 * np.pi),
    )
    np.testing.assert_allclose(values[2], density * (2 - x**2), atol=1e-6)  # GELU″ = φ(x)·(2 − x²)
    np.testing.assert_allclose(values[3], density * (x**3 - 4 * x), atol=1e-6)
