"""minigrad: a deep-learning framework small enough to read in an evening.

Reading order: tensor, primitives, functional, layers, models; then optimizers/, which stands alone.
"""

from importlib.metadata import PackageNotFoundError, version

from . import composed as composed
from . import einsum as einsum
from . import primitives as primitives
from .anomaly import detect_anomaly
from .curvature import hessian, hessian_vector_product, jacobian, largest_curvature
from .tensor import Primitive, Tensor, grad, no_grad, primitive

try:
    __version__ = version("minigrad")
except PackageNotFoundError:  # a bare clone, not installed
    __version__ = "0+unknown"

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
