# task: rmsprop
# wrong: the factor 1 - rho of the squared gradient is missing
# says: The factor 1 − ρ is missing
import numpy as np


def rmsprop(g, slots, *, rho=0.9, eps=1e-8):
    if "v" in slots:
        slots["v"] = rho * slots["v"] + g**2
    else:
        slots["v"] = g**2
    return g / (np.sqrt(slots["v"]) + eps)
