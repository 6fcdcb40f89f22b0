"""Lookahead: after k steps of another optimizer, the weights go back half of the way.

Train on MNIST with it:

    python examples/mnist_mlp.py --plugin examples/optimizers/lookahead.py --optimizer lookahead
"""

import numpy as np

from minigrad.optimizers import Wrapper, register


@register("lookahead")
class Lookahead(Wrapper):
    """slow ← slow + α·(w − slow),  w ← slow, after every k steps of the inner optimizer.

    The fast weights w explore. The slow weights average out their oscillations. Evaluate the slow
    weights: `with optimizer.evaluating():`. The inner optimizer keeps its state.

    k           the number of steps between two updates of the slow weights
    alpha = α   the fraction of the way from slow to w that the slow weights move

        Lookahead(Adam(lr=0.01), k=5)

    Source: Zhang et al. 2019, with k = 5 and α = 0.5. optax requires both numbers, and can reset
    the state of the inner optimizer. PyTorch and Keras have no Lookahead.
    """

    k: int = 5
    alpha: float = 0.5
    limits = {"k": (1, np.inf, False), "alpha": (0, 1, True)}

    def init(self, w):
        return {"slow": w.copy()}

    def after_step(self, w, slots):
        if self.steps % self.k == 0:
            slow = slots["slow"]
            slow += self.alpha * (w - slow)
            w[...] = slow

    def evaluation_weight(self, w, slots):
        return slots["slow"]
