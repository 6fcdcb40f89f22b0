"""SAM: take the gradient at the neighbour with the highest loss, to end in a flat minimum.

Train on MNIST with it:

    python examples/mnist_mlp.py --plugin examples/optimizers/sam.py --optimizer sam
"""

import numpy as np

from minigrad.optimizers import Wrapper, clip_by_global_norm, register


@register("sam")
class SAM(Wrapper):
    """e = ρ·g(w) / ‖g(w)‖;  the inner optimizer steps from w with the gradient g(w + e).

    Sharpness-aware minimization. ‖g‖ is the norm of all gradients together. A step computes two
    gradients, so it needs a closure that computes one: optimizer.step(closure).

    rho = ρ     the distance from w to w + e

        SAM(SGD(lr=0.1, momentum=0.9), rho=0.05)

    Source: Foret et al. 2021, as in optax. PyTorch and Keras have no SAM.
    """

    rho: float = 0.05
    needs_closure = True
    limits = {"rho": (0, np.inf, False)}

    def step(self, closure=None):
        if self.inner.needs_closure:
            raise TypeError(
                f"SAM cannot hold {self.inner!r}, whose step needs a closure of its own"
            )
        loss = self.run_closure(closure)
        gradients = [p.grad for p in self.parameters.values()]
        given = [g for g in gradients if g is not None]
        largest = max((float(np.abs(g).max(initial=0)) for g in given), default=0)
        before = [w.copy() for w, _ in self.weights()]
        try:
            if 0 < largest < np.inf:  # squares of g / largest neither overflow nor all become 0
                _, norm = clip_by_global_norm([g / largest for g in given], 1.0)
                rho = -self.rho if self.maximize else self.rho
                for (w, _), g in zip(self.weights(), gradients):
                    if g is not None:
                        w += rho * (g / largest / norm)
            self.zero_grad()
            closure()
        finally:
            for (w, _), old in zip(self.weights(), before):
                w[...] = old
        self.inner.step()
        return loss
