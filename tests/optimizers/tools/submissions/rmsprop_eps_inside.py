# task: rmsprop
# wrong: eps is under the root, the equation adds it after the root
# says: ε stands inside
import numpy as np


def rmsprop(g, slots, *, rho=0.9, eps=1e-8):
    v = slots.get("v", np.zeros_like(g))
    v = rho * v + (1 - rho) * g**2
    slots["v"] = v
    return g / np.sqrt(v + eps)
