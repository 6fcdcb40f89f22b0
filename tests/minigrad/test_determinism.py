"""The same seed is the same run: whatever else is different, the bits are the same."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from io import StringIO

import numpy as np
import pytest
from nursery import Nursery, X, Y, make_model, the_last, train

import minigrad
from minigrad import Tensor
from minigrad.anomaly import AnomalyError, detect_anomaly
from minigrad.callbacks import CSVLogger, EarlyStopping, ModelCheckpoint


def run(seed=1, epochs=3, **more):
    model = make_model("adam", seed=seed)
    history = model.fit(
        X, Y, batch_size=9, epochs=epochs, validation_split=0.2, **{"verbose": 0} | more
    )
    return bits(model), history.history


def bits(model):
    return {name: array.tobytes() for name, array in model.state_dict().items()}


class Terminal(StringIO):
    def isatty(self):
        return True


def test_with_and_without_a_bar(monkeypatch):
    quiet = run()
    assert run(seed=2) != quiet
    monkeypatch.setattr(sys, "stderr", bar := Terminal())
    monkeypatch.setattr(sys.modules["tqdm"].tqdm, "monitor_interval", 0)
    assert run(verbose=1) == quiet
    assert "epoch 3/3: 100%" in bar.getvalue()
    assert run(verbose=2) == quiet


def test_with_and_without_checkpoints_and_callbacks(tmp_path):
    callbacks = [
        ModelCheckpoint(tmp_path, save_freq=1),
        CSVLogger(tmp_path / "log.csv"),
        EarlyStopping("loss", patience=9, restore_best_weights=False),
    ]
    assert run(callbacks=callbacks) == run()


def test_evaluating_in_between_changes_nothing():
    model, other = make_model(), make_model()
    model.fit(X, Y, verbose=0)
    other.fit(X, Y, verbose=0)
    model.evaluate(X, Y)
    model.predict(X)
    assert bits(model) == bits(other)
    model.fit(X, Y, verbose=0)
    other.fit(X, Y, verbose=0)
    assert bits(model) == bits(other)


@pytest.mark.skipif(os.name != "posix", reason="needs fork")
def test_processes(tmp_path):
    """Another order of hashes, and asserts taken out."""
    train(tmp_path / "here")
    for name, flags, seed in [("a", [], "1"), ("b", [], "2"), ("c", ["-O"], "3")]:
        with Nursery(*flags, PYTHONHASHSEED=seed) as nursery:
            nursery.run(folder=str(tmp_path / name))
        assert the_last(tmp_path / name) == the_last(tmp_path / "here"), (flags, seed)


def test_models_in_threads_do_not_meet():
    """Four trainings at once, which switch dropout and recording on and off, and one by one."""
    one_by_one = [run(seed, epochs=12) for seed in range(4)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(4) as pool:
            at_once = list(pool.map(lambda seed: run(seed, epochs=12), range(4)))
    finally:
        sys.setswitchinterval(interval)
    assert at_once == one_by_one


def test_no_grad_is_of_one_thread():
    def derivative():
        x = Tensor(3.0, requires_grad=True)
        np.square(x).backward()
        return x.grad.item()

    with ThreadPoolExecutor(1) as pool, minigrad.no_grad():
        assert not (Tensor(3.0, requires_grad=True) * 2.0).requires_grad
        assert pool.submit(derivative).result() == 6


def test_anomaly_mode_is_of_one_thread():
    def negative():
        with np.errstate(invalid="ignore"):
            return np.log(Tensor(-1.0, requires_grad=True)).item()

    with ThreadPoolExecutor(1) as pool, detect_anomaly():
        assert np.isnan(pool.submit(negative).result())
        with pytest.raises(AnomalyError):
            negative()
