"""keras.constraints: functions that change a parameter after every step."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..regularizers import MaxNorm, NonNeg, scale_norm
from ..utils import lookup

Axis = int | tuple[int, ...] | None


@dataclass(frozen=True)
class UnitNorm:
    """Scale each column of w to the norm 1."""

    axis: Axis = 0

    def __call__(self, w: np.ndarray) -> np.ndarray:
        return scale_norm(w, self.axis, 1, 1)


@dataclass(frozen=True)
class MinMaxNorm:
    """Bring the norm into min_value … max_value; a step goes the fraction `rate` of the way."""

    min_value: float = 0.0
    max_value: float = 1.0
    rate: float = 1.0
    axis: Axis = 0

    def __call__(self, w: np.ndarray) -> np.ndarray:
        return scale_norm(w, self.axis, self.min_value, self.max_value, self.rate)


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
