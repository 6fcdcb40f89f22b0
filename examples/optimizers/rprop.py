"""Rprop: a step size for each weight, which grows while the sign of the gradient stays the same.

It needs the gradient of all examples: in mini-batches, signs change by chance. So the command takes
large batches. (RMSprop was invented to make the idea work with mini-batches.)

    python examples/mnist_mlp.py --plugin examples/optimizers/rprop.py --optimizer rprop \\
        --batch-size 10000 --epochs 20
"""

import numpy as np

from minigrad.optimizers import Optimizer, register


@register("rprop")
class Rprop(Optimizer):
    """Δ ← η⁺·Δ if g·g₋₁ > 0, η⁻·Δ if g·g₋₁ < 0;  u = Δ·sign(g), but u = 0 if g·g₋₁ < 0.

    Resilient backpropagation: the size of a gradient has no effect, only its sign.

    Δ                           the step size, in units of lr; Δ₀ = 1
    g₋₁                         the previous gradient; 0 after a change of sign
    eta_minus, eta_plus         η⁻ and η⁺
    min_factor, max_factor      Δ stays between them

    Sources: Riedmiller & Braun 1993; Igel & Hüsken 2000 for iRprop⁻, which takes no step back, as
    above and in PyTorch. In PyTorch, lr is only the first step size, and the limits are 1e-6 and
    50. Here, lr scales every step, so schedules work: the limits are lr·min_factor and
    lr·max_factor. optax takes each step one step later.
    """

    lr: float = 0.01
    eta_minus: float = 0.5
    eta_plus: float = 1.2
    min_factor: float = 1e-4
    max_factor: float = 5e3
    limits = {"eta_minus": (0, 1, True), "eta_plus": (1, np.inf, False), "min_factor": (0, 1, True)}
    elementwise = True

    def init(self, w):
        return {"step_size": np.ones_like(w), "previous": np.zeros_like(w)}

    def direction(self, g, slots, *, eta_minus, eta_plus, min_factor, max_factor):
        size, previous = slots["step_size"], slots["previous"]
        same = np.sign(g) * np.sign(previous)
        size[...] = np.where(same > 0, eta_plus * size, np.where(same < 0, eta_minus * size, size))
        size[...] = np.clip(size, min_factor, max_factor)
        previous[...] = np.where(same < 0, 0.0, g)
        return size * np.sign(previous)
