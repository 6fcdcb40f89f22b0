"""The comparison compares like with like, and runs."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent


@pytest.fixture
def frameworks(monkeypatch):
    monkeypatch.syspath_prepend(HERE)
    import frameworks

    return frameworks


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad", "rmsprop", "adam"])
def test_minigrad_and_numpy_by_hand_do_the_same_work(frameworks, optimizer):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 20), dtype=np.float32)
    y = np.argmax(x[:, :10], axis=1)
    losses = [
        frameworks.FRAMEWORKS[name]([20, 30, 30, 10], optimizer, x, y).run(8, 196)
        for name in ("minigrad", "numpy")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert losses[0] != pytest.approx(np.log(10), rel=1e-2)  # it has learned something


def test_it_runs():
    command = [sys.executable, str(HERE / "compare.py"), "--only", "small", "--pause", "0"]
    command += "--frameworks minigrad numpy --examples 240 --repetitions 1".split()
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert "| small batch 32 |" in run.stdout
