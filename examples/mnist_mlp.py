"""Train a multilayer perceptron on the handwritten digits of MNIST, with an explicit loop.

Each step is a forward pass, a backward pass and an update by the optimizer. The program prints the
loss and the accuracy of each epoch.

    python examples/mnist_mlp.py --optimizer adam --epochs 3
    python examples/mnist_mlp.py --plugin examples/optimizers/muon.py --optimizer muon
    mpiexec -n 2 python examples/mnist_mlp.py --distributed
"""

import argparse
import time
from functools import partial
from typing import Any

import numpy as np
from command_line import argument_parser, limit_threads, make_optimizer, positive_int_argument
from drawing import draw_images, picture_file
from tqdm import tqdm

from minigrad import checkpoint, no_grad, optimizers, plotting
from minigrad.datasets import batches, mnist
from minigrad.distributed import DataParallel
from minigrad.functional import cross_entropy
from minigrad.layers import Dense
from minigrad.losses import accuracy
from minigrad.models import Sequential

# A training can be resumed only with the same of these options.
FIXED_OPTIONS = ("optimizer", "plugin", "lr", "batch_size", "hidden", "seed")


def flatten(images: np.ndarray) -> np.ndarray:
    """Scale bytes (N, 28, 28) to rows (N, 784) of 0 … 1; called per batch to save memory."""
    return np.divide(images.reshape(len(images), 784), 255, dtype=np.float32)


