"""Several ranks take the steps of one process, bit for bit; and all end if one of them fails."""

import importlib.util
import json
import os
import random
import re
import shutil
import signal
import sys
import time
from contextlib import suppress
from functools import cache
from itertools import combinations_with_replacement
from pathlib import Path
from types import SimpleNamespace

import mpi_failures
import mpi_trainings
import numpy as np
import pytest
from forkserver import ROOT, last_checkpoint
from mpi_failures import FAILS_ON_BOTH, FAILS_ON_RANK_1
from mpi_trainings import (
    CALLBACKS_OF_RANK_1,
    CASES,
    COMPILED,
    FITS,
    PLUGINS,
    PROGRAM,
    as_hex,
    fit,
    results,
    run_program,
    start_program,
    variants,
)

from minigrad import checkpoint, distributed, optimizers
from minigrad.distributed import DataParallel, described
from minigrad.models import load_model
from minigrad.optimizers import EMA, SGD, Adam, Parameter
from minigrad.utils import run_file

mpi = pytest.mark.skipif(
    not (mpi_trainings.MPIEXEC and importlib.util.find_spec("mpi4py")),
    reason="needs mpi4py and mpiexec",
)
proc = pytest.mark.skipif(not os.path.exists("/proc/self"), reason="needs /proc")
slow = pytest.mark.slow
ALONE = SimpleNamespace(rank=0, size=1)  # a communicator


# ---- Without MPI: what is refused ----


def test_without_mpi4py_an_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(ImportError, match=re.escape('pip install "minigrad[distributed]"')):
        DataParallel(SGD())


def test_a_wrapper_on_one_rank_alone_is_named():
    parallel = DataParallel(SGD(), comm=ALONE)
    other = {name: str(value) for name, value in described(SGD()).items()}
    parallel.comm = SimpleNamespace(allgather=lambda facts: [facts, other])
    with pytest.raises(RuntimeError, match=r"EMA.*: rank 0 has .*, rank 1 has nothing"):
        parallel.require_equal(described(EMA(SGD())))


@pytest.mark.parametrize("name", ["PMI_SIZE", "OMPI_COMM_WORLD_SIZE"])
def test_the_mpiexec_of_another_mpi_is_noticed(monkeypatch, name):
    alone = SimpleNamespace(MPI=SimpleNamespace(COMM_WORLD=ALONE))
    monkeypatch.setitem(sys.modules, "mpi4py", alone)
    monkeypatch.setenv(name, "3")
    with pytest.raises(RuntimeError, match="started 3 processes, but mpi4py sees 1; use"):
        DataParallel(SGD())


@pytest.mark.parametrize(
    "make, problem",
    [
        (lambda: EMA(Adam()), "holds another one"),
        (lambda: SGD(clip_norm=1.0), "clipping by a norm"),
        (lambda: SGD(clip_global_norm=1.0), "clipping by a norm"),
        (lambda: optimizers.get("nadam"), "not elementwise"),
        (lambda: run_file(str(PLUGINS / "muon.py")).Muon(), "not elementwise"),
        (lambda: run_file(str(PLUGINS / "sam.py")).SAM(SGD()), "holds another one"),
        (lambda: SGD([Parameter(np.ones(2))]), "call bind of DataParallel"),
    ],
)
def test_shard_refuses_what_needs_all_weights(make, problem):
    with pytest.raises(ValueError, match=rf"shard=True\) cannot have .*{problem}"):
        DataParallel(make(), shard=True, comm=ALONE)


# ---- Loops: the weights, slots and losses of one process ----


@pytest.fixture(scope="module")
def loops(tmp_path_factory):
    """Return a function: the results of a job on k ranks, which runs once."""
    return cache(lambda k, job: results(k, tmp_path_factory.mktemp(job), job)[0])


def assert_case(by_rank, case, name, variant):
    """Compare what every rank found with one process: weights, state, losses, size of the slots.

    Two ranks have only one order in which to add. deterministic fixes the order for more ranks.
    In both cases every bit agrees.
    """
    expected = by_rank[0][name + " reference"]
    is_exact = len(by_rank) < 3 or "deterministic" in variant
    for own in by_rank:
        found = own[name + variant]
        assert found["weights"] == by_rank[0][name + variant]["weights"], "the ranks agree"
        if is_exact:
            assert found["weights"] == expected["weights"]
            assert found["state"] == expected["state"]
        elif case.get("dtype") is float:
            for key, weight in found["weights"].items():
                alone = from_hex(expected["weights"][key])
                np.testing.assert_allclose(from_hex(weight), alone, rtol=1e-9, err_msg=key)
        if case.get("with_closure", True):
            assert np.allclose(found["losses"], expected["losses"], rtol=1e-5, equal_nan=True)
        else:
            assert found["losses"] == [None] * len(expected["losses"])
        if "shard" in variant:
            assert found["elements"] <= expected["elements"] / len(by_rank) + 20


