# task: momentum
# wrong: Nesterov's momentum, where heavy ball is asked for
# says: Nesterov's
import numpy as np


def momentum(g, slots, *, mu=0.9):
    b = mu * slots.get("b", np.zeros_like(g)) + g
    slots["b"] = b
    return g + mu * b
