"""Where the trials of a race run: in this process, in own processes, under Dask, under MPI.

In reading order: the loop over the trials, the places, one BLAS thread.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from importlib.util import find_spec
from typing import Any

from .race_result import Trial
from .utils import positive_int

ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OPENBLAS", "OMP", "MKL")}
INSTALL = 'pip install "minigrad[distributed]"'


def run(call: Callable[..., Any], makers: Mapping[str, Any], todo: Sequence[Trial],
        places: list[Any]) -> Iterator[tuple[Trial, dict[str, Any] | None]]:  # fmt: skip
    """Yield each trial with its outcome, or None if it is lost. A place runs one at a time."""
    waiting, deaths = deque(todo), Counter[Trial]()
    running: dict[Future, tuple[Any, Trial]] = {}
    while waiting or running:
        while waiting and places:
            place, trial = places.pop(), waiting.popleft()
            running[place.submit(call, makers[trial[0]], trial)] = place, trial
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            place, trial = running.pop(future)
            places.append(place)
            error = future.exception()
            died = isinstance(place, Worker) and isinstance(error, BrokenExecutor)
            deaths[trial] += died
            if died and deaths[trial] == 1:
                waiting.append(trial)
            elif died or type(error).__name__ == "KilledWorker":  # Dask has retried it
                yield trial, None
            elif error:
                problem = f"the trial {trial} raised {type(error).__name__}: {error}"
                how = "the finished trials are saved, and the same call goes on"
                raise RuntimeError(f"race: {problem}; {how}") from error
            else:
                yield trial, future.result()


class Here:
    """Runs a trial in this process."""

    def submit(self, call: Callable[..., Any], *args: Any) -> Future:
        future: Future = Future()
        try:
            future.set_result(call(*args))
        except Exception as error:  # as an executor's future does
            future.set_exception(error)
        return future


class Worker:
    """A process that runs a trial; if it has died, submit starts another one."""

    pool: ProcessPoolExecutor | None = None
    pid = 0

    def submit(self, call: Callable[..., Any], *args: Any) -> Future:
        if self.pool:
            with suppress(BrokenExecutor):
                return self.pool.submit(call, *args)
        spawn = multiprocessing.get_context("spawn")
        self.pool = ProcessPoolExecutor(1, spawn, start_worker)
        try:
            self.pid = self.pool.submit(os.getpid).result()
        except BrokenExecutor as error:
            raise RuntimeError("race: a worker process ended at its start") from error
        return self.pool.submit(call, *args)

    def close(self) -> None:
        for child in multiprocessing.active_children():
            if child.pid == self.pid:
                child.terminate()


def start_worker() -> None:
    """Let Ctrl-C, and the end of the parent process, even by SIGKILL, end this process."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=end_with_parent, daemon=True).start()


def end_with_parent() -> None:
    multiprocessing.parent_process().join()  # type: ignore[union-attr]
    os._exit(1)


@contextmanager
def open_places(executor: Any, workers: int | None, trials: int) -> Iterator[list[Any]]:
    """Yield the places of an executor: as many trials run at once."""
    count = min(positive_int("race: workers", workers or os.cpu_count()), max(trials, 1))
    package = "mpi4py" if executor == "mpi" else "distributed"
    if executor in ("mpi", "dask") and not find_spec(package):
        raise ImportError(f"race: the executor {executor!r} needs {package}: {INSTALL}")
    with ExitStack() as stack:
        if not isinstance(executor, str | None):
            if not hasattr(executor, "submit"):
                raise TypeError(f"race: an executor needs submit; received {executor!r}")
            yield [executor] * trials
        elif executor == "mpi":
            from mpi4py import MPI
            from mpi4py.futures import MPIPoolExecutor

            if MPI.COMM_WORLD.size < 2 or "mpi4py.futures" not in sys.orig_argv:
                how = "mpiexec -n 3 python -m mpi4py.futures PROGRAM"
                raise RuntimeError(f"race: for two workers under MPI, start it with {how}")
            yield [stack.enter_context(MPIPoolExecutor(count))] * count
        elif executor == "dask" or str(executor).startswith("tcp://"):
            from distributed import Client, LocalCluster

            own = {"n_workers": count, "threads_per_worker": 1, "dashboard_address": None}
            cluster = executor if executor != "dask" else stack.enter_context(LocalCluster(**own))
            client = stack.enter_context(Client(cluster))
            yield [client.get_executor(pure=False)] * sum(client.nthreads().values())
        elif executor in (None, "local") and find_spec("threadpoolctl"):
            yield [Here()]
        elif executor in (None, "local", "processes"):
            places = [Worker() for _ in range(count if executor == "processes" else 1)]
            stack.enter_context(environment(ONE_THREAD))
            for place in places:
                stack.callback(place.close)
            yield places
        else:
            known = "local, processes, dask, mpi, tcp://HOST:PORT, or an object with submit"
            raise ValueError(f"race: an executor is one of {known}; received {executor!r}")


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Within this context, new processes have these environment variables."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def one_blas_thread() -> AbstractContextManager[Any]:
    """Let matrix products use one thread: another number of threads gives other bits."""
    if find_spec("threadpoolctl"):
        from threadpoolctl import threadpool_limits

        return threadpool_limits(1)
    if all(os.environ.get(name) != "1" for name in ONE_THREAD):
        how = f"{INSTALL}, or set OPENBLAS_NUM_THREADS=1 before Python starts"
        raise ImportError(f"one BLAS thread a trial needs threadpoolctl: {how}")
    return nullcontext()