def train_epoch(model: Sequential, optimizer: Any, data: batches, title: str) -> list[float]:
    """Take one step for each batch; return the mean loss and the accuracy over all images."""
    results, sizes = [], []
    for x, y in tqdm(data, desc=title, disable=None):  # None: no bar in a file
        logits = model(flatten(x))
        loss = cross_entropy(logits, y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        results.append([loss.item(), accuracy(logits, y)])
        sizes.append(len(x))
    return np.average(results, axis=0, weights=sizes).tolist()


def main() -> None:
    args, optimizer = parse()
    rng = np.random.default_rng(args.seed)
    (images, labels), (test_images, test_labels) = mnist.load_data()

    layers = [Dense(args.hidden, activation="relu", input_shape=(784,)), Dense(10)]
    model = Sequential(layers, seed=args.seed)
    optimizer.bind(model.named_parameters())
    history = load_history(args, model, optimizer, rng)
    # With --distributed, each process computes its share of a batch, and the first one prints.
    share = {"rank": optimizer.rank, "ranks": optimizer.ranks} if args.distributed else {}
    is_first = share.get("rank", 0) == 0
    takes_function = args.distributed or optimizer.needs_closure
    train = train_epoch_by_function if takes_function else train_epoch
    for epoch in range(len(history["loss"]) + 1, args.epochs + 1):
        start, title = time.perf_counter(), f"epoch {epoch}/{args.epochs}"
        data = batches(images, labels, args.batch_size, rng, **share)
        loss, train_accuracy = train(model, optimizer, data, title)
        with no_grad(), optimizer.evaluating():
            test_accuracy = accuracy(model(flatten(test_images)), test_labels)
        history["loss"].append(loss)
        history["accuracy"].append(train_accuracy)
        history["val_accuracy"].append(test_accuracy)
        if is_first:
            print(
                f"{title}: loss {loss:.4f}, train accuracy {train_accuracy:.4f}, "
                f"test accuracy {test_accuracy:.4f}, {time.perf_counter() - start:.1f} s"
            )
        if args.checkpoint:
            progress = {"epoch": epoch, "history": history, "options": fixed_options(args)}
            checkpoint.save(args.checkpoint, model, optimizer, rng, **progress)
    if is_first:
        print(f"test accuracy {history['val_accuracy'][-1]:.4f}")
    if is_first and args.plot:
        with optimizer.evaluating():
            figure = draw(history, model, test_images, test_labels)
        plotting.save(figure, args.plot)


# ---- For advanced readers ----

# A loop for optimizers that call a function; options, checkpoints, the picture


def forward_and_backward(model: Sequential, x: np.ndarray, y: np.ndarray) -> list[float]:
    logits = model(x)
    loss = cross_entropy(logits, y)
    loss.backward()
    return [loss.item(), accuracy(logits, y)]


def train_epoch_by_function(
    model: Sequential, optimizer: Any, data: batches, title: str
) -> list[float]:
    """Train as train_epoch does, but let `step` call a function that does the backward pass.

    SAM calls it twice in a step. DataParallel adds up its results over all processes.
    """
    results, sizes = [], []
    for x, y in tqdm(data, desc=title, disable=True if data.rank else None):
        results.append(optimizer.step(partial(forward_and_backward, model, flatten(x), y)))
        optimizer.zero_grad()
        sizes.append(data.rows)
    return np.average(results, axis=0, weights=sizes).tolist()


def parse() -> tuple[argparse.Namespace, Any]:
    """Return the options, and the optimizer that they describe."""
    parser = argument_parser(__doc__)
    add = parser.add_argument
    positive = positive_int_argument
    names = f"one of {', '.join(optimizers.available())}, or of --plugin (default: rmsprop)"
    add("--plugin", metavar="FILE", help="run a Python file that registers optimizers")
    add("--optimizer", type=str.lower, default="rmsprop", help=names)
    add("--lr", type=float, help="learning rate (default: the optimizer's own)")
    add("--epochs", type=positive, default=5, help="passes over the training images (default: 5)")
    add("--batch-size", type=positive, default=128, help="images per step (default: 128)")
    add("--hidden", type=positive, default=512, help="units of the hidden layer (default: 512)")
    add("--seed", type=int, default=0, help="seed of parameters and batches (default: 0)")
    add("--compile", action="store_true", help="compile the optimizer's step (needs numba)")
    add("--threads", type=positive, help="threads of the matrix products (default: NumPy's own)")
    add("--distributed", action="store_true", help="share each batch with mpiexec's processes")
    add("--checkpoint", metavar="DIR", help="save the training to DIR after each epoch")
    add("--resume", action="store_true", help="continue from the newest checkpoint, if any")
    add("--plot", type=picture_file, metavar="FILE", help="draw curves and digits to FILE")
    args = parser.parse_args()
    if args.resume and not args.checkpoint:
        parser.error("--resume needs --checkpoint DIR")
    if args.threads or args.distributed:
        limit_threads(parser, args.threads or 1)
    optimizer = make_optimizer(parser, args)
    return args, DataParallel(optimizer) if args.distributed else optimizer


def fixed_options(args: argparse.Namespace) -> dict:
    return {name: vars(args)[name] for name in FIXED_OPTIONS}


def load_history(args: argparse.Namespace, *training: Any) -> dict:
    """With --resume, load the newest checkpoint into the training; return the history so far."""
    if args.resume and checkpoint.latest(args.checkpoint):
        progress = checkpoint.load(args.checkpoint, *training)
        saved, received = progress["options"], fixed_options(args)
        if saved != received:
            raise SystemExit(f"--resume: the checkpoint was made with {saved}, received {received}")
        return progress["history"]
    if args.checkpoint:  # report an unusable folder now, not after an epoch
        checkpoint.checkpoint_path(args.checkpoint, epoch=0, batch=0)
    return {"loss": [], "accuracy": [], "val_accuracy": []}  # val_: on the test images


def draw(history: dict, model: Sequential, images: np.ndarray, labels: np.ndarray) -> object:
    """Draw loss and accuracy per epoch, the first test digits, and the first mistakes."""
    with no_grad():
        predictions = np.argmax(model(flatten(images)).data, axis=1)
    shown = np.append(np.arange(24), np.flatnonzero(predictions != labels)[:6])
    figure = plotting.figure(1, 3, (10.5, 3.2))
    plotting.epochs(history, figure.axes[:2], held_out="test")
    draw_images(figure.axes[2], images[shown], labels[shown], predictions[shown])
    figure.axes[2].set_title("24 test digits; mistakes: guess ≠ label", fontsize=10)
    return figure


if __name__ == "__main__":
    main()
