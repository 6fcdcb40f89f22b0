"""AdaBelief: Adam, but it divides by the distance between the gradient and its prediction.

Train on MNIST with it:

    python examples/mnist_mlp.py --plugin examples/optimizers/adabelief.py --optimizer adabelief
"""

import numpy as np

from minigrad.optimizers import Optimizer, ema, register


@register("adabelief")
class AdaBelief(Optimizer):
    """m ← β₁·m + (1 − β₁)·g,  s ← β₂·s + (1 − β₂)·(g − m)² + ε′,  u = m̂ / (√ŝ + ε).

    m predicts the gradient. Where the prediction is good, s is small, and the steps are large.
    Adam's stay near lr there, because it divides by √v ≈ |g|.

    m̂ = m / (1 − β₁ᵗ),  ŝ = s / (1 − β₂ᵗ)

    m, s            moving averages of g and of (g − m)²
    beta1, beta2    β₁ and β₂, the fractions of m and s that each step keeps
    eps = ε         keeps the division finite
    eps_root = ε′   is added to s in every step, so s is at least about ε′ / (1 − β₂)

    Source: Zhuang et al. 2020, where ε′ = ε. Their code has 1e-16 (1e-8 before version 0.1) and by
    default RAdam's r. optax has the rule above. PyTorch and Keras have no AdaBelief.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-16
    eps_root: float = 1e-16
    elementwise = True

    def init(self, w):
        return {"first_moment": np.zeros_like(w), "belief": np.zeros_like(w)}

    def direction(self, g, slots, *, t, beta1, beta2, eps, eps_root):
        m = ema(slots["first_moment"], g, beta1)
        s = ema(slots["belief"], (g - m) ** 2, beta2)
        s += eps_root
        m_hat, s_hat = m / (1 - beta1**t), s / (1 - beta2**t)
        return m_hat / (np.sqrt(s_hat) + eps)
