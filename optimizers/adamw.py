"""AdamW: Adam with decoupled weight decay."""

from .adam import Adam
from .hyperparameters import Number
from .registry import register


@register("adamw")
class AdamW(Adam):
    """w ← w − lr·λ·w − lr·u, with Adam's u.

    The decay does not pass through the gradient: all weights shrink at the same rate.

    weight_decay = λ    0.01 by default

    >>> AdamW.as_in("keras")
    AdamW(lr=0.001, lr_in_momentum=True, weight_decay=0.004, eps=1e-07, eps_hat=True)

    Source: Loshchilov & Hutter 2019. Frameworks differ in λ: 1e-2 in PyTorch, 4e-3 in Keras, 1e-4
    in optax.
    """

    weight_decay: Number = 1e-2
    decoupled_weight_decay: bool = True
    conventions = {
        "torch": Adam.conventions["torch"] | dict(weight_decay=1e-2),
        "keras": Adam.conventions["keras"] | dict(weight_decay=4e-3),
        "optax": Adam.conventions["optax"] | dict(weight_decay=1e-4),
    }
