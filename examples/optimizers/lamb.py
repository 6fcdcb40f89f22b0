"""LAMB: Adam whose step is a fixed fraction of the norm of each array; for large batches.

Train on MNIST with it:

    python examples/mnist_mlp.py --plugin examples/optimizers/lamb.py --optimizer lamb --lr 0.01
"""

import numpy as np

from minigrad.optimizers import Optimizer, ema, register


@register("lamb")
class LAMB(Optimizer):
    """r = m̂ / (√v̂ + ε) + λ·w,  u = r·‖w‖ / ‖r‖.

    Layer-wise adaptive moments. A step changes each array by the fraction lr of its norm, so lr
    suits all layers, and large batches with a large lr do not diverge.

    m ← β₁·m + (1 − β₁)·g,  v ← β₂·v + (1 − β₂)·g²,  m̂ = m / (1 − β₁ᵗ),  v̂ = v / (1 − β₂ᵗ)

    m, v                the first and second moment: moving averages of g and g²
    ‖w‖ / ‖r‖           the trust ratio of the array; 1 if w = 0 or r = 0
    beta1, beta2        β₁ and β₂, the fractions of m and v that each step keeps
    eps = ε             keeps the division finite
    weight_decay = λ    is inside the trust ratio

    Source: You et al. 2020, who can also limit ‖w‖. optax has the rule above. In Keras, the weight
    decay is outside the trust ratio. PyTorch has no LAMB.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-6

    def init(self, w):
        return {"first_moment": np.zeros_like(w), "second_moment": np.zeros_like(w)}

    def direction(self, g, slots, *, w, t, beta1, beta2, eps, weight_decay):
        m = ema(slots["first_moment"], g, beta1)
        v = ema(slots["second_moment"], g**2, beta2)
        m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
        r = m_hat / (np.sqrt(v_hat) + eps) + weight_decay * w
        norm_w, norm_r = float(np.linalg.norm(w)), float(np.linalg.norm(r))
        return r * (norm_w / norm_r) if norm_w and norm_r else r
