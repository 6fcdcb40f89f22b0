"""The table for SciPy's special functions; loaded when a program first calls one on a Tensor.

Sorted by subject. The formulas are those of NIST's Digital Library of Mathematical Functions
(dlmf.nist.gov), chapters 5, 7 and 10.

SciPy's softmax, log_softmax and logsumexp and the distributions of scipy.stats convert a tensor to
an array. Use minigrad.functional's functions of these names, and ndtr for scipy.stats.norm.cdf.
"""

from math import pi, sqrt
from typing import Any

import numpy as np
import scipy.special as sp

from .numpy_vjps import defvjp, ratio
from .tensor import Primitive

# The error function and the normal distribution


def scaled_inverse_mills_ratio(x: Any, log_ndtr: Any) -> Any:
    """Return √(π/2)·φ(x) / Φ(x). For x < 0 and for x ≥ 0, use the formula precise there."""
    left = 1 / sp.erfcx(-np.minimum(x, 0) / sqrt(2))
    return np.where(x < 0, left, np.exp(-x * x / 2 - log_ndtr) / 2)


defvjp(sp.erf, lambda g, _out, x: g * (2 / sqrt(pi)) * np.exp(-x * x))
defvjp(sp.erfc, lambda g, _out, x: -g * (2 / sqrt(pi)) * np.exp(-x * x))
defvjp(sp.erfcx, lambda g, out, x: g * (2 * x * out - 2 / sqrt(pi)))
defvjp(sp.erfinv, lambda g, out, _x: g * (sqrt(pi) / 2) * np.exp(out * out))
defvjp(sp.erfcinv, lambda g, out, _x: -g * (sqrt(pi) / 2) * np.exp(out * out))
defvjp(sp.ndtr, lambda g, _out, x: g / sqrt(2 * pi) * np.exp(-x * x / 2))
defvjp(sp.log_ndtr, lambda g, out, x: g * sqrt(2 / pi) * scaled_inverse_mills_ratio(x, out))
defvjp(sp.ndtri, lambda g, out, _x: g * sqrt(2 * pi) * np.exp(out * out / 2))

# Logarithms and entropies


defvjp(sp.expit, lambda g, out, _x: g * out * (1 - out))
defvjp(sp.log_expit, lambda g, _out, x: g * sp.expit(-x))
defvjp(sp.logit, lambda g, _out, x: g / (x * (1 - x)))
defvjp(sp.xlogy, lambda g, _out, _x, y: g * np.log(y), lambda g, _out, x, y: g * ratio(x, y))
defvjp(
    sp.xlog1py,
    lambda g, _out, _x, y: g * np.log1p(1.0 * y),  # np.log1p(True) would be float16
    lambda g, _out, x, y: g * ratio(x, 1 + y),
)
defvjp(sp.entr, lambda g, _out, x: -g * (np.log(x) + 1))
defvjp(
    sp.rel_entr,
    lambda g, _out, x, y: g * (np.log(x / y) + 1),
    lambda g, _out, x, y: -g * ratio(x, y),
)
defvjp(
    sp.kl_div, lambda g, _out, x, y: g * np.log(x / y), lambda g, _out, x, y: g * (1 - ratio(x, y))
)

# Gamma functions; ψ = sp.digamma, and Hurwitz's ζ(s, x) = Σ (x + k)⁻ˢ over k = 0, 1, …

hurwitz_zeta: Primitive = Primitive(
    lambda x, s: sp.zeta(s, x),
    lambda g, _out, x, s=2: -g * s * hurwitz_zeta(x, s=s + 1),
    name="scipy.special.zeta",
)
defvjp(sp.gamma, lambda g, out, x: g * out * sp.digamma(x))
defvjp(sp.gammaln, lambda g, _out, x: g * sp.digamma(x))
defvjp(sp.rgamma, lambda g, out, x: -g * out * sp.digamma(x))
defvjp(sp.gammasgn, lambda g, _out, _x: g * 0)
defvjp(sp.digamma, lambda g, _out, x: g * hurwitz_zeta(x, s=2))
defvjp(
    sp.beta,
    lambda g, out, a, b: g * out * (sp.digamma(a) - sp.digamma(a + b)),
    lambda g, out, a, b: g * out * (sp.digamma(b) - sp.digamma(a + b)),
)
defvjp(
    sp.betaln,
    lambda g, _out, a, b: g * (sp.digamma(a) - sp.digamma(a + b)),
    lambda g, _out, a, b: g * (sp.digamma(b) - sp.digamma(a + b)),
)

# Incomplete gamma and beta functions, with the derivative of the last argument


def gamma_density(a: Any, x: Any) -> Any:
    """Return xᵃ⁻¹·e⁻ˣ / Γ(a)."""
    return np.exp(sp.xlogy(a - 1, x) - x - sp.gammaln(a))


defvjp(sp.gammainc, None, lambda g, _out, a, x: g * gamma_density(a, x))
defvjp(sp.gammaincc, None, lambda g, _out, a, x: -g * gamma_density(a, x))
defvjp(
    sp.betainc, None, None,
    lambda g, _out, a, b, x: g * x ** (a - 1) * (1 - x) ** (b - 1) / sp.beta(a, b),
)  # fmt: skip

# Bessel functions; those of order v have no derivative with respect to v

defvjp(sp.j0, lambda g, _out, x: -g * sp.j1(x))
defvjp(sp.j1, lambda g, _out, x: g * (sp.j0(x) - sp.jv(2, x)) / 2)
defvjp(sp.jv, None, lambda g, _out, v, x: g * (sp.jv(v - 1, x) - sp.jv(v + 1, x)) / 2)
defvjp(sp.y0, lambda g, _out, x: -g * sp.y1(x))
defvjp(sp.y1, lambda g, _out, x: g * (sp.y0(x) - sp.yv(2, x)) / 2)
defvjp(sp.yv, None, lambda g, _out, v, x: g * (sp.yv(v - 1, x) - sp.yv(v + 1, x)) / 2)
defvjp(sp.i0, lambda g, _out, x: g * sp.i1(x))
defvjp(sp.i1, lambda g, _out, x: g * (sp.i0(x) + sp.iv(2, x)) / 2)
defvjp(sp.iv, None, lambda g, _out, v, x: g * (sp.iv(v - 1, x) + sp.iv(v + 1, x)) / 2)
defvjp(
    sp.ive,
    None,
    lambda g, out, v, x: g * ((sp.ive(v - 1, x) + sp.ive(v + 1, x)) / 2 - out * np.sign(x)),
)
