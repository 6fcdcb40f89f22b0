# task: rmsprop
# wrong: a bracket is not closed, a SyntaxError
# says: SyntaxError in line 10
import numpy as np


def rmsprop(g, slots, *, rho=0.9, eps=1e-8):
    v = slots.get("v", np.zeros_like(g))
    slots["v"] = rho * v + (1 - rho) * g**2
    return g / (np.sqrt(slots["v"] + eps
