"""Adam: RMSprop on a fading mean of the gradients, both corrected for their start at 0."""

from __future__ import annotations

from typing import Any

import numpy as np

from .hyperparameters import Number
from .optimizer import Optimizer, ema, root
from .registry import register


@register("adam")
class Adam(Optimizer):
    """m ← β₁·m + (1 − β₁)·g,  v ← β₂·v + (1 − β₂)·g²,  u = m̂ / (√v̂ + ε)
    where m̂ = m / (1 − β₁ᵗ) and v̂ = v / (1 − β₂ᵗ)

    Momentum and RMSprop at once, each a fading mean freed of its bias towards the start at 0.

    eps_in_sqrt        √(v̂ + ε);  eps_root = ε′ is added within the root beside ε (optax)
    eps_hat            ε joins the uncorrected √v: Keras, and section 2 of the paper
    amsgrad            the largest v so far in place of v; amsgrad_corrected: the largest v̂ (optax)
    bias_correction    False: m and v as they are

    >>> from minigrad.optimizers import Parameter
    >>> w = Parameter(np.array([1.0, 1.0]), grad=np.array([100.0, 0.01]))
    >>> Adam([w], lr=0.1, eps=0.0).step()
    >>> w.data
    array([0.9, 0.9])

    Kingma & Ba 2015; AMSGrad: Reddi et al. 2018.
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
        "keras": dict(
            lr=1e-3, eps=1e-7, eps_hat=True, lr_in_momentum=True, decoupled_weight_decay=True
        ),
        "optax": dict(eps=1e-8, amsgrad_corrected=True),
        "d2l": dict(lr=1e-2, eps=1e-6),
    }

    @classmethod
    def contradictions(cls, h: Any) -> list[tuple[str, Any]]:
        inside = h["eps_in_sqrt"] or h["eps_root"] != 0
        return [
            *super().contradictions(h),
            ("choose eps_in_sqrt or eps_root", h["eps_in_sqrt"] and h["eps_root"] != 0),
            ("eps_hat adds ε to √v, so it can't be in the root as well", h["eps_hat"] and inside),
            ("amsgrad_corrected has no v̂ with eps_hat", h["amsgrad_corrected"] and h["eps_hat"]),
        ]

    def init(self, w, *, amsgrad):
        names = ["first_moment", "second_moment"] + ["max_second_moment"] * amsgrad
        return {name: np.zeros_like(w) for name in names}

    def direction(
        self, g, slots, *, t, beta1, beta2, eps, eps_root, eps_in_sqrt, eps_hat,
        amsgrad, amsgrad_corrected, bias_correction,
    ):
        c1, c2 = (1 - beta1**t, 1 - beta2**t) if bias_correction else (1.0, 1.0)
        m = ema(slots["first_moment"], g, beta1)
        v = ema(slots["second_moment"], g**2, beta2)
        v_hat = v / c2
        if amsgrad:
            v_max = slots["max_second_moment"]
            np.maximum(v_max, v_hat if amsgrad_corrected else v, out=v_max)
            v_hat = v_max if amsgrad_corrected else v_max / c2
        if eps_root != 0:
            v_hat = v_hat + eps_root
        return (m / c1) / root(v_hat, eps / c2**0.5 if eps_hat else eps, eps_in_sqrt)
