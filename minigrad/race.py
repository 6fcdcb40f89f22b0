"""Race: find the best optimizer for a training by a fair comparison, on any executor.

A trial is a training with one optimizer, one configuration of its hyperparameters and one seed.
Every optimizer gets the same number of configurations, and the same seeds: then data orders and
initial weights agree.

In reading order: a training, the race, one trial. race_workers.py says where trials run.
"""

import functools
import inspect
import json
import math
import multiprocessing
import os
import platform
import random
import re
import sys
import threading
import time
import traceback
import uuid
from ast import literal_eval
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from zlib import crc32

import numpy as np
from tqdm import tqdm

from .autograd import no_grad
from .checkpoint import POSIX
from .datasets import batches, mnist
from .functional import cross_entropy
from .layers import Dense
from .models import Sequential
from .optimizers import get
from .race_result import Hyper, RaceResult, Trial, append, read, remove_partial_line, to_record
from .race_workers import MAIN_GUARD, TrialError, one_blas_thread, open_workers, run
from .utils import is_finite_number, positive_int, run_file, unknown_name

if POSIX:
    import fcntl

FOLDERS_IN_USE: set[Path] = set()  # the folders that races of this process write into

# ---- A training ----


def load_mnist() -> tuple:
    """Return 50,000 images (N, 784) with labels for training, and 10,000 for validation."""
    (images, labels), _ = mnist.load_data()
    x = np.divide(images.reshape(-1, 784), 255, dtype=np.float32)
    return (x[:50_000], labels[:50_000]), (x[50_000:], labels[50_000:])


