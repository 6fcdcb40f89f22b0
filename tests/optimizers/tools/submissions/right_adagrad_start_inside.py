# task: adagrad
# variant: 1
# right
import numpy as np

START = 0.1


def adagrad(g, slots, *, eps=1e-08):
    if not slots:
        slots["r"] = np.full_like(g, START)
    r = slots["r"]
    np.add(r, np.square(g), out=r)
    return g * (r + eps) ** -0.5
