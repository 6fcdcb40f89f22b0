"""Run a student's function in a process of its own, with limits on what a mistake can do.

In reading order: the parent's side, the child's side. This is not a sandbox.
"""

import contextlib
import inspect
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..hyperparameters import did_you_mean
from .task_rules import Call

OUTPUT = 1 << 20  # bytes that a submission may print
RESULTS = 1 << 24  # bytes that it may compute
Series = dict[str, list[Call]]  # calls, by the name of the series
Directions = dict[str, list[np.ndarray]]  # u of each call, by series


def run_apart(
    file: str | Path, task: str, series: Series, seconds: float, megabytes: int
) -> tuple[Directions, list[str]]:
    """Run a submission in a process of its own; return what it computed, and problems in words.

    A series in which the submission fails is left out.
    """
    with tempfile.TemporaryDirectory() as private, tempfile.TemporaryDirectory() as cwd:
        result = Path(private) / "result.npz"
        calls = Path(private) / "calls.pickle"
        calls.write_bytes(pickle.dumps(series))
        limits = [str(megabytes), str(int(seconds) + 2)]
        arguments = [str(Path(file).resolve()), task, str(calls), str(result), *limits]
        with tempfile.TemporaryFile() as printed:
            process = subprocess.Popen(
                [sys.executable, "-m", __name__, *arguments], stdin=subprocess.DEVNULL, cwd=cwd,
                stdout=printed, stderr=printed, env=environment(),
                start_new_session=True,
            )  # fmt: skip
            try:
                problem = wait(process, printed.fileno(), seconds)
            finally:
                end_process(process)
            if os.fstat(printed.fileno()).st_size >= OUTPUT:
                problem = f"It prints more than {OUTPUT >> 20} MB."
        if problem:
            return {}, [problem]
        if process.returncode or not result.exists():
            return {}, [f"Its process ended {end_of(process.returncode)} before it returned."]
        try:
            return read_result(result, series)
        except Exception:  # it may write anything into the file
            return {}, ["Its results cannot be read: it has changed the grader's file."]


def environment() -> dict[str, str]:
    """Return the variables of a process that finds minigrad and uses one BLAS thread."""
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OPENBLAS", "OMP", "MKL")}
    return os.environ | threads | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def wait(process: Any, printed: int, seconds: float) -> str:
    """Wait until the process ends; return the limit that it breaks, in words."""
    end = time.monotonic() + seconds
    while process.poll() is None:
        time.sleep(0.02)
        if time.monotonic() > end:
            return f"It runs for more than {seconds:g} seconds. Is there an endless loop?"
        if os.fstat(printed).st_size >= OUTPUT:
            return f"It prints more than {OUTPUT >> 20} MB."
    return ""


def end_process(process: Any) -> None:
    """End a process, and those that it has started."""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def end_of(code: int) -> str:
    if code >= 0:
        return f"with the status {code}"
    names = {int(number): number.name for number in signal.Signals}
    return f"by the signal {names.get(-code, -code)}"


