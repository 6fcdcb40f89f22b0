"""AdaGrad and RMSprop follow a minimum that moves: AdaGrad stalls, RMSprop arrives.

The loss is ½·(w − c)², with noise in its gradient. After half of the steps, c jumps from 0 to
--jump. AdaGrad divides by the root of the sum of all squared gradients. Its steps are too small to
follow by then. RMSprop divides by the root of their moving average. Its steps keep their size.

    python examples/adagrad_vs_rmsprop.py --plot stall.png
"""

import argparse

import numpy as np
from command_line import argument_parser, positive_int_argument
from drawing import picture_file

from minigrad import Tensor, plotting
from minigrad.optimizers import AdaGrad, RMSprop


def parse() -> argparse.Namespace:
    parser = argument_parser(__doc__)
    add = parser.add_argument
    add("--steps", type=positive_int_argument, default=2000, help="number of steps (default: 2000)")
    add("--lr", type=float, default=0.05, help="learning rate of both optimizers (default: 0.05)")
    add("--jump", type=float, default=2.0, help="distance the minimum moves (default: 2)")
    add("--noise", type=float, default=0.5, help="size of the gradient's noise (default: 0.5)")
    add("--seed", type=int, default=0, help="seed of the noise (default: 0)")
    add("--plot", type=picture_file, metavar="FILE", help="draw w and effective lr to FILE")
    return parser.parse_args()


def train(
    optimizer_class: type, slot: str, lr: float, minima: np.ndarray, noise: np.ndarray
) -> np.ndarray:
    """Return w and the effective learning rate lr / (√v + ε) after each step: (steps, 2)."""
    w = Tensor(minima[-1:].copy(), requires_grad=True)
    optimizer = optimizer_class([w], lr=lr)
    rows = []
    for c, n in zip(minima, noise):
        loss = np.sum((w - c) ** 2 / 2 + n * w)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        (v,) = optimizer.slots["0"][slot]
        rows.append((w.data[0], lr / (np.sqrt(v) + optimizer.eps)))
    return np.array(rows)


def draw(minima: np.ndarray, runs: dict[str, np.ndarray]) -> object:
    figure = plotting.figure(2, 1, (6.4, 5.0))
    weight_ax, lr_ax = figure.axes
    weight_ax.plot(minima, "--", color=plotting.INK, label="minimum")
    for name, run in runs.items():
        weight_ax.plot(run[:, 0], label=name)
        lr_ax.plot(run[:, 1], label=name)
    lr_ax.set_yscale("log")
    plotting.label(weight_ax, "", "weight w", "The minimum moves after half of the steps")
    plotting.label(lr_ax, "step", "lr / (√v + ε)", "What multiplies the gradient", legend="")
    return figure


def main() -> None:
    args = parse()
    half = args.steps // 2
    minima = np.where(np.arange(args.steps) < half, 0.0, args.jump)
    noise = args.noise * np.random.default_rng(args.seed).standard_normal(args.steps)
    runs = {
        "AdaGrad": train(AdaGrad, "sum_of_squares", args.lr, minima, noise),
        "RMSprop": train(RMSprop, "mean_square", args.lr, minima, noise),
    }
    print(f"the minimum moves from 0 to {args.jump:g} after {half} of {args.steps} steps")
    errors = {name: np.abs(run[:, 0] - minima)[half:].mean() for name, run in runs.items()}
    for name, run in runs.items():
        print(
            f"{name:8} mean distance after the jump {errors[name]:.4f}, final w {run[-1, 0]:.4f}, "
            f"effective lr {run[half - 1, 1]:.4f} before the jump, {run[-1, 1]:.4f} at the end"
        )
    print(f"AdaGrad is {errors['AdaGrad'] / errors['RMSprop']:.1f} times as far from the minimum")
    if args.plot:
        plotting.save(draw(minima, runs), args.plot)


if __name__ == "__main__":
    main()
