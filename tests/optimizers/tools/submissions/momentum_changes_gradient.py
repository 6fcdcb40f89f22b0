# task: momentum
# wrong: changes the gradient array in place
# says: changes g in place
import numpy as np


def momentum(g, slots, *, mu=0.9):
    g += mu * slots.get("b", np.zeros_like(g))
    slots["b"] = g.copy()
    return g
