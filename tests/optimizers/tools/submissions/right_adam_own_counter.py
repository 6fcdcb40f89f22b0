# task: adam
# right
import numpy as np


def adam(g, slots, *, t, beta1=0.9, beta2=0.999, eps=1e-08):
    # t is not needed: the powers of the betas are kept as running products
    if slots == {}:
        slots.update(m=g * 0, v=g * 0, p1=1.0, p2=1.0)
    slots["p1"] *= beta1
    slots["p2"] *= beta2
    slots["m"] = slots["m"] + (1 - beta1) * (g - slots["m"])
    slots["v"] = slots["v"] + (1 - beta2) * (g * g - slots["v"])
    m_hat = slots["m"] / (1 - slots["p1"])
    v_hat = slots["v"] / (1 - slots["p2"])
    return m_hat / (v_hat**0.5 + eps)
