"""A race has the same bits on every executor, also if it or its workers are killed on the way."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import race_trainings
from race_trainings import OPTIMIZERS, TRIALS, lines_of, outcomes

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
MPIEXEC = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
needs_proc = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")


class Program:
    """A Python program that races; with MPI, three processes run it."""

    def __init__(self, folder, *words, mpi=False, path=""):
        self.tag, self.output = f"RACE_TAG={folder}-{time.time_ns()}", Path(f"{folder}.txt")
        if mpi and not MPIEXEC:
            pytest.skip("needs mpiexec")
        start = [MPIEXEC, "-n", "3", sys.executable, "-m", "mpi4py.futures"]
        paths = {"PYTHONPATH": f"{path}{os.pathsep}{ROOT}", "RACE_TAG": self.tag[9:]}
        with open(self.output, "w") as file:  # not a pipe: orphans would hold it open
            self.process = subprocess.Popen(
                [*(start if mpi else [sys.executable]), *map(str, words)],
                env=os.environ | paths, stdout=file, stderr=file,
            )  # fmt: skip

    def finish(self, timeout=120):
        """Return the exit status and the output."""
        try:
            return self.process.wait(timeout), self.output.read_text()
        finally:
            self.process.kill()

    def end(self, patience=30):
        """Wait until this program and its descendants have ended; kill and return those left."""
        deadline = time.monotonic() + patience
        while (alive := self.alive()) and time.monotonic() < deadline:
            time.sleep(0.05)
        for pid in alive:
            os.kill(pid, signal.SIGKILL)
        return alive

    def alive(self):
        found = []
        for file in Path("/proc").glob("[0-9]*/environ"):
            with suppress(OSError):  # it has ended, or is of another user
                found += [int(file.parent.name)] * (self.tag.encode() in file.read_bytes())
        return found


def start(training, executor, folder, **options):
    if executor.startswith("dask"):
        pytest.importorskip("distributed")
    if executor in ("threads", "pool"):
        pytest.importorskip("threadpoolctl")
    if executor == "mpi":
        pytest.importorskip("mpi4py")
    words = race_trainings.__file__, training, executor, folder
    return Program(folder, *words, mpi=executor == "mpi", **options)


def run_to_the_end(*words, **options):
    code, out = start(*words, **options).finish()
    assert code == 0, out
    return out


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """Return a function that races without a kill and returns the lines of results.jsonl."""
    folder = tmp_path_factory.mktemp("whole")

    def lines(training):
        run_to_the_end(training, "local", folder / training)
        return lines_of(folder / training)

    return lines


@pytest.mark.parametrize(
    "executor", ["processes", "threads", "pool", "dask", "dask threads", "mpi"]
)
def test_every_executor_finds_the_same_bits(executor, expected, tmp_path):
    run_to_the_end("mnist", executor, tmp_path / "race")
    assert lines_of(tmp_path / "race") == expected("mnist")
    times = (tmp_path / "race" / "times.jsonl").read_text().splitlines()
    workers = {json.loads(line)["worker"] for line in times}
    assert len(times) == TRIALS and len(workers) == (1 if "threads" in executor else 2)


def test_local_without_threadpoolctl_finds_the_same_bits(expected, tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['threadpoolctl'] = None")
    run_to_the_end("mnist", "local", tmp_path / "race", path=tmp_path)
    assert lines_of(tmp_path / "race") == expected("mnist")


@needs_proc
@pytest.mark.parametrize(
    "executor, kills", [("local", 1), ("processes", 5), ("dask", 1), ("mpi", 1), ("pool", 1)]
)
def test_a_killed_race_goes_on(executor, kills, expected, tmp_path):
    chance, folder, before = random.Random(0), tmp_path / "race", 0
    for _ in range(kills):
        program = start("slow", executor, folder)
        while not (folder / "results.jsonl").exists() or len(lines_of(folder)) == before:
            assert program.process.poll() is None, program.finish()
        time.sleep(chance.uniform(0, 0.05))
        program.process.kill()
        program.process.wait()
        before = len(lines_of(folder))
        assert before < TRIALS
        if executor != "pool":
            assert not program.end()
    try:
        run_to_the_end("slow", executor, folder)
    finally:
        program.end(0)
    assert lines_of(folder) == expected("slow") and len({*lines_of(folder)}) == TRIALS


@needs_proc
@pytest.mark.parametrize("executor", ["processes", "dask"])
def test_a_trial_that_kills_its_worker_twice_is_lost(executor, expected, tmp_path):
    for tries in 4, 8:  # two for each optimizer; the second start tries only these
        out = run_to_the_end("kills its worker", executor, tmp_path / "race")
        assert (tmp_path / "race-tries").stat().st_size == tries
        for name in OPTIMIZERS:
            assert f"lost, because its worker died twice: ('{name}', '{{\"lr\": 0.1}}', 1)" in out
    complete = outcomes(expected("bowl"))
    rest = [row for row in complete if (row["hyper"]["lr"], row["seed"]) != (0.1, 1)]
    assert outcomes(lines_of(tmp_path / "race")) == rest and len(rest) == TRIALS - 2


@pytest.mark.parametrize("executor", ["processes", "dask"])
def test_a_worker_that_dies_once_costs_a_retry(executor, expected, tmp_path):
    out = run_to_the_end("kills its worker once", executor, tmp_path / "race")
    assert "lost" not in out and (tmp_path / "race-tries").stat().st_size == 3
    assert outcomes(lines_of(tmp_path / "race")) == outcomes(expected("bowl"))


@needs_proc
@pytest.mark.parametrize("executor", ["pool", "mpi"])
def test_after_an_executor_broke_the_next_start_goes_on(executor, expected, tmp_path):
    program = start("kills its worker once", executor, tmp_path / "race")
    code, out = program.finish()
    assert code and not program.end() and (executor == "mpi" or "RuntimeError: race: " in out)
    run_to_the_end("kills its worker once", executor, tmp_path / "race")
    assert outcomes(lines_of(tmp_path / "race")) == outcomes(expected("bowl"))


@pytest.mark.parametrize("executor", ["local", "dask", "processes"])
def test_an_exception_that_cannot_be_unpickled_ends_the_race(executor, tmp_path):
    code, out = start("raises unpicklable", executor, tmp_path / "race").finish()
    assert code and "UnpicklableError: no luck: bad data" in out


@pytest.mark.parametrize("executor", ["processes", "dask", "mpi"])
def test_a_script_without_a_main_guard_gets_a_clear_error(executor, tmp_path):
    pytest.importorskip({"dask": "distributed", "mpi": "mpi4py"}.get(executor, "numpy"))
    call = f"race(mnist_mlp, ['sgd'], [0.1], 1, {executor!r}, out={str(tmp_path / 'race')!r})"
    (tmp_path / "script.py").write_text(f"from minigrad.race import mnist_mlp, race\n{call}\n")
    program = Program(tmp_path / "race", tmp_path / "script.py", mpi=executor == "mpi")
    assert 'write the call below `if __name__ == "__main__":`' in program.finish()[1]


def test_the_executor_mpi_needs_mpiexec(tmp_path):
    words = f"-m minigrad race --executor mpi --out {tmp_path}/race".split()
    code, out = Program(tmp_path / "race", *words).finish()
    assert code == 2 and ("mpiexec -n 3 python" in out or "needs mpi4py" in out)
    assert out.count("\n") == 1
