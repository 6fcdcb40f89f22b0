"""Write an optimizer: one function from gradient to direction, registered under a name.

A registered optimizer has what the built-in ones have: a name, schedules, parameter groups,
momentum, weight decay, checkpoints and `explain`. `minigrad conformance` tests it, and says what is
wrong and what to write instead.

    minigrad conformance examples/custom_optimizer.py
    python examples/custom_optimizer.py
    python examples/custom_optimizer.py --optimizer rmsprop --lr 0.01
"""

import numpy as np
from command_line import argument_parser, positive_int_argument

from minigrad.datasets import synthetic
from minigrad.layers import Dense
from minigrad.models import Sequential
from minigrad.optimizers import get, register


@register("signum")
def signum(g, slots, *, beta=0.9):
    """Signum: m ← β·m + (1 − β)·g,  u = sign(m).

    Every coordinate moves by lr, against the sign of the gradients' moving average m
    (Bernstein et al. 2018).
    """
    m = slots.setdefault("mean", np.zeros_like(g))
    m *= beta
    m += (1 - beta) * g
    return np.sign(m)


def main() -> None:
    parser = argument_parser(__doc__)
    add = parser.add_argument
    add("--optimizer", default="signum", help="any registered name (default: signum)")
    add("--lr", type=float, default=0.003, help="learning rate (default: 0.003)")
    add("--epochs", type=positive_int_argument, default=30, help="passes over the data (30)")
    args = parser.parse_args()

    x, y = synthetic.spirals(np.random.default_rng(0))
    optimizer = get(args.optimizer, lr=args.lr)
    hidden = [Dense(32, activation="relu"), Dense(32, activation="relu")]
    model = Sequential([*hidden, Dense(3)], seed=0)
    model.compile(optimizer=optimizer, loss="cross_entropy", metrics=["accuracy"])
    model.fit(x, y, epochs=args.epochs, batch_size=16, verbose=0)
    print(optimizer.explain())
    print(f"accuracy {model.evaluate(x, y, verbose=0)[1]:.3f}")


if __name__ == "__main__":
    main()
