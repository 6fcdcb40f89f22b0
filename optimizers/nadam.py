"""NAdam: Adam with Nesterov momentum."""

import numpy as np

from .formulas import KERAS, ema
from .hyperparameters import Number
from .optimizer import Optimizer
from .registry import register


@register("nadam")
class NAdam(Optimizer):
    """u = (μₜ₊₁·m / (1 − μ₁⋯μₜ₊₁) + (1 − μₜ)·g / (1 − μ₁⋯μₜ)) / (√(v / (1 − β₂ᵗ)) + ε).

    Adam with Nesterov momentum: it uses the momentum of the next step.

    m ← β₁·m + (1 − β₁)·g,  v ← β₂·v + (1 − β₂)·g²,  μₜ = β₁·(1 − 0.96^(ψ·t) / 2)

    m, v                the first and second moment: moving averages of g and g²
    beta1, beta2        β₁ and β₂, the fractions of m and v that each step keeps
    eps = ε             keeps the division finite
    momentum_decay = ψ  how fast μₜ rises from about β₁/2 to β₁
    constant_momentum   True: μₜ = β₁ in every step

    >>> NAdam.as_in("keras").momentum_decay
    1.0

    Source: Dozat 2016. Frameworks differ in ψ: 4e-3 in PyTorch, 1 in Keras; in optax μ is constant.
    """

    lr: Number = 2e-3
    beta1: Number = 0.9
    beta2: Number = 0.999
    eps: Number = 1e-8
    momentum_decay: Number = 4e-3
    constant_momentum: bool = False
    conventions = {
        "torch": dict(lr=2e-3, eps=1e-8, momentum_decay=4e-3),
        "keras": KERAS | dict(lr=1e-3, eps=1e-7, momentum_decay=1.0),
        "optax": dict(eps=1e-8, constant_momentum=True),
    }

    def init(self, w):
        moments = {name: np.zeros_like(w) for name in ("first_moment", "second_moment")}
        return moments | {"mu_product": np.ones(())}

    def direction(self, g, slots, *, t, beta1, beta2, eps, momentum_decay, constant_momentum):
        def mu(t):
            return beta1 if constant_momentum else beta1 * (1 - 0.96 ** (momentum_decay * t) / 2)

        m = ema(slots["first_moment"], g, beta1)
        v = ema(slots["second_moment"], g**2, beta2)
        slots["mu_product"] *= mu(t)
        product = float(slots["mu_product"])
        m_hat = mu(t + 1) / (1 - product * mu(t + 1)) * m + (1 - mu(t)) / (1 - product) * g
        return m_hat / (np.sqrt(v / (1 - beta2**t)) + eps)
