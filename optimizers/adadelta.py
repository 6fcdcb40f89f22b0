"""Adadelta: RMSprop that takes its step size from its own recent steps."""

import numpy as np

from .formulas import KERAS, ema
from .hyperparameters import Number
from .optimizer import Optimizer
from .registry import register


@register("adadelta")
class Adadelta(Optimizer):
    """v ← ρ·v + (1 − ρ)·g²,  u = g·√(d + ε) / √(v + ε),  d ← ρ·d + (1 − ρ)·u².

    Divide g by the root mean square of the gradients, and multiply it by that of the earlier u: so
    lr needs no tuning.

    v, d            moving averages of g² and u²
    rho = ρ         the fraction of v and d that each step keeps
    eps = ε         stands inside both roots; with ε = 0 all u stay 0, because d₀ = 0

    >>> Adadelta.as_in("torch")
    Adadelta(lr=1.0, rho=0.9)

    Source: Zeiler 2012. Frameworks agree on the rule and differ in the defaults.
    """

    lr: Number = 1.0
    rho: Number = 0.95
    eps: Number = 1e-6
    elementwise = True
    conventions = {
        "torch": dict(lr=1.0, rho=0.9, eps=1e-6),
        "keras": KERAS | dict(lr=1e-3, rho=0.95, eps=1e-7),
        "optax": dict(rho=0.9, eps=1e-6),
        "d2l": dict(rho=0.9, eps=1e-5),
    }

    def init(self, w):
        return {"mean_square": np.zeros_like(w), "mean_square_step": np.zeros_like(w)}

    def direction(self, g, slots, *, rho, eps):
        v, d = slots["mean_square"], slots["mean_square_step"]
        ema(v, g**2, rho)
        u = g * np.sqrt(d + eps) / np.sqrt(v + eps)
        ema(d, u**2, rho)
        return u
