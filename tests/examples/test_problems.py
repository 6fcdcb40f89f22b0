"""Each problem has its published minima, and no lower value in view."""

import doctest

import numpy as np
import problems
import pytest
from problems import PROBLEMS, Problem

from minigrad import Tensor

each_problem = pytest.mark.parametrize("problem", PROBLEMS.values(), ids=PROBLEMS)


@each_problem
def test_value_and_gradient_are_zero_at_each_minimum(problem: Problem):
    for point in problem.minima:
        w = Tensor(np.array(point), requires_grad=True)
        loss = problem(*w)
        loss.backward()
        assert loss.item() == pytest.approx(0, abs=1e-20)
        np.testing.assert_allclose(w.grad, 0, atol=1e-9)


@each_problem
def test_the_view_holds_start_and_minima_and_no_negative_value(problem: Problem):
    x1, x2, y1, y2 = problem.view
    grid = np.meshgrid(np.linspace(x1, x2, 301), np.linspace(y1, y2, 301))
    assert problem(*grid).shape == (301, 301)
    assert problem(*grid).min() >= 0
    for point in (problem.start, *problem.minima):
        assert x1 < point[0] < x2 and y1 < point[1] < y2


@pytest.mark.parametrize(
    ("name", "point", "value"),
    [
        ("quadratic", (-5, -2), 10.5),
        ("booth", (0, 0), 74),
        ("rosenbrock", (-1, 2), 104),
        ("beale", (0, 0), 1.5**2 + 2.25**2 + 2.625**2),
        ("himmelblau", (0, 0), 170),
        ("rastrigin", (0.5, 0.5), 40.5),
    ],
)
def test_values_computed_by_hand(name, point, value):
    assert PROBLEMS[name](*point) == pytest.approx(value, rel=1e-14)


def test_the_docstrings_are_right():
    tried = doctest.testmod(problems)
    assert tried.failed == 0 < tried.attempted
