"""The same seed gives the same bits, whatever else differs between two runs."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from forkserver import ForkServer, last_checkpoint, train

from minigrad import Tensor
from minigrad.anomaly import AnomalyError, detect_anomaly
from minigrad.callbacks import CSVLogger, EarlyStopping, ModelCheckpoint
from tests.minigrad.helpers import TerminalStderr, X, Y, make_model, weight_bytes


def train_model(seed=1, epochs=3, **more):
    model = make_model("adam", seed=seed)
    history = model.fit(
        X, Y, batch_size=9, epochs=epochs, validation_split=0.2, **{"verbose": 0} | more
    )
    return weight_bytes(model), history.history


def test_the_progress_bar_changes_no_bits(monkeypatch):
    quiet = train_model()
    assert train_model(seed=2) != quiet
    monkeypatch.setattr(sys, "stderr", bar := TerminalStderr())
    monkeypatch.setattr(sys.modules["tqdm"].tqdm, "monitor_interval", 0)
    assert train_model(verbose=1) == quiet
    assert "epoch 3/3: 100%" in bar.getvalue()
    assert train_model(verbose=2) == quiet


def test_callbacks_change_no_bits(tmp_path):
    callbacks = [
        ModelCheckpoint(tmp_path, save_freq=1),
        CSVLogger(tmp_path / "log.csv"),
        EarlyStopping("loss", patience=9, restore_best_weights=False),
    ]
    assert train_model(callbacks=callbacks) == train_model()


def test_evaluating_between_trainings_changes_no_bits():
    model, other = make_model(), make_model()
    model.fit(X, Y, verbose=0)
    other.fit(X, Y, verbose=0)
    model.evaluate(X, Y)
    model.predict(X)
    assert weight_bytes(model) == weight_bytes(other)
    model.fit(X, Y, verbose=0)
    other.fit(X, Y, verbose=0)
    assert weight_bytes(model) == weight_bytes(other)


@pytest.mark.skipif(os.name != "posix", reason="needs fork")
@pytest.mark.parametrize(
    ("flags", "hash_seed"),
    [
        (["-O"], "3"),
        pytest.param([], "1", marks=pytest.mark.slow),
        pytest.param([], "2", marks=pytest.mark.slow),
    ],
)
def test_another_process_gives_the_same_bits(tmp_path, flags, hash_seed):
    """Also with another order of hashes, and without assert statements."""
    train(tmp_path / "here")
    with ForkServer(*flags, PYTHONHASHSEED=hash_seed) as forkserver:
        forkserver.run(folder=str(tmp_path / "there"))
    assert last_checkpoint(tmp_path / "there") == last_checkpoint(tmp_path / "here")


def test_models_in_threads_do_not_disturb_each_other():
    """Four trainings at once switch dropout and recording on and off, and give the same bits."""
    one_by_one = [train_model(seed, epochs=12) for seed in range(4)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(4) as pool:
            at_once = list(pool.map(lambda seed: train_model(seed, epochs=12), range(4)))
    finally:
        sys.setswitchinterval(interval)
    assert at_once == one_by_one


def test_anomaly_mode_applies_to_one_thread():
    def negative():
        with np.errstate(invalid="ignore"):
            return np.log(Tensor(-1.0, requires_grad=True)).item()

    with ThreadPoolExecutor(1) as pool, detect_anomaly():
        assert np.isnan(pool.submit(negative).result())
        with pytest.raises(AnomalyError):
            negative()
