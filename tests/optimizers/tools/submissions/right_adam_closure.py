# task: adam
# variant: 79
# right
import numpy as np


def make_average(key, beta):
    def average(slots, x):
        if (old := slots.get(key)) is None:
            old = np.zeros(x.shape, dtype=x.dtype)
        slots[key] = new = np.add(beta * old, (1 - beta) * x)
        return new

    return average


def adam(g, slots, *, t, beta1=0.9, beta2=0.999, eps=1e-08):
    first, second = make_average("m", beta1), make_average("v", beta2)
    unbias = lambda x, beta: np.divide(x, 1 - np.power(beta, float(t)).item())
    mhat = unbias(first(slots, g), beta1)
    vhat = unbias(second(slots, np.square(g)), beta2)
    return mhat / np.sqrt(vhat + eps)