def mnist_mlp(optimizer: Any, seed: int, data: tuple, epochs: int = 2, hidden: int = 512,
              batch_size: int = 128) -> Iterator[float]:  # fmt: skip
    """Train the MNIST MLP; yield the validation loss at the start and four times an epoch."""
    (images, labels), (validation_images, validation_labels) = data
    model = Sequential([Dense(hidden, "relu", input_shape=(784,)), Dense(10)], seed=seed)
    optimizer.bind(model.named_parameters())
    loop = batches(images, labels, batch_size, np.random.default_rng(seed))
    reports = {quarter * len(loop) // 4 for quarter in (1, 2, 3, 4)}

    def validate() -> float:
        with no_grad(), optimizer.evaluating():
            return cross_entropy(model(validation_images), validation_labels).item()

    yield validate()
    for _ in range(epochs):
        for step, (x, y) in enumerate(loop, start=1):
            optimizer.step(functools.partial(forward_and_backward, model, x, y))
            optimizer.zero_grad()
            if step in reports:
                yield validate()


def forward_and_backward(model: Sequential, x: np.ndarray, y: np.ndarray) -> Any:
    loss = cross_entropy(model(x), y)
    loss.backward()
    return loss


# ---- The race ----


def race(train: Callable[..., Iterator[float]],
         optimizers: Sequence[str] | Mapping[str, Callable[..., Any]], lrs: Sequence[float],
         seeds: int | Iterable[int] = 5, executor: Any = None, *,
         load: Callable[[], Any] | None = None, draws: int | None = None,
         search: Mapping[str, Any] | None = None, workers: int | None = None,
         out: str | Path = "race") -> RaceResult:  # fmt: skip
    """Train with every optimizer, every learning rate and every seed; return the results.

    train(optimizer, seed, data): a function that binds the optimizer, takes all randomness from the
        seed, and yields losses: the first at the start, the last one is the final loss. NaN, inf or
        FloatingPointError ends a trial as diverged, which is a result; another exception ends the
        race.
    optimizers: names with hyperparameters, such as "sgd:momentum=0.9"; or a mapping from labels to
        functions that make an optimizer from lr=….
    lrs: a grid of learning rates. With draws=n: (low, high); n values are drawn log-uniformly.
    seeds: the number of seeds, or the seeds.
    search: with draws, more hyperparameters to draw: {"eps": (1e-10, 1e-4)} log-uniformly, and
        {"rho": lambda rng: 1 - 10 ** rng.uniform(-3, 0)} by the function. An optimizer ignores
        those that it does not have.
    load(): returns the data. Each worker calls it once; trials cannot write into its arrays.
    executor: "local" (or None), "processes", "dask", "mpi", the address "tcp://…" of a Dask
        scheduler, or anything with submit. Other processes must be able to import the functions.
    workers: the number of workers to start; by default the number of cores.
    out: a folder. Each finished trial becomes a line of results.jsonl at once; times.jsonl has its
        seconds and its worker. After an interruption, even a SIGKILL, the same call runs only the
        trials that are missing. If the code of `train` has changed, it raises FileExistsError.

    Results do not depend on the executor, the number of workers or their order. On processors of
    one kind they have the same bits, because each trial uses one BLAS thread. Without threadpoolctl
    "local" runs in a process of its own for this. If a worker dies, its trial runs once more, at
    the end and alone. If it dies again, the trial is lost: the result names it, and the next call
    tries it again. A broken executor raises RuntimeError; the next call continues. After a SIGKILL
    the workers of a pool of your own may still run: end them.

    >>> import tempfile
    >>> def bowl(optimizer, seed, data):
    ...     w = Parameter(np.random.default_rng(seed).normal(size=3))
    ...     optimizer.bind([w])
    ...     for _ in range(20):
    ...         w.grad = 2 * w.data
    ...         optimizer.step()
    ...         yield np.sum(w.data**2)
    >>> from minigrad.optimizers import Adam, Parameter, SGD
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     result = race(bowl, {"SGD": SGD, "Adam": Adam}, [0.01, 0.3, 30.0], out=folder)
    >>> result.best("SGD"), result.best("Adam")
    ({'lr': 0.3}, {'lr': 0.3})

    The protocol follows Schmidt et al. 2021 (arXiv 2007.01547).
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):  # a worker that starts
        raise RuntimeError(f"race: {MAIN_GUARD}")
    makers = makers_of(optimizers)
    seeds = seeds_of(seeds)
    drawn = configs(lrs, draws, search or {})
    allowed = {label: allowed_by(make, drawn) for label, make in makers.items()}
    for name in search or {}:
        if not any(name in hyper for found in allowed.values() for hyper in found):
            known = {x for make in makers.values() for x in make(lr=drawn[0]["lr"]).defaults}
            raise unknown_name("hyperparameter in search", name, known)
    result = RaceResult(describe(train), allowed, seeds, code=code_of(train))
    rows = [row for label in makers for row in result.trials(label)]
    trials = [row[i] for i in range(len(seeds)) for row in rows]  # all of a seed, then the next
    folder = Path(out)
    with ExitStack() as stack:
        pool = stack.enter_context(open_workers(executor, workers, len(trials)))
        stack.enter_context(alone_in(folder))
        result.losses = read(folder / "results.jsonl", result, {*trials})
        remove_partial_line(folder / "times.jsonl")
        pending = [trial for trial in trials if trial not in result.losses]
        call = functools.partial(run_trial, train, load, uuid.uuid4().hex)
        if done := len(result.losses):
            print(f"race: {done} of {len(trials)} trials are finished in {folder}", file=sys.stderr)
        bar = stack.enter_context(tqdm(total=len(pending), desc="race", unit="trial", disable=None))
        for trial, outcome in run(call, makers, pending, pool):
            if outcome is None:
                result.lost.append(trial)
            else:
                result.losses[trial] = outcome.pop("losses")
                append(folder / "results.jsonl", to_record(result, trial))
                append(folder / "times.jsonl", {"trial": trial} | outcome)
                best = min(result.losses, key=lambda trial: result.losses[trial][-1])
                bar.set_postfix_str(f"best {best[0]} {best[1]}: {result.losses[best][-1]:.4g}")
            bar.update()
    return result


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Make the folder and lock it; raise RuntimeError if another race is writing into it."""
    folder.mkdir(parents=True, exist_ok=True)
    problem = f"race: another race is writing into {folder}"
    if folder.resolve() in FOLDERS_IN_USE:
        raise RuntimeError(problem)
    FOLDERS_IN_USE.add(folder.resolve())
    try:
        with open(folder / "lock", "w") as file:
            if POSIX:
                try:
                    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # ends with this process
                except (BlockingIOError, PermissionError) as error:
                    raise RuntimeError(problem) from error
            yield
    finally:
        FOLDERS_IN_USE.remove(folder.resolve())


def makers_of(optimizers: Any) -> dict[str, Callable[..., Any]]:
    """Return for each label the function that makes the optimizer from hyperparameters."""
    if isinstance(optimizers, str):
        optimizers = [optimizers]
    if isinstance(optimizers, Mapping):
        makers = dict(optimizers)
    else:
        texts = [*optimizers]
        if not all(isinstance(text, str) for text in texts):
            how = 'write names such as "sgd:momentum=0.9", or a mapping {"my label": SGD}'
            raise TypeError(f"race: optimizers: {how}; received {texts!r:.80}")
        makers = {text: functools.partial(make_optimizer, text) for text in texts}
    if not makers:
        raise ValueError("race: at least one optimizer is required")
    return makers


def seeds_of(seeds: Any) -> list[int]:
    """Return the seeds, as integers of at least 0, each once."""
    if not isinstance(seeds, Iterable):
        seeds = range(positive_int("race: seeds", seeds))
    numbers = [*seeds]
    is_legal = [isinstance(n, int | np.integer) and n >= 0 for n in numbers]
    if not numbers or not all(is_legal) or len({*numbers}) < len(numbers):
        raise ValueError(f"race: seeds must be different integers of at least 0, not {seeds!r}")
    return [int(n) for n in numbers]


def make_optimizer(text: str, plugin: str | None = None, **hyper: Any) -> Any:
    """Make the optimizer that "sgd:momentum=0.9" describes; plugin: a file that registers it."""
    if plugin:
        run_once(plugin)
    name, _, options = text.partition(":")
    try:
        pairs = [option.split("=") for option in options.split(",") if option]
        own = {key.strip(): literal_eval(value.strip()) for key, value in pairs}
    except (ValueError, SyntaxError) as error:
        raise ValueError(f"race: write sgd:momentum=0.9,nesterov=True, not {text!r}") from error
    if own.keys() & hyper.keys():
        raise ValueError(f"race: {text!r} sets what the race varies: {', '.join(hyper)}")
    return get(name, **own, **hyper)


def configs(lrs: Sequence[float], draws: int | None, search: Mapping[str, Any]) -> list[Hyper]:
    """Return the configurations of the grid, or random ones: n + 1 draws begin with those of n."""
    if np.ndim(lrs) != 1 or not all(map(is_finite_number, lrs)) or not np.all(np.array(lrs) > 0):
        raise ValueError(f"race: lrs must be a list of numbers above 0, received {lrs!r}")
    if draws is None:
        if search:
            raise ValueError("race: search needs draws=n and lrs=(low, high)")
        if not len(lrs):
            raise ValueError("race: lrs must have at least one learning rate; it is empty")
        return [{"lr": float(lr)} for lr in sorted({*lrs})]
    if "lr" in search:
        raise ValueError("race: give the range of lr by lrs=(low, high), not by search")
    found: list[Hyper] = [{} for _ in range(positive_int("race: draws", draws))]
    for number, hyper in enumerate(found):
        rng = np.random.default_rng(number)
        for name, limits in {"lr": tuple(lrs), **search}.items():
            is_range = np.shape(limits) == (2,) and all(map(is_finite_number, limits))
            if not callable(limits) and not (is_range and 0 < limits[0] < limits[1]):
                raise ValueError(f"race: {name} needs (low, high) above 0, received {limits!r}")
            value = limits(rng) if callable(limits) else np.exp(rng.uniform(*np.log(limits)))
            hyper[name] = value.item() if isinstance(value, np.generic) else value
    return sorted(found, key=lambda hyper: hyper["lr"])


def allowed_by(make: Callable[..., Any], drawn: list[Hyper]) -> list[Hyper]:
    """Keep the hyperparameters that this optimizer has; raise ValueError for an illegal value."""
    known = make(lr=drawn[0]["lr"]).defaults
    found = [{name: x for name, x in hyper.items() if name in known} for hyper in drawn]
    for hyper in found:
        make(**hyper)
    return found


def describe(value: Any) -> str:
    """Return a function's name, with the arguments that functools.partial has fixed.

    The text holds no addresses, so it is the same in every process.
    """
    if isinstance(value, functools.partial) and value.func is call_function_of:
        return f"{Path(value.args[0]).name}:{value.args[1]}"
    if isinstance(value, functools.partial):
        fixed = [*map(describe, value.args)]
        fixed += [f"{name}={describe(x)}" for name, x in value.keywords.items()]
        return f"{describe(value.func)}({', '.join(fixed)})"
    if hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def code_of(train: Any) -> int:
    """Return a checksum of a training's code; 0 if it has none to read."""
    while isinstance(train, functools.partial):
        if train.func is call_function_of:
            return crc32(Path(train.args[0]).read_bytes())
        train = train.func
    try:
        return crc32(inspect.getsource(train).encode())
    except (OSError, TypeError):
        return 0


# ---- One trial, in a worker ----

LOADED_DATA: dict[str, Any] = {}  # the data of the latest race in this process
TRIAL_LOCK = threading.Lock()  # the BLAS threads and the seeds belong to the whole process


def run_trial(train: Callable[..., Any], load: Callable[[], Any] | None, race_id: str,
              make: Callable[..., Any], trial: Trial) -> dict[str, Any]:  # fmt: skip
    """Run one training; return its losses, its seconds, and the worker."""
    _, hyper, seed = trial
    with TRIAL_LOCK, one_blas_thread(), np.errstate(all="ignore"):
        if race_id not in LOADED_DATA:
            LOADED_DATA.clear()
            LOADED_DATA[race_id] = read_only(load()) if load else None
        start, before = time.perf_counter(), (random.getstate(), np.random.get_state())
        random.seed(seed)  # for a training that uses the global generators
        np.random.seed(seed % 2**32)
        try:
            losses = losses_of(train(make(**json.loads(hyper)), seed, LOADED_DATA[race_id]))
        except Exception as error:  # a training can raise anything
            lines = "".join(traceback.format_exception(error))
            raise TrialError(f"{type(error).__name__}: {error}\n{lines}") from None
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])
        seconds = round(time.perf_counter() - start, 3)
    return {"losses": losses, "seconds": seconds, "worker": f"{platform.node()}:{os.getpid()}"}


