"""The frameworks of the comparison do the same work, and the program runs."""

import json
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


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adagrad", "rmsprop", "adam"])
def test_minigrad_and_hand_written_numpy_do_the_same_work(frameworks, optimizer):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 20), dtype=np.float32)
    y = np.argmax(x[:, :10], axis=1)
    losses = [
        frameworks.FRAMEWORKS[name]([20, 30, 30, 10], optimizer, x, y).run(8, 196)
        for name in ("minigrad", "numpy")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert losses[0] != pytest.approx(np.log(10), rel=1e-2)  # it has learned something


@pytest.mark.slow
def test_compare_runs_and_prints_its_table():
    command = [sys.executable, str(HERE / "compare.py"), "--only", "small", "--pause", "0"]
    command += "--frameworks minigrad numpy --examples 240 --repetitions 1".split()
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert "| small batch 32 |" in run.stdout


def test_a_worker_measures_jobs_and_declines_what_it_cannot_do(frameworks, monkeypatch, capsys):
    jobs = [dict(kind="step", optimizer="sgd", size=10, times=2), dict(kind="train", form="bytes")]
    lines = [json.dumps(job) + "\n" for job in jobs]
    monkeypatch.setattr(sys, "stdin", lines)
    frameworks.serve("matmul")
    assert capsys.readouterr().out == "null\nnull\n"
    monkeypatch.setattr(sys, "stdin", lines[:1])
    frameworks.serve("numpy")
    seconds, _ = json.loads(capsys.readouterr().out)
    assert seconds > 0


def test_the_report_says_which_targets_are_met(monkeypatch):
    monkeypatch.syspath_prepend(HERE)
    import compare

    results = compare.Results()
    for framework, seconds in {"minigrad": 1.0, "numpy": 2.0, "jax": 0.5}.items():
        results.add("epoch rmsprop", framework, seconds)
    met, not_met = compare.targets(results).splitlines()[4:]
    assert met == "| epoch rmsprop | minigrad / numpy | 1.08 | 0.500 | 0.50 … 0.50 | met |"
    assert (
        not_met == "| epoch rmsprop | minigrad / jax | 1.15 | 2.000 | 2.00 … 2.00 | **not met** |"
    )
