# task: adagrad
# wrong: r starts at 1, not at 0
# says: r starts at 1
import numpy as np


def adagrad(g, slots, *, eps=1e-08):
    if "cache" not in slots:
        slots["cache"] = np.ones_like(g)
    slots["cache"] += g * g
    return g / (np.sqrt(slots["cache"]) + eps)
