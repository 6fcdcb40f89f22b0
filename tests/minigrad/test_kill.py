"""Killed at any moment and resumed, a training ends with the bits of an undisturbed one."""

import itertools
import os
import random
import signal
import sys
import time
from contextlib import suppress

import pytest
from nursery import Nursery, at_each_line_of_a_save, the_last, train

from minigrad import checkpoint

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs fork and SIGKILL")
EPOCHS = 40


@pytest.fixture(scope="module")
def nursery():
    with Nursery() as nursery:
        yield nursery


@pytest.fixture(scope="module")
def undisturbed(nursery, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    nursery.run(folder=str(folder), epochs=EPOCHS)
    return the_last(folder)


def test_at_random_moments(nursery, undisturbed, tmp_path):
    chance, kills, completed = random.Random(0), 0, 0
    while kills < 40:
        folder, done = tmp_path / str(completed), False
        while not done:
            pid = nursery.start(folder=str(folder), epochs=EPOCHS)
            if kills < 40:
                time.sleep(chance.uniform(0, 0.1))
                with suppress(ProcessLookupError):  # it was faster
                    os.kill(pid, signal.SIGKILL)
            done = nursery.wait() == 0
            kills += not done
            assert all(checkpoint.read(file) for file in folder.glob("*.npz"))
        assert the_last(folder) == undisturbed
        completed += 1


def test_inside_the_save(nursery, undisturbed, tmp_path):
    """Each time in the second save of a process, so that the training advances."""
    count, kills, tracer = itertools.count(), 0, sys.gettrace()
    sys.settrace(at_each_line_of_a_save(lambda: next(count)))
    train(tmp_path / "counted", stop_after=3)
    sys.settrace(tracer)
    lines = next(count)
    folder = tmp_path / "killed"
    for line in range(lines, 2 * lines, lines // 35):
        nursery.start(folder=str(folder), epochs=EPOCHS, die_at_line=line)
        assert nursery.wait() == -signal.SIGKILL
        kills += 1
        assert all(checkpoint.read(file) for file in folder.glob("*.npz"))
        assert len(list(folder.glob("*.npz"))) <= 4 and len(list(folder.glob("*.part"))) <= 1
    assert kills >= 35
    nursery.run(folder=str(folder), epochs=EPOCHS)
    assert the_last(folder) == undisturbed
    assert not list(folder.glob("*.part"))


def test_ctrl_c_in_another_process(nursery, undisturbed, tmp_path):
    """It ends the training in order: the last batch is saved."""
    pid = nursery.start(folder=str(tmp_path), epochs=EPOCHS, save_freq="epoch")
    while not checkpoint.latest(tmp_path):
        time.sleep(0.001)
    os.kill(pid, signal.SIGINT)
    assert nursery.wait() == 0
    at = checkpoint.read(tmp_path)["progress"]
    assert 0 < at["epoch"] < EPOCHS
    nursery.run(folder=str(tmp_path), epochs=EPOCHS)
    assert the_last(tmp_path) == undisturbed
