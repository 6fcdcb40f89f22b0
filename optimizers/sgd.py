"""SGD, gradient descent: the first rule to read."""

from .formulas import KERAS
from .hyperparameters import Number
from .optimizer import Optimizer
from .registry import register


@register("sgd")
class SGD(Optimizer):
    """u = g.

    Gradient descent. Momentum and Nesterov momentum come from the base class (see Optimizer).

    g   the gradient of w
    u   the direction: w ← w − lr·u

    >>> import numpy as np
    >>> from minigrad.optimizers import Parameter
    >>> w = Parameter(np.array([1.0]), grad=np.array([2.0]))
    >>> SGD([w], lr=0.1).step()
    >>> w.data
    array([0.8])

    Sources: Robbins & Monro 1951; momentum: Polyak 1964; Nesterov: Sutskever et al. 2013.
    Frameworks differ when lr changes: PyTorch and optax multiply the momentum buffer by lr; Keras
    puts lr into the buffer (lr_in_momentum).
    """

    lr: Number = 1e-2
    elementwise = True
    conventions = {
        "torch": dict(lr=1e-3),
        "keras": KERAS | dict(lr=1e-2),
        "optax": dict(),
        "d2l": dict(lr=1e-2),
    }

    def direction(self, g, slots):
        return g
