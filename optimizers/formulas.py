"""What the rules share: a fading mean, a root with ε, and what all of Keras's optimizers do."""

import numpy as np

KERAS = dict(lr_in_momentum=True, decoupled_weight_decay=True)


def ema(mean: np.ndarray, x: np.ndarray, rho: float) -> np.ndarray:
    """mean ← ρ·mean + (1 − ρ)·x in place: an exponential moving average, the fading memory."""
    mean *= rho
    mean += (1 - rho) * x
    return mean


def root(v: np.ndarray, eps: float, eps_in_sqrt: bool) -> np.ndarray:
    """√v + ε, or √(v + ε): the one line about which the frameworks differ most."""
    return np.sqrt(v + eps) if eps_in_sqrt else np.sqrt(v) + eps


def flush_subnormals(slots: dict[str, np.ndarray]) -> None:
    """Let what has faded below the normal range be 0: such numbers slow the processor down."""
    for slot in slots.values():
        if slot.dtype.kind == "f" and slot.itemsize > 2:  # a float16 of 1e-5 has not faded
            slot[np.abs(slot) < np.finfo(slot.dtype).tiny] = 0
