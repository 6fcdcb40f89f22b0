"""Adamax: Adam with the largest recent gradient, instead of the root of the mean square.

Train on MNIST with it:

    python examples/mnist_mlp.py --plugin examples/optimizers/adamax.py --optimizer adamax
"""

import numpy as np

from minigrad.optimizers import Optimizer, ema, register


@register("adamax")
class Adamax(Optimizer):
    """m ← β₁·m + (1 − β₁)·g,  v ← max(β₂·v, |g| + ε),  u = m / (1 − β₁ᵗ) / v.

    Divide by the largest recent gradient, which fades by the factor β₂ in each step. So no element
    moves by more than about lr, even after a burst of large gradients.

    m               the first moment: a moving average of the gradients
    v               the maximum; it needs no bias correction
    beta1 = β₁      the fraction of m that each step keeps
    beta2 = β₂      the fraction of v that each step keeps
    eps = ε         keeps the division finite

    Source: Kingma & Ba 2015, section 7.1, without ε. PyTorch and optax add ε to |g|, as above.
    Keras adds it to v in the division.
    """

    lr: float = 2e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    elementwise = True

    def init(self, w):
        return {"first_moment": np.zeros_like(w), "maximum": np.zeros_like(w)}

    def direction(self, g, slots, *, t, beta1, beta2, eps):
        m = ema(slots["first_moment"], g, beta1)
        v = slots["maximum"]
        v[...] = np.maximum(beta2 * v, abs(g) + eps)
        return m / (1 - beta1**t) / v
