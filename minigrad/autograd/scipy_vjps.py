"""SciPy's special functions, beside their derivatives; imported when one first meets a Tensor.

SciPy's softmax and logsumexp make arrays of tensors without asking: take those of functional.py.
"""

from __future__ import annotations

from math import pi, sqrt

import numpy as np
from scipy.special import erf, expit, xlogy

from .numpy_vjps import defvjp

defvjp(expit, lambda g, out, _: g * out * (1 - out))
defvjp(erf, lambda g, _, x: g * (2 / sqrt(pi)) * np.exp(-x * x))
defvjp(
    xlogy,
    lambda g, _, _x, y: g * np.log(y),
    lambda g, _, x, y: g * x / np.where(x == 0, 1, y),
)
