# task: adam
# right
import numpy as np


class Moments:
    def __init__(self, like):
        self.first = np.zeros_like(like)
        self.second = np.zeros_like(like)

    def update(self, g, beta1, beta2):
        self.first = beta1 * self.first + (1 - beta1) * g
        self.second = beta2 * self.second + (1 - beta2) * g**2

    def corrected(self, t, beta1, beta2):
        return self.first / (1 - beta1**t), self.second / (1 - beta2**t)


def adam(g, slots, *, t, beta1=0.9, beta2=0.999, eps=1e-08):
    if "moments" not in slots:
        slots["moments"] = Moments(g)
    moments = slots["moments"]
    moments.update(g, beta1, beta2)
    m_hat, v_hat = moments.corrected(t, beta1, beta2)
    return m_hat / (np.sqrt(v_hat) + eps)
