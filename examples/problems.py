"""Functions of two variables to minimise, from a quadratic bowl to many local minima.

x₁ and x₂ may be numbers, arrays or tensors. Formulas: Surjanovic & Bingham, "Virtual Library of
Simulation Experiments"; quadratic: Zhang et al., "Dive into Deep Learning", on optimization.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Value = Any  # a number, an array, or a tensor
Point = tuple[float, float]


@dataclass(frozen=True)
class Problem:
    """A function f(x₁, x₂), a start, its minima, and the region to plot.

    >>> PROBLEMS["booth"](np.array([1.0, 0.0]), np.array([3.0, 0.0]))
    array([ 0., 74.])
    """

    f: Callable[[Value, Value], Value]
    start: Point
    minima: tuple[Point, ...]  # the global minima, where f is 0
    view: tuple[float, float, float, float]  # x₁ from, to, x₂ from, to

    def __call__(self, x1: Value, x2: Value) -> Value:
        return self.f(x1, x2)


def quadratic(x1: Value, x2: Value) -> Value:
    """0.1·x₁² + 2·x₂²: a bowl, 20 times as steep in x₂ as in x₁."""
    return 0.1 * x1**2 + 2 * x2**2


def booth(x1: Value, x2: Value) -> Value:
    """(x₁ + 2·x₂ − 7)² + (2·x₁ + x₂ − 5)²: a bowl whose axes are rotated."""
    return (x1 + 2 * x2 - 7) ** 2 + (2 * x1 + x2 - 5) ** 2


def rosenbrock(x1: Value, x2: Value) -> Value:
    """(1 − x₁)² + 100·(x₂ − x₁²)²: a curved valley with a nearly flat floor."""
    return (1 - x1) ** 2 + 100 * (x2 - x1**2) ** 2


def beale(x1: Value, x2: Value) -> Value:
    """Σ (cᵢ − x₁ + x₁·x₂ⁱ)² with c = 1.5, 2.25, 2.625: flat plains and steep corners."""
    return sum((c - x1 + x1 * x2**i) ** 2 for i, c in enumerate((1.5, 2.25, 2.625), start=1))


def himmelblau(x1: Value, x2: Value) -> Value:
    """(x₁² + x₂ − 11)² + (x₁ + x₂² − 7)²: four global minima."""
    return (x1**2 + x2 - 11) ** 2 + (x1 + x2**2 - 7) ** 2


def rastrigin(x1: Value, x2: Value) -> Value:
    """20 + Σ (xᵢ² − 10·cos 2πxᵢ): a local minimum near every pair of integers; (0, 0) is global."""
    waves = 10 * np.cos(2 * np.pi * x1) + 10 * np.cos(2 * np.pi * x2)
    return 20 + x1**2 + x2**2 - waves


HIMMELBLAU_MINIMA = (
    (3.0, 2.0),
    (-2.805118086952745, 3.131312518250573),
    (-3.779310253377747, -3.283185991286170),
    (3.584428340330492, -1.848126526964404),
)
PROBLEMS = {
    "quadratic": Problem(quadratic, (-5.0, -2.0), ((0.0, 0.0),), (-5.5, 1.0, -3.0, 3.2)),
    "booth": Problem(booth, (-7.0, -5.0), ((1.0, 3.0),), (-10.0, 10.0, -10.0, 10.0)),
    "rosenbrock": Problem(rosenbrock, (-1.5, 2.0), ((1.0, 1.0),), (-2.0, 2.0, -1.0, 3.0)),
    "beale": Problem(beale, (1.0, 1.5), ((3.0, 0.5),), (-0.5, 4.5, -1.5, 2.0)),
    "himmelblau": Problem(himmelblau, (-0.5, -0.5), HIMMELBLAU_MINIMA, (-5.0, 5.0, -5.0, 5.0)),
    "rastrigin": Problem(rastrigin, (2.6, -1.7), ((0.0, 0.0),), (-4.0, 4.0, -4.0, 4.0)),
}
