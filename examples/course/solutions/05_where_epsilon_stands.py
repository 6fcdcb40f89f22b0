"""Solutions of lesson 5.

1. The smallest g with a step above 0.1·lr: 1e-4 for keras, 1e-8 for torch. In keras ε = 1e-7 stands
   inside the root: it acts like √1e-7 ≈ 3e-4. In torch ε = 1e-8 stands outside.
2. An eps for keras that gives the step of torch: eps=1e-16, for example. Inside the root, the ε of
   torch must be squared.
3. The convention of the run: d2l. ε = 1e-6 stands inside the root. The match shows no rho: it is
   the default, 0.9.
"""

import numpy as np

from minigrad import Tensor
from minigrad.optimizers import RMSprop, identify


def first_step(framework: str, g: float, **hyper: float) -> float:
    """Return the length of the first step, divided by lr."""
    w = Tensor(np.zeros(1), requires_grad=True)
    optimizer = RMSprop.as_in(framework, [w], **({"lr": 0.01, "rho": 0.9} | hyper))
    np.sum(g * w).backward()
    optimizer.step()
    return -w.data[0] / 0.01


def exercise_1(framework: str) -> float:
    """Return the smallest g of the slider whose first step is longer than 0.1·lr."""
    slider = [1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1]
    return min(g for g in slider if first_step(framework, g) > 0.1)


def exercise_2() -> tuple[float, float]:
    """Return the first steps of torch, and of keras with another ε."""
    return first_step("torch", 1e-5), first_step("keras", 1e-5, eps=1e-16)


def exercise_3() -> object:
    """Return the best match."""
    w = [1.0, 0.9990004996253122, 0.9970053816910289, 0.9980026876173181]
    w += [0.9950232771954959, 0.9940299508397502]
    gradients = [1e-4, 2e-4, -1e-4, 3e-4, 1e-4]
    return identify(w, gradients, lr=0.01)[0]


def main() -> None:
    print(f"1. keras {exercise_1('keras'):g}, torch {exercise_1('torch'):g}")
    torch, keras = exercise_2()
    print(f"2. torch {torch:.4f}, keras {keras:.4f}")
    print(f"3. {exercise_3()}")


if __name__ == "__main__":
    main()
