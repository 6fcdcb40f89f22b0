"""Helpers of the engine's tests."""

import re

import numpy as np

from minigrad import Tensor, grad


def leaf(values, dtype=np.float64):
    """Return a tensor that requires a gradient."""
    return Tensor(np.asarray(values, dtype), requires_grad=True)


def gradients(f, *points):
    """Return ∂Σf/∂point as lists: one list for one point, else a list for each."""
    leaves = [leaf(x) for x in points]
    found = [g.tolist() for g in grad(np.sum(f(*leaves)), leaves)]
    return found[0] if len(found) == 1 else found


def ids_of(table):
    """Return an id for each row: the words of its last entry, the expected message."""
    return [re.sub(r"\W+", " ", row[-1]).strip()[:50] for row in table]