def read_result(path: Path, series: Series) -> tuple[Directions, list[str]]:
    """Read what the child has written; raise an exception if it is anything else."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size > RESULTS:
        raise ValueError("not a file of results")
    directions: Directions = {}
    with np.load(path) as content:
        problems = [str(content[key]) for key in content.files if key.startswith("problem|")]
        for name, calls in series.items():
            if f"{name}|0" in content.files:
                directions[name] = [content[f"{name}|{i}"] for i in range(len(calls))]
                for u, call in zip(directions[name], calls):
                    if u.shape != call.g.shape or u.dtype != call.g.dtype:
                        raise ValueError("another shape or dtype")
    return directions, problems


# ---- In the process of the submission ----


def run_here(file: str, task: str, calls: str, result: str, megabytes: str, seconds: str) -> None:
    """Run a submission in this process, which run_apart has started; save what it computes."""
    # A submission may replace these functions
    savez, replace, exit_now, this_process = np.savez, os.replace, os._exit, os.getpid()
    series: Series = pickle.loads(Path(calls).read_bytes())
    sys.argv[:] = [file]
    limit_this_process(int(megabytes), int(seconds))
    problems: list[str] = []
    directions: dict[str, np.ndarray] = {}
    for name, calls_of_series in series.items():
        try:
            results = run_calls(load(file, task), calls_of_series, problems)
            directions |= {f"{name}|{i}": u for i, u in enumerate(results)}
        except BaseException as error:  # a submission can raise anything, also SystemExit
            problems.append(describe(error, file))
            if isinstance(error, MemoryError):
                break
        if os.getpid() != this_process:  # it has forked, unseen by the audit hook
            exit_now(0)
    texts = {f"problem|{i}": np.array(text) for i, text in enumerate(dict.fromkeys(problems))}
    with open(result + ".part", "wb") as out:
        savez(out, **directions, **texts)  # type: ignore[arg-type]
    replace(result + ".part", result)
    exit_now(0)  # its threads and its atexit functions do not count


def limit_this_process(megabytes: int, seconds: int) -> None:
    """Limit memory, time and files, where the system can; forbid other processes."""
    if sys.platform == "linux":
        import resource

        limits = {
            resource.RLIMIT_AS: megabytes << 20,
            resource.RLIMIT_CPU: seconds,
            resource.RLIMIT_FSIZE: RESULTS,
            resource.RLIMIT_CORE: 0,
        }
        for kind, most in limits.items():
            resource.setrlimit(kind, (most, most))

    def refuse(event: str, _: Any) -> None:
        starts = ("os.fork", "os.posix_spawn", "os.exec", "os.spawn", "os.system", "subprocess.")
        if event.startswith(starts):
            raise PermissionError("a submission may not start processes")

    sys.addaudithook(refuse)


def load(file: str, task: str) -> Callable[..., Any]:
    """Run the file; return the function of the task."""
    namespace: dict[str, Any] = {"__name__": "submission", "__file__": file}
    exec(compile(Path(file).read_bytes(), file, "exec", dont_inherit=True), namespace)
    function = namespace.get(task)
    if not callable(function):
        near = did_you_mean(task, [name for name, x in namespace.items() if inspect.isfunction(x)])
        raise Problem(f"The file must define a function {task}(g, slots, …){near}.")
    return function


class Problem(Exception):
    """What is wrong, in a sentence."""


def run_calls(
    function: Callable[..., Any], calls: list[Call], problems: list[str]
) -> list[np.ndarray]:
    """Return u of each call; append what is wrong to problems."""
    slots: dict[str, dict[str, Any]] = {}
    named = inspect.signature(function).parameters.values()
    takes_all = any(p.kind is p.VAR_KEYWORD for p in named)
    names, directions, passed = {p.name for p in named}, [], []
    if missing := [name for name in calls[0].hyper if not (takes_all or name in names)]:
        text = f"It does not take {', '.join(missing)}. Keep the arguments of the skeleton."
        problems.append(text)
    for call in calls:
        g, numbers = call.g.copy(), {"t": call.t, **call.hyper}
        passed.append((g, call.g))
        options = {k: x for k, x in numbers.items() if takes_all or k in names}
        u = function(g, slots.setdefault(call.name, {}), **options)
        directions.append(as_array(u, g, problems))
    if any(not np.array_equal(g, before) for g, before in passed):
        problems.append("It changes g in place. Write g = g * 2 instead of g *= 2; store copies.")
    return directions


def as_array(u: Any, g: np.ndarray, problems: list[str]) -> np.ndarray:
    """Return u as an array like g."""
    if u is None:
        raise Problem("It returns nothing. End it with `return u`.")
    array = np.array(u)
    if array.shape != g.shape:
        raise Problem(f"It must return an array of shape {g.shape}, as g has, not {array.shape}.")
    if array.dtype.kind not in "fiu":
        raise Problem(f"It must return numbers, as g has, not {array.dtype}.")
    if array.dtype != g.dtype:
        how = "Make slots with np.zeros_like(g), and single numbers with float(…)"
        problems.append(f"It returns {array.dtype} where g is {g.dtype}. {how}.")
    with np.errstate(all="ignore"):
        return array.astype(g.dtype)


def describe(error: BaseException, file: str) -> str:
    """Return an exception of a submission in a sentence, with its line."""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
    line = error.lineno if isinstance(error, SyntaxError) else lines[-1] if lines else None
    where = f" in line {line}" if line else ""
    if isinstance(error, MemoryError):
        return f"It needs too much memory{where}."
    if isinstance(error, SystemExit):
        return f"It calls sys.exit{where}."
    try:
        text = str(error.msg if isinstance(error, SyntaxError) else error)
    except BaseException:  # its own __str__ fails
        text = ""
    text = "".join(c if c.isprintable() else " " for c in text[:300])
    if isinstance(error, Problem):
        return text
    return f"It raises {type(error).__name__}{where}{': ' if text else ''}{text}."


if __name__ == "__main__":
    run_here(*sys.argv[1:])
