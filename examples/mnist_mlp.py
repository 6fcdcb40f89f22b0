"""Train a multilayer perceptron on MNIST, in the loop that every learner must see.

python examples/mnist_mlp.py --optimizer adam --epochs 3
"""

import argparse
import time

import numpy as np
from tqdm import tqdm

from minigrad import checkpoint, no_grad, optimizers, plotting
from minigrad.datasets import batches, mnist
from minigrad.functional import cross_entropy
from minigrad.layers import Dense
from minigrad.losses import accuracy
from minigrad.models import Sequential

SAME = ("optimizer", "lr", "batch_size", "hidden", "seed")  # in a run and in what resumes it


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--optimizer", default="rmsprop", help=f"one of {', '.join(optimizers.available())}")
    add("--lr", type=float, help="learning rate (default: the optimizer's own)")
    add("--epochs", type=int, default=5, help="times through the training images (default: 5)")
    add("--batch-size", type=int, default=128, help="images a step (default: 128)")
    add("--hidden", type=int, default=512, help="width of the hidden layer (default: 512)")
    add("--seed", type=int, default=0, help="fixes all that is random (default: 0)")
    add("--checkpoint", metavar="DIR", help="save after each epoch what it takes to go on")
    add("--resume", action="store_true", help="go on from the newest checkpoint, if there is one")
    add("--plot", type=plotting.destination, metavar="FILE", help="draw curves and digits to FILE")
    args = parser.parse_args()
    if args.resume and not args.checkpoint:
        parser.error("--resume needs --checkpoint DIR")
    if args.epochs < 1:
        parser.error("--epochs must be at least 1")
    return args


def flat(images: np.ndarray) -> np.ndarray:
    """Bytes (N, 28, 28) as rows (N, 784) of 0 … 1: for a batch at a time, to spare memory."""
    return np.divide(images.reshape(len(images), 784), 255, dtype=np.float32)


def draw(history: dict, model: Sequential, images: np.ndarray, labels: np.ndarray) -> object:
    """Loss and accuracy per epoch; the first digits of the test, and the first wrong ones."""
    with no_grad():
        guesses = np.argmax(model(flat(images)).data, axis=1)
    shown = np.append(np.arange(24), np.flatnonzero(guesses != labels)[:6])
    figure = plotting.figure(1, 3, (10.5, 3.2))
    plotting.epochs(history, figure.axes[:2])
    plotting.images(figure.axes[2], images[shown], labels[shown], guesses[shown])
    figure.axes[2].set_title("24 test digits, then 6 mistakes")
    return figure


def main() -> None:
    args = parse()
    rng = np.random.default_rng(args.seed)
    (images, labels), (test_images, test_labels) = mnist.load_data()

    model = Sequential(
        [Dense(args.hidden, activation="relu", input_shape=(784,)), Dense(10)], seed=args.seed
    )
    hyper = {} if args.lr is None else {"lr": args.lr}
    optimizer = optimizers.get(args.optimizer, **hyper).bind(model.named_parameters())

    history: dict[str, list[float]] = {"loss": [], "accuracy": [], "val_accuracy": []}
    done, options = 0, {k: vars(args)[k] for k in SAME}
    if args.resume and checkpoint.latest(args.checkpoint):
        progress = checkpoint.load(args.checkpoint, model, optimizer, rng)
        done, history = progress["epoch"], progress["history"]
        if progress["options"] != options:
            raise SystemExit(f"--resume: the checkpoint is of {progress['options']}, not {options}")
    elif args.checkpoint:
        checkpoint.checkpoint_path(
            args.checkpoint, epoch=0, batch=0
        )  # an error now, not after an epoch

    for epoch in range(done, args.epochs):
        start, losses, hits = time.perf_counter(), [], []
        title = f"epoch {epoch + 1}/{args.epochs}"
        for x, y in tqdm(batches(images, labels, args.batch_size, rng), desc=title, disable=None):
            logits = model(flat(x))
            loss = cross_entropy(logits, y)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item() * len(x))
            hits.append(accuracy(logits, y) * len(x))
        with no_grad():
            test_accuracy = accuracy(model(flat(test_images)), test_labels)
        numbers = sum(losses) / len(images), sum(hits) / len(images), test_accuracy
        for name, number in zip(history, numbers):
            history[name].append(number)
        print(
            "{}: loss {:.4f}, train accuracy {:.4f}, test accuracy {:.4f}, {:.1f} s".format(
                title, *numbers, time.perf_counter() - start
            )
        )
        if args.checkpoint:
            progress = {"epoch": epoch + 1, "history": history, "options": options}
            checkpoint.save(args.checkpoint, model, optimizer, rng, **progress)
    print(f"test accuracy {history['val_accuracy'][-1]:.4f}")
    if args.plot:
        plotting.save(draw(history, model, test_images, test_labels), args.plot)


if __name__ == "__main__":
    main()
