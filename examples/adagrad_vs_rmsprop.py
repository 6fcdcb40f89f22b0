"""AdaGrad stalls where RMSprop follows: the optimum moves half-way, as it does in language.

The loss is ½·(w − c)², its gradient noisy; c jumps from 0 to --jump. AdaGrad divides by the root of
the sum of all squared gradients so far, and by then takes steps too small to follow; RMSprop
divides by the root of their fading mean, and its steps stay as they were.

    python examples/adagrad_vs_rmsprop.py --plot stall.png
"""

import argparse

import numpy as np

from minigrad import Tensor, plotting
from minigrad.optimizers import AdaGrad, RMSprop
from minigrad.utils import count


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--steps", type=count, default=2000, help="steps in all (default: 2000)")
    add("--lr", type=float, default=0.05, help="learning rate of both (default: 0.05)")
    add("--jump", type=float, default=2.0, help="how far the optimum moves (default: 2)")
    add("--noise", type=float, default=0.5, help="size of the gradient's noise (default: 0.5)")
    add("--seed", type=int, default=0, help="fixes the noise (default: 0)")
    add("--plot", type=plotting.destination, metavar="FILE", help="draw both over time to FILE")
    return parser.parse_args()


def follow(rule: type, slot: str, lr: float, optima: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """(steps, 2): w, and the effective learning rate lr / (√v + ε), after each step."""
    w = Tensor(optima[-1:].copy(), requires_grad=True)
    optimizer = rule([w], lr=lr)
    rows = []
    for c, n in zip(optima, noise):
        loss = np.sum((w - c) ** 2 / 2 + n * w)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        (v,) = optimizer.slots["0"][slot]
        rows.append((w.data[0], lr / (np.sqrt(v) + optimizer.eps)))
    return np.array(rows)


def draw(optima: np.ndarray, runs: dict[str, np.ndarray]) -> object:
    figure = plotting.figure(2, 1, (6.4, 5.0))
    where, rate = figure.axes
    where.plot(optima, "--", color=plotting.INK, label="optimum")
    for name, run in runs.items():
        where.plot(run[:, 0], label=name)
        rate.plot(run[:, 1], label=name)
    rate.set_yscale("log")
    plotting.label(where, "", "w")
    plotting.label(rate, "step", "lr / (√v + ε)", legend="")
    return figure


def main() -> None:
    args = parse()
    half = args.steps // 2
    optima = np.where(np.arange(args.steps) < half, 0.0, args.jump)
    noise = args.noise * np.random.default_rng(args.seed).standard_normal(args.steps)
    runs = {
        rule.__name__: follow(rule, slot, args.lr, optima, noise)
        for rule, slot in ((AdaGrad, "sum_of_squares"), (RMSprop, "mean_square"))
    }
    print(f"the optimum moves from 0 to {args.jump:g} after {half} of {args.steps} steps")
    errors = {name: np.abs(run[:, 0] - optima)[half:].mean() for name, run in runs.items()}
    for name, run in runs.items():
        print(
            f"{name:8} mean distance since {errors[name]:.4f}, w at the end {run[-1, 0]:.4f}, "
            f"effective lr {run[half - 1, 1]:.4f} before, {run[-1, 1]:.4f} at the end"
        )
    print(f"AdaGrad is {errors['AdaGrad'] / errors['RMSprop']:.1f} times as far away")
    if args.plot:
        plotting.save(draw(optima, runs), args.plot)


if __name__ == "__main__":
    main()
