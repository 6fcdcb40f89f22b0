"""The engine: reverse-mode automatic differentiation of NumPy code."""

from . import einsum as einsum
from . import numpy_functions as numpy_functions
from . import numpy_vjps as numpy_vjps
from .differential_operators import hessian, hessian_vector_product, jacobian, largest_curvature
from .tensor import Primitive, Tensor, grad, no_grad, primitive

__all__ = [
    "Primitive",
    "Tensor",
    "grad",
    "hessian",
    "hessian_vector_product",
    "jacobian",
    "largest_curvature",
    "no_grad",
    "primitive",
]
