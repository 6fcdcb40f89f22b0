"""Adafactor: the second moment of a matrix from its row and column means, to save memory.

Train on MNIST with it:

    python examples/mnist_mlp.py --plugin examples/optimizers/adafactor.py --optimizer adafactor
"""

import numpy as np

from minigrad.optimizers import Optimizer, ema, register


@register("adafactor")
class Adafactor(Optimizer):
    """V̂ = R·C / mean(R),  U = g / √V̂,  w ← w − max(ε₂, RMS(w))·ρ·U / max(1, RMS(U) / d).

    R ← β₂·R + (1 − β₂)·(row means of g²),  C the same of columns,  β₂ = 1 − tᶜ,  ρ = min(lr, 1/√t)

    A matrix (n, m) needs n + m numbers of state. Adam needs 2·n·m. Steps are relative to the size
    of w. A vector keeps V itself. Of more than two axes, the last two are rows and columns.

    RMS(x)              √mean(x²)
    beta2_decay = c     a negative power: V averages over longer and longer times
    d                   the limit of RMS(U)
    eps1 = ε₁           the least √V̂ and mean(R); None: the dtype's machine epsilon
    eps2 = ε₂           the least RMS(w), so that weights of 0 can move

    Source: Shazeer & Stern 2018. The paper, Keras and optax add ε₁ = 1e-30 to g². PyTorch has the
    rule above, with these defaults. optax factors only large matrices.
    """

    lr: float = 1e-2
    decoupled_weight_decay: bool = True
    beta2_decay: float = -0.8
    d: float = 1.0
    eps1: float | None = None
    eps2: float = 1e-3
    limits = {
        "beta2_decay": (-np.inf, 0, True),
        "d": (1, np.inf, False),
        "eps2": (0, np.inf, False),
    }

    def init(self, w):
        if w.ndim < 2:
            return {"second_moment": np.zeros_like(w)}
        return {"row": np.zeros_like(w[..., :1]), "column": np.zeros_like(w[..., :1, :])}

    def direction(self, g, slots, *, w, t, lr, beta2_decay, d, eps1, eps2):
        eps1, beta2 = eps1 or float(np.finfo(g.dtype).eps), 1 - t**beta2_decay
        if g.ndim < 2:
            V = ema(slots["second_moment"], g**2, beta2)
        else:
            R = ema(slots["row"], np.mean(g**2, axis=-1, keepdims=True), beta2)
            C = ema(slots["column"], np.mean(g**2, axis=-2, keepdims=True), beta2)
            V = R * C / np.maximum(np.mean(R, axis=-2, keepdims=True), eps1)
        U = g / np.sqrt(np.maximum(V, eps1**2))
        rms_w, rms_U = (float(np.sqrt(np.mean(x**2))) for x in (w, U))
        rho = 1 / max(1, lr * t**0.5)  # in units of lr
        return max(eps2, rms_w) * rho / max(1, rms_U / d) * U
