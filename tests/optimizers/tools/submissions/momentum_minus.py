# task: momentum
# wrong: the sign of the direction (returns -u)
# says: The sign is wrong
import numpy as np


def momentum(g, slots, *, mu=0.9):
    if "velocity" not in slots:
        slots["velocity"] = np.zeros_like(g)
    slots["velocity"] = mu * slots["velocity"] - g
    return slots["velocity"]
