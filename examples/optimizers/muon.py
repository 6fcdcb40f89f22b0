"""Muon: momentum whose matrix is made orthogonal, so that a step moves in all directions alike.

Train on MNIST with it:

    python examples/mnist_mlp.py --plugin examples/optimizers/muon.py --optimizer muon
"""

import numpy as np

from minigrad.optimizers import Optimizer, ema, register


@register("muon")
class Muon(Optimizer):
    """B ← μ·B + (1 − μ)·g,  u = s·NS(B), or with nesterov u = s·NS(μ·B + (1 − μ)·g).

    Newton-Schulz iterations make momentum orthogonal: NS(U·S·Vᵀ) ≈ U·Vᵀ. So rare directions of the
    gradient count as much as frequent ones. Vectors and scalars have no such directions: Adam moves
    them, with the same lr. Of more than two axes, all but the last become rows.

    NS(X)           X / ‖X‖, then ns_steps times X ← 3.4445·X + (2.0315·X·Xᵀ − 4.775)·X·Xᵀ·X
    momentum = μ    the fraction of B that each step keeps
    match_rms       s = 0.2·√max(rows, columns): the RMS of u is Adam's, so Adam's lr fits
                    False: s = √max(1, columns / rows), which needs a larger lr
    eps             the least ‖X‖, and ε of Adam, with beta1 and beta2

    Sources: Jordan et al. 2024; match_rms: Liu et al. 2025, True in Keras, False in PyTorch and
    optax. PyTorch computes NS in bfloat16, refuses vectors, and stores outputs in rows. optax and
    Keras also move vectors by Adam, but add eps to ‖X‖. optax corrects the bias of B.
    """

    momentum: float = 0.95
    nesterov: bool = True
    weight_decay: float = 0.1
    decoupled_weight_decay: bool = True
    ns_steps: int = 5
    match_rms: bool = True
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-7
    limits = {"ns_steps": (1, 100, False)}

    def init(self, w):
        names = ["momentum_buffer"] if w.ndim > 1 else ["first_moment", "second_moment"]
        return {name: np.zeros_like(w) for name in names}

    def direction(self, g, slots, *, t, momentum, nesterov, ns_steps, match_rms, beta1, beta2, eps):
        if g.ndim < 2:
            m, v = ema(slots["first_moment"], g, beta1), ema(slots["second_moment"], g**2, beta2)
            return m / (1 - beta1**t) / (np.sqrt(v / (1 - beta2**t)) + eps)
        B = ema(slots["momentum_buffer"], g, momentum)
        X = (momentum * B + (1 - momentum) * g if nesterov else B).reshape(-1, g.shape[-1])
        rows, columns = X.shape
        X = X.T if rows > columns else X  # X·Xᵀ is then the smaller product
        X = X / max(float(np.linalg.norm(X)), eps)
        for _ in range(ns_steps):
            A = X @ X.T
            X = 3.4445 * X + (2.0315 * A @ A - 4.775 * A) @ X
        s = 0.2 * max(rows, columns) ** 0.5 if match_rms else max(1, columns / rows) ** 0.5
        return s * (X.T if rows > columns else X).reshape(g.shape)