def losses_of(training: Iterable[Any]) -> list[float]:
    """Return the losses of a training; if it diverges, they end with inf."""
    if not isinstance(training, Iterable):
        how = "write `yield loss`, not `return loss`"
        raise TypeError(f"a training must yield losses: {how}; received {training!r:.60}")
    losses: list[float] = []
    try:
        for loss in training:
            losses.append(float(loss.item() if hasattr(loss, "item") else loss))
            if not math.isfinite(losses[-1]):
                losses[-1] = math.inf
                break
    except (FloatingPointError, OverflowError):
        losses.append(math.inf)
    if not losses:
        raise ValueError("a training must yield at least one loss")
    return losses


def run_once(file: str) -> ModuleType:
    """Run a Python file; in this process, run it again only if it has changed."""
    return run_version(file, crc32(Path(file).read_bytes()) if Path(file).is_file() else 0)


@functools.cache
def run_version(file: str, checksum: int) -> ModuleType:
    return run_file(file)


def call_function_of(file: str, name: str, *args: Any) -> Any:
    """Call a function of a Python file; unlike the function itself, this can be pickled."""
    return getattr(run_once(file), name)(*args)


def read_only(data: Any) -> Any:
    """Return data with read-only views of its arrays, also inside tuples, lists and dicts."""
    if type(data) is dict:
        return {key: read_only(item) for key, item in data.items()}
    if type(data) in (tuple, list):
        return type(data)(map(read_only, data))
    if isinstance(data, np.ndarray):
        data = data.view()
        data.flags.writeable = False
    return data
