# task: rmsprop
# wrong: a name that does not exist (epsilon), a NameError
# says: NameError in line 9: name 'epsilon'
import numpy as np


def rmsprop(g, slots, *, rho=0.9, eps=1e-8):
    slots["v"] = rho * slots.get("v", np.zeros_like(g)) + (1 - rho) * g**2
    return g / (np.sqrt(slots["v"]) + epsilon)
