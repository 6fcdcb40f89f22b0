"""Train a recurrent network to predict the next character of a text, and sample from it.

xₜ is the embedding of a character. The state is hₜ = tanh(xₜ·W + hₜ₋₁·U + b). A dense layer
predicts the next character from hₜ. The program cuts the text into parallel streams, and reads them
in chunks of --length characters. The state passes from chunk to chunk. The gradient does not: this
is truncated backpropagation through time. The program first prints the unigram entropy: the loss of
a model that knows only the frequency of each character.

    python examples/char_rnn.py --optimizer rmsprop=0.003 sgd=1 --plot char_rnn.png
"""

import argparse
from pathlib import Path

import numpy as np
from command_line import argument_parser, positive_int_argument
from drawing import picture_file

from minigrad import no_grad, optimizers, plotting
from minigrad.functional import cross_entropy, softmax
from minigrad.layers import Dense, Embedding, Layer, SimpleRNN


def parse() -> argparse.Namespace:
    parser = argument_parser(__doc__)
    add = parser.add_argument
    positive = positive_int_argument
    fable = Path(__file__).with_name("char_rnn.txt")
    add("--text", type=Path, default=fable, metavar="FILE", help="text to learn (default: a fable)")
    names = f"names and learning rates; names: {', '.join(optimizers.available())}"
    add("--optimizer", nargs="+", type=optimizer_argument, metavar="NAME=LR",
        default=[("rmsprop", 0.003), ("sgd", 1.0)],
        help=f"{names} (default: rmsprop=0.003 sgd=1)")  # fmt: skip
    add("--epochs", type=positive, default=40, help="passes over the text (default: 40)")
    add("--units", type=positive, default=128, help="size of the state (default: 128)")
    add("--streams", type=positive, default=8, help="streams read in parallel (default: 8)")
    add("--length", type=positive, default=25, help="characters in a chunk (default: 25)")
    add("--sample", type=int, default=150, help="characters in a printed sample (default: 150)")
    add("--seed", type=int, default=0, help="seed of parameters and samples (default: 0)")
    add("--plot", type=picture_file, metavar="FILE", help="draw the loss per epoch to FILE")
    return parser.parse_args()


def optimizer_argument(text: str) -> tuple[str, float]:
    """Parse "sgd=0.1" as ("sgd", 0.1), and check that such an optimizer can be made."""
    name, _, lr = text.partition("=")
    try:
        optimizers.get(name, lr=float(lr))
    except (ValueError, TypeError) as error:
        raise argparse.ArgumentTypeError(f"NAME=LR is required: {error}") from error
    return name, float(lr)


class CharRNN(Layer):
    """Map characters (N, T) and a state to logits (N, T, characters) and the new state.

    The logits at position t are those of the character at position t + 1.
    """

    def __init__(self, characters: int, units: int, rng: np.random.Generator):
        super().__init__()
        self.embedding = Embedding(characters, 32)
        self.rnn = SimpleRNN(units, return_sequences=True)
        self.dense = Dense(characters)
        for layer in self.sublayers():
            layer.rng = rng

    def forward(self, x, state):
        states = self.rnn(self.embedding(x), state)
        return self.dense(states), states[:, -1].data

    def sample(self, n: int, rng: np.random.Generator) -> list[int]:
        """Draw n characters, each from the prediction after the one before."""
        characters, state = [0], None
        with no_grad():
            for _ in range(n):
                logits, state = self(np.array([[characters[-1]]]), state)
                p = softmax(logits.data[0, 0].astype(float))
                characters.append(int(rng.choice(len(p), p=p)))
        return characters[1:]


def train_epoch(model: CharRNN, optimizer, streams: np.ndarray, length: int) -> float:
    """Train on the whole text once; return the mean loss per character."""
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


def train(name: str, lr: float, text: str, args: argparse.Namespace) -> list[float]:
    """Return the loss of each epoch; print a sample after some of them."""
    alphabet, characters = np.unique(list(text), return_inverse=True)
    usable = len(characters) // args.streams * args.streams
    streams = characters[:usable].reshape(args.streams, -1)
    rng = np.random.default_rng(args.seed)
    model = CharRNN(len(alphabet), args.units, rng)
    model(streams[:, :1], None)  # the first call creates the parameters
    optimizer = optimizers.get(name, lr=lr, clip_global_norm=1.0).bind(model.named_parameters())
    losses = []
    for epoch in range(1, args.epochs + 1):
        losses.append(train_epoch(model, optimizer, streams, args.length))
        if epoch in (1, args.epochs // 4, args.epochs // 2, args.epochs):
            sample = "".join(alphabet[model.sample(args.sample, rng)])
            print(f"{name} lr {lr:g}, epoch {epoch}: loss {losses[-1]:.4f}; sample:")
            print("    " + sample.replace("\n", "\n    "))
    return losses


def draw(curves: dict[str, list[float]], entropy: float) -> object:
    figure = plotting.figure(size=(6.4, 3.6))
    (ax,) = figure.axes
    for name, losses in curves.items():
        ax.plot(range(1, len(losses) + 1), losses, label=name)
    ax.axhline(entropy, color=plotting.INK, linestyle="--", label="unigram entropy")
    ax.set_ylim(bottom=0)
    plotting.label(ax, "epoch", "loss (nats per character)")
    return figure


def main() -> None:
    args = parse()
    text = args.text.read_text(encoding="utf-8")
    if len(text) < 2 * args.streams:
        required = f"{args.streams} streams need at least {2 * args.streams} characters"
        raise SystemExit(f"--text: {required}, received {len(text)}")
    p = np.unique(list(text), return_counts=True)[1] / len(text)
    entropy = -np.sum(p * np.log(p))
    print(f"{len(text)} characters, {len(p)} different ones, unigram entropy {entropy:.4f} nats")
    curves = {f"{name} lr {lr:g}": train(name, lr, text, args) for name, lr in args.optimizer}
    if args.plot:
        plotting.save(draw(curves, entropy), args.plot)


if __name__ == "__main__":
    main()
