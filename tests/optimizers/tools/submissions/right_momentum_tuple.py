# task: momentum
# right
import numpy as np


def momentum(g, slots, *, mu=0.9):
    (b,) = slots.get("state", (np.zeros_like(g),))
    b = mu * b + g
    slots["state"] = (b,)
    return b
