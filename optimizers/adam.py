"""Adam: RMSprop with a moving average of the gradients; both averages are bias-corrected."""

import numpy as np

from .formulas import KERAS, ema, root
from .hyperparameters import Number
from .optimizer import Optimizer
from .registry import register


@register("adam")
class Adam(Optimizer):
    """m ← β₁·m + (1 − β₁)·g,  v ← β₂·v + (1 − β₂)·g²,  u = m̂ / (√v̂ + ε).

    Momentum and RMSprop together. Both averages start at 0 and are corrected for that.

    m̂ = m / (1 − β₁ᵗ),  v̂ = v / (1 − β₂ᵗ)

    m, v                the first and second moment: moving averages of g and g²
    beta1, beta2        β₁ and β₂, the fractions of m and v that each step keeps
    eps = ε             keeps the division finite; with eps_in_sqrt u = m̂ / √(v̂ + ε)
    eps_root            added inside the root, while ε stays outside (optax)
    eps_hat             add ε to √v instead of √v̂ (Keras; section 2 of the paper)
    amsgrad             use the largest v so far; with amsgrad_corrected the largest v̂ (optax)
    bias_correction     False: m̂ = m and v̂ = v

    >>> Adam.as_in("d2l", beta1=0.8)
    Adam(lr=0.01, beta1=0.8, eps=1e-06)

    Sources: Kingma & Ba 2015; AMSGrad: Reddi et al. 2018. For the frameworks see `conventions`.
    """

    beta1: Number = 0.9
    beta2: Number = 0.999
    eps: Number = 1e-8
    eps_root: Number = 0.0
    eps_in_sqrt: bool = False
    eps_hat: bool = False
    amsgrad: bool = False
    amsgrad_corrected: bool = False
    bias_correction: bool = True
    elementwise = True
    conventions = {
        "torch": dict(lr=1e-3, eps=1e-8),
        "keras": KERAS | dict(lr=1e-3, eps=1e-7, eps_hat=True),
        "optax": dict(eps=1e-8, amsgrad_corrected=True),
        "d2l": dict(lr=1e-2, eps=1e-6),
    }

    @classmethod
    def contradictions(cls, h):
        eps_inside = h["eps_in_sqrt"] or h["eps_root"] != 0
        return super().contradictions(h) | {
            "choose eps_in_sqrt or eps_root": h["eps_in_sqrt"] and h["eps_root"] != 0,
            "choose eps_hat, or ε inside the root": h["eps_hat"] and eps_inside,
            "choose eps_hat or amsgrad_corrected": h["eps_hat"] and h["amsgrad_corrected"],
        }

    def init(self, w, *, amsgrad):
        names = ["first_moment", "second_moment"]
        if amsgrad:
            names.append("max_second_moment")
        return {name: np.zeros_like(w) for name in names}

    def direction(
        self, g, slots, *, t, beta1, beta2, eps, bias_correction,
        eps_in_sqrt, eps_root, eps_hat, amsgrad, amsgrad_corrected,
    ):  # fmt: skip
        c1, c2 = (1 - beta1**t, 1 - beta2**t) if bias_correction else (1.0, 1.0)
        m = ema(slots["first_moment"], g, beta1)
        v = ema(slots["second_moment"], g**2, beta2)
        m_hat, v_hat = m / c1, v / c2
        # the variants change v̂ and ε
        if amsgrad:
            v_max = slots["max_second_moment"]
            np.maximum(v_max, v_hat if amsgrad_corrected else v, out=v_max)
            v_hat = v_max if amsgrad_corrected else v_max / c2
        if eps_root:
            v_hat = v_hat + eps_root
        if eps_hat:
            eps = eps / c2**0.5
        return m_hat / root(v_hat, eps, eps_in_sqrt)
