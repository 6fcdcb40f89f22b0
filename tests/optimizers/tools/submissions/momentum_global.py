# task: momentum
# wrong: the state is in a global variable, which all parameters share
# says: The parameters share one state
b = 0


def momentum(g, slots, *, mu=0.9):
    global b
    b = mu * b + g
    return b
