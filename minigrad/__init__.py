"""minigrad: a deep-learning framework small enough to read in an evening.

Reading order: autograd.tensor, autograd.numpy_vjps, functional, layers; then optimizers/, which
stands alone; then models and trainer. The README names the files of the evening.
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
        """Return the version. It is looked up late, because that takes as long as the imports."""
        if name != "__version__":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("minigrad")
        except PackageNotFoundError:  # a clone without an installation
            return "0+unknown"


__all__ = [
    "Primitive", "Tensor", "anomaly", "autograd", "callbacks", "checkpoint", "detect_anomaly",
    "functional", "grad", "gradcheck", "graph", "hessian", "hessian_vector_product",
    "initializers", "jacobian", "largest_curvature", "layers", "losses", "models", "no_grad",
    "plotting", "primitive", "trainer", "training_state", "utils",
]  # fmt: skip
