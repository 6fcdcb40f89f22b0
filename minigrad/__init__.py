"""minigrad: a deep-learning framework small enough to read in an evening.

Reading order: tensor, primitives, functional, layers, models; then optimizers/, which stands alone.
"""

from typing import TYPE_CHECKING

from .anomaly import detect_anomaly
from .autograd import (
    Primitive,
    Tensor,
    grad,
    hessian,
    hessian_vector_product,
    jacobian,
    largest_curvature,
    no_grad,
    primitive,
)

if TYPE_CHECKING:
    __version__: str
else:

    def __getattr__(name: str) -> str:
        """The version, looked up when asked for: that takes as long as all imports above."""
        if name != "__version__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("minigrad")
        except PackageNotFoundError:  # a bare clone, not installed
            return "0+unknown"


__all__ = [
    "Primitive",
    "Tensor",
    "detect_anomaly",
    "grad",
    "hessian",
    "hessian_vector_product",
    "jacobian",
    "largest_curvature",
    "no_grad",
    "primitive",
]
