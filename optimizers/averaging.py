"""Averages of the weights, for evaluation: EMA forgets old weights, SWA counts all alike."""

import numpy as np

from .formulas import ema
from .registry import register
from .wrapper import Wrapper


@register("ema")
class EMA(Wrapper):
    """a ← ρ·a + (1 − ρ)·w after every step; a is evaluated.

    An exponential moving average of the weights. The inner optimizer trains as without it.

    a               the average, in the dtype of w; it starts as the w after the first step
    decay = ρ       the fraction of a that each step keeps

    >>> from minigrad.optimizers import SGD, Parameter
    >>> w = Parameter(np.array([2.0]), grad=np.array([1.0]))
    >>> optimizer = EMA(SGD([w], lr=0.5), decay=0.75)
    >>> for step in range(2):
    ...     optimizer.step()
    >>> with optimizer.evaluating():
    ...     print(w.data)
    [1.375]
    >>> w.data
    array([1.])

    Source: Polyak & Juditsky 1992. PyTorch's AveragedModel and Keras's use_ema compute the same;
    with float32 weights, Keras also rounds ρ to float32. At the end of `fit` Keras replaces the
    weights by a; here they stay the training weights.
    """

    decay: float = 0.999
    limits = {"decay": (0.0, 1.0, False)}

    def init(self, w):
        return {"average": w.copy(), "count": np.zeros((), np.int64)}

    def after_step(self, w, slots):
        slots["count"] += 1
        if slots["count"] == 1:
            slots["average"][...] = w
        else:
            ema(slots["average"], w, self.decay)

    def evaluation_weight(self, w, slots):
        return slots["average"] if slots["count"] else w


@register("swa")
class SWA(Wrapper):
    """a ← a + (w − a) / n, where w is the n-th that is averaged; a is evaluated.

    The mean of the weights after every k-th step from step s on. Until then w is evaluated.

    a               the average, in the dtype of w
    start = s       the number of steps before the average starts
    every = k       the number of steps from one averaged w to the next

    >>> from minigrad.optimizers import SGD
    >>> SWA(SGD(lr=0.1), start=1000, every=100)
    SWA(SGD(lr=0.1), start=1000, every=100)

    Source: Izmailov et al. 2018. The learning rate has to stay high or to be cyclic: give the
    inner optimizer such a schedule. PyTorch's AveragedModel computes the same mean.
    """

    start: int = 0
    every: int = 1
    limits = {"start": (0, np.inf, False), "every": (1, np.inf, False)}
    init, evaluation_weight = EMA.init, EMA.evaluation_weight

    def after_step(self, w, slots):
        since = self.steps - self.start
        if since > 0 and since % self.every == 0:
            slots["count"] += 1
            n = int(slots["count"])
            slots["average"][...] = w if n == 1 else slots["average"] + (w - slots["average"]) / n
