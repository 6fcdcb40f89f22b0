"""Trainings on MPI ranks that must end with one error on every rank.

Run as a program under mpiexec, this file is one rank; its argument is a key of the tables.
"""

import sys
from functools import partial

import numpy as np
from mpi_trainings import raise_error, train_on_ranks

from minigrad import Tensor, distributed
from minigrad.layers import BatchNormalization
from minigrad.optimizers import SGD


def exit_early(_):
    sys.exit(0)


def setter(name, value):
    return lambda loop: setattr(loop, name, value)


def set_on_optimizer(name, value):
    return lambda loop: setattr(loop.optimizer, name, value)


def set_gradient(loop):
    loop.w["w2"].grad = np.ones(3)


def add_float64(loop):
    loop.w["w3"] = Tensor(np.ones(3), requires_grad=True)


NORMALIZES = partial(BatchNormalization(), training=True)
RAISED, ENDED = "ValueError: from rank 1", "a rank has ended before the others"
FAILS_ON_RANK_1 = {
    "data": ("make", lambda loop: np.add(loop.x, 1, out=loop.x), "differ in the rows of the batch"),
    "order": ("make", lambda loop: loop.order.random(), "differ in the rows of the batch"),
    "order of the second epoch": (3, lambda loop: loop.order.random(), "the ranks differ in"),
    "dropout": ("make", lambda loop: loop.noise.random(), "differ in the random numbers"),
    "lr": ("make", set_on_optimizer("lr", 1.0), "the ranks differ in its lr"),
    "lr later": (3, set_on_optimizer("lr", 1.0), "the ranks differ in"),
    "shapes": ("make", lambda loop: loop.w.popitem(), "the ranks differ in the parameters"),
    "version": ("make", lambda _: setattr(distributed, "__version__", "0"), "in the versions"),
    "shard": ("make", setter("options", {"shard": True}), "the ranks differ in shard"),
    "one more number": ("make", setter("extra_results", [1.0]), "the ranks differ in"),
    "no closure": ("make", setter("with_closure", False), "the ranks differ in"),
    "NaN": ("make", setter("nan_at", 2), "FloatingPointError"),
    "exception": (3, raise_error, RAISED),
    "exception in the closure": ("make", setter("middle_layer", raise_error), RAISED),
    "exception before bind": ("bind", raise_error, RAISED),
    "exception, comm": (3, raise_error, RAISED),
    "exit": (3, exit_early, ENDED),
    "exit before bind": ("bind", exit_early, ENDED),
    "exit before the first step": (0, exit_early, ENDED),
    "fewer epochs": ("make", setter("epochs", 1), ENDED),
}
FAILS_ON_BOTH = {
    "gradient": ("gradient", set_gradient, "w2"),
    "NaN, sharded": ("make", setter("nan_at", 2), "FloatingPointError"),
    "norm, sharded": (3, set_on_optimizer("clip_norm", 1.0), "clipping by a norm"),
    "dtypes": ("make", add_float64, "dtype"),
    "batch normalization": ("make", setter("middle_layer", NORMALIZES), "use LayerNormalization"),
    "no shares": ("no shares", None, "each step needs a batch from a loop over batches"),
    "logits": ("make", setter("extra_results", [[1.0, 2.0]]), "must return a number"),
}


def main(name):
    """Train in a way that must end in an error."""
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    moment, action, _ = (FAILS_ON_RANK_1 | FAILS_ON_BOTH)[name]
    case = dict(make=lambda: SGD(lr=0.1), dropout_rate=0.5, with_closure=name != "gradient")
    options = {"shard": "sharded" in name, "comm": world if "comm" in name else None}
    acts = world.rank or name in FAILS_ON_BOTH
    train_on_ranks(case, moment, action if acts else lambda _: None, **options)


if __name__ == "__main__":
    main(sys.argv[1])
