# task: rmsprop
# wrong: rho and 1 - rho are exchanged
# says: ρ and 1 − ρ are exchanged
import numpy as np


def rmsprop(g, slots, *, rho=0.9, eps=1e-8):
    v = slots.get("v", np.zeros_like(g))
    slots["v"] = (1 - rho) * v + rho * g * g
    return g / (np.sqrt(slots["v"]) + eps)
