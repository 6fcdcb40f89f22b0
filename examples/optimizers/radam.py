"""RAdam: Adam that first moves by momentum alone, until its second moment can be trusted.

Train on MNIST with it:

    python examples/mnist_mlp.py --plugin examples/optimizers/radam.py --optimizer radam
"""

import numpy as np

from minigrad.optimizers import Optimizer, ema, register


@register("radam")
class RAdam(Optimizer):
    """m ← β₁·m + (1 − β₁)·g,  v ← β₂·v + (1 − β₂)·g²,  u = r·m̂ / √v̂, or m̂ while ρ ≤ 5.

    Rectified Adam. In the first steps, v averages few gradients, so 1 / √v̂ varies a lot. r makes
    these steps smaller, as a warmup of lr would.

    m̂ = m / (1 − β₁ᵗ),  √v̂ = (√v + ε) / √(1 − β₂ᵗ)

    m, v            the first and second moment: moving averages of g and g²
    ρ               the number of gradients in a plain average as certain as v̂; it rises to ρ∞
    beta1, beta2    β₁ and β₂, the fractions of m and v that each step keeps
    eps = ε         keeps the division finite

    Source: Liu et al. 2020, with ρ ≤ 4 and without ε. PyTorch has the rule above. optax has ρ < 5,
    and adds ε after the bias correction.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    elementwise = True

    def init(self, w):
        return {"first_moment": np.zeros_like(w), "second_moment": np.zeros_like(w)}

    def direction(self, g, slots, *, t, beta1, beta2, eps):
        m = ema(slots["first_moment"], g, beta1)
        v = ema(slots["second_moment"], g**2, beta2)
        m_hat = m / (1 - beta1**t)
        rho_inf = 2 / (1 - beta2) - 1
        rho = rho_inf - 2 * t * beta2**t / (1 - beta2**t)
        if rho <= 5:
            return m_hat
        r2 = (rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)
        return r2**0.5 * m_hat * (1 - beta2**t) ** 0.5 / (np.sqrt(v) + eps)
