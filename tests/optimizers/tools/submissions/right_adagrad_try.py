# task: adagrad
# right
import numpy as np


def adagrad(g, slots, *, eps=1e-08):
    try:
        slots["r"] += g**2
    except KeyError:
        slots["r"] = g**2
    return g / (np.sqrt(slots["r"]) + eps)
