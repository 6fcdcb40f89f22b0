# task: adam
# wrong: counts by itself from 1 and raises the count before using it, so t is one too large
# says: t + 1
import numpy as np


def adam(g, slots, *, t, beta1=0.9, beta2=0.999, eps=1e-08):
    if not slots:
        slots["m"] = np.zeros_like(g)
        slots["v"] = np.zeros_like(g)
        slots["count"] = 1
    slots["count"] += 1
    n = slots["count"]
    slots["m"] = beta1 * slots["m"] + (1 - beta1) * g
    slots["v"] = beta2 * slots["v"] + (1 - beta2) * g**2
    mh = slots["m"] / (1 - beta1**n)
    vh = slots["v"] / (1 - beta2**n)
    return mh / (np.sqrt(vh) + eps)
