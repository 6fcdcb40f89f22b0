"""Print the weights that RMSprop's moving average gives to old gradients.

    v ← ρ·v + (1 − ρ)·g²    is the sum of    (1 − ρ)·ρᵏ · g²    over gradients g, k steps old.

The weights of n steps add up to 1 − ρⁿ. The newest log ½ / log ρ steps have half of the weight.

    python examples/leaky_average.py --rho 0.95 0.9 0.8 0.7 --plot weights.png
"""

import argparse

import numpy as np
from command_line import argument_parser, positive_int_argument
from drawing import picture_file

from minigrad import plotting


def parse() -> argparse.Namespace:
    parser = argument_parser(__doc__)
    add = parser.add_argument
    about = "decay rates, between 0 and 1 (default: 0.95 0.9 0.8 0.7)"
    default = [0.95, 0.9, 0.8, 0.7]
    add("--rho", "--gamma", type=fraction, nargs="+", default=default, metavar="ρ", help=about)
    add("--steps", type=positive_int_argument, default=40, help="number of weights (default: 40)")
    add("--plot", type=picture_file, metavar="FILE", help="draw the weights to FILE")
    return parser.parse_args()


def fraction(text: str) -> float:
    """Parse a number between 0 and 1: a `type` for argparse."""
    if not 0 < float(text) < 1:
        raise argparse.ArgumentTypeError(f"a number between 0 and 1 is required, received {text}")
    return float(text)


def weights(rho: float, steps: int) -> np.ndarray:
    """Return (1 − ρ)·ρᵏ for k = 0 … steps − 1."""
    return (1 - rho) * rho ** np.arange(steps)


def draw(rhos: list[float], steps: int) -> object:
    figure = plotting.figure()
    (ax,) = figure.axes
    for rho in rhos:
        ax.plot(weights(rho, steps), marker=".", label=f"ρ = {rho:g}")
    plotting.label(ax, "age k of a gradient (steps)", "weight (1 − ρ)·ρᵏ", "What v remembers")
    return figure


def main() -> None:
    args = parse()
    print(f"     ρ    newest    oldest  {f'sum of {args.steps}':>10}  half-life (steps)")
    for rho in args.rho:
        w = weights(rho, args.steps)
        half_life = np.log(0.5) / np.log(rho)
        print(f"{rho:6g}  {w[0]:8.6f}  {w[-1]:8.6f}  {w.sum():10.6f}  {half_life:.2f}")
    if args.plot:
        plotting.save(draw(args.rho, args.steps), args.plot)


if __name__ == "__main__":
    main()
