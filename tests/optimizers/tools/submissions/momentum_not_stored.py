# task: momentum
# wrong: the new b is only in a local name and never stored, so that b is always 0
# says: The state is not kept
import numpy as np


def momentum(g, slots, *, mu=0.9):
    b = slots.setdefault("b", np.zeros_like(g))
    b = mu * b + g
    return b
