"""keras.regularizers: minigrad's L1L2 under Keras's names."""

from typing import Any

from ..regularizers import L1L2, l1, l2
from ..utils import lookup

L1, L2, l1_l2, Regularizer = l1, l2, L1L2, L1L2
BY_NAME = {"l1": l1(), "l2": l2(), "l1l2": L1L2()}


def get(identifier: Any) -> Any:
    """Return a regularizer by its name, anything else as it is."""
    return lookup("regularizer", identifier, BY_NAME) if isinstance(identifier, str) else identifier
