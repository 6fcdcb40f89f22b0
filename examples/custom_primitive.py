"""Write a primitive: a function on arrays, with its derivative beside it.

The primitive is GELU, x·Φ(x), where Φ is the normal distribution function (Hendrycks & Gimpel
2016). Its derivative is written in NumPy's functions, so it can be differentiated again.
`gradcheck` compares derivatives with finite differences. It finds the sign error in a second GELU.

    python examples/custom_primitive.py --order 3
"""

from math import pi, sqrt

import numpy as np
from command_line import argument_parser, positive_int_argument
from scipy.special import erf

from minigrad import Tensor, grad, primitive
from minigrad.gradcheck import GradcheckError, gradcheck


def normal_density(x):
    """φ(x) = e^(−x²/2) / √(2π)."""
    return np.exp(-x * x / 2) / sqrt(2 * pi)


def normal_distribution(x):
    """Φ(x), the integral of φ up to x."""
    return (1 + erf(x / sqrt(2))) / 2


# g is the gradient of the final result with respect to GELU's output. The name _out begins with _:
# the derivative does not read that output, so the graph does not keep it.
@primitive(lambda g, _out, x: g * (normal_distribution(x) + x * normal_density(x)))
def gelu(x):
    """x·Φ(x), as one node of the graph, which keeps only x."""
    return x * normal_distribution(x)


@primitive(lambda g, _out, x: g * (normal_distribution(x) - x * normal_density(x)))
def wrong_gelu(x):
    """x·Φ(x), with a wrong sign in its derivative."""
    return x * normal_distribution(x)


def main() -> None:
    parser = argument_parser(__doc__)
    meaning = "highest derivative (default: 2)"
    parser.add_argument("--order", type=positive_int_argument, default=2, help=meaning)
    args = parser.parse_args()

    x = Tensor(np.linspace(-2.0, 2.0, 5), requires_grad=True)
    y = gelu(x)
    for order in range(args.order + 1):
        print(f"derivative {order}: " + "  ".join(f"{value:9.6f}" for value in y.tolist()))
        y = grad(y, x, np.ones(y.shape), create_graph=True)

    print("gradcheck of gelu:", gradcheck(gelu, x, order=args.order))
    try:
        gradcheck(wrong_gelu, x)
    except GradcheckError as error:
        print(error)


if __name__ == "__main__":
    main()
