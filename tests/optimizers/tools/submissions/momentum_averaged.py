# task: momentum
# wrong: an average, (1 - mu) times g, where the equation adds all of g
# says: an average, with
import numpy as np


def momentum(g, slots, *, mu=0.9):
    old = slots["avg"] if "avg" in slots else np.zeros_like(g)
    slots["avg"] = old * mu + g * (1 - mu)
    return slots["avg"]
