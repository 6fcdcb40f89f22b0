"""Adam: RMSprop on a fading mean of the gradients, both corrected for their start at 0."""

import numpy as np

from .formulas import KERAS, ema, root
from .hyperparameters import Number
from .optimizer import Optimizer
from .registry import register


@register("adam")
class Adam(Optimizer):
    """m ← β₁·m + (1 − β₁)·g,  v ← β₂·v + (1 − β₂)·g²,  u = m̂ / (√v̂ + ε)
    where m̂ = m / (1 − β₁ᵗ) and v̂ = v / (1 − β₂ᵗ), or m and v without bias_correction

    Momentum and RMSprop at once, each a fading mean freed of its bias towards the start at 0.

    eps_in_sqrt     √(v̂ + ε);  eps_root = ε′ is added within the root beside ε (optax)
    eps_hat         ε joins the uncorrected √v: Keras, and section 2 of the paper
    amsgrad         the largest v so far in place of v; amsgrad_corrected: the largest v̂ (optax)

    >>> Adam.as_in("d2l", beta1=0.8)
    Adam(lr=0.01, beta1=0.8, eps=1e-06)

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
        "keras": KERAS | dict(lr=1e-3, eps=1e-7, eps_hat=True),
        "optax": dict(eps=1e-8, amsgrad_corrected=True),
        "d2l": dict(lr=1e-2, eps=1e-6),
    }

    @classmethod
    def contradictions(cls, h):
        inside = h["eps_in_sqrt"] or h["eps_root"] != 0
        return super().contradictions(h) | {
            "choose eps_in_sqrt or eps_root": h["eps_in_sqrt"] and h["eps_root"] != 0,
            "with eps_hat, ε is added to √v and not within the root": h["eps_hat"] and inside,
            "with eps_hat, no v̂ is there for amsgrad_corrected": h["eps_hat"]
            and h["amsgrad_corrected"],
        }

    def init(self, w, *, amsgrad):
        names = ["first_moment", "second_moment"] + ["max_second_moment"] * amsgrad
        return {name: np.zeros_like(w) for name in names}

    def direction(
        self, g, slots, *, t, beta1, beta2, eps, eps_root, eps_in_sqrt, eps_hat,
        amsgrad, amsgrad_corrected, bias_correction,
    ):  # fmt: skip
        c1, c2 = (1 - beta1**t, 1 - beta2**t) if bias_correction else (1.0, 1.0)
        m = ema(slots["first_moment"], g, beta1)
        v = ema(slots["second_moment"], g**2, beta2)
        v_hat = v / c2
        if amsgrad:
            v_max = slots["max_second_moment"]
            np.maximum(v_max, v_hat if amsgrad_corrected else v, out=v_max)
            v_hat = v_max if amsgrad_corrected else v_max / c2
        eps = eps / c2**0.5 if eps_hat else eps
        return (m / c1) / root(v_hat + eps_root if eps_root else v_hat, eps, eps_in_sqrt)
