"""Solutions of lesson 3.

1. The largest ρ for which u is above 0.9 in step 160: 0.9. After k steps with g = 1, v is
   1 + 99·ρᵏ.
2. The length of the first step: 10, because v is 0.01·g², so u is 1 / √0.01. With the correction it
   is 1, for every ρ.
3. The end of the path of 20 steps: −0.010599, 0.000000, as in the book.
"""

import numpy as np

from minigrad import Tensor
from minigrad.optimizers import RMSprop


def directions(**hyper: float) -> np.ndarray:
    """Return u of every step."""
    w = Tensor(np.zeros(1), requires_grad=True)
    optimizer = RMSprop([w], lr=1.0, **hyper)
    us = []
    for step in range(300):
        before = w.data[0]
        np.sum((10.0 if step < 100 else 1.0) * w).backward()
        optimizer.step()
        optimizer.zero_grad()
        us.append(before - w.data[0])
    return np.array(us)


def exercise_1() -> float:
    """Return the largest ρ of the slider for which u is above 0.9 in step 160."""
    slider = [0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999]
    return max(rho for rho in slider if directions(rho=rho)[160] > 0.9)


def exercise_2() -> tuple[float, float]:
    """Return the length of the first step without and with the correction."""
    return directions(rho=0.99)[0], directions(rho=0.99, bias_correction=True)[0]


def exercise_3() -> np.ndarray:
    """Return w after 20 steps."""
    w = Tensor(np.array([-5.0, -2.0]), requires_grad=True)
    optimizer = RMSprop([w], lr=0.4, rho=0.9, eps=1e-6, eps_in_sqrt=True)
    for _ in range(20):
        loss = 0.1 * w[0] ** 2 + 2 * w[1] ** 2
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return w.data


def main() -> None:
    print(f"1. the largest ρ is {exercise_1()}")
    without, corrected = exercise_2()
    print(f"2. the first step is {without:.2f} long, with the correction {corrected:.2f}")
    w = exercise_3()
    print(f"3. w is {w[0]:.6f}, {w[1]:.6f}")


if __name__ == "__main__":
    main()
