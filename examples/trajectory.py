"""The paths of optimizers down a function of two variables.

Each --optimizer is a name, with hyperparameters after a colon as Python writes them; the others
are --lr and the optimizer's own defaults. Without any, the textbook's four are shown.

    python examples/trajectory.py --plot paths.png
    python examples/trajectory.py --function rosenbrock --steps 500 --lr 0.02 --text \\
        --optimizer rmsprop --optimizer adam:beta1=0.8 --optimizer sgd:lr=0.001,momentum=0.9
"""

import argparse
from ast import literal_eval
from pathlib import Path

import numpy as np

from minigrad import Tensor, optimizers, plotting
from minigrad.datasets.problems import PROBLEMS, Problem
from minigrad.utils import count, lookup

TEXTBOOK = (  # Zhang et al., "Dive into Deep Learning", chapter on optimization algorithms
    "rmsprop:eps=1e-6,eps_in_sqrt=True",
    "adagrad:lr=2.0,eps=1e-6,eps_in_sqrt=True",
    "sgd",
    "sgd:lr=0.6,momentum=0.5",
)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--function", default="quadratic", type=function, help=f"one of {', '.join(PROBLEMS)}")
    names = f"may be given several times; names: {', '.join(optimizers.available())}"
    add("--optimizer", action="append", type=settings, metavar="NAME:KEY=VALUE,…", help=names)
    add("--lr", type=float, default=0.4, help="learning rate (default: 0.4)")
    add("--steps", type=count, default=20, help="steps of each optimizer (default: 20)")
    add("--start", type=float, nargs=2, metavar=("X1", "X2"), help="default: the function's own")
    add("--text", action="store_true", help="draw the paths in the terminal")
    add("--plot", type=plotting.destination, metavar="FILE", help="draw the paths to FILE")
    add("--gif", type=moving, metavar="FILE", help="draw them moving to FILE")
    return parser.parse_args()


def moving(path: str) -> Path | None:
    return plotting.destination(path, endings=[".gif"])


def function(name: str) -> Problem:
    try:
        return lookup("function", name, PROBLEMS)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def settings(text: str) -> tuple[str, dict]:
    """The text and its meaning, tried out: sgd:lr=0.1 is {"optimizer": "sgd", "lr": 0.1}."""
    name, _, rest = text.partition(":")
    try:
        pairs = (pair.split("=") for pair in rest.split(",") if rest)
        hyper = {key: literal_eval(value) for key, value in pairs}
        optimizers.get(name, **hyper)
    except (ValueError, TypeError, SyntaxError) as error:
        raise argparse.ArgumentTypeError(f"{text}: {error}") from error
    return text, {"optimizer": name, **hyper}


def descend(problem: Problem, start: tuple, steps: int, optimizer: str, **hyper) -> np.ndarray:
    """The path (steps + 1, 2) from start; it ends early where it is lost in the distance."""
    w = Tensor(np.array(start, float), requires_grad=True)
    rule = optimizers.get(optimizer, **hyper).bind([w])
    path = [w.data.copy()]
    for _ in range(steps):
        loss = problem(*w)
        loss.backward()
        rule.step()
        rule.zero_grad()
        path.append(w.data.copy())
        if np.hypot(*w.data) > 1e6:
            break
    return np.array(path)


def draw(problem: Problem, paths: dict[str, np.ndarray]) -> object:
    figure = plotting.figure(size=(6.4, 4.8))
    (ax,) = figure.axes
    plotting.contour(ax, problem, problem.view, problem.minima)
    for name, path in paths.items():
        plotting.path(ax, path, name)
    plotting.label(ax, "x₁", "x₂", f"{problem.f.__name__}: start ○, end ■", legend="below")
    return figure


def main() -> None:
    args = parse()
    problem, paths = args.function, {}
    start = args.start or problem.start
    for text, hyper in args.optimizer or map(settings, TEXTBOOK):
        paths[text] = descend(problem, start, args.steps, **{"lr": args.lr} | hyper)
    print(f"{problem.f.__doc__}\nfrom {tuple(start)}, {args.steps} steps, lr {args.lr}:")
    for name, path in paths.items():
        (x1, x2), steps = path[-1], len(path) - 1
        off = min(np.hypot(x1 - a, x2 - b) for a, b in problem.minima)
        end = f"x1: {x1:.6f}, x2: {x2:.6f}, f: {problem(x1, x2):.3g}, {off:.3g} from a minimum"
        print(f"  {name:42} {end if steps == args.steps else f'diverged in {steps} steps'}")
    if args.text:
        print(plotting.text_paths(problem, problem.view, paths, problem.minima))
    if args.plot:
        plotting.save(draw(problem, paths), args.plot)
    if args.gif:
        plotting.animate(draw(problem, paths), args.gif, frames=max(map(len, paths.values())))


if __name__ == "__main__":
    main()
