# task: adagrad
# wrong: there is no return
# says: It returns nothing
import numpy as np


def adagrad(g, slots, *, eps=1e-08):
    r = slots.get("r", np.zeros_like(g)) + g**2
    slots["r"] = r
    u = g / (np.sqrt(r) + eps)
