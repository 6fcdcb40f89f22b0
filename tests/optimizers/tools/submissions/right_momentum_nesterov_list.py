# task: momentum
# variant: 1
# right
from numpy import array


def momentum(g, slots, *, mu=0.9):
    # a list of one number per element; slow, but it is only a homework
    flat = [x for x in g.ravel()]
    b = slots.get("b") or [0 * x for x in flat]
    b = [mu * old + (1 - mu) * x for old, x in zip(b, flat)]
    slots["b"] = b
    u = [(1 - mu) * x + mu * new for x, new in zip(flat, b)]
    return array(u, dtype=g.dtype).reshape(g.shape)
