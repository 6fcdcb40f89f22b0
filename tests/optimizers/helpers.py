"""Helpers of the optimizers' tests: parameters, and steps on gradients of 1."""

import numpy as np

from minigrad.optimizers import Parameter


def parameter(*values, dtype=float):
    return Parameter(np.array(values, dtype))


def take_steps(optimizer, n=1):
    for _ in range(n):
        for p in optimizer.parameters.values():
            p.grad = np.ones_like(p.data)
        optimizer.step()


def weights_after(n, optimizer):
    take_steps(optimizer, n)
    return [p.data.tolist() for p in optimizer.parameters.values()]
