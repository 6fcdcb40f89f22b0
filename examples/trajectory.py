"""Draw the paths of optimizers on a function of two variables.

--optimizer takes a name and, after a colon, hyperparameters as Python values. By default, lr is
--lr, and the other hyperparameters have the optimizer's own defaults. Without --optimizer, the
program runs four optimizers of a textbook.

    python examples/trajectory.py --plot paths.png
    python examples/trajectory.py --function rosenbrock --steps 500 --lr 0.02 --text \\
        --optimizer rmsprop --optimizer adam:beta1=0.8 --optimizer sgd:lr=0.001,momentum=0.9
"""

import argparse
from ast import literal_eval
from functools import partial

import numpy as np
from command_line import argument_parser, positive_int_argument
from drawing import draw_contours, draw_path, paths_as_text, picture_file, save_animation
from problems import PROBLEMS, Problem

from minigrad import Tensor, optimizers, plotting
from minigrad.utils import lookup

TEXTBOOK = (  # Zhang et al., "Dive into Deep Learning", chapter on optimization algorithms
    "rmsprop:eps=1e-6,eps_in_sqrt=True",
    "adagrad:lr=2.0,eps=1e-6,eps_in_sqrt=True",
    "sgd",
    "sgd:lr=0.6,momentum=0.5",
)


def parse() -> argparse.Namespace:
    parser = argument_parser(__doc__)
    add = parser.add_argument
    functions = f"one of {', '.join(PROBLEMS)}"
    add("--function", default="quadratic", type=problem_argument, help=functions)
    names = f"may be given several times; names: {', '.join(optimizers.available())}"
    form = "NAME:KEY=VALUE,…"
    add("--optimizer", action="append", type=optimizer_argument, metavar=form, help=names)
    add("--lr", type=float, default=0.4, help="learning rate (default: 0.4)")
    add("--steps", type=positive_int_argument, default=20, help="steps of each (default: 20)")
    add("--start", type=float, nargs=2, metavar=("X1", "X2"), help="default: the function's own")
    add("--text", action="store_true", help="draw the paths in the terminal")
    add("--plot", type=picture_file, metavar="FILE", help="draw the paths to FILE")
    gif_file = partial(picture_file, endings=[".gif"])
    add("--gif", type=gif_file, metavar="FILE", help="draw the paths as an animation to FILE")
    return parser.parse_args()


def problem_argument(name: str) -> Problem:
    try:
        return lookup("function", name, PROBLEMS)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def optimizer_argument(text: str) -> tuple[str, dict]:
    """Parse "sgd:lr=0.1" as (text, {"name": "sgd", "lr": 0.1}), and check the values."""
    name, _, rest = text.partition(":")
    try:
        pairs = (pair.split("=") for pair in rest.split(",") if rest)
        hyper = {key: literal_eval(value) for key, value in pairs}
        optimizers.get(name, **hyper)
    except (ValueError, TypeError, SyntaxError) as error:
        raise argparse.ArgumentTypeError(f"{text}: {error}") from error
    return text, {"name": name, **hyper}


def minimize(problem: Problem, start: tuple, steps: int, name: str, **hyper) -> np.ndarray:
    """Return the path (steps + 1, 2) from the start; a diverging path ends early."""
    w = Tensor(np.array(start, float), requires_grad=True)
    optimizer = optimizers.get(name, **hyper).bind([w])
    path = [w.data.copy()]
    for _ in range(steps):
        loss = problem(*w)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        path.append(w.data.copy())
        if np.hypot(*w.data) > 1e6:
            break
    return np.array(path)


def in_words(text: str) -> str:
    """Return "adagrad:lr=2.0,eps_in_sqrt=True" as "adagrad, lr 2.0, ε inside the root"."""
    words = text.replace("eps_in_sqrt=True", "ε inside the root").replace("eps=", "ε=")
    return words.replace(":", ", ").replace(",", ", ").replace("  ", " ").replace("=", " ")


def draw(problem: Problem, paths: dict[str, np.ndarray]) -> object:
    figure = plotting.figure(size=(6.4, 4.8))
    (ax,) = figure.axes
    draw_contours(ax, problem, problem.view, problem.minima)
    for name, path in paths.items():
        draw_path(ax, path, in_words(name))
    plotting.label(ax, "x₁", "x₂", f"{problem.f.__name__}: from ○ to ■", legend="below")
    return figure


def main() -> None:
    args = parse()
    problem, paths = args.function, {}
    start = args.start or problem.start
    for text, hyper in args.optimizer or map(optimizer_argument, TEXTBOOK):
        paths[text] = minimize(problem, start, args.steps, **{"lr": args.lr} | hyper)
    print(problem.f.__doc__.splitlines()[0])
    print(f"from {tuple(start)}, {args.steps} steps, lr {args.lr}:")
    for name, path in paths.items():
        (x1, x2), steps = path[-1], len(path) - 1
        distance = min(np.hypot(x1 - a, x2 - b) for a, b in problem.minima)
        end = f"x1: {x1:.6f}, x2: {x2:.6f}, f: {problem(x1, x2):.3g}, {distance:.3g} from a minimum"
        print(f"  {name:42} {end if steps == args.steps else f'diverged in {steps} steps'}")
    if args.text:
        print(paths_as_text(problem, problem.view, paths, problem.minima))
    if args.plot:
        plotting.save(draw(problem, paths), args.plot)
    if args.gif:
        save_animation(draw(problem, paths), args.gif, frames=max(map(len, paths.values())))


if __name__ == "__main__":
    main()
