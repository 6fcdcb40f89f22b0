# task: rmsprop
# wrong: divides by v and not by the root of v
# says: The root is missing
import numpy as np


def rmsprop(g, slots, *, rho=0.9, eps=1e-8):
    v = slots.get("v", np.zeros_like(g))
    v = rho * v + (1 - rho) * np.square(g)
    slots["v"] = v
    return g / (v + eps)
