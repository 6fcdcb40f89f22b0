"""Functions of two variables to minimise, from a bowl to a field of pits.

They are data that one optimises, so they live here: NumPy alone, hence for numbers, arrays and
tensors alike. Formulas: Surjanovic & Bingham, "Virtual Library of Simulation Experiments"; the
quadratic is that of Zhang et al., "Dive into Deep Learning", chapter on optimization algorithms.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Point = tuple[float, float]


@dataclass(frozen=True)
class Problem:
    """A function f(x₁, x₂), where to start, where it is least, and the region worth looking at.

    >>> PROBLEMS["booth"](np.array([1.0, 0.0]), np.array([3.0, 0.0]))
    array([ 0., 74.])
    """

    f: Callable[[Any, Any], Any]
    start: Point
    minima: tuple[Point, ...]  # where f is 0
    view: tuple[float, float, float, float]  # x₁ from, to, x₂ from, to

    def __call__(self, x1: Any, x2: Any) -> Any:
        return self.f(x1, x2)


def quadratic(x1: Any, x2: Any) -> Any:
    """0.1·x₁² + 2·x₂²: twenty times as steep one way as the other."""
    return 0.1 * x1**2 + 2 * x2**2


def booth(x1: Any, x2: Any) -> Any:
    """(x₁ + 2x₂ − 7)² + (2x₁ + x₂ − 5)²: a bowl that lies askew."""
    return (x1 + 2 * x2 - 7) ** 2 + (2 * x1 + x2 - 5) ** 2


def rosenbrock(x1: Any, x2: Any) -> Any:
    """(1 − x₁)² + 100·(x₂ − x₁²)²: a bent valley with a floor that is nearly level."""
    return (1 - x1) ** 2 + 100 * (x2 - x1**2) ** 2


def beale(x1: Any, x2: Any) -> Any:
    """Σ (cᵢ − x₁ + x₁·x₂ⁱ)² with c = 1.5, 2.25, 2.625: flat plains, steep corners."""
    return sum((c - x1 + x1 * x2**i) ** 2 for i, c in enumerate((1.5, 2.25, 2.625), start=1))


def himmelblau(x1: Any, x2: Any) -> Any:
    """(x₁² + x₂ − 11)² + (x₁ + x₂² − 7)²: four minima of equal depth."""
    return (x1**2 + x2 - 11) ** 2 + (x1 + x2**2 - 7) ** 2


def rastrigin(x1: Any, x2: Any) -> Any:
    """20 + Σ (xᵢ² − 10·cos 2πxᵢ): a minimum near every pair of integers, one of them the least."""
    waves = 10 * np.cos(2 * np.pi * x1) + 10 * np.cos(2 * np.pi * x2)
    return 20 + x1**2 + x2**2 - waves


FOUR = (
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
    "himmelblau": Problem(himmelblau, (-0.5, -0.5), FOUR, (-5.0, 5.0, -5.0, 5.0)),
    "rastrigin": Problem(rastrigin, (2.6, -1.7), ((0.0, 0.0),), (-4.0, 4.0, -4.0, 4.0)),
}
