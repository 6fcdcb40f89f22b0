"""Schedule-Free: an average of the weights replaces the schedule that lowers lr.

The inner optimizer is SGD or AdamW:

    python examples/mnist_mlp.py --plugin examples/optimizers/schedule_free.py \\
        --optimizer schedule_free_adamw
"""

import numpy as np

from minigrad.optimizers import Optimizer, ema, register


@register("schedule_free_sgd")
class ScheduleFreeSGD(Optimizer):
    """z ← z − lr·(g + λ·y),  x ← (1 − c)·x + c·z,  y = (1 − β)·z + β·x,  c = lr² / Σ lr².

    z are the weights of SGD, x is their average. y lies between them: these are the weights in
    training, where gradients are taken. Evaluate x: `with optimizer.evaluating():`. Keep lr fixed.

    weight_decay = λ. momentum = β is the fraction of x in y; in AdamW it replaces β₁.

    Source: Defazio et al. 2024. For c, the authors' code and optax take the largest lr so far
    instead of lr. optax also takes the lr of the next step. If lr is constant, all agree.
    """

    lr: float = 1.0
    momentum: float = 0.9

    def init(self, w):
        return {"z": w.copy(), "x": w.copy(), "sum_of_lr2": np.zeros(())}

    def direction(self, g, slots, *, w, lr, momentum, weight_decay):
        z, x = slots["z"], slots["x"]
        slots["sum_of_lr2"] += lr**2
        z -= lr * (g + weight_decay * w)
        c = lr**2 / (float(slots["sum_of_lr2"]) or 1)  # not 0 / 0 where a warmup begins
        x += c * (z - x)
        y = (1 - momentum) * z + momentum * x
        return (w - y) / (lr or 1)  # then w − lr·u = y

    def evaluation_weight(self, w, slots):
        return slots["x"]


@register("schedule_free_adamw")
class ScheduleFreeAdamW(ScheduleFreeSGD):
    """z ← z − lr·(g / (√v̂ + ε) + λ·y); v̂ as in Adam; x and y as in ScheduleFreeSGD."""

    lr: float = 2.5e-3
    beta2: float = 0.999
    eps: float = 1e-8

    def init(self, w):
        return super().init(w) | {"second_moment": np.zeros_like(w)}

    def direction(self, g, slots, *, w, t, lr, momentum, weight_decay, beta2, eps):
        v = ema(slots["second_moment"], g**2, beta2)
        u = g / (np.sqrt(v / (1 - beta2**t)) + eps)
        return super().direction(u, slots, w=w, lr=lr, momentum=momentum, weight_decay=weight_decay)