def from_hex(text):
    return np.frombuffer(bytes.fromhex(text))


def each_run(cases):
    marks = {1: [slow], 2: [], 3: [slow]}
    return [
        pytest.param(k, *run, marks=marks[k], id=f"{k} {''.join(run)}")
        for k in marks
        for run in variants(cases, k)
    ]


@mpi
@pytest.mark.parametrize("k, name, variant", each_run(CASES))
def test_k_ranks_take_the_steps_of_one_process(loops, k, name, variant):
    assert_case(loops(k, "loops"), CASES[name], name, variant)


@mpi
@slow
@pytest.mark.parametrize("k, name, variant", each_run(COMPILED))
def test_a_compiled_step_has_the_same_bits(loops, k, name, variant):
    pytest.importorskip("numba")
    assert_case(loops(k, "compiled"), COMPILED[name], name, variant)


@mpi
@slow
def test_the_same_run_twice_has_the_same_bits(loops, tmp_path):
    assert str(results(3, tmp_path, "loops")[0]) == str(loops(3, "loops"))  # NaN ≠ NaN


# ---- fit ----


@pytest.fixture(scope="module")
def fits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fits")
    return folder, *results(2, folder, "fits")


@mpi
@pytest.mark.parametrize("name", FITS)
def test_fit_gives_the_weights_and_history_of_one_process(fits, tmp_path, name):
    folder, (first, second), _ = fits
    alone = fit(tmp_path / name, 2, **FITS[name])
    assert first[name] == second[name]
    assert first[name]["weights"] == alone["weights"]
    for number, numbers in alone["history"].items():
        exact = number.startswith("val") or number == "lr"
        found = first[name]["history"][number]
        assert np.allclose(found, numbers, rtol=0 if exact else 1e-5, atol=0)
    ours, theirs = (sorted(f.name for f in (x / name).iterdir()) for x in (folder, tmp_path))
    assert ours == theirs


@mpi
def test_only_rank_0_prints_and_writes(fits):
    folder, (first, _), out = fits
    lines, history = out.splitlines(), first["callbacks"]["history"]
    epochs = len(history["loss"])
    assert 1 < epochs < FITS["callbacks"]["epochs"]  # EarlyStopping has stopped it
    assert len(set(history["lr"])) > 1  # ReduceLROnPlateau has acted
    assert lines.count(f"callback {epochs - 1}") == 1
    assert sum(line.startswith("epoch 1/3") for line in lines) == len(FITS) - 1
    assert len((folder / "callbacks.csv").read_text().splitlines()) == epochs + 1


@mpi
@pytest.mark.parametrize("name", ["validation", "shard"])
def test_a_checkpoint_of_ranks_is_one_of_a_plain_optimizer(fits, name):
    folder, (first, _), _ = fits
    model = load_model(checkpoint.latest(folder / name))
    assert type(model.optimizer) is Adam
    assert as_hex(model.state_dict()) == first[name]["weights"]


def run_fit(k, folder, **options):
    code, _, err = run_program(k, *PROGRAM, "fit", json.dumps(options), folder)
    assert code == 0, err
    return folder / "run"


@mpi
@slow
@pytest.mark.parametrize("k, shard", [(2, False), (2, True), (3, False), (3, True)])
@pytest.mark.parametrize("data", [{"fit": {"validation_split": 0.2}}, {"rows": 49, "rate": 0}])
def test_a_training_moves_between_ranks_and_one_process(tmp_path, k, shard, data):
    """With 49 rows, the batch after the stop has one row: only one rank gets it."""
    options = data | {"shard": shard}
    alone = fit(tmp_path / "alone", k, **options)["weights"]
    whole = run_fit(k, tmp_path / "whole", **options)
    parts = run_fit(k, tmp_path / "parts", stop_after=6, **options)
    shutil.copytree(parts, tmp_path / "moved")
    assert last_checkpoint(run_fit(k, tmp_path / "parts", **options)) == last_checkpoint(whole)
    assert fit(tmp_path / "moved", k, **options)["weights"] == alone

    fit(tmp_path / "back" / "run", k, stop_after=10, **options)
    back = run_fit(k, tmp_path / "back", **options)
    assert as_hex(checkpoint.read(back)["model"]) == alone


