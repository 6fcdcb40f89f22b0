"""Compare the optimizers in examples/optimizers/ with those of the library, each at its best lr.

All of them train the same small network on the same batches of three spirals. For each optimizer,
the program tries the learning rates of a grid. It keeps the one with the lowest validation loss in
the last quarter of the steps, and shows its loss on other points, the test points. Both are losses
of the weights for evaluation. SAM computes two gradients in each step, the others one.

    python examples/zoo.py --plot zoo.png
    python examples/zoo.py --batch-size 300
"""

import argparse
import runpy
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from command_line import argument_parser, positive_int_argument, seed_argument
from drawing import BLUE, VERMILLION, picture_file

from minigrad import Tensor, no_grad, optimizers, plotting
from minigrad.datasets import synthetic
from minigrad.functional import cross_entropy
from minigrad.layers import Dense
from minigrad.models import Sequential

LIBRARY = ("sgd", "rmsprop", "adam")
GRID = (3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003)
POINTS, COLUMNS = 40, 5  # of each curve; of the picture
Data = tuple[np.ndarray, np.ndarray]
Sets = tuple[Data, Data, Data]  # for training, validation and test


def parse() -> argparse.Namespace:
    parser = argument_parser(__doc__)
    add = parser.add_argument
    add("--steps", type=positive_int_argument, default=200, help="steps of each run (200)")
    add("--batch-size", type=positive_int_argument, default=30, help="examples per step (30)")
    uses = "seed of data, parameters and batches (default: 0)"
    add("--seed", type=seed_argument, default=0, help=uses)
    add("--plot", type=picture_file, metavar="FILE", help="draw the losses to FILE")
    return parser.parse_args()


def load_plug_ins() -> list[str]:
    """Run the files in examples/optimizers/; return the names that they register."""
    files = Path(__file__).with_name("optimizers").glob("*.py")
    defined = [thing for file in files for thing in runpy.run_path(str(file)).values()]
    return [name for name in optimizers.available() if type(optimizers.get(name)) in defined]


def batches_of(data: Data, size: int, steps: int, rng: np.random.Generator) -> Iterator[Data]:
    for _ in range(steps):
        chosen = rng.permutation(len(data[0]))[:size]
        yield data[0][chosen], data[1][chosen]


def train(name: str, lr: float, sets: Sets, args: argparse.Namespace) -> dict[int, list[float]]:
    """Return [validation loss, test loss] by step; a run that diverges ends early, with NaN."""
    (train_set, *others), losses = sets, {}
    hidden = [Dense(32, activation="tanh", input_shape=(2,)), Dense(32, activation="tanh")]
    model = Sequential([*hidden, Dense(3)], seed=args.seed)
    optimizer = optimizers.get(name, model.named_parameters(), lr=lr, on_nonfinite="skip")
    data = batches_of(train_set, args.batch_size, args.steps, np.random.default_rng(args.seed))
    for step, (x, y) in enumerate(data, start=1):

        def closure(x: np.ndarray = x, y: np.ndarray = y) -> Tensor:
            optimizer.zero_grad()
            loss = cross_entropy(model(x), y)
            loss.backward()
            return loss

        optimizer.step(closure)  # most take step() as well; SAM calls closure twice
        if step % max(1, args.steps // POINTS) == 0 or step == args.steps:
            with optimizer.evaluating(), no_grad():
                losses[step] = [cross_entropy(model(x), y).item() for x, y in others]
            if not np.isfinite(losses[step]).all():
                break
    return losses


def best_of_grid(name: str, sets: Sets, args: argparse.Namespace) -> tuple[float, dict, float]:
    """Return the lr with the best validation loss, its test losses, and their mean at the end."""
    runs = []
    for lr in GRID:
        with np.errstate(all="ignore"):  # large learning rates diverge
            losses = train(name, lr, sets, args)
            validation, test = np.mean([*losses.values()][-POINTS // 4 :], axis=0).tolist()
        if not np.isfinite(validation + test):
            validation = np.inf
        runs.append((validation, lr, {step: loss for step, (_, loss) in losses.items()}, test))
    return min(runs, key=lambda run: run[0])[1:]


def draw(found: dict[str, tuple[float, dict, float]]) -> object:
    """Draw a panel for each optimizer: its test losses, and in grey those of Adam."""
    figure = plotting.figure(-(-len(found) // COLUMNS), COLUMNS, (9.6, 5.6))
    every = [loss for _, losses, _ in found.values() for loss in losses.values()]
    for ax, (name, (lr, losses, _)) in zip(figure.axes, found.items()):
        ax.plot(*zip(*found["adam"][1].items()), "-", color=plotting.INK, linewidth=1)
        color = BLUE if name in LIBRARY else VERMILLION
        ax.plot(*zip(*losses.items()), "-", color=color, linewidth=2)
        ax.set_yscale("log")
        ax.set_ylim(0.8 * min(every), 1.2 * max(every))
        ax.set_title(f"{name}\nlr {lr:g}", fontsize=9)
    for ax in figure.axes[len(found) :]:
        ax.axis("off")
    figure.supxlabel("step", color=plotting.INK, fontsize=9)
    figure.supylabel("test loss", color=plotting.INK, fontsize=9)
    return figure


def main() -> None:
    args = parse()
    rng = np.random.default_rng(args.seed)
    sets = synthetic.spirals(rng), synthetic.spirals(rng), synthetic.spirals(rng)
    args.batch_size = min(args.batch_size, len(sets[0][0]))
    names = [*LIBRARY, *load_plug_ins()]
    found = {name: best_of_grid(name, sets, args) for name in names}
    found = dict(sorted(found.items(), key=lambda item: item[1][2]))
    print(f"{args.steps} steps with {args.batch_size} of {len(sets[0][0])} examples each")
    print(f"{'optimizer':20} {'best lr':>8} {'test at half':>13} {'at the end':>11}")
    for name, (lr, losses, end) in found.items():
        print(f"{name:20} {lr:8g} {[*losses.values()][len(losses) // 2]:13.4f} {end:11.4f}")
    for name in names:
        if args.steps < (k := optimizers.get(name).defaults.get("k", 0)):
            print(f"{name} took too few steps: its weights for evaluation first move in step {k}")
    if args.plot:
        plotting.save(draw(found), args.plot)


if __name__ == "__main__":
    main()
