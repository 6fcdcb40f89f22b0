"""How long RMSprop remembers: the weights of a leaky average.

    v ← γ·v + (1 − γ)·g²    is the sum of    (1 − γ)·γᵏ · g²    over gradients g, k steps old.

The weights add up to 1 − γⁿ over n steps, and half of the memory is younger than log ½ / log γ.

    python examples/leaky_average.py --gamma 0.95 0.9 0.8 0.7 --plot weights.png
"""

import argparse

import numpy as np

from minigrad import plotting
from minigrad.utils import count


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    kept = "share kept at each step, between 0 and 1 (default: 0.95 0.9 0.8 0.7)"
    add("--gamma", type=share, nargs="+", default=[0.95, 0.9, 0.8, 0.7], metavar="γ", help=kept)
    add("--steps", type=count, default=40, help="how far to look back (default: 40)")
    add("--plot", type=plotting.destination, metavar="FILE", help="draw the weights to FILE")
    return parser.parse_args()


def share(text: str) -> float:
    """A number between 0 and 1, for argparse."""
    if not 0 < float(text) < 1:
        raise argparse.ArgumentTypeError(f"a number between 0 and 1 is required, received {text}")
    return float(text)


def weights(gamma: float, steps: int) -> np.ndarray:
    return (1 - gamma) * gamma ** np.arange(steps)


def draw(gammas: list[float], steps: int) -> object:
    figure = plotting.figure()
    (ax,) = figure.axes
    for gamma in gammas:
        ax.plot(weights(gamma, steps), marker=".", label=f"γ = {gamma:g}")
    plotting.label(ax, "age k of a gradient (steps)", "weight (1 − γ)·γᵏ")
    return figure


def main() -> None:
    args = parse()
    print(f"     γ    newest    oldest  {f'sum of {args.steps}':>10}  half-life (steps)")
    for gamma in args.gamma:
        w = weights(gamma, args.steps)
        half_life = np.log(0.5) / np.log(gamma)
        print(f"{gamma:6g}  {w[0]:8.6f}  {w[-1]:8.6f}  {w.sum():10.6f}  {half_life:.2f}")
    if args.plot:
        plotting.save(draw(args.gamma, args.steps), args.plot)


if __name__ == "__main__":
    main()
