"""One training on many processes, the ranks of MPI: each computes a share of every batch.

    optimizer = DataParallel(RMSprop(lr=0.001)).bind(model.named_parameters())
    for x, y in batches(images, labels, 128, rng, rank=optimizer.rank, ranks=optimizer.ranks):
        loss = cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

Start k ranks with one BLAS thread each: `OPENBLAS_NUM_THREADS=1 mpiexec -n k python program.py`.
The extra `distributed` installs mpi4py and an MPI.

The cost of a step, for P weights of 4 bytes and k ranks: each rank sends and receives
8·P·(k − 1)/k bytes, the gradients and their sums. The gradient of one row takes about 6·P
operations in dense layers. With many ranks, computing takes as long as communication if each has

    rows = (8·P / bytes a second) / (6·P / operations a second)

P cancels out. One core of an AMD EPYC computes 1.2·10¹¹ operations a second: about 125 rows a rank
on 10 Gbit/s, 12 on 100 Gbit/s. Each rank does the whole step of the optimizer; with shard=True, 1/k
of it. tests/benchmarks/README.md has measurements within one computer.
"""

import atexit
import platform
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from os import environ
from typing import Any, ClassVar, Self, cast
from zlib import crc32

import numpy as np

from . import __version__, utils
from .autograd.conversion import unwrap
from .datasets.batches import Share, current_share
from .exchange import Buffer, ClosureResult
from .optimizers import Optimizer, Parameter, Wrapper
from .optimizers.clipping import l2_norm
from .optimizers.evaluation import mark_as_changed
from .optimizers.parameters import Params, checksum, collect_groups
from .optimizers.state import to_plain

# Each rank sends the number of what it does, and receives the sum of all. If all ranks do the same,
# the sum is ranks · number. With up to 999 ranks, no mixture of different numbers has such a sum.
STEP, START, STATE, END = 0, 1, 1_000, 1_000_000
COMPARE_EVERY = 100  # steps
utils.use_shares_of(current_share.get)  # for dropout


