# task: adam
# variant: 1234
# right
import numpy as np


def adam(g, slots, *, t, beta1=0.9, beta2=0.999, eps=1e-08):
    zero = np.zeros_like(g)
    m, v, a = (slots.get(name, zero) for name in "mva")
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * np.power(g, 2)
    a = np.maximum(a, v)
    slots.update({"m": m, "v": v, "a": a})
    m_hat = m / (1 - beta1**t)
    return (1 - beta2**t) ** 0.5 * m_hat / (np.sqrt(a) + eps)