# ---- Errors ----


def assert_all_ranks_fail(words, *program):
    code, _, err = run_program(2, *program, timeout=30)
    errors = re.findall(r"^\w*Error.*", err, re.MULTILINE)
    assert code != 0
    assert len(errors) == 1 and words in errors[0], err


@pytest.mark.parametrize("ranks", [2, 3, 7])
def test_ranks_that_do_different_things_never_find_the_sum_of_equal_ones(ranks):
    """Three ranks with 0, 1 and 2 once had the sum of three ranks with 1, and one of them hung."""
    actions = distributed.STEP, distributed.START, distributed.STATE
    for done in combinations_with_replacement(actions, ranks):
        agrees = [action for action in done if sum(done) == action * ranks]
        assert not agrees or len({*done}) == 1


FAILURES = FAILS_ON_RANK_1 | FAILS_ON_BOTH


@mpi
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n == "data" else slow) for n in FAILURES]
)
def test_all_ranks_end_with_one_error(name):
    assert_all_ranks_fail(FAILURES[name][2], "-W", "error", mpi_failures.__file__, name)


@mpi
@slow
@pytest.mark.parametrize("shard", [False, True])
@pytest.mark.parametrize("callback", CALLBACKS_OF_RANK_1)
def test_a_rank_whose_callback_raises_exits_or_stops_ends_all(tmp_path, callback, shard):
    """A late rank ends nothing: rank 0 saves a second time before rank 1 looks at the folder."""
    options = {"on_rank_1": callback, "shard": shard, "save_freq": 4}
    if words := CALLBACKS_OF_RANK_1[callback][1]:
        assert_all_ranks_fail(words, *PROGRAM, "fit", json.dumps(options), tmp_path)
    else:
        run_fit(2, tmp_path, **options)


# ---- Kills ----


def start_fit(folder, **options):
    """Start a training on two ranks; return mpiexec's process and the pids of the ranks."""
    files = [folder / f"pid{r}" for r in range(2)]
    for file in files:
        file.unlink(missing_ok=True)
    process = start_program(2, *PROGRAM, "fit", json.dumps(options), folder)
    while not all(file.exists() and file.read_text() for file in files):
        time.sleep(0.01)
    return process, [int(file.read_text()) for file in files]


def lives(pid):
    with suppress(FileNotFoundError):
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False


def assert_no_process_left(process, pids):
    end = time.monotonic() + 10
    process.communicate(timeout=10)
    while any(map(lives, pids)):
        assert time.monotonic() < end
        time.sleep(0.01)


@mpi
@proc
@slow
@pytest.mark.parametrize("shard", [False, True])
def test_a_killed_rank_ends_all_and_a_resumed_training_has_the_same_bits(tmp_path, shard):
    options = {"epochs": 60, "shard": shard, "save_freq": 2}
    whole, folder = run_fit(2, tmp_path / "whole", **options), tmp_path / "killed"
    chance = random.Random(shard)
    for _ in range(5):
        process, pids = start_fit(folder, **options)
        time.sleep(chance.uniform(0.1, 0.3))
        os.kill(chance.choice(pids), signal.SIGKILL)
        assert_no_process_left(process, pids)
        assert process.returncode != 0
        assert all(checkpoint.read(file) for file in folder.glob("run/*.npz"))
    assert last_checkpoint(folder / "run") != last_checkpoint(whole)
    assert last_checkpoint(run_fit(2, folder, **options)) == last_checkpoint(whole)


@mpi
@proc
@slow
def test_ctrl_c_ends_all(tmp_path):
    process, pids = start_fit(tmp_path, epochs=10_000)
    while not checkpoint.latest(tmp_path / "run"):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert_no_process_left(process, pids)
    assert checkpoint.read(tmp_path / "run")


# ---- The example ----


@mpi
@slow
def test_the_mnist_example_trains_on_two_ranks_and_resumes(tmp_path):
    pytest.importorskip("threadpoolctl")
    program = ROOT / "examples" / "mnist_mlp.py", "--distributed", "--hidden", "16"
    for epochs in "1", "2":
        options = "--checkpoint", tmp_path, "--epochs", epochs, "--resume"
        code, out, err = run_program(2, *program, *options)
        assert code == 0, err
        assert re.findall(r"^epoch (\d)", out, re.MULTILINE) == [epochs]
        assert float(out.split()[-1]) > 0.85