class DataParallel(Wrapper):
    """g = Σᵣ (nᵣ / n)·gᵣ: the ranks r take the steps of one optimizer together.

    gᵣ is the gradient of the mean loss of the nᵣ rows that rank r has of the n rows of a batch: the
    loss must be a mean over examples. In `fit` each rank gets the whole data and takes its share of
    each batch. Rank 0 prints and saves; the logs describe the whole batch. Resume on all ranks.

    inner          an optimizer, or a wrapper such as EMA(Adam())
    shard          each rank updates its part of the weights, and has only this part of the slots
                   (ZeRO stage 1, Rajbhandari et al. 2020, arXiv 1910.02054); elementwise rules only
    deterministic  add in the order of the ranks. Without it, and with 3 or more ranks, MPI chooses
                   the order, and rounding differs
    comm           an mpi4py communicator (all processes)

    bind copies the weights of rank 0 to all ranks. Each step exchanges one array, which adds up the
    gradients. With two ranks, or with deterministic=True, the weights have the same bits as in one
    process that adds up the gradients of the same shares in the same order. The state_dict is the
    inner optimizer's: any number of ranks can load it, and so can a program without this class.
    With shard=True all ranks have to call state_dict.

    If ranks differ in data, seeds, options or versions, all of them raise RuntimeError. NaN or
    inf on one rank raises FloatingPointError on all. An uncaught exception on one rank ends all.

    Differs from PyTorch: DistributedDataParallel gives all ranks the same weight, even if their
    shares differ in size. BatchNormalization raises RuntimeError: a rank sees only its own rows.

    >>> from minigrad.optimizers import RMSprop
    >>> DataParallel(RMSprop(lr=0.1))  # doctest: +SKIP
    DataParallel(RMSprop(lr=0.1), ranks=1)
    """

    is_saved: ClassVar[bool] = False
    # Attributes of this object: Wrapper sets all names not declared here on the inner optimizer
    comm = rank = ranks = shard = deterministic = parameters = cast(Any, None)
    flat_weights = bounds = buffer = numbers = exchanges = cast(Any, None)

    def __init__(self, inner: Optimizer | Wrapper, /, *, shard: bool = False,
                 deterministic: bool = False, comm: Any = None):  # fmt: skip
        super().__init__(inner)
        comm = all_processes() if comm is None else comm
        self.comm, self.rank, self.ranks = comm, comm.rank, comm.size
        self.shard, self.deterministic = shard and comm.size > 1, deterministic
        self.parameters, self.exchanges = {}, 0
        if self.ranks > 1:
            guard(self)
        if shard:
            require_elementwise(inner)
        if bound := inner.parameters:
            self.connect([{"params": [(n, bound[n]) for n in g.names]} for g in inner.groups])

    def __repr__(self) -> str:
        return f"DataParallel({self.inner!r}, ranks={self.ranks})"

    def bind(self, params: Params) -> Self:
        """Take parameters to train, with the weights of rank 0: see Optimizer.bind."""
        collected = collect_groups("DataParallel", params)
        given = {id(p) for members, _ in collected for p in members.values()}
        is_new = given != {*map(id, self.parameters.values())}
        if is_new or any(options for _, options in collected):
            if self.parameters:
                raise RuntimeError(f"{self!r} already has parameters; make a new optimizer")
            self.connect([{**options, "params": [*ps.items()]} for ps, options in collected])
        return self

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take a step with the gradients of all ranks.

        closure returns a number, or a list of numbers; step returns their means over the whole
        batch. A rank with an empty share does not call it.
        """
        if self.ranks == 1:  # ClosureResult checks and returns what it does on many ranks
            return self.inner.step(closure and (lambda: ClosureResult(closure()).unflatten()))
        self.require_parameters()
        if self.shard:
            require_elementwise(self.inner, bound=True)
        means = self.inner.step(partial(self.exchange, closure))
        if self.shard:
            self.comm.Allgather(None, self.flat_weights)
            for parameter in self.parameters.values():
                mark_as_changed(parameter)
        return means

    def exchange(self, closure: Callable[[], Any] | None) -> Any:
        """Replace the gradients by those of the whole batch; return the means of the numbers."""
        share = current_share.get()
        if share is None:
            how = "batches(…, rank=optimizer.rank, ranks=optimizer.ranks)"
            raise RuntimeError(f"{self!r}: each step needs a batch from a loop over {how}")
        rows = share.stop - share.start
        numbers = ClosureResult(closure() if closure else None) if rows else None
        if share.draws and share.rows < self.ranks:  # empty shares draw nothing
            required = "with dropout a batch needs at least one row for each rank"
            raise RuntimeError(f"{self!r}: {required}; received {share.rows} rows")
        facts = self.facts(share)
        if self.exchanges % COMPARE_EVERY == 0:
            self.announce(STEP)
            every = self.comm.allgather(numbers)
            self.numbers = numbers or next(filter(None, every))  # of any rank that has rows
            weights = {f"the weights of {n}": checksum(p.data) for n, p in self.parameters.items()}
            self.require_equal(facts | weights | {"closure": self.numbers.shapes})
        flat = numbers.flat * rows if numbers else 0 * self.numbers.flat
        present, sums = self.add_up_and_compare(rows / share.rows, flat, facts)
        if self.shard and self.inner.on_nonfinite != "ignore":
            is_finite = np.isfinite(l2_norm(self.buffer.summed_gradients))
            if self.comm.allreduce(int(is_finite)) < self.ranks:
                # A rank whose part has no gradient must raise the error, too
                self.buffer.summed_gradients.fill(np.nan)
                present = [1.0] * len(present)
        parameters = self.inner.parameters.values()
        for parameter, g, weight in zip(parameters, self.buffer.sum_of_each, present):
            g = g.copy() if self.inner.needs_closure else g  # the next closure overwrites the sums
            parameter.grad = g if weight else None
        return self.numbers.unflatten(sums / share.rows)

    def add_up_and_compare(self, weight: float, flat: np.ndarray, facts: dict[str, Any]) -> Any:
        """Return which gradients exist, and the sums of flat; raise if the ranks' facts differ."""
        # All c are equal exactly if (Σc)² = ranks·Σc² (their variance is 0). With c < 256, the sums
        # of up to 258 ranks are exact in float32. Of different facts, one pair in 256 has the same
        # c; `exchange` compares the facts themselves every COMPARE_EVERY steps.
        c = crc32(str(facts).encode()) % 256
        flat = np.array([*flat, c, c**2])
        if self.buffer is None or self.buffer.count != len(flat):
            self.buffer = Buffer(self, len(flat))
        actions, present, sums = self.buffer.add_up(weight, flat)
        self.require_same(STEP, actions)
        *sums, sum_c, sum_c2 = sums
        if sum_c**2 != self.ranks * sum_c2:
            self.require_equal(facts)
        self.exchanges += 1
        return present, np.array(sums)

    # ---- Binding and state ----

    def connect(self, groups: list[dict[str, Any]]) -> None:
        """Check that the ranks agree, send rank 0's weights to all, bind the inner optimizer."""
        named = {name: p for group in groups for name, p in group["params"]}
        if self.ranks > 1:
            self.announce(START)
            versions = platform.python_version(), np.__version__, __version__
            shapes = [(name, p.data.shape, p.data.dtype.str) for name, p in named.items()]
            self.require_equal({
                "the versions of Python, NumPy, minigrad": versions, "the parameters": shapes,
                "shard, deterministic": (self.shard, self.deterministic),
            } | described(self.inner))  # fmt: skip
            if len(dtypes := {p.data.dtype.name for p in named.values()}) > 1:
                required = "all parameters must have one dtype"
                raise TypeError(f"{self!r}: {required}; received {', '.join(sorted(dtypes))}")
            for parameter in named.values():
                w = np.ascontiguousarray(parameter.data)
                self.comm.Bcast(w)
                parameter.data[...] = w
                mark_as_changed(parameter)
        self.parameters = named
        if self.shard:
            groups = self.own_parts(groups)
        self.inner.bind(groups)

    def own_parts(self, groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Make all weights views of one array; return the groups with this rank's part of each."""
        arrays = [p.data for p in self.parameters.values()]
        width = -(-sum(w.size for w in arrays) // self.ranks)
        self.flat_weights = np.zeros((self.ranks, width), arrays[0].dtype)
        self.bounds = {}
        flat, start, parts = self.flat_weights.reshape(-1), 0, {}
        for name, parameter in self.parameters.items():
            w, stop = parameter.data, start + parameter.data.size
            flat[start:stop] = w.reshape(-1)
            parameter.data = flat[start:stop].reshape(w.shape)
            edges = np.clip(np.arange(self.ranks + 1) * width, start, stop)
            self.bounds[name] = (edges - start).tolist()  # between the ranks' parts of it
            parts[name] = Parameter(flat[edges[self.rank] : edges[self.rank + 1]])
            start = stop
        return [{**g, "params": [(name, parts[name]) for name, _ in g["params"]]} for g in groups]

    zero_grad = Optimizer.zero_grad
    require_parameters = cast(Any, Optimizer.require_parameters)

    def state_dict(self) -> dict[str, Any]:
        """Return the inner optimizer's state; with shard=True all ranks have to call it."""
        state = self.inner.state_dict()
        if not self.shard:
            return state
        self.announce(STATE)
        every = self.comm.allgather(state)
        for key in {key: None for other in every for key in other["slots"]}:
            name = key.rpartition("/")[0]
            parts = {r: s["slots"][key] for r, s in enumerate(every) if key in s["slots"]}
            sizes = np.diff(self.bounds[name])
            state["slots"][key] = next(iter(parts.values()))
            if all(part.shape == (sizes[r],) for r, part in parts.items()):
                whole = np.concatenate([*parts.values()])
                state["slots"][key] = whole.reshape(self.parameters[name].data.shape)
        for name in state["updates"]:
            state["updates"][name] = max(other["updates"][name] for other in every)
        return state

    def load_state_dict(self, state: Any) -> None:
        """Load a state_dict() of the inner optimizer. After an error nothing has changed."""
        if self.shard and isinstance(slots := dict(state).get("slots"), Mapping):
            parts = dict(slots)
            for key, array in parts.items():
                name = key.rpartition("/")[0]
                if name in self.bounds and np.shape(array) == self.parameters[name].data.shape:
                    low, high = self.bounds[name][self.rank : self.rank + 2]
                    parts[key] = np.reshape(array, -1)[low:high]
            state = {**state, "slots": parts}
        self.inner.load_state_dict(state)

    def share(self, *batch: Any) -> list[Any]:
        """Return this rank's rows of a batch that all ranks have, as in `fit`; None stays None.

        share() without a batch ends the share.
        """
        if not batch:
            current_share.set(None)
            return []
        arrays = [np.asarray(unwrap(array)) for array in batch if array is not None]
        n = len(arrays[0])
        sample = b"".join(a[:: n // 10 + 1].tobytes() for a in arrays if not a.dtype.hasobject)
        share = Share.of(self.rank, self.ranks, n, crc32(sample))
        current_share.set(share)
        return [None if array is None else array[share.start : share.stop] for array in batch]

    # ---- Agreement of the ranks ----

    def facts(self, share: Share) -> dict[str, Any]:
        """Return what all ranks must agree on in a step."""
        return described(self.inner) | {
            "the rows of the batch (data, order or seed)": (share.rows, share.checksum),
            "the random numbers of dropout": share.rows < self.ranks or share.draws,
            "the number of steps": self.inner.steps,
        }

    def agree(self, facts: dict[str, Any]) -> None:
        """Raise RuntimeError on all ranks if they differ in one of these facts; `fit` calls it."""
        self.announce(START)
        self.require_equal(facts)

    def announce(self, action: int) -> None:
        """Tell all ranks what this one does; raise RuntimeError if one does something else."""
        if self.buffer:
            total = self.buffer.add_up(0.0, np.zeros(self.buffer.count), action)[0]
        else:
            total = sum(self.comm.allgather(action))
        self.require_same(action, total)

    def require_same(self, action: int, total: float) -> None:
        if action == END or total == action * self.ranks:
            return
        problem = "some ranks take a step, others start a training or call state_dict()"
        if total >= END:
            problem = "a rank has ended before the others"
        raise RuntimeError(f"{self!r}: {problem}; all ranks must do the same")

    def require_equal(self, facts: dict[str, Any]) -> None:
        """Raise RuntimeError on all ranks if they differ in one of these facts."""
        every = self.comm.allgather({name: str(value) for name, value in facts.items()})
        for rank, other in enumerate(every):
            for name in every[0] | other:
                x, y = every[0].get(name, "nothing"), other.get(name, "nothing")
                if x != y:
                    values = f"rank 0 has {x:.300}, rank {rank} has {y:.300}"
                    how = "give all ranks the same program, data, seeds and options"
                    raise RuntimeError(f"{self!r}: the ranks differ in {name}: {values}; {how}")


# ---- Start and end of the ranks ----

TRAINING: list[DataParallel] = []  # the optimizer of this process, if it is one of several ranks


def all_processes() -> Any:
    """Return MPI's communicator of all processes; let errors end them together."""
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # RuntimeError: there is no MPI
        install = 'pip install "minigrad[distributed]"'
        raise ImportError(f"DataParallel needs mpi4py and an MPI: {install} ({error})") from error
    comm = MPI.COMM_WORLD
    started = max(int(environ.get(name, 1)) for name in ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE"))
    if started > comm.size:
        problem = f"mpiexec has started {started} processes, but mpi4py sees {comm.size}"
        raise RuntimeError(f"DataParallel: {problem}; use the mpiexec of the MPI of mpi4py")
    return comm


def guard(parallel: DataParallel) -> None:
    """End the other ranks if this one has an uncaught error, or ends."""
    TRAINING[:] = [parallel]
    if getattr(sys.excepthook, "func", None) is not end_all:
        atexit.register(leave)
        sys.excepthook = partial(end_all, parallel.comm, sys.excepthook)


def end_all(comm: Any, show: Callable[..., Any], kind: type, error: BaseException, tb: Any) -> None:
    """Show an uncaught error, and end all ranks: the others would wait forever."""
    time.sleep(min(comm.rank, 5))  # if all ranks have the error, the first to end ends the others
    show(kind, error, tb)
    sys.stdout.flush()
    sys.stderr.flush()
    time.sleep(0.5)  # mpiexec needs time to pass the text on
    atexit.unregister(leave)  # Abort would call it
    comm.Abort(1)


def leave() -> None:
    """At the end of this process, tell the ranks that wait for it."""
    for parallel in TRAINING:
        parallel.announce(END)


def described(optimizer: Any) -> dict[str, Any]:
    """Return an optimizer's class and hyperparameters; unlike repr, without addresses."""
    if isinstance(optimizer, Wrapper):
        who = type(optimizer).__name__
        hyper = {f"{who}.{k}": to_plain(vars(optimizer)[k]) for k in optimizer.own_defaults}
        return hyper | {f"the optimizer in {who}": ""} | described(optimizer.inner)
    facts: dict[str, Any] = {"the optimizer": type(optimizer).__name__}
    facts |= {f"its {k}": to_plain(x) for k, x in optimizer.raw_hyperparameters().items()}
    for i, group in enumerate(optimizer.groups):
        facts |= {f"{k} of group {i}": to_plain(x) for k, x in group.data.items()}
    return facts


def require_elementwise(inner: Any, bound: bool = False) -> None:
    """Raise ValueError if the inner optimizer cannot update parts of the weights apart."""
    problem = ""
    if isinstance(inner, Wrapper) or inner.has_evaluation_weights or inner.needs_closure:
        problem = "an optimizer that holds another one, averages weights or needs a closure"
    elif not inner.elementwise:
        problem = "a rule that is not elementwise"
    elif any(g["clip_norm"] or g["clip_global_norm"] for g in inner.groups or [vars(inner)]):
        problem = "clipping by a norm"
    elif inner.parameters and not bound:
        problem = "parameters from before: call bind of DataParallel instead"
    if problem:
        raise ValueError(f"DataParallel(shard=True) cannot have {problem}; received {inner!r}")
