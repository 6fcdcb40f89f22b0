"""A primitive of your own: a function on arrays, and beside it its derivative.

Written in NumPy's functions, the derivative has derivatives itself. gradcheck compares all of them
with differences, and where one is wrong it says which. Shown on GELU, x·Φ(x), with Φ the normal
distribution (Hendrycks & Gimpel 2016), and once more with a mistake in it:

    python examples/custom_primitive.py --order 3
"""

import argparse
from math import pi, sqrt

import numpy as np
from scipy.special import erf

from minigrad import Tensor, grad, primitive
from minigrad.gradcheck import GradcheckError, gradcheck
from minigrad.utils import count


def normal(x):
    """φ, the density of the normal distribution."""
    return np.exp(-x * x / 2) / sqrt(2 * pi)


def distribution(x):
    """Φ, the integral of φ."""
    return (1 + erf(x / sqrt(2))) / 2


# g is the derivative of the final result by GELU's; the name _ says: the result is not needed.
@primitive(lambda g, _, x: g * (distribution(x) + x * normal(x)))
def gelu(x):
    """x·Φ(x), as one operation: of the forward pass, x alone is kept in memory."""
    return x * distribution(x)


@primitive(lambda g, _, x: g * (distribution(x) - x * normal(x)))
def mistaken(x):
    """The same function, and a wrong sign in its derivative."""
    return x * distribution(x)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--order", type=count, default=2, help="derivatives to check (default: 2)")
    args = parser.parse_args()

    x = Tensor(np.linspace(-2.0, 2.0, 5), requires_grad=True)
    y = gelu(x)
    for order in range(args.order + 1):
        print(f"derivative {order}: " + "  ".join(f"{value:9.6f}" for value in y.tolist()))
        y = grad(y, x, np.ones(y.shape), create_graph=True)

    print("gradcheck of gelu:", gradcheck(gelu, x, order=args.order))
    try:
        gradcheck(mistaken, x)
    except GradcheckError as error:
        print(error)


if __name__ == "__main__":
    main()
