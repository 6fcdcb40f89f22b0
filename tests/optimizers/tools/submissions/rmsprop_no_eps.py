# task: rmsprop
# wrong: eps is not added at all
# says: ε is missing
import numpy as np


def rmsprop(g, slots, *, rho=0.9, eps=1e-8):
    v = slots.get("v", np.zeros_like(g))
    slots["v"] = v = rho * v + (1 - rho) * g**2
    return g / np.sqrt(v)
