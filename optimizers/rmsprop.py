"""RMSprop: AdaGrad with a moving average of g² instead of the sum, so that steps do not shrink."""

import numpy as np

from .formulas import KERAS, ema, root
from .hyperparameters import Number
from .optimizer import Optimizer
from .registry import register


@register("rmsprop")
class RMSprop(Optimizer):
    """v ← ρ·v + (1 − ρ)·g²,  u = g / (√v + ε).

    Divide by the root of a moving average of squared gradients. Once v has settled, each element
    moves by about lr a step.

    v                   the slot "mean_square"; v₀ = initial_accumulator
    rho = ρ             the fraction of v that each step keeps
    eps = ε             keeps the division finite; with eps_in_sqrt u = g / √(v + ε)
    centered            max(v − m², 0) replaces v, with m ← ρ·m + (1 − ρ)·g in the slot "mean"
    bias_correction     v / (1 − ρᵗ) and m / (1 − ρᵗ) replace v and m

    >>> from minigrad.optimizers import Parameter
    >>> w = Parameter(np.array([1.0]), grad=np.array([7.0]))
    >>> RMSprop([w], lr=0.1, rho=0.75, eps=0.0).step()    # 0.1 · 7 / √(0.25 · 49) = 0.2
    >>> w.data
    array([0.8])

    Sources: Hinton 2012, lecture 6e; centered: Graves 2013. No two frameworks agree; see
    `conventions`.
    """

    rho: Number = 0.9
    eps: Number = 1e-8
    eps_in_sqrt: bool = False
    centered: bool = False
    initial_accumulator: Number = 0.0
    bias_correction: bool = False
    elementwise = True
    conventions = {
        "torch": dict(lr=1e-2, rho=0.99, eps=1e-8),
        "keras": KERAS | dict(lr=1e-3, eps=1e-7, eps_in_sqrt=True),
        "keras2": dict(lr=1e-3, eps=1e-7),
        "optax": dict(eps=1e-8, eps_in_sqrt=True, lr_in_momentum=True),
        "d2l": dict(lr=1e-2, eps=1e-6, eps_in_sqrt=True),
        "tf1": dict(
            lr=1e-2, eps=1e-10, eps_in_sqrt=True, initial_accumulator=1.0, lr_in_momentum=True
        ),
    }

    def init(self, w, *, initial_accumulator, centered):
        slots = {"mean_square": np.full_like(w, initial_accumulator)}
        return slots | {"mean": np.zeros_like(w)} if centered else slots

    def direction(self, g, slots, *, t, rho, eps, eps_in_sqrt, centered, bias_correction):
        v = ema(slots["mean_square"], g**2, rho)
        if bias_correction:
            v = v / (1 - rho**t)  # a new array: the slot keeps its value
        if centered:
            m = ema(slots["mean"], g, rho)
            m = m / (1 - rho**t) if bias_correction else m
            v = np.maximum(v - m**2, 0)
        return g / root(v, eps, eps_in_sqrt)

    @classmethod
    def contradictions(cls, h):
        problem = "bias_correction needs initial_accumulator=0"
        is_broken = h["bias_correction"] and h["initial_accumulator"] != 0
        return super().contradictions(h) | {problem: is_broken}
