# task: adam
# wrong: no bias correction
# says: The bias correction is missing
import numpy as np


def adam(g, slots, *, t, beta1=0.9, beta2=0.999, eps=1e-08):
    m = slots.get("m", np.zeros_like(g))
    v = slots.get("v", np.zeros_like(g))
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    slots["m"], slots["v"] = m, v
    return m / (np.sqrt(v) + eps)
