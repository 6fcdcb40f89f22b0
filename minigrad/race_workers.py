"""Where the trials of a race run: this process, processes of its own, Dask, MPI.

A worker is an object with submit(function, *args); it runs one trial at a time. In reading order:
the loop over the trials, the workers, one BLAS thread.
"""

import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, ProcessPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from importlib.util import find_spec
from typing import Any

from .race_result import Trial
from .utils import positive_int

ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OPENBLAS", "OMP", "MKL")}
INSTALL = 'pip install "minigrad[distributed]"'
MAIN_GUARD = 'write the call below `if __name__ == "__main__":`, because workers import the file'


def run(call: Callable[..., Any], makers: Mapping[str, Any], pending: Sequence[Trial],
        workers: list[Any]) -> Iterator[tuple[Trial, dict[str, Any] | None]]:  # fmt: skip
    """Yield each trial with its outcome, or None if it is lost.

    If a worker dies, its trial runs again at the end, alone: another trial may be the cause.
    """
    again = []
    for trial, outcome in run_at_once(call, makers, pending, workers):
        if outcome is None:
            again.append(trial)
        else:
            yield trial, outcome
    for trial in again:
        yield from run_at_once(call, makers, [trial], workers)


def run_at_once(call: Callable[..., Any], makers: Mapping[str, Any], pending: Sequence[Trial],
                workers: list[Any]) -> Iterator[tuple[Trial, dict[str, Any] | None]]:  # fmt: skip
    """Yield each trial with its outcome, or None if its worker died."""
    waiting, free = deque(pending), [*workers]
    running: dict[Future, tuple[Any, Trial]] = {}
    try:
        while waiting or running:
            while free and waiting:
                worker, trial = free.pop(), waiting.popleft()
                running[worker.submit(call, makers[trial[0]], trial)] = worker, trial
            failed = None
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                worker, trial = running.pop(future)
                free.append(worker)
                error = error_of(future)
                if error is None:
                    yield trial, future.result()
                elif is_death(worker, error):
                    yield trial, None
                else:
                    failed = trial, error
            if failed:
                trial, error = failed
                kind = "" if isinstance(error, TrialError) else f"{type(error).__name__}: "
                how = "the finished trials are saved; repeat the call to continue"
                raise RuntimeError(f"race: {how}; the trial {trial}: {kind}{error}") from error
    finally:
        for future in running:
            future.cancel()


class TrialError(Exception):
    """What a training raised, as a text: not every exception can be pickled."""


def error_of(future: Future) -> BaseException | None:
    try:
        return future.exception()
    except Exception as error:  # CancelledError: the scheduler is gone
        return error


def is_death(worker: Any, error: BaseException) -> bool:
    """Return whether the process of a worker has ended before its trial."""
    is_own = isinstance(worker, Worker) and isinstance(error, BrokenExecutor)
    return is_own or type(error).__name__ == "KilledWorker"  # Dask's


class InProcess:
    """A worker in this process: submit returns when the trial is done."""

    def submit(self, call: Callable[..., Any], *args: Any) -> Future:
        future: Future = Future()
        try:
            future.set_result(call(*args))
        except Exception as error:  # as an executor's future does
            future.set_exception(error)
        return future


class Worker:
    """A worker in a process of its own. If the process has died, submit starts a new one."""

    pool: ProcessPoolExecutor | None = None
    pid = 0

    def submit(self, call: Callable[..., Any], *args: Any) -> Future:
        try:
            pickled = pickle.dumps((call, args))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            how = "define the functions at the top of a file, so that a process can import them"
            problem = f"{how}, or install threadpoolctl for the executor 'local' ({error})"
            raise TypeError(f"race: {problem}") from error
        if self.pool:
            with suppress(BrokenExecutor):
                return self.pool.submit(call_pickled, pickled)
        self.pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), start_worker)
        try:
            self.pid = self.pool.submit(os.getpid).result()
        except BrokenExecutor as error:
            problem = f"a worker process ended at its start, see above; {MAIN_GUARD}"
            raise RuntimeError(f"race: {problem}") from error
        return self.pool.submit(call_pickled, pickled)

    def close(self) -> None:
        for child in multiprocessing.active_children():
            if child.pid == self.pid:
                child.terminate()


