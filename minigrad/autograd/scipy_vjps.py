"""The table for SciPy's special functions; loaded once a program that imported SciPy needs it.

SciPy's softmax and logsumexp convert tensors to arrays; use those of minigrad.functional.
"""

from math import pi, sqrt

import numpy as np
from scipy.special import erf, expit, xlogy

from .numpy_vjps import defvjp

defvjp(expit, lambda g, out, _x: g * out * (1 - out))
defvjp(erf, lambda g, _out, x: g * (2 / sqrt(pi)) * np.exp(-x * x))
defvjp(
    xlogy,
    lambda g, _out, _x, y: g * np.log(y),
    lambda g, _out, x, y: g * x / np.where(x == 0, 1, y),
)
