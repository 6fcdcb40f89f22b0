"""A recurrent network learns a text letter by letter, and writes as it learns.

Each letter's row of a table (Embedding) drives a state hₜ = tanh(xₜ·W + hₜ₋₁·U + b), from which the
next letter is guessed. The text is read in parallel streams, a few letters at a time; the state
goes on from piece to piece, the gradient does not: truncated backpropagation through time.
The unigram entropy is the loss of who knows how frequent each letter is, but not what came before.

    python examples/char_rnn.py --optimizer rmsprop=0.003 sgd=1 --plot char_rnn.png
"""

import argparse
from pathlib import Path

import numpy as np

from minigrad import no_grad, optimizers, plotting
from minigrad.functional import cross_entropy, softmax
from minigrad.layers import Dense, Embedding, Layer, SimpleRNN
from minigrad.utils import count


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    fable = Path(__file__).with_name("char_rnn.txt")
    add("--text", type=Path, default=fable, metavar="FILE", help="what to learn (default: a fable)")
    rules = f"names and learning rates; names: {', '.join(optimizers.available())}"
    add("--optimizer", nargs="+", type=named, default=[("rmsprop", 0.003), ("sgd", 1.0)],
        metavar="NAME=LR", help=f"{rules} (default: rmsprop=0.003 sgd=1)")  # fmt: skip
    add("--epochs", type=count, default=40, help="times through the text (default: 40)")
    add("--units", type=count, default=128, help="size of the state (default: 128)")
    add("--streams", type=count, default=8, help="pieces read in parallel (default: 8)")
    add("--length", type=count, default=25, help="letters before the gradient is cut (default: 25)")
    add("--sample", type=int, default=150, help="letters to write at a time (default: 150)")
    add("--seed", type=int, default=0, help="fixes all that is random (default: 0)")
    add("--plot", type=plotting.destination, metavar="FILE", help="draw the losses to FILE")
    return parser.parse_args()


def named(text: str) -> tuple[str, float]:
    """ "sgd=0.1" as ("sgd", 0.1), tried out."""
    name, _, lr = text.partition("=")
    try:
        optimizers.get(name, lr=float(lr))
    except (ValueError, TypeError) as error:
        raise argparse.ArgumentTypeError(f"NAME=LR is required: {error}") from error
    return name, float(lr)


class Writer(Layer):
    """Letters (N, T), state → logits of the letters that follow (N, T, letters), new state."""

    def __init__(self, letters: int, units: int, rng: np.random.Generator):
        super().__init__()
        self.embedding = Embedding(letters, 32)
        self.rnn = SimpleRNN(units, return_sequences=True)
        self.dense = Dense(letters)
        for layer in self.sublayers():
            layer.rng = rng

    def forward(self, x, state):
        states = self.rnn(self.embedding(x), state)
        return self.dense(states), states[:, -1].data

    def write(self, count: int, rng: np.random.Generator) -> list[int]:
        """Letters drawn one after the other, each from what the model expects after the last."""
        letters, state = [0], None
        with no_grad():
            for _ in range(count):
                logits, state = self(np.array([[letters[-1]]]), state)
                p = softmax(logits.data[0, 0].astype(float))
                letters.append(int(rng.choice(len(p), p=p)))
        return letters[1:]


def train_epoch(model: Writer, optimizer, streams: np.ndarray, length: int) -> float:
    """Once through the text; the mean loss per letter."""
    state, total = None, 0.0
    end = streams.shape[1] - 1
    for start in range(0, end, length):
        stop = min(start + length, end)
        logits, state = model(streams[:, start:stop], state)
        loss = cross_entropy(logits, streams[:, start + 1 : stop + 1])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        total += loss.item() * (stop - start)
    return total / end


def learn(name: str, lr: float, text: str, args: argparse.Namespace) -> list[float]:
    """The loss of each epoch; prints samples on the way."""
    alphabet, letters = np.unique(list(text), return_inverse=True)
    streams = letters[: len(letters) // args.streams * args.streams].reshape(args.streams, -1)
    rng = np.random.default_rng(args.seed)
    model = Writer(len(alphabet), args.units, rng)
    model(streams[:, :1], None)  # makes the parameters
    optimizer = optimizers.get(name, lr=lr, clip_global_norm=1.0).bind(model.named_parameters())
    losses = []
    for epoch in range(1, args.epochs + 1):
        losses.append(train_epoch(model, optimizer, streams, args.length))
        if epoch in (1, args.epochs // 4, args.epochs // 2, args.epochs):
            written = "".join(alphabet[model.write(args.sample, rng)])
            print(f"{name} lr {lr:g}, epoch {epoch}: loss {losses[-1]:.4f}; it writes:")
            print("    " + written.replace("\n", "\n    "))
    return losses


def draw(curves: dict[str, list[float]], entropy: float) -> object:
    figure = plotting.figure(size=(6.4, 3.6))
    (ax,) = figure.axes
    for name, losses in curves.items():
        ax.plot(range(1, len(losses) + 1), losses, label=name)
    ax.axhline(entropy, color=plotting.INK, linestyle="--", label="unigram entropy")
    ax.set_ylim(bottom=0)
    plotting.label(ax, "epoch", "loss (nats per letter)")
    return figure


def main() -> None:
    args = parse()
    text = args.text.read_text(encoding="utf-8")
    if len(text) < 2 * args.streams:
        raise SystemExit(f"the text needs at least 2 letters for each of {args.streams} streams")
    p = np.unique(list(text), return_counts=True)[1] / len(text)
    entropy = -np.sum(p * np.log(p))
    print(f"{len(text)} letters, {len(p)} of them different, unigram entropy {entropy:.4f} nats")
    curves = {f"{name} lr {lr:g}": learn(name, lr, text, args) for name, lr in args.optimizer}
    if args.plot:
        plotting.save(draw(curves, entropy), args.plot)


if __name__ == "__main__":
    main()
