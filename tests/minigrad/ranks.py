"""Trainings on MPI ranks, and the same trainings in one process, which must give the same numbers.

Run as a program under mpiexec, this file is one rank.
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
from nursery import ROOT, X, Y, stopper

from minigrad import Tensor, callbacks, checkpoint, distributed
from minigrad.autograd.recording import set_var
from minigrad.datasets import batches
from minigrad.datasets.batches import current_share
from minigrad.distributed import DataParallel
from minigrad.functional import cross_entropy, dropout
from minigrad.layer_state import training_mode
from minigrad.layers import BatchNormalization, Dense, Dropout
from minigrad.losses import compute_metrics
from minigrad.models import Sequential
from minigrad.optimizers import SGD, Adam, CosineDecay, get
from minigrad.utils import run_file

BESIDE = shutil.which("mpiexec", path=str(Path(sys.executable).parent))
MPIEXEC = BESIDE or shutil.which("mpiexec")
PLUGINS = ROOT / "examples" / "optimizers"


def start(ranks, *job):
    """Start the ranks of a job, or of another program; return the process of mpiexec."""
    program = job if str(job[0]).endswith(".py") else ["-W", "error", __file__, *job]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    command = [MPIEXEC, "-n", str(ranks), sys.executable, *map(str, program)]
    pipes = dict(stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return subprocess.Popen(command, text=True, env=environment, **pipes)


def run(ranks, *job, timeout=60):
    """Run a job; return (exit code, stdout, stderr). A hang raises TimeoutExpired."""
    process = start(ranks, *job)
    try:
        out, err = process.communicate(timeout=timeout)
    finally:
        process.terminate()  # mpiexec then ends the ranks
    return process.returncode, out, err


def results(ranks, folder, job):
    """Run a job that writes its results; return those of each rank, and what was printed."""
    code, out, err = run(ranks, job, folder)
    assert code == 0, err
    return [json.loads((folder / f"{r}.json").read_text()) for r in range(ranks)], out


def hexed(arrays):
    return {name: np.asarray(a).tobytes().hex() for name, a in arrays.items()}


def add(sums, parameters, weight):
    for name, parameter in parameters.items():
        if parameter.grad is not None:
            g = parameter.grad * weight
            sums[name] = sums[name] + g if name in sums else g


# ---- Loops: a case is a training of a small network ----

CASES = {
    "sgd": dict(make=lambda: SGD(lr=0.1, momentum=0.9, nesterov=True), shards=True),
    "rmsprop": dict(make=lambda: get("rmsprop", centered=True, momentum=0.5), shards=True),
    "adam": dict(make=lambda: Adam(lr=CosineDecay(0.05, steps=9)), shards=True, closes=False),
    "adamw": dict(make=lambda: get("adamw", lr=0.05), shards=True, dtype=float),
    "lion": dict(make=lambda: get("lion", weight_decay=0.1), shards=True, rate=0.5),
    "nadam": dict(make=lambda: get("nadam", lr=0.05)),
    "adabelief": dict(make=lambda: get("adabelief", lr=0.05), shards=True),
    "radam": dict(make=lambda: get("radam", lr=0.05), shards=True, dtype=float),
    "a function": dict(make=lambda: Adam(lr=lambda step: 0.1 / (step + 1)), shards=True),
    "clip_value": dict(make=lambda: SGD(lr=0.1, clip_value=0.01), shards=True),
    "clip_norm": dict(make=lambda: SGD(lr=0.1, clip_norm=0.1)),
    "clip_global_norm": dict(make=lambda: Adam(lr=0.1, clip_global_norm=0.1), dtype=float),
    "groups": dict(make=lambda: SGD(lr=0.1), shards=True, group={"lr": 0.5, "momentum": 0.9}),
    "ema": dict(make=lambda: get("ema", inner="adam", lr=0.05, decay=0.5), rate=0.3),
    "lookahead": dict(make=lambda: get("lookahead", inner="adam", lr=0.05, k=2), dtype=float),
    "sam": dict(make=lambda: get("sam", inner=SGD(lr=0.1, momentum=0.5)), rate=0.3),
    "schedule-free": dict(make=lambda: get("schedule_free_adamw", lr=0.1), dtype=float),
    "empty shares": dict(make=lambda: Adam(lr=0.1), shards=True, rows=17),
    "long": dict(make=lambda: Adam(lr=0.01), shards=True, dtype=float, epochs=17),
    "skip": dict(make=lambda: Adam(lr=0.1, on_nonfinite="skip"), shards=True, nan_at=2),
    "unused": dict(make=lambda: Adam(on_nonfinite="skip"), shards=True, nan_at=2, unused=100),
}
COMPILED = {n: CASES[n] | {"compiles": True} for n in ("rmsprop", "adam", "ema", "empty shares")}
VARIANTS = ["", " shard", " deterministic", " shard deterministic"]


def variants(cases, ranks):
    """Return the pairs of case and variant to run on so many ranks.

    One rank runs the plain variant. Two ranks add in one order, so deterministic changes nothing.
    """
    chosen = {1: VARIANTS[:1], 2: VARIANTS[:2], 3: VARIANTS}[ranks]
    return [(n, v) for n, c in cases.items() for v in chosen if c.get("shards") or "sh" not in v]


class Loop:
    """The network and the data of a case.

    Only some rows give the parameter gate a gradient. The parameter unused never gets one.
    """

    def __init__(self, make, shards=False, dtype=np.float32, closes=True, rate=0.0, rows=23,
                 epochs=3, group=None, nan_at=None, unused=5, compiles=False):  # fmt: skip
        shapes = {"unused": (unused,), "w1": (6, 7), "b1": (7,), "gate": (7,), "w2": (7, 3)}
        draw = np.random.default_rng(3).standard_normal
        self.w = {n: Tensor(draw(s).astype(dtype), requires_grad=True) for n, s in shapes.items()}
        self.x, self.y, self.more, self.options = X[:rows].astype(dtype), Y[:rows], [], {}
        self.rate, self.closes, self.epochs, self.nan_at = rate, closes, epochs, nan_at
        self.group, self.optimizer = group or {}, make().compile() if compiles else make()
        self.order, self.noise = np.random.default_rng(0), np.random.default_rng(1)
        self.losses, self.steps, self.layer = [], 0, np.positive

    def bind(self):
        named = [*self.w.items()]
        return self.optimizer.bind([{"params": named[:2]}, {"params": named[2:]} | self.group])

    def backward(self, x, y, drop, is_last_rank):
        h = drop(self.layer(np.tanh(x @ self.w["w1"] + self.w["b1"])))
        h = h * self.w["gate"] if x[:, 0].sum() > 0 else h
        loss = cross_entropy(h @ self.w["w2"], y)
        loss = loss * np.nan if is_last_rank and self.steps == self.nan_at else loss
        loss.backward()
        return [loss, *self.more] if self.more else loss

    def result(self):
        state, own = self.optimizer.state_dict(), self.optimizer.slots.values()
        return {
            "weights": hexed({name: w.data for name, w in self.w.items()}),
            "state": [hexed(state["slots"]), state["updates"], state["steps"]],
            "elements": sum(a.size for slots in own for a in slots.values()),
            "losses": self.losses,
        }


def on_ranks(case, when=None, act=None, **options):
    """Train a case on the ranks with an explicit loop.

    when: "make", "bind", "gradient" or the number of a step; act(loop) is called there.
    "no shares" gives every rank the whole batch.
    """

    def reach(moment):
        return act(loop) if moment == when else None

    loop = Loop(**case)
    loop.options |= options
    reach("make")
    optimizer = loop.optimizer = DataParallel(loop.optimizer, **loop.options)
    reach("bind")
    loop.bind()
    rank, ranks = optimizer.rank, optimizer.ranks
    parts = {} if when == "no shares" else dict(rank=rank, ranks=ranks)
    data = batches(loop.x, loop.y, 8, loop.order, **parts)
    drop = partial(dropout, rate=loop.rate, rng=loop.noise) if loop.rate else np.positive
    for _ in range(loop.epochs):
        for x, y in data:
            reach(loop.steps)
            closure = partial(loop.backward, x, y, drop, rank == ranks - 1)
            if not loop.closes:
                closure()
                reach("gradient")
            loop.losses.append(optimizer.step(closure if loop.closes else None))
            optimizer.zero_grad()
            loop.steps += 1
    return loop.result()


def alone(case, ranks):
    """Train a case in one process: add up the weighted gradients of the shares, in their order."""
    loop = Loop(**case)
    optimizer = loop.bind()

    def closure(rows):
        keep = loop.noise.random((len(rows), 7), dtype=np.float32) >= loop.rate
        mask, sums, loss = keep / np.asarray(1 - loop.rate, loop.x.dtype), {}, 0.0
        for r in range(ranks):
            part = slice(len(rows) * r // ranks, len(rows) * (r + 1) // ranks)
            if weight := (part.stop - part.start) / len(rows):
                optimizer.zero_grad()
                x, y, drop = (
                    loop.x[rows[part]],
                    loop.y[rows[part]],
                    partial(np.multiply, mask[part]),
                )
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


class Sliced(Dropout):
    """Dropout of a share: rows of the mask that `Accumulated` drew for the whole batch."""

    def forward(self, x):
        if not self.training or not self.rate:
            return x
        return x * (self.keep[self.part] / np.asarray(1 - self.rate, x.dtype))


class Accumulated(Sequential):
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
    "rules": dict(rules=dict(kernel_regularizer="l2", kernel_constraint="max_norm")),
    "stream": dict(fit=dict(steps_per_epoch=5), stream=True),
    "callbacks": dict(fit=dict(validation_split=0.2), calls=True, epochs=12),
}
ODD_CALLBACKS = {  # what a callback of rank 1 does, and the error
    "raises": (dict(on_epoch_end=lambda *_: boom()), "ValueError: boom"),
    "leaves": (dict(on_epoch_end=lambda *_: sys.exit()), "a rank has ended before the others"),
    "stops": ({}, "RuntimeError: DataParallel"),
    "is late": (dict(on_batch_end=lambda i, _: time.sleep(0.1 * (i == 7))), None),
}


def fit(folder, ranks=None, fit=None, shard=False, rules=None, stream=False, calls=False, epochs=3,
        stop_after=None, save_freq=6, rows=60, rate=0.2, odd=None):  # fmt: skip
    """Train with `fit`, saving to the folder, and resume what is in it.

    ranks: None on MPI; in one process, the number of ranks that the reference imitates.
    """
    network, noise = (Accumulated, Sliced) if ranks else (Sequential, Dropout)
    layers = [Dense(12, "relu", input_shape=(6,), **rules or {}), noise(rate), Dense(3, "softmax")]
    model, optimizer = network(layers, seed=1), Adam(lr=0.02)
    model.ranks = ranks
    if not ranks:
        optimizer = DataParallel(optimizer, shard=shard, deterministic=True)
    model.compile(optimizer, "categorical_crossentropy", ["accuracy"])
    called = [callbacks.ModelCheckpoint(folder, save_freq=save_freq), *stopper(stop_after)]
    if odd and optimizer.rank:
        called += [callbacks.LambdaCallback(**ODD_CALLBACKS[odd][0]), *stopper(9)[: odd == "stops"]]
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
    return {"weights": hexed(model.state_dict()), "history": history.history}


# ---- Errors: when, what rank 1 (or both) does then, what the error says ----


def boom(*_):
    raise ValueError("boom")


def leave(_):
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
ENDED = "a rank has ended before the others"
ODD = {
    "data": ("make", lambda loop: np.add(loop.x, 1, out=loop.x), "differ in the rows of the batch"),
    "order": ("make", lambda loop: loop.order.random(), "differ in the rows of the batch"),
    "order of the second epoch": (3, lambda loop: loop.order.random(), "the ranks differ in"),
    "dropout": ("make", lambda loop: loop.noise.random(), "differ in the random numbers"),
    "lr": ("make", set_on_optimizer("lr", 1.0), "the ranks differ in its lr"),
    "lr later": (3, set_on_optimizer("lr", 1.0), "the ranks differ in"),
    "shapes": ("make", lambda loop: loop.w.popitem(), "the ranks differ in the parameters"),
    "version": ("make", lambda _: setattr(distributed, "__version__", "0"), "in the versions"),
    "shard": ("make", setter("options", {"shard": True}), "the ranks differ in shard"),
    "one more number": ("make", setter("more", [1.0]), "the ranks differ in"),
    "no closure": ("make", setter("closes", False), "the ranks differ in"),
    "NaN": ("make", setter("nan_at", 2), "FloatingPointError"),
    "exception": (3, boom, "ValueError: boom"),
    "exception in the closure": ("make", setter("layer", boom), "ValueError: boom"),
    "exception before bind": ("bind", boom, "ValueError: boom"),
    "exception, comm": (3, boom, "ValueError: boom"),
    "exit": (3, leave, ENDED),
    "exit before bind": ("bind", leave, ENDED),
    "exit before the first step": (0, leave, ENDED),
    "fewer epochs": ("make", setter("epochs", 1), ENDED),
}
BOTH = {
    "gradient": ("gradient", set_gradient, "w2"),
    "NaN, sharded": ("make", setter("nan_at", 2), "FloatingPointError"),
    "norm, sharded": (3, set_on_optimizer("clip_norm", 1.0), "clipping by a norm"),
    "dtypes": ("make", add_float64, "dtype"),
    "batch normalization": ("make", setter("layer", NORMALIZES), "use LayerNormalization"),
    "no shares": ("no shares", None, "each step needs a batch from a loop over batches"),
    "logits": ("make", setter("more", [[1.0, 2.0]]), "must return a number"),
}


def fail(name, world):
    """Train in a way that must end in an error."""
    when, act, _ = (ODD | BOTH)[name]
    case = dict(make=lambda: SGD(lr=0.1), rate=0.5, closes=name != "gradient")
    options = {"shard": "sharded" in name, "comm": world if "comm" in name else None}
    on_ranks(case, when, act if world.rank or name in BOTH else lambda _: None, **options)


# ---- The program ----


def main(job, *arguments):
    from mpi4py import MPI

    world, folder, found = MPI.COMM_WORLD, arguments[-1], {}
    rank, cases = world.rank, COMPILED if job == "compiled" else CASES
    if job in ("loops", "compiled"):
        for plugin in ("sam", "lookahead", "schedule_free", "adabelief", "radam"):
            run_file(str(PLUGINS / f"{plugin}.py"))
        found = {f"{name} alone": alone(case, world.size) for name, case in cases.items()}
        for name, variant in variants(cases, world.size):
            options = {option: option in variant for option in ("shard", "deterministic")}
            found[name + variant] = on_ranks(cases[name], **options)
    elif job == "fits":
        found = {name: fit(f"{folder}/{name}", **options) for name, options in FITS.items()}
    elif job == "fit":
        Path(folder).mkdir(exist_ok=True)
        Path(folder, f"pid{rank}").write_text(str(os.getpid()))
        fit(f"{folder}/run", **json.loads(arguments[0]))
    else:
        fail(*arguments, world)
    if found:
        Path(folder, f"{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
