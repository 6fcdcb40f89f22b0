# task: adam
# right
import math

import numpy as np


def adam(g, slots, *, t, beta1=0.9, beta2=0.999, eps=1e-08):
    m = slots["m"] = beta1 * slots.get("m", 0) + (1 - beta1) * g
    v = slots["v"] = beta2 * slots.get("v", 0) + (1 - beta2) * g * g
    root = math.sqrt(1 - beta2**t)
    step = root / (1 - beta1**t)
    # both sides of the fraction times √(1 − β₂ᵗ)
    return step * m / (np.sqrt(v) + eps * root)
