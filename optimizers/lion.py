"""Lion: every coordinate moves by lr, against the sign of a moving average."""

import numpy as np

from .formulas import KERAS, ema
from .hyperparameters import Number
from .optimizer import Optimizer
from .registry import register


@register("lion")
class Lion(Optimizer):
    """u = sign(β₁·m + (1 − β₁)·g),  m ← β₂·m + (1 − β₂)·g.

    Move every coordinate by exactly lr. Its state is half of Adam's: one slot instead of two.

    m               the first moment: a moving average of the gradients
    beta1 = β₁      the fraction of m in the direction
    beta2 = β₂      the fraction of m that each step keeps

    >>> Lion.as_in("keras", lr=1e-4)
    Lion(lr=0.0001, lr_in_momentum=True)

    Source: Chen et al. 2023. PyTorch has no Lion. In optax weight_decay is 1e-3 by default.
    """

    lr: Number = 1e-4
    beta1: Number = 0.9
    beta2: Number = 0.99
    decoupled_weight_decay: bool = True
    elementwise = True
    conventions = {
        "keras": KERAS | dict(lr=1e-3),
        "optax": dict(weight_decay=1e-3),
    }

    def init(self, w):
        return {"first_moment": np.zeros_like(w)}

    def direction(self, g, slots, *, beta1, beta2):
        m = slots["first_moment"]
        u = np.sign(beta1 * m + (1 - beta1) * g)
        ema(m, g, beta2)
        return u
