# task: adagrad
# wrong: r is a decaying average (RMSProp), where AdaGrad adds up
# says: It must be a sum
import numpy as np


def adagrad(g, slots, *, eps=1e-08):
    r = slots.get("r", np.zeros_like(g))
    r = 0.9 * r + 0.1 * g**2
    slots["r"] = r
    return g / (np.sqrt(r) + eps)
