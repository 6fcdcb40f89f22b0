"""Solutions of lesson 2.

1. The latest jump after which w reaches 1.1: at step 200. After a longer wait r is too large.
2. The effective learning rate after 100 steps with g = 1: 0.01. After t steps, r is t: it is
   lr / √t.
3. AdaGrad with r ← 0.9·r + g² follows: old gradients fade. RMSprop has v ← 0.9·v + 0.1·g², so v is
   0.1·r. It divides by √0.1·√r, so its lr must be √0.1·0.1 = 0.0316.
"""

import numpy as np

from minigrad import Tensor
from minigrad.optimizers import AdaGrad, RMSprop


def follow(
    jump: int, optimizer: AdaGrad | RMSprop, forget: bool = False, noise: float = 0.5
) -> np.ndarray:
    """Return w after each step: (jump + 100,)."""
    rng = np.random.default_rng(0)
    w = Tensor(np.zeros(1), requires_grad=True)
    optimizer.bind([w])
    path = []
    for step in range(jump + 100):
        c = 0.0 if step < jump else 2.0
        loss = np.sum((w - c) ** 2 / 2 + noise * rng.standard_normal() * w)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if forget:
            optimizer.slots["0"]["sum_of_squares"] *= 0.9
        path.append(w.data[0])
    return np.array(path)


def exercise_1() -> int:
    """Return the latest jump of the slider after which w reaches 1.1."""
    jumps = range(0, 501, 50)
    return max(jump for jump in jumps if follow(jump, AdaGrad(lr=0.1))[-1] > 1.1)


def exercise_2() -> float:
    """Return the effective learning rate after 100 steps with g = 1."""
    w = Tensor(np.zeros(1), requires_grad=True)
    optimizer = AdaGrad([w], lr=0.1)
    for _ in range(100):
        np.sum(w).backward()
        optimizer.step()
        optimizer.zero_grad()
    (r,) = optimizer.slots["0"]["sum_of_squares"]
    return 0.1 / (np.sqrt(r) + optimizer.eps)


def exercise_3() -> tuple[np.ndarray, np.ndarray]:
    """Return the paths of AdaGrad that forgets and of RMSprop."""
    adagrad = follow(500, AdaGrad(lr=0.1), forget=True)
    return adagrad, follow(500, RMSprop(lr=0.1 * np.sqrt(1 - 0.9), rho=0.9))


def main() -> None:
    print(f"1. the latest jump is at step {exercise_1()}")
    print(f"2. the effective learning rate is {exercise_2():.4f}")
    adagrad, rmsprop = exercise_3()
    print(f"3. AdaGrad that forgets ends at {adagrad[-1]:.4f}, RMSprop at {rmsprop[-1]:.4f}")
    print(f"   largest difference of the paths: {np.abs(adagrad - rmsprop).max():.1e}")


if __name__ == "__main__":
    main()
