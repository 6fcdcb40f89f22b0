"""Nonlinear least squares with few unknowns, by Levenberg and Marquardt."""

from collections.abc import Callable

import numpy as np


def levenberg_marquardt(
    residuals: Callable[[np.ndarray], np.ndarray], z: np.ndarray, goal: float, patience: int
) -> tuple[np.ndarray, np.ndarray]:
    """Search the z near which the residuals r(z) are smallest; return z and r(z).

    Stop as soon as max |r| ≤ goal, or after `patience` moves that make r hardly smaller.
    """
    units = np.eye(len(z))
    for unit in units:  # start from the best of seven distant values
        trials = [z + d * unit for d in (0, 1, -1, 2.5, -2.5, 5, -5)]
        z = min(trials, key=lambda z: np.log1p(residuals(z) ** 2).sum())
    r, damping, stalls = residuals(z), 1e-3, 0
    while len(z) and stalls < patience and np.abs(r).max() > goal:
        jacobian = np.stack([derivative(residuals, z, unit) for unit in units], axis=1)
        scale = np.linalg.norm(jacobian, axis=0) + 1e-300
        jacobian /= scale
        square = jacobian.T @ jacobian + (damping + 1e-12) * units
        move = np.linalg.solve(square, -jacobian.T @ r) / scale
        z_new = np.clip(z + np.clip(move, -3, 3), -30, 30)
        r_new = residuals(z_new)
        ratio = np.linalg.norm(r_new) / np.linalg.norm(r)
        stalls += int(ratio > 0.9)
        damping *= 0.1 if ratio < 1 else 10
        if ratio < 1:
            z, r = z_new, r_new
    return z, r


def derivative(
    residuals: Callable[[np.ndarray], np.ndarray], z: np.ndarray, unit: np.ndarray
) -> np.ndarray:
    """Return the derivative of the residuals in the direction of a unit vector."""
    for d in (0.01, 0.3):  # 1 % of a number; 30 % if rounding hides the effect of 1 %
        change = residuals(z + d * unit) - residuals(z - d * unit)
        if np.abs(change).max() > 30:
            break
    return change / (2 * d)
