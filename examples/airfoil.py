"""Train a linear model with five optimizers: each written in NumPy, and taken from the library.

The data are 1,500 standardised measurements of the noise of an airfoil, as in Zhang et al., "Dive
into Deep Learning", chapter on optimization algorithms. Least squares gives the exact minimum. The
program downloads the data once. If the folder MINIGRAD_DATA has them, it downloads nothing.

    python examples/airfoil.py --plot airfoil.png
"""

import argparse

import numpy as np
from command_line import argument_parser, positive_int_argument
from drawing import picture_file

from minigrad import Tensor, optimizers, plotting
from minigrad.datasets import airfoil, batches

# From scratch: rule(w, gradient g, state s, learning rate, number of the step t) → new w and state


def sgd(w, g, s, lr, t):
    return w - lr * g, s


def momentum(w, g, s, lr, t):
    s = 0.9 * s + g
    return w - lr * s, s


def adagrad(w, g, s, lr, t):
    s = s + g**2
    return w - lr * g / np.sqrt(s + 1e-6), s


def rmsprop(w, g, s, lr, t):
    s = 0.9 * s + 0.1 * g**2
    return w - lr * g / np.sqrt(s + 1e-6), s


def adam(w, g, s, lr, t):
    m, v = s if t > 1 else (0, 0)
    m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
    return w - lr * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-6), (m, v)


HEADER = "                     from scratch    library   textbook"
TABLE = {  # rule, learning rate, the library's name and hyperparameters, the textbook's loss
    "SGD": (sgd, 0.05, ("sgd", {}), 0.243),
    "momentum": (momentum, 0.005, ("sgd", {"momentum": 0.9}), 0.245),
    "AdaGrad": (adagrad, 0.1, ("adagrad", {"eps": 1e-6, "eps_in_sqrt": True}), 0.243),
    "RMSProp": (rmsprop, 0.01, ("rmsprop", {"eps": 1e-6, "eps_in_sqrt": True}), 0.245),
    "Adam": (adam, 0.01, ("adam", {"eps": 1e-6}), 0.246),
}


def parse() -> argparse.Namespace:
    parser = argument_parser(__doc__)
    add = parser.add_argument
    add("--epochs", type=positive_int_argument, default=2, help="passes over the data (default: 2)")
    add("--seed", type=int, default=0, help="seed of the first w and of the batches (default: 0)")
    add("--plot", type=picture_file, metavar="FILE", help="draw the loss after each step to FILE")
    return parser.parse_args()


def load() -> tuple[np.ndarray, np.ndarray]:
    """Return x (1500, 6), with a column of ones, and y (1500, 1), standardised over 1,503 rows."""
    table = np.column_stack(airfoil.load_data())
    table = (table - table.mean(axis=0)) / table.std(axis=0)
    return np.column_stack([table[:1500, :5], np.ones(1500)]), table[:1500, 5:]


def half_mse(w, x, y):
    return np.mean((x @ w - y) ** 2) / 2


def train(x, y, args, rule, lr: float, optimizer=None) -> np.ndarray:
    """Return the loss over all data at the start and after each step.

    With an optimizer, the optimizer updates w; without one, the rule does.
    """
    rng, state = np.random.default_rng(args.seed), 0.0
    w = Tensor(np.append(rng.normal(0, 0.01, 5), 0)[:, None], requires_grad=True)
    losses = [half_mse(w.data, x, y)]
    for _ in range(args.epochs):
        for xs, ys in batches(x, y, 10, rng):
            if optimizer is None:
                g = xs.T @ (xs @ w.data - ys) / len(xs)
                w.data, state = rule(w.data, g, state, lr, len(losses))
            else:
                half_mse(w, xs, ys).backward()
                optimizer.bind([w]).step()
                optimizer.zero_grad()
            losses.append(half_mse(w.data, x, y))
    return np.array(losses)


def draw(curves: dict[str, np.ndarray], best: float, epochs: int) -> object:
    figure = plotting.figure(size=(6.4, 3.8))
    ax = figure.axes[0]
    for name, losses in curves.items():
        ax.plot(np.linspace(0, epochs, len(losses)), losses, linewidth=1.2, label=name)
    ax.axhline(best, color=plotting.INK, linestyle="--", label="least squares")
    ax.set_ylim(0.235, 0.35)
    plotting.label(ax, "epoch", "loss ½(ŷ − y)² over all data", legend="upper right")
    return figure


def main() -> None:
    args = parse()
    (x, y), curves = load(), {}
    best = half_mse(np.linalg.lstsq(x, y, rcond=None)[0], x, y)
    print(f"exact minimum {best:.12f}; loss after {args.epochs} epochs:\n{HEADER}")
    for name, (rule, lr, (registered, hyper), textbook) in TABLE.items():
        scratch = train(x, y, args, rule, lr)
        curves[name] = train(x, y, args, rule, lr, optimizers.get(registered, lr=lr, **hyper))
        print(f"{name:9} lr {lr:<10} {scratch[-1]:13.6f} {curves[name][-1]:10.6f} {textbook:10.3f}")
    if args.plot:
        plotting.save(draw(curves, best, args.epochs), args.plot)


if __name__ == "__main__":
    main()
