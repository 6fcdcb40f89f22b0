"""An optimizer of your own: one function from a gradient to a direction, and a name for it.

Registered, it trains by name like any other, takes schedules, groups, momentum and weight decay,
can be saved and explained, and has to pass what all the others pass:

    python examples/custom_optimizer.py
    python examples/custom_optimizer.py --optimizer rmsprop --lr 0.01
"""

import argparse

import numpy as np

from minigrad.datasets import synthetic
from minigrad.layers import Dense
from minigrad.models import Sequential
from minigrad.optimizers import get, register
from minigrad.utils import count


@register("signum")
def signum(g, slots, *, beta=0.9):
    """m ← β·m + (1 − β)·g        u = sign(m)

    Steps of lr in every coordinate, after the sign of a fading mean (Bernstein et al. 2018).
    """
    m = slots.setdefault("mean", np.zeros_like(g))
    m *= beta
    m += (1 - beta) * g
    return np.sign(m)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--optimizer", default="signum", help="any registered name (signum)")
    parser.add_argument("--lr", type=float, default=0.003, help="the learning rate (0.003)")
    parser.add_argument("--epochs", type=count, default=30, help="passes over the data (30)")
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
