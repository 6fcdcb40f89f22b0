# task: rmsprop
# wrong: one mean over all the elements, where each element has its own v
# says: mean of g² over all elements
import numpy as np


def rmsprop(g, slots, *, rho=0.9, eps=1e-8):
    mean_square = np.mean(g**2)
    v = rho * slots.get("v", 0.0) + (1 - rho) * mean_square
    slots["v"] = v
    return g / (np.sqrt(v) + eps)
