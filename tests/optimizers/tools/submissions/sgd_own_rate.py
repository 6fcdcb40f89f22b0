# task: sgd
# wrong: multiplies by a learning rate of its own
# says: u is multiplied by 0.01

LEARNING_RATE = 0.01


def sgd(g, slots):
    return LEARNING_RATE * g
