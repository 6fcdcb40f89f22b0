"""Trainings on MPI ranks, and the same trainings in one process, which must give the same numbers.

Run as a program under mpiexec, this file is one rank. Trainings that must fail: mpi_failures.py.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
from forkserver import ROOT

from minigrad import Tensor, callbacks, checkpoint
from minigrad.autograd.recording import set_var
from minigrad.datasets import batches
from minigrad.datasets.batches import current_share
from minigrad.distributed import DataParallel
from minigrad.functional import cross_entropy, dropout
from minigrad.layer_state import training_mode
from minigrad.layers import Dense, Dropout
from minigrad.losses import compute_metrics
from minigrad.models import Sequential
from minigrad.optimizers import SGD, Adam, CosineDecay, get
from minigrad.utils import run_file
from tests.minigrad.helpers import X, Y, stop_after_batches

BESIDE = shutil.which("mpiexec", path=str(Path(sys.executable).parent))
MPIEXEC = BESIDE or shutil.which("mpiexec")
PLUGINS = ROOT / "examples" / "optimizers"
PROGRAM = "-W", "error", __file__  # followed by a job of `main`


def start_program(ranks, *words):
    """Start a Python program on the ranks; return the process of mpiexec."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    command = [MPIEXEC, "-n", str(ranks), sys.executable, *map(str, words)]
    pipes = dict(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return subprocess.Popen(command, text=True, env=environment, **pipes)


def run_program(ranks, *words, timeout=60):
    """Run a program; return (exit code, stdout, stderr). A hang raises TimeoutExpired."""
    process = start_program(ranks, *words)
    try:
        out, err = process.communicate(timeout=timeout)
    finally:
        process.terminate()  # mpiexec then ends the ranks
    return process.returncode, out, err


def results(ranks, folder, job):
    """Run a job that writes its results; return those of each rank, and what was printed."""
    code, out, err = run_program(ranks, *PROGRAM, job, folder)
    assert code == 0, err
    return [json.loads((folder / f"{r}.json").read_text()) for r in range(ranks)], out


def as_hex(arrays):
    return {name: np.asarray(a).tobytes().hex() for name, a in arrays.items()}


def add(sums, parameters, weight):
    for name, parameter in parameters.items():
        if parameter.grad is not None:
            g = parameter.grad * weight
            sums[name] = sums[name] + g if name in sums else g


# ---- Loops: a case is a training of a small network ----

CASES = {
    "sgd": dict(make=lambda: SGD(lr=0.1, momentum=0.9, nesterov=True), can_shard=True),
    "rmsprop": dict(make=lambda: get("rmsprop", centered=True, momentum=0.5), can_shard=True),
    "adam": dict(
        make=lambda: Adam(lr=CosineDecay(0.05, steps=9)), can_shard=True, with_closure=False
    ),
    "adamw": dict(make=lambda: get("adamw", lr=0.05), can_shard=True, dtype=float),
    "lion": dict(make=lambda: get("lion", weight_decay=0.1), can_shard=True, dropout_rate=0.5),
    "nadam": dict(make=lambda: get("nadam", lr=0.05)),
    "adabelief": dict(make=lambda: get("adabelief", lr=0.05), can_shard=True),
    "radam": dict(make=lambda: get("radam", lr=0.05), can_shard=True, dtype=float),
    "a function": dict(make=lambda: Adam(lr=lambda step: 0.1 / (step + 1)), can_shard=True),
    "clip_value": dict(make=lambda: SGD(lr=0.1, clip_value=0.01), can_shard=True),
    "clip_norm": dict(make=lambda: SGD(lr=0.1, clip_norm=0.1)),
    "clip_global_norm": dict(make=lambda: Adam(lr=0.1, clip_global_norm=0.1), dtype=float),
    "groups": dict(
        make=lambda: SGD(lr=0.1), can_shard=True, second_group={"lr": 0.5, "momentum": 0.9}
    ),
    "ema": dict(make=lambda: get("ema", inner="adam", lr=0.05, decay=0.5), dropout_rate=0.3),
    "lookahead": dict(make=lambda: get("lookahead", inner="adam", lr=0.05, k=2), dtype=float),
    "sam": dict(make=lambda: get("sam", inner=SGD(lr=0.1, momentum=0.5)), dropout_rate=0.3),
    "schedule-free": dict(make=lambda: get("schedule_free_adamw", lr=0.1), dtype=float),
    "empty shares": dict(make=lambda: Adam(lr=0.1), can_shard=True, rows=17),
    "long": dict(make=lambda: Adam(lr=0.01), can_shard=True, dtype=float, epochs=17),
    "skip": dict(make=lambda: Adam(lr=0.1, on_nonfinite="skip"), can_shard=True, nan_at=2),
    "unused": dict(make=lambda: Adam(on_nonfinite="skip"), can_shard=True, nan_at=2, unused=100),
}
COMPILED = {n: CASES[n] | {"compiles": True} for n in ("rmsprop", "adam", "ema", "empty shares")}
VARIANTS = ["", " shard", " deterministic", " shard deterministic"]


def variants(cases, ranks):
    """Return the pairs of case and variant to run on so many ranks.

    One rank runs the plain variant. Two ranks add in one order, so deterministic changes nothing.
    """
    chosen = {1: VARIANTS[:1], 2: VARIANTS[:2], 3: VARIANTS}[ranks]
    return [(n, v) for n, c in cases.items() for v in chosen if c.get("can_shard") or "sh" not in v]


class Loop:
    """The network and the data of a case.

    Only some rows give the parameter gate a gradient. The parameter unused never gets one.
    """

    def __init__(self, make, can_shard=False, dtype=np.float32, with_closure=True, dropout_rate=0.0,
                 rows=23, epochs=3, second_group=None, nan_at=None, unused=5,
                 compiles=False):  # fmt: skip
        shapes = {"unused": (unused,), "w1": (6, 7), "b1": (7,), "gate": (7,), "w2": (7, 3)}
        draw = np.random.default_rng(3).standard_normal
        self.w = {n: Tensor(draw(s).astype(dtype), requires_grad=True) for n, s in shapes.items()}
        self.x, self.y, self.epochs, self.nan_at = X[:rows].astype(dtype), Y[:rows], epochs, nan_at
        self.with_closure, self.dropout_rate = with_closure, dropout_rate
        self.optimizer = make().compile() if compiles else make()
        self.options, self.second_group, self.extra_results = {}, second_group or {}, []
        self.order, self.noise = np.random.default_rng(0), np.random.default_rng(1)
        self.losses, self.steps, self.middle_layer = [], 0, np.positive

    def bind(self):
        named = [*self.w.items()]
        first, second = {"params": named[:2]}, {"params": named[2:]}
        return self.optimizer.bind([first, second | self.second_group])

    def backward(self, x, y, drop, is_last_rank):
        h = drop(self.middle_layer(np.tanh(x @ self.w["w1"] + self.w["b1"])))
        h = h * self.w["gate"] if x[:, 0].sum() > 0 else h
        loss = cross_entropy(h @ self.w["w2"], y)
        loss = loss * np.nan if is_last_rank and self.steps == self.nan_at else loss
        loss.backward()
        return [loss, *self.extra_results] if self.extra_results else loss

    def result(self):
        state, own = self.optimizer.state_dict(), self.optimizer.slots.values()
        return {
            "weights": as_hex({name: w.data for name, w in self.w.items()}),
            "state": [as_hex(state["slots"]), state["updates"], state["steps"]],
            "elements": sum(a.size for slots in own for a in slots.values()),
            "losses": self.losses,
        }


def train_on_ranks(case, moment=None, action=None, **options):
    """Train a case on the ranks with an explicit loop.

    moment: "make", "bind", "gradient" or the number of a step; action(loop) is called there.
    "no shares" gives every rank the whole batch.
    """

    def reach(this_moment):
        if this_moment == moment:
            action(loop)

    loop = Loop(**case)
    loop.options |= options
    reach("make")
    optimizer = loop.optimizer = DataParallel(loop.optimizer, **loop.options)
    reach("bind")
    loop.bind()
    rank, ranks = optimizer.rank, optimizer.ranks
    parts = {} if moment == "no shares" else dict(rank=rank, ranks=ranks)
    data = batches(loop.x, loop.y, 8, loop.order, **parts)
    rate = loop.dropout_rate
    drop = partial(dropout, rate=rate, rng=loop.noise) if rate else np.positive
    for _ in range(loop.epochs):
        for x, y in data:
            reach(loop.steps)
            closure = partial(loop.backward, x, y, drop, rank == ranks - 1)
            if not loop.with_closure:
                closure()
                reach("gradient")
            loop.losses.append(optimizer.step(closure if loop.with_closure else None))
            optimizer.zero_grad()
            loop.steps += 1
    return loop.result()


def reference(case, ranks):
    """Train a case in one process: add up the weighted gradients of the shares, in their order."""
    loop = Loop(**case)
    optimizer = loop.bind()

    def closure(rows):
        keep = loop.noise.random((len(rows), 7), dtype=np.float32) >= loop.dropout_rate
        mask, sums, loss = keep / np.asarray(1 - loop.dropout_rate, loop.x.dtype), {}, 0.0
        for r in range(ranks):
            part = slice(len(rows) * r // ranks, len(rows) * (r + 1) // ranks)
            if weight := (part.stop - part.start) / len(rows):
                optimizer.zero_grad()
                x, y = loop.x[rows[part]], loop.y[rows[part]]
                drop = partial(np.multiply, mask[part])
                loss += loop.backward(x, y, drop, r == ranks - 1).item() * weight
                add(sums, loop.w, weight)
        for name, w in loop.w.items():
            w.grad = sums.get(name)
        return loss

    for _ in range(loop.epochs):
        order = loop.order.permutation(len(loop.x))
        for first in range(0, len(order), 8):
            loop.losses.append(optimizer.step(partial(closure, order[first : first + 8])))
            loop.steps += 1
    return loop.result()


# ---- fit ----


class ReferenceDropout(Dropout):
    """Dropout of a share: rows of the mask that `ReferenceModel` drew for the whole batch."""

    def forward(self, x):
        if not self.training or not self.rate:
            return x
        return x * (self.keep[self.part] / np.asarray(1 - self.rate, x.dtype))


class ReferenceModel(Sequential):
    """The reference for `fit`: one process that adds up the gradients of `ranks` shares."""

    def train_step(self, x, y, sample_weight=None):
        sums, totals, n, noise = {}, {}, len(x), self.layers[1]
        parameters = dict(self.named_parameters())
        noise.keep = noise.rate and noise.rng.random((n, 12), dtype=np.float32) >= noise.rate
        for r in range(self.ranks):
            part = noise.part = slice(n * r // self.ranks, n * (r + 1) // self.ranks)
            if not (weight := (part.stop - part.start) / n):
                continue
            own = None if sample_weight is None else sample_weight[part]
            with set_var(training_mode, True):
                loss, prediction, target = self.loss_of(x[part], y[part], own)
            loss.backward()
            add(sums, parameters, weight)
            numbers = {"loss": loss.item()} | compute_metrics(self.metrics, prediction, target)
            for name, number in numbers.items():
                totals[name] = totals.get(name, 0.0) + weight * number
            self.optimizer.zero_grad()
        for name, parameter in parameters.items():
            parameter.grad = sums.get(name)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.apply_constraints()
        return totals


FITS = {
    "validation": dict(fit=dict(validation_split=0.2)),
    "shard": dict(fit=dict(validation_split=0.2), shard=True),
    "weights": dict(fit=dict(class_weight={0: 3.0}, sample_weight=np.arange(60.0))),
    "regularizers": dict(regularizers=dict(kernel_regularizer="l2", kernel_constraint="max_norm")),
    "stream": dict(fit=dict(steps_per_epoch=5), stream=True),
    "callbacks": dict(fit=dict(validation_split=0.2), calls=True, epochs=12),
}


def raise_error(*_):
    raise ValueError("from rank 1")


CALLBACKS_OF_RANK_1 = {  # the callbacks, and the error
    "raises": ([callbacks.LambdaCallback(on_epoch_end=raise_error)], "ValueError: from rank 1"),
    "exits": (
        [callbacks.LambdaCallback(on_epoch_end=lambda *_: sys.exit())],
        "a rank has ended before the others",
    ),
    "stops": (stop_after_batches(9), "RuntimeError: DataParallel"),
    "is late": (
        [callbacks.LambdaCallback(on_batch_end=lambda i, _: time.sleep(0.1 * (i == 7)))],
        None,
    ),
}


def fit(folder, ranks=None, fit=None, shard=False, regularizers=None, stream=False, calls=False,
        epochs=3, stop_after=None, save_freq=6, rows=60, rate=0.2, on_rank_1=None):  # fmt: skip
    """Train with `fit`, saving to the folder, and resume what is in it.

    ranks: None on MPI; in one process, the number of ranks that the reference imitates.
    """
    network, noise = (ReferenceModel, ReferenceDropout) if ranks else (Sequential, Dropout)
    first = Dense(12, "relu", input_shape=(6,), **regularizers or {})
    model = network([first, noise(rate), Dense(3, "softmax")], seed=1)
    optimizer = Adam(lr=0.02)
    model.ranks = ranks
    if not ranks:
        optimizer = DataParallel(optimizer, shard=shard, deterministic=True)
    model.compile(optimizer, "categorical_crossentropy", ["accuracy"])
    called = [
        callbacks.ModelCheckpoint(folder, save_freq=save_freq),
        *stop_after_batches(stop_after),
    ]
    if on_rank_1 and optimizer.rank:
        called += CALLBACKS_OF_RANK_1[on_rank_1][0]
    if calls:
        called += [
            callbacks.EarlyStopping("val_loss", patience=3, restore_best_weights=True),
            callbacks.ReduceLROnPlateau("val_loss", factor=0.3, patience=1),
            callbacks.CSVLogger(Path(folder).with_suffix(".csv")),
            callbacks.LambdaCallback(on_epoch_end=lambda i, _: print("callback", i)),
            callbacks.LambdaCallback(on_epoch_end=lambda *_: sys.stdout.flush()),
        ]
    resume, verbose = folder if checkpoint.latest(folder) else None, 0 if ranks else 2
    options = dict(verbose=verbose, callbacks=called, epochs=epochs, resume=resume) | (fit or {})
    if stream:
        history = model.fit(batches(X, Y, 8, np.random.default_rng(5)), **options)
    else:
        history = model.fit(X[:rows], Y[:rows], 8, **options)
    assert current_share.get() is None
    return {"weights": as_hex(model.state_dict()), "history": history.history}


# ---- The program ----


def main(job, *arguments):
    from mpi4py import MPI

    world, folder, found = MPI.COMM_WORLD, arguments[-1], {}
    rank, cases = world.rank, COMPILED if job == "compiled" else CASES
    if job in ("loops", "compiled"):
        for plugin in ("sam", "lookahead", "schedule_free", "adabelief", "radam"):
            run_file(str(PLUGINS / f"{plugin}.py"))
        found = {f"{name} reference": reference(case, world.size) for name, case in cases.items()}
        for name, variant in variants(cases, world.size):
            options = {option: option in variant for option in ("shard", "deterministic")}
            found[name + variant] = train_on_ranks(cases[name], **options)
    elif job == "fits":
        found = {name: fit(f"{folder}/{name}", **options) for name, options in FITS.items()}
    else:
        Path(folder).mkdir(exist_ok=True)
        Path(folder, f"pid{rank}").write_text(str(os.getpid()))
        fit(f"{folder}/run", **json.loads(arguments[0]))
    if found:
        Path(folder, f"{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
