# task: adam
# wrong: beta1 and beta2 are exchanged
# says: β₁ and β₂ are exchanged
import numpy as np


def adam(g, slots, *, t, beta1=0.9, beta2=0.999, eps=1e-08):
    m = slots.get("m", np.zeros_like(g))
    v = slots.get("v", np.zeros_like(g))
    m = beta2 * m + (1 - beta2) * g
    v = beta1 * v + (1 - beta1) * g**2
    slots["m"], slots["v"] = m, v
    m_hat = m / (1 - beta2**t)
    v_hat = v / (1 - beta1**t)
    return m_hat / (np.sqrt(v_hat) + eps)
