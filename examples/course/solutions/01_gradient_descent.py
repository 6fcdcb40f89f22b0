"""Solutions of lesson 1.

1. The largest lr for which the loss falls: 0.48. On a square bowl, gradient descent needs lr < 2/λ:
   λ is the largest curvature, the largest eigenvalue of the matrix of second derivatives 2/n·Xᵀ·X.
2. Steps until both numbers are within 0.01 of least squares: 27.
3. The distance of RMSprop from least squares: lr/2, in both numbers. Near the minimum v is small
   too, so the steps keep a length of lr: w jumps from one side of the minimum to the other.
"""

import numpy as np

from minigrad import Tensor
from minigrad.datasets import synthetic

rng = np.random.RandomState(0)
x, y = synthetic.linear(rng)
X = np.hstack([np.ones_like(x), x])
start = rng.standard_normal((2, 1))
best = np.linalg.lstsq(X, y, rcond=None)[0]


def descend(lr: float, steps: int, rmsprop: bool = False) -> tuple[np.ndarray, list[float]]:
    w, losses, v = Tensor(start.copy(), requires_grad=True), [], 0
    for _ in range(steps):
        loss = np.mean((X @ w - y) ** 2)
        loss.backward()
        if rmsprop:
            v = 0.9 * v + 0.1 * w.grad**2
            w.data -= lr * w.grad / np.sqrt(v + 1e-8)
        else:
            w.data -= lr * w.grad
        w.grad = None
        losses.append(loss.item())
    return w.data, losses


def exercise_1() -> float:
    """Return the largest lr of the slider for which the last loss is below the first."""
    slider = [i / 100 for i in range(1, 51)]
    losses = {lr: descend(lr, 50)[1] for lr in slider}
    return max(lr for lr in slider if losses[lr][-1] < losses[lr][0])


def exercise_2() -> int:
    """Return the smallest number of steps after which both errors are below 0.01."""
    steps = 1
    while np.abs(descend(0.4, steps)[0] - best).max() >= 0.01:
        steps += 1
    return steps


def exercise_3(lr: float) -> np.ndarray:
    """Return w after 1000 steps of RMSprop."""
    return descend(lr, 1000, rmsprop=True)[0]


def main() -> None:
    print(f"1. the largest lr is {exercise_1():.2f}")
    print(f"2. {exercise_2()} steps")
    for lr in (0.1, 0.05):
        w = exercise_3(lr)
        distance = np.abs(w - best).max()
        print(f"3. lr {lr}: w is {w[0, 0]:.6f}, {w[1, 0]:.6f}; distance {distance:.4f}")


if __name__ == "__main__":
    main()
