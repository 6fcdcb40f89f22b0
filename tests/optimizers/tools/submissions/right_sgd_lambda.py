# task: sgd
# right

sgd = lambda g, slots: 1 * g
