# task: adam
# wrong: the slots are float64 (np.zeros(g.shape)), so float32 gradients give a float64 result
# says: returns float64 where g is float32
import numpy as np


def adam(g, slots, *, t, beta1=0.9, beta2=0.999, eps=1e-08):
    if "m" not in slots:
        slots["m"] = np.zeros(g.shape)
        slots["v"] = np.zeros(g.shape)
    slots["m"] = beta1 * slots["m"] + (1 - beta1) * g
    slots["v"] = beta2 * slots["v"] + (1 - beta2) * g**2
    return slots["m"] / (1 - beta1**t) / (np.sqrt(slots["v"] / (1 - beta2**t)) + eps)
