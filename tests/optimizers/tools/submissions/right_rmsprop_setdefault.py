# task: rmsprop
# right
import numpy as np


def rmsprop(g, slots, *, rho=0.9, eps=1e-8):
    """Root mean square propagation."""
    v = slots.setdefault("v", np.zeros_like(g))
    v += (1 - rho) * (g * g - v)
    return g / (eps + np.sqrt(v))
