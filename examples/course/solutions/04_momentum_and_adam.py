"""Solutions of lesson 4.

1. The β for which the loss of momentum is smallest: 0.55.
2. Momentum with β = 0 and lr = 0.6: the steps across the valley become longer and longer, and w[1]
   ends at −1673. It ends at −0.126, −0.187 for β = 0.25, and at 0.007, 0.003 for β = 0.5.
3. The RMSprop with Adam's path: RMSprop(w, lr=lr, rho=0.999, bias_correction=True). With β = 0, m̂
   is g. Adam's β₂ is 0.999, and it corrects v.
"""

from collections.abc import Callable

import numpy as np

from minigrad import Tensor
from minigrad.optimizers import SGD, Adam, RMSprop


def valley(w0: np.ndarray, w1: np.ndarray) -> np.ndarray:
    return 0.1 * w0**2 + 2 * w1**2


def path(make: Callable, steps: int = 20) -> np.ndarray:
    """Return w at the start and after each step: (steps + 1, 2)."""
    w = Tensor(np.array([-5.0, -2.0]), requires_grad=True)
    optimizer = make([w])
    points = [w.data.copy()]
    for _ in range(steps):
        valley(w[0], w[1]).backward()
        optimizer.step()
        optimizer.zero_grad()
        points.append(w.data.copy())
    return np.array(points)


def momentum(lr: float, beta: float) -> np.ndarray:
    return path(lambda w: SGD(w, lr=lr, momentum=beta))


def exercise_1() -> float:
    """Return the β of the slider with the smallest loss."""
    slider = [i / 20 for i in range(20)]
    return min(slider, key=lambda beta: valley(*momentum(0.4, beta)[-1]))


def exercise_2() -> dict[float, np.ndarray]:
    """Return the last w for each β."""
    return {beta: momentum(0.6, beta)[-1] for beta in (0, 0.25, 0.5)}


def exercise_3() -> tuple[np.ndarray, np.ndarray]:
    """Return the paths of Adam and of RMSprop."""
    adam = path(lambda w: Adam(w, lr=0.4, beta1=0))
    return adam, path(lambda w: RMSprop(w, lr=0.4, rho=0.999, bias_correction=True))


def main() -> None:
    print(f"1. the loss is smallest for β = {exercise_1()}")
    for beta, w in exercise_2().items():
        print(f"2. β = {beta}: w is {w[0]:.6f}, {w[1]:.6f}")
    adam, rmsprop = exercise_3()
    print(f"3. largest difference of the paths: {np.abs(adam - rmsprop).max():.1e}")


if __name__ == "__main__":
    main()
