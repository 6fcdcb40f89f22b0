"""Fit a line to noisy points with RMSprop; with a constant lr, it ends in a cycle.

RMSprop divides each gradient by its recent size. Near the minimum, gradients are small, but the
steps remain about lr long. So the parameters jump back and forth, lr/2 away from the minimum. With
--schedule, the program also trains with a learning rate that falls to 0. It reaches the minimum.

    python examples/linear_regression.py --schedule --plot line.png
"""

import argparse

import numpy as np
from command_line import argument_parser, positive_int_argument
from drawing import draw_contours, draw_path, picture_file

from minigrad import Tensor, plotting
from minigrad.datasets import synthetic
from minigrad.optimizers import RMSprop
from minigrad.optimizers.schedules import CosineDecay


def parse() -> argparse.Namespace:
    parser = argument_parser(__doc__)
    add = parser.add_argument
    add("--steps", type=positive_int_argument, default=1000, help="number of steps (default: 1000)")
    add("--lr", type=float, default=0.1, help="learning rate (default: 0.1)")
    add("--schedule", action="store_true", help="also train with an lr that falls to 0 as a cosine")
    add("--plot", type=picture_file, metavar="FILE", help="draw the line and the paths to FILE")
    return parser.parse_args()


def train(x: np.ndarray, y: np.ndarray, start: np.ndarray, lr: object, steps: int) -> np.ndarray:
    """Return intercept and slope at the start and after each step: (steps + 1, 2)."""
    theta = Tensor(start.copy(), requires_grad=True)
    optimizer = RMSprop([theta], lr=lr, rho=0.9, eps=1e-8, eps_in_sqrt=True)
    path = [theta.data.copy()]
    for _ in range(steps):
        loss = np.mean((x @ theta - y) ** 2)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        path.append(theta.data.copy())
    return np.squeeze(path, axis=2)


def draw(x: np.ndarray, y: np.ndarray, best: np.ndarray, paths: dict[str, np.ndarray]) -> object:
    def loss(intercept: np.ndarray, slope: np.ndarray) -> np.ndarray:
        return np.mean([(intercept + slope * a - b) ** 2 for a, b in zip(x[:, 1], y[:, 0])], axis=0)

    figure = plotting.figure(1, 3, (10.5, 3.4))
    line, whole, end = figure.axes
    line.plot(x[:, 1], y, "o", markersize=3, color=plotting.INK, alpha=0.7, label="data")
    intercept, slope = list(paths.values())[-1][-1]
    line.plot([0, 2], [intercept, intercept + 2 * slope], label="fitted line")
    plotting.label(line, "x", "y", "the line")
    left, right, bottom, top = np.repeat(best, 2)
    draw_contours(whole, loss, (left - 6, right + 2, bottom - 6, top + 2), [best])
    draw_contours(end, loss, (left - 0.12, right + 0.12, bottom - 0.12, top + 0.12), [best])
    for name, path in paths.items():
        draw_path(whole, path, name)
        end.plot(*path[-41:].T, ".-", label=name)
    for ax, title in (whole, "its path over the loss"), (end, "the last 40 steps"):
        plotting.label(ax, "intercept", "slope", title, legend="lower right")
    return figure


def main() -> None:
    args = parse()
    rng = np.random.RandomState(0)  # the same numbers as after np.random.seed(0)
    x, y = synthetic.linear(rng)
    x = np.hstack([np.ones_like(x), x])
    start = rng.standard_normal((2, 1))
    rates = {"constant lr": args.lr}
    if args.schedule:
        rates["falling lr"] = CosineDecay(args.lr, args.steps)
    paths = {name: train(x, y, start, lr, args.steps) for name, lr in rates.items()}
    best = np.linalg.lstsq(x, y, rcond=None)[0][:, 0]
    for name, path in paths.items():
        error = np.abs(path[-20:] - best).max()
        print(f"{name:13} intercept {path[-1, 0]:.12f}  slope {path[-1, 1]:.12f}", end="  ")
        print(f"largest error of the last 20 steps {error:.2g}")
    print(f"least squares intercept {best[0]:.12f}  slope {best[1]:.12f}  lr/2 is {args.lr / 2:g}")
    if args.plot:
        plotting.save(draw(x, y, best, paths), args.plot)


if __name__ == "__main__":
    main()
