"""AdaGrad: each coordinate has its own step size, which only shrinks."""

import numpy as np

from .formulas import KERAS, root
from .hyperparameters import Number
from .optimizer import Optimizer
from .registry import register


@register("adagrad")
class AdaGrad(Optimizer):
    """r ← r + g²,  u = g / (√r + ε).

    Divide by the root of the sum of all squared gradients: coordinates with rare gradients take
    large steps.

    r                       the sum of squared gradients; r₀ = initial_accumulator
    eps = ε                 keeps the division finite; with eps_in_sqrt u = g / √(r + ε)
    lr_decay                multiplies step t by 1 / (1 + (t − 1)·lr_decay)

    >>> from minigrad.optimizers import Parameter
    >>> w = Parameter(np.array([1.0, 1.0]), grad=np.array([100.0, 0.01]))
    >>> AdaGrad([w], lr=0.5, eps=0.0).step()
    >>> w.data
    array([0.5, 0.5])

    Source: Duchi et al. 2011. Frameworks differ in ε and r₀; only PyTorch has lr_decay.
    """

    lr: Number = 1e-2
    eps: Number = 1e-8
    eps_in_sqrt: bool = False
    initial_accumulator: Number = 0.0
    lr_decay: Number = 0.0
    elementwise = True
    conventions = {
        "torch": dict(lr=1e-2, eps=1e-10),
        "keras": KERAS | dict(lr=1e-3, eps=1e-7, eps_in_sqrt=True, initial_accumulator=0.1),
        "optax": dict(eps=1e-7, eps_in_sqrt=True, initial_accumulator=0.1),
        "d2l": dict(lr=0.1, eps=1e-6, eps_in_sqrt=True),
    }

    def init(self, w, *, initial_accumulator):
        return {"sum_of_squares": np.full_like(w, initial_accumulator)}

    def direction(self, g, slots, *, eps, eps_in_sqrt, lr_decay, t):
        r = slots["sum_of_squares"]
        r += g**2
        u = g / root(r, eps, eps_in_sqrt)
        return u / (1 + (t - 1) * lr_decay) if lr_decay != 0 else u
