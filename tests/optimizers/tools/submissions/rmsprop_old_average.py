# task: rmsprop
# wrong: divides by v before v is updated
# says: v is used before its update
import numpy as np


def rmsprop(g, slots, *, rho=0.9, eps=1e-8):
    v = slots.get("v", np.zeros_like(g))
    u = g / (np.sqrt(v) + eps)
    slots["v"] = rho * v + (1 - rho) * g**2
    return u
