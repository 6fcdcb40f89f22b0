# task: adagrad
# variant: 1
# wrong: eps is added after the root, the equation has it under the root
# says: ε stands outside
import numpy as np


def adagrad(g, slots, *, eps=1e-08):
    r = slots.get("r", 0.1 * np.ones_like(g)) + g**2
    slots["r"] = r
    return g / (np.sqrt(r) + eps)
