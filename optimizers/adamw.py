"""AdamW: Adam whose weight decay does not pass through the gradient."""

from .adam import Adam
from .hyperparameters import Number
from .registry import register


@register("adamw")
class AdamW(Adam):
    """u as Adam's        w ← w − lr·λ·w − lr·u

    Adam with decoupled weight decay: every weight shrinks at the same rate, whatever its gradients.

    >>> AdamW.as_in("keras")
    AdamW(lr=0.001, lr_in_momentum=True, weight_decay=0.004, eps=1e-07, eps_hat=True)

    Loshchilov & Hutter 2019. Frameworks differ in λ: 1e-2 in PyTorch, 4e-3 in Keras, 1e-4 in optax.
    """

    weight_decay: Number = 1e-2
    decoupled_weight_decay: bool = True
    conventions = {
        "torch": Adam.conventions["torch"] | dict(weight_decay=1e-2),
        "keras": Adam.conventions["keras"] | dict(weight_decay=4e-3),
        "optax": Adam.conventions["optax"] | dict(weight_decay=1e-4),
    }
