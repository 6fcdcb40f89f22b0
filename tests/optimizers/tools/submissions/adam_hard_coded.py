# task: adam
# wrong: constants in place of the arguments beta1, beta2 and eps
# says: written in the code
import numpy as np


def adam(g, slots, *, t, beta1=0.9, beta2=0.999, eps=1e-08):
    m = slots.get("m", np.zeros_like(g))
    v = slots.get("v", np.zeros_like(g))
    m = 0.9 * m + 0.1 * g
    v = 0.999 * v + 0.001 * g**2
    slots["m"], slots["v"] = m, v
    return (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
