"""keras.constraints."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..regularizers import EPSILON, MaxNorm, NonNeg
from ..utils import lookup

Axis = int | tuple[int, ...] | None


def norm(w: np.ndarray, axis: Axis) -> np.ndarray:
    return np.sqrt(np.sum(np.square(w), axis=axis, keepdims=True))


@dataclass(frozen=True)
class UnitNorm:
    """w / ‖w‖."""

    axis: Axis = 0

    def __call__(self, w: np.ndarray) -> np.ndarray:
        return w / (EPSILON + norm(w, self.axis))


@dataclass(frozen=True)
class MinMaxNorm:
    """w with a norm between two bounds; rate is the share of the way that a step goes there."""

    min_value: float = 0.0
    max_value: float = 1.0
    rate: float = 1.0
    axis: Axis = 0

    def __call__(self, w: np.ndarray) -> np.ndarray:
        n = norm(w, self.axis)
        wanted = self.rate * np.clip(n, self.min_value, self.max_value) + (1 - self.rate) * n
        return w * (wanted / (EPSILON + n))


max_norm = maxnorm = MaxNorm
non_neg = nonneg = NonNeg
unit_norm = unitnorm = UnitNorm
min_max_norm = MinMaxNorm
BY_NAME = {
    "max_norm": MaxNorm(), "maxnorm": MaxNorm(), "non_neg": NonNeg(), "nonneg": NonNeg(),
    "unit_norm": UnitNorm(), "unitnorm": UnitNorm(), "min_max_norm": MinMaxNorm(),
}  # fmt: skip


def get(identifier: Any) -> Any:
    """Return a constraint by its name, anything else as it is."""
    return lookup("constraint", identifier, BY_NAME) if isinstance(identifier, str) else identifier
