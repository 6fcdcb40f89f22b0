"""The engine: reverse-mode automatic differentiation of NumPy code.

tensor                    Tensor, the backward pass, Primitive
numpy_vjps                NumPy functions with their derivatives: the table
numpy_functions           reductions, products and differences, composed of the table's rows
shape_functions, statistics, einsum    more functions that are composed
linalg_vjps               np.linalg with its derivatives
variadic                  primitives of any number of operands
scipy_vjps                SciPy functions with their derivatives
differential_operators    grad, jacobian, hessian, …
memory                    what a node keeps, how nodes are freed, which arrays have changed
dispatch, conversion, array_methods, recording    what tensor.py is built on
"""

from . import (
    dispatch,
    einsum,
    linalg_vjps,
    numpy_functions,
    numpy_vjps,
    shape_functions,
    statistics,
)
from .differential_operators import (
    grad,
    hessian,
    hessian_vector_product,
    jacobian,
    largest_curvature,
)
from .recording import no_grad
from .tensor import Primitive, Tensor, primitive


def load_scipy_table() -> None:
    """Register SciPy's functions. Called late, because importing SciPy takes 0.2 s."""
    from . import scipy_vjps as scipy_vjps


dispatch.LAZY_TABLES["scipy.special"] = load_scipy_table

__all__ = [
    "Primitive", "Tensor", "einsum", "grad", "hessian", "hessian_vector_product", "jacobian",
    "largest_curvature", "linalg_vjps", "no_grad", "numpy_functions", "numpy_vjps", "primitive",
    "shape_functions", "statistics",
]  # fmt: skip
