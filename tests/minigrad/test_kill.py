"""A training that is killed at any moment and resumed ends with the bits of one without a kill."""

import itertools
import os
import random
import signal
import sys
import time
from contextlib import suppress

import pytest
from forkserver import ForkServer, last_checkpoint, trace_lines_of_saves, train

from minigrad import checkpoint

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs fork and SIGKILL")
EPOCHS = 20


@pytest.fixture(scope="module")
def forkserver():
    with ForkServer() as forkserver:
        yield forkserver


@pytest.fixture(scope="module")
def expected(forkserver, tmp_path_factory):
    """Return the last checkpoint of a run without a kill."""
    folder = tmp_path_factory.mktemp("whole")
    forkserver.run(folder=str(folder), epochs=EPOCHS)
    return last_checkpoint(folder)


@pytest.mark.parametrize("goal", [3, pytest.param(40, marks=pytest.mark.slow)])
def test_killed_at_random_moments_ends_with_the_same_bits(forkserver, expected, tmp_path, goal):
    chance, kills, completed = random.Random(0), 0, 0
    while kills < goal:
        folder, done = tmp_path / str(completed), False
        while not done:
            pid = forkserver.start(folder=str(folder), epochs=EPOCHS)
            if kills < goal:
                time.sleep(chance.uniform(0, 0.1))
                with suppress(ProcessLookupError):  # the training was faster
                    os.kill(pid, signal.SIGKILL)
            done = forkserver.wait() == 0
            kills += not done
            assert all(checkpoint.read(file) for file in folder.glob("*.npz"))
        assert last_checkpoint(folder) == expected
        completed += 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "job",
    [
        {"optimizer": "ema"},
        {"optimizer": "sam", "plugin": "sam.py"},
        {"optimizer": "lookahead", "plugin": "lookahead.py"},
        {"optimizer": "schedule_free_adamw", "plugin": "schedule_free.py"},
    ],
    ids=lambda job: job["optimizer"],
)
def test_optimizers_with_more_than_one_set_of_weights_survive_a_kill(forkserver, tmp_path, job):
    forkserver.run(folder=str(tmp_path / "whole"), epochs=EPOCHS, **job)
    chance, folder, kills, done = random.Random(1), tmp_path / "killed", 0, False
    while not done:
        pid = forkserver.start(folder=str(folder), epochs=EPOCHS, **job)
        if kills < 4:
            time.sleep(chance.uniform(0.05, 0.1))
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        done = forkserver.wait() == 0
        kills += not done
    assert kills
    assert last_checkpoint(folder) == last_checkpoint(tmp_path / "whole")


@pytest.mark.parametrize("kills", [4, pytest.param(35, marks=pytest.mark.slow)])
def test_killed_inside_a_save_ends_with_the_same_bits(forkserver, expected, tmp_path, kills):
    """Each process is killed in its second save, so that the training advances."""
    count, tracer = itertools.count(), sys.gettrace()
    sys.settrace(trace_lines_of_saves(lambda: next(count)))
    train(tmp_path / "counted", stop_after=3)
    sys.settrace(tracer)
    lines = next(count)
    folder = tmp_path / "killed"
    for i in range(kills):
        line = lines + (i * lines) // kills
        forkserver.start(folder=str(folder), epochs=EPOCHS, die_at_line=line)
        assert forkserver.wait() == -signal.SIGKILL
        assert all(checkpoint.read(file) for file in folder.glob("*.npz"))
        assert len(list(folder.glob("*.npz"))) <= 4 and len(list(folder.glob("*.part"))) <= 1
    forkserver.run(folder=str(folder), epochs=EPOCHS)
    assert last_checkpoint(folder) == expected
    assert not list(folder.glob("*.part"))


def test_ctrl_c_stops_after_the_batch_and_the_training_resumes(forkserver, expected, tmp_path):
    """The training stops after its batch and saves it."""
    pid = forkserver.start(folder=str(tmp_path), epochs=EPOCHS, save_freq="epoch")
    while not checkpoint.latest(tmp_path):
        time.sleep(0.001)
    os.kill(pid, signal.SIGINT)
    assert forkserver.wait() == 0
    at = checkpoint.read(tmp_path)["progress"]
    assert 0 < at["epoch"] < EPOCHS
    forkserver.run(folder=str(tmp_path), epochs=EPOCHS)
    assert last_checkpoint(tmp_path) == expected
