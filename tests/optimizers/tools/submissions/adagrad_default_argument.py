# task: adagrad
# wrong: the state is in a mutable default argument, which all parameters share
# says: The parameters share one state
import numpy as np


def adagrad(g, slots, *, eps=1e-08, memory={}):
    memory["r"] = memory.get("r", 0) + g**2
    return g / (np.sqrt(memory["r"]) + eps)
