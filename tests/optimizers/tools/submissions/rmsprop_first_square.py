# task: rmsprop
# wrong: v starts at the first squared gradient, not at 0
# says: v starts at the first g²
import numpy as np


def rmsprop(g, slots, *, rho=0.9, eps=1e-8):
    if "v" not in slots:
        slots["v"] = g**2
    else:
        slots["v"] = rho * slots["v"] + (1 - rho) * g**2
    return g / (np.sqrt(slots["v"]) + eps)
