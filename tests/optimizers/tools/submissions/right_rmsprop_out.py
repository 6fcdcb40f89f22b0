# task: rmsprop
# variant: 1234
# right
import numpy as np


def rmsprop(g, slots, *, rho=0.9, eps=1e-8):
    if "v" not in slots:
        slots["v"] = np.empty_like(g)
        slots["v"].fill(0.25)
        slots["work"] = np.empty_like(g)
    v, work = slots["v"], slots["work"]
    np.multiply(g, g, out=work)
    work *= 1 - rho
    v *= rho
    v += work
    np.add(v, eps, out=work)
    np.sqrt(work, out=work)
    np.divide(g, work, out=work)
    return work
