# task: rmsprop
# wrong: averages |g| and not g squared
# says: The code has |g|
import numpy as np


def rmsprop(g, slots, *, rho=0.9, eps=1e-8):
    v = slots.get("v", np.zeros_like(g))
    v = rho * v + (1 - rho) * np.abs(g)
    slots["v"] = v
    return g / (np.sqrt(v) + eps)