def call_pickled(pickled: bytes) -> Any:
    """Call a pickled function; if it cannot be imported here, its trial gets the error."""
    call, args = pickle.loads(pickled)
    return call(*args)


def start_worker() -> None:
    """End this process at Ctrl-C, and when the parent process ends, even by SIGKILL."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=end_with_parent, daemon=True).start()


def end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
    os._exit(1)


@contextmanager
def open_workers(executor: Any, workers: int | None, trials: int) -> Iterator[list[Any]]:
    """Yield a list with a worker for each trial that can run at the same time."""
    count = cores() if workers is None else positive_int("race: workers", workers)
    count = min(count, max(trials, 1))
    package = "mpi4py" if executor == "mpi" else "distributed"
    if executor in ("mpi", "dask") and not find_spec(package):
        raise ImportError(f"race: the executor {executor!r} needs {package}: {INSTALL}")
    with ExitStack() as stack:
        if not isinstance(executor, str | None):
            if not hasattr(executor, "submit"):
                raise TypeError(f"race: an executor needs submit; received {executor!r}")
            yield [executor] * max(trials, 1)
        elif executor == "mpi":
            yield mpi_workers(None if workers is None else count, stack)
        elif executor == "dask" or str(executor).startswith("tcp://"):
            yield dask_workers(executor, count, stack)
        elif executor in (None, "local") and (find_spec("threadpoolctl") or has_one_thread()):
            yield [InProcess()]
        elif executor in (None, "local", "processes"):
            stack.enter_context(environment(ONE_THREAD))
            own = [Worker() for _ in range(count if executor == "processes" else 1)]
            for worker in own:
                stack.callback(worker.close)
            yield own
        else:
            known = "local, processes, dask, mpi, tcp://HOST:PORT, or an object with submit"
            raise ValueError(f"race: an executor is one of {known}; received {executor!r}")


def mpi_workers(count: int | None, stack: ExitStack) -> list[Any]:
    """Return `count` workers among the ranks of MPI, by default all but the one that races."""
    from mpi4py import MPI
    from mpi4py.futures import MPIPoolExecutor

    world = MPI.COMM_WORLD
    if world.size < 2 or "mpi4py.futures" not in sys.orig_argv:
        how = "mpiexec -n 3 python -m mpi4py.futures PROGRAM"
        raise RuntimeError(f"race: for two workers under MPI, start it with {how}")
    if world.rank:
        raise RuntimeError(f"race: {MAIN_GUARD}")
    count = world.size - 1 if count is None else count
    return [stack.enter_context(MPIPoolExecutor(count))] * count


def dask_workers(executor: Any, count: int, stack: ExitStack) -> list[Any]:
    """Return the workers of a cluster that starts here, or of the scheduler at tcp://HOST:PORT."""
    import dask
    from distributed import Client, LocalCluster

    cluster: Any = executor
    if executor == "dask":  # race itself runs a trial again if its worker has died
        stack.enter_context(dask.config.set({"distributed.scheduler.allowed-failures": 0}))
        options = {"n_workers": count, "threads_per_worker": 1, "dashboard_address": None}
        try:
            cluster = stack.enter_context(LocalCluster(**options))
        except RuntimeError as error:
            raise RuntimeError(f"race: Dask cannot start; {MAIN_GUARD}") from error
    client = stack.enter_context(Client(cluster))
    workers = [client.get_executor(pure=False)] * sum(client.nthreads().values())
    if not workers:
        raise RuntimeError(f"race: the scheduler {executor} has no workers; start some")
    return workers


def cores() -> int:
    """Return the number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Within this context, new processes have these environment variables."""
    before = {name: os.environ[name] for name in variables if name in os.environ}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            del os.environ[name]
        os.environ.update(before)


def has_one_thread() -> bool:
    return any(os.environ.get(name) == "1" for name in ONE_THREAD)


def one_blas_thread() -> AbstractContextManager[Any]:
    """Limit BLAS to one thread: another number of threads gives other bits."""
    if find_spec("threadpoolctl"):
        from threadpoolctl import threadpool_limits

        return threadpool_limits(1)
    if not has_one_thread():
        how = f"{INSTALL}, or set OPENBLAS_NUM_THREADS=1 before Python starts"
        raise ImportError(f"one BLAS thread a trial needs threadpoolctl: {how}")
    return nullcontext()
