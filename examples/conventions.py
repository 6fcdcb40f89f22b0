"""Run RMSprop in six conventions: where ε stands matters if gradients are small.

The loss is ½·s·w², and w starts at 1, so gradients are at most s = 1e-5. An ε of 1e-8 outside the
root is negligible beside them. Inside the root, it acts like √1e-8 = 1e-4: ten times the largest
gradient.

    python examples/conventions.py --plot conventions.png
"""

import argparse

import numpy as np
from command_line import argument_parser, positive_int_argument
from drawing import picture_file

from minigrad import Tensor, plotting
from minigrad.optimizers import RMSprop


def parse() -> argparse.Namespace:
    parser = argument_parser(__doc__)
    add = parser.add_argument
    add("--lr", type=float, default=0.01, help="learning rate of all (default: 0.01)")
    add("--rho", type=float, default=0.9, help="decay rate ρ of all (default: 0.9)")
    add("--scale", type=float, default=1e-5, help="size s of the gradients (default: 1e-5)")
    add("--steps", type=positive_int_argument, default=300, help="steps of each (default: 300)")
    add("--plot", type=picture_file, metavar="FILE", help="draw w after each step to FILE")
    return parser.parse_args()


def minimize(framework: str, args: argparse.Namespace) -> tuple[np.ndarray, str]:
    """Return w (steps + 1,) under that framework's convention, and the optimizer's explanation."""
    w = Tensor(np.array([1.0]), requires_grad=True)
    optimizer = RMSprop.as_in(framework, [("w", w)], lr=args.lr, rho=args.rho)
    path = [1.0]
    for _ in range(args.steps):
        loss = np.sum(args.scale / 2 * w**2)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        path.append(w.data[0])
    return np.array(path), optimizer.explain()


def draw(paths: dict[str, np.ndarray]) -> object:
    figure = plotting.figure(size=(6.4, 3.8))
    (ax,) = figure.axes
    for (name, path), dash in zip(paths.items(), ("-", "-", "--", "-", "-", "--")):
        ax.plot(path, dash, label=name)
    plotting.label(ax, "step", "w (the minimum is at 0)", "RMSprop in six conventions")
    return figure


def main() -> None:
    args = parse()
    runs = {name: minimize(name, args) for name in RMSprop.conventions}
    for name, (_, explanation) in runs.items():
        print(f"{name}:\n{explanation}\n")
    print(f"gradient {args.scale:g}, lr {args.lr:g}, ρ {args.rho:g}")
    print(f"{'':8}  first step / lr   w after {args.steps} steps")
    for name, (path, _) in runs.items():
        print(f"{name:8}  {(path[0] - path[1]) / args.lr:15.4g}   {path[-1]:.6f}")
    if args.plot:
        plotting.save(draw({name: path for name, (path, _) in runs.items()}), args.plot)


if __name__ == "__main__":
    main()
