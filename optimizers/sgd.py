"""Gradient descent, with and without momentum: the first optimizer to read."""

from .formulas import KERAS
from .hyperparameters import Number
from .optimizer import Optimizer
from .registry import register


@register("sgd")
class SGD(Optimizer):
    """u = g

    Gradient descent; momentum, Nesterov's too, is the base class's (see Optimizer).

    >>> import numpy as np
    >>> from minigrad.optimizers import Parameter
    >>> w = Parameter(np.array([1.0]), grad=np.array([2.0]))
    >>> SGD([w], lr=0.1).step()
    >>> w.data
    array([0.8])

    Robbins & Monro 1951; Polyak 1964; Sutskever et al. 2013. With a changing lr the frameworks
    differ: PyTorch and optax keep lr outside the momentum buffer, Keras inside (lr_in_momentum).
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
