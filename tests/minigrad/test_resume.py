"""A training that is stopped and resumed ends with the same bits as one without a stop."""

import os
import runpy
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
from forkserver import ForkServer, last_checkpoint

from minigrad import checkpoint, optimizers
from minigrad.callbacks import (
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    ModelCheckpoint,
    ReduceLROnPlateau,
)
from minigrad.checkpoint import CheckpointError
from minigrad.datasets import batches
from minigrad.functional import cross_entropy
from minigrad.training_state import checksum
from tests.minigrad.helpers import X, Y, make_model, stop_after_batches, weight_bytes

GOLDEN_FOLDER = Path(__file__).parents[1] / "golden"
posix = pytest.mark.skipif(os.name != "posix", reason="needs fork")
OURS = [
    n for n in optimizers.available() if type(optimizers.get(n)).__module__.startswith("minigrad.")
]


@pytest.fixture(scope="module")
def forkserver():
    with ForkServer() as forkserver:
        yield forkserver


@posix
@pytest.mark.parametrize(
    "optimizer",
    [
        pytest.param(name, marks=[] if name in ("rmsprop", "ema") else [pytest.mark.slow])
        for name in OURS
    ],
)
def test_every_optimizer_resumes_exactly(forkserver, tmp_path, optimizer):
    forkserver.run(folder=f"{tmp_path}/whole", optimizer=optimizer)
    forkserver.run(folder=f"{tmp_path}/parts", optimizer=optimizer, stop_after=10)
    assert checkpoint.latest(tmp_path / "parts").name == "checkpoint-00000001-00000004.npz"
    forkserver.run(folder=f"{tmp_path}/parts", optimizer=optimizer)
    assert last_checkpoint(tmp_path / "whole") == last_checkpoint(tmp_path / "parts")


@posix
@pytest.mark.parametrize("stops", [[5, 6, 7], pytest.param(range(1, 14), marks=pytest.mark.slow)])
def test_a_training_resumes_from_any_batch(forkserver, tmp_path, stops):
    """Stop before, at and after the end of an epoch of 6 batches."""
    forkserver.run(folder=f"{tmp_path}/whole", epochs=3)
    for k in stops:
        forkserver.run(folder=f"{tmp_path}/{k}", epochs=3, stop_after=k)
        forkserver.run(folder=f"{tmp_path}/{k}", epochs=3)
        assert last_checkpoint(tmp_path / str(k)) == last_checkpoint(tmp_path / "whole"), k


@posix
@pytest.mark.slow
def test_a_training_resumes_after_every_batch(forkserver, tmp_path):
    forkserver.run(folder=f"{tmp_path}/whole", epochs=3)
    for _ in range(18):
        forkserver.run(folder=f"{tmp_path}/steps", epochs=3, stop_after=1)
    assert last_checkpoint(tmp_path / "steps") == last_checkpoint(tmp_path / "whole")


def test_a_checkpoint_of_version_0_1_0_resumes(tmp_path):
    """The stored numbers are of another machine, so the last digits may differ.

    Version 0.1.0 drew the rows for validation at random, so here they are given as validation_data.
    """
    old = SimpleNamespace(**runpy.run_path(str(GOLDEN_FOLDER / "checkpoint_0_1_0.py")))
    with pytest.raises(CheckpointError, match="validation_rows=None, this one has 'the last'"):
        old.train(resume=old.CHECKPOINT)
    content = checkpoint.read(old.CHECKPOINT)
    progress = content["progress"]
    assert progress["batch"] == 2
    order = np.random.default_rng([progress["seed"], 0]).permutation(40)
    held_out, kept = np.sort(order[:8]), np.sort(order[8:])
    split = dict(x=old.X[kept], y=old.Y[kept], validation_data=(old.X[held_out], old.Y[held_out]))
    data = checksum(split["x"], split["y"], *split["validation_data"])
    progress |= dict(examples=32, data=data, validation_split=0.0)
    checkpoint.write(tmp_path / "given.npz", content)
    # since version 0.6 a cooldown of 2 epochs is what it was in 0.1.0 with 1
    options = split | dict(validation_split=0.0, cooldown=2)
    model, history = old.train(resume=tmp_path / "given.npz", **options)
    found = {f"weights/{name}": array for name, array in model.state_dict().items()}
    found |= {f"history/{name}": numbers for name, numbers in history.items()}
    with np.load(old.END) as end:
        assert found.keys() == set(end)
        for name in end:
            np.testing.assert_allclose(found[name], end[name], rtol=1e-5, atol=1e-6, err_msg=name)


def fit(model, folder, epochs=12, **more):
    history = model.fit(
        X,
        Y,
        batch_size=20,
        epochs=epochs,
        verbose=0,
        validation_split=0.25,
        callbacks=[
            *stop_after_batches(more.pop("stop_after", None)),
            ModelCheckpoint(folder, save_freq=2),
            CSVLogger(folder / "log.csv"),
            ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=0.05, cooldown=1),
            EarlyStopping("val_loss", patience=3, restore_best_weights=True),
        ],
        resume=folder if checkpoint.latest(folder) else None,
        **more,
    )
    return history.history


def test_the_state_of_callbacks_is_resumed(tmp_path):
    whole, other = tmp_path / "whole", tmp_path / "other"
    straight = make_model("sgd", lr=0.3, momentum=0.9)
    history = fit(straight, whole)
    assert 3 < len(history["lr"]) < 12, "EarlyStopping stopped it"
    assert history["lr"][0] > history["lr"][-1]
    for _ in range(40):
        model = make_model("sgd", lr=0.3, momentum=0.9)
        parts = fit(model, other, stop_after=2)
    assert parts == history
    assert last_checkpoint(other) == last_checkpoint(whole)
    assert (other / "log.csv").read_bytes() == (whole / "log.csv").read_bytes()
    assert weight_bytes(model) == weight_bytes(straight), "the best weights"


def test_a_finished_training_resumes_with_more_epochs(tmp_path):
    six, three = make_model(), make_model()
    whole = six.fit(X, Y, epochs=6, verbose=0).history
    three.fit(X, Y, epochs=3, verbose=0)
    three.save(tmp_path / "three.npz")
    model = make_model(seed=99)
    assert model.fit(X, Y, epochs=6, verbose=0, resume=tmp_path / "three.npz").history == whole
    assert weight_bytes(model) == weight_bytes(six)
    assert model.fit(X, Y, epochs=2, verbose=0, resume=tmp_path / "three.npz").history == {
        name: numbers[:3] for name, numbers in whole.items()
    }, "no epoch is left"


def test_the_explicit_loop_resumes_exactly(tmp_path):
    def train(model, optimizer, rng, epochs):
        model.train()
        for _ in epochs:
            for x, y in batches(X, Y, 7, rng):
                cross_entropy(model(x), y).backward()
                optimizer.step()
                optimizer.zero_grad()

    def start(seed):
        model = make_model(seed=seed)
        optimizer = optimizers.Adam(model.named_parameters(), lr=optimizers.CosineDecay(0.1, 30))
        return model, optimizer, np.random.default_rng(seed)

    whole = start(0)
    train(*whole, range(5))
    half = start(0)
    train(*half, range(2))
    checkpoint.save(tmp_path, *half, epoch=2, note=["plain", {"values": None}])
    rest = start(1)
    progress = checkpoint.load(tmp_path, *rest)
    assert progress == {"epoch": 2, "note": ["plain", {"values": None}]}
    train(*rest, range(progress["epoch"], 5))
    assert weight_bytes(rest[0]) == weight_bytes(whole[0])


@pytest.mark.parametrize("kind", ["MT19937", "PCG64DXSM", "Philox", "SFC64"])
def test_every_bit_generator_is_restored(tmp_path, kind):
    model, rng = make_model(), np.random.Generator(getattr(np.random, kind)(5))
    rng.integers(10, size=3, dtype=np.int32)  # leaves half of a 64-bit number for later
    checkpoint.save(tmp_path / "file.npz", model, rng=rng)
    other = np.random.Generator(getattr(np.random, kind)(6))
    checkpoint.load(tmp_path / "file.npz", model, rng=other)
    draws = [(g.integers(10, dtype=np.int32), g.random()) for g in (rng, other)]
    assert draws[0] == draws[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 21}, "batch_size=20, this one has 21"),
        ({"shuffle": False}, "shuffle=True, this one has False"),
        ({"validation_split": 0.2}, "validation_split=0.25, this one has 0.2"),
        ({"x": X[1:], "y": Y[1:]}, "examples=60, this one has 59"),
        ({"x": X[::-1], "y": Y[::-1]}, "data="),
        ({"y": Y[::-1]}, "data="),
    ],
)
def test_another_training_is_refused(tmp_path, change, message):
    model = make_model()
    settings = dict(x=X, y=Y, batch_size=20, verbose=0, validation_split=0.25)
    model.fit(**settings)
    model.save(tmp_path / "file.npz")
    before = weight_bytes(model)
    with pytest.raises(CheckpointError, match=message):
        model.fit(**settings | change, resume=tmp_path / "file.npz")
    assert weight_bytes(model) == before


@pytest.mark.parametrize(
    ("change", "requirement"),
    [
        ({"seed": -1}, "seed and counts are integers, 0 or more"),
        ({"epoch": True}, "seed and counts are integers, 0 or more"),
        ({"means": {"sums": {"loss": "1"}, "count": 32}}, "sums and history are numbers"),
        ({"history": {"loss": [0.1]}}, "the history has the logged names"),
        ({"epoch": 2}, "the history has one number per epoch"),
        ({"batch": 0}, "sums exist exactly when batch > 0"),
        ({"means": {"sums": {"lr": 1.0}, "count": 32}}, "the sums have the logged names"),
        ({"batch": 3}, "batch is at most the number of batches per epoch"),
        (
            {"means": {"sums": {"loss": 1.0}, "count": 31}},
            "the count is that of the examples in these batches",
        ),
    ],
)
def test_the_error_names_the_broken_requirement(tmp_path, change, requirement):
    model, file = make_model(), tmp_path / "file.npz"
    model.fit(X, Y, verbose=0)
    stop = [*stop_after_batches(1), ModelCheckpoint(file)]
    model.fit(X, Y, verbose=0, epochs=2, resume=model.save(file), callbacks=stop)
    content = checkpoint.read(file)
    content["progress"] |= change
    checkpoint.write(file, content)
    with pytest.raises(CheckpointError, match=f"it breaks the rule that {requirement}"):
        model.fit(X, Y, verbose=0, epochs=2, resume=file)


def test_other_validation_data_are_refused(tmp_path):
    model = make_model()
    model.fit(X, Y, verbose=0, validation_data=(X[:9], Y[:9]))
    file = model.save(tmp_path / "file.npz")
    with pytest.raises(CheckpointError, match="data="):
        model.fit(X, Y, verbose=0, validation_data=(X[:8], Y[:8]), resume=file)


def test_other_metrics_and_losses_are_refused(tmp_path):
    model = make_model()
    model.fit(X, Y, verbose=0)
    model.save(tmp_path / "file.npz")
    model.compile("rmsprop", loss="cross_entropy")
    with pytest.raises(CheckpointError, match="logged="):
        model.fit(X, Y, verbose=0, resume=tmp_path / "file.npz")
    model.compile("rmsprop", loss=lambda y, p: cross_entropy(p, y), metrics=["accuracy"])
    with pytest.raises(CheckpointError, match="loss='cross_entropy', this one has '<lambda>'"):
        model.fit(X, Y, verbose=0, resume=tmp_path / "file.npz")


def test_resume_needs_a_checkpoint_of_fit(tmp_path):
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        make_model().fit(X, Y, verbose=0, resume=tmp_path)
    with pytest.raises(FileNotFoundError, match="typo"):
        make_model().fit(X, Y, verbose=0, resume=tmp_path / "typo")
    make_model().save_weights(tmp_path / "weights.npz")
    with pytest.raises(CheckpointError, match="It holds only weights"):
        make_model().fit(X, Y, verbose=0, resume=tmp_path / "weights.npz")


def test_weights_loaded_after_the_training_cannot_be_resumed(tmp_path):
    """The state of the last training does not belong to them."""
    model = make_model()
    model.fit(X, Y, verbose=0)
    model.load(model.save(tmp_path / "one.npz"))
    loaded = model.save(tmp_path / "loaded.npz")
    model.fit(X, Y, verbose=0, callbacks=[EarlyStopping("loss", restore_best_weights=True)])
    best = model.save(tmp_path / "best.npz")
    for path in (loaded, best):
        with pytest.raises(CheckpointError, match="its weights were loaded after the training"):
            model.fit(X, Y, verbose=0, resume=path)


def test_callbacks_may_replace_the_weights(tmp_path):
    """The training continues with the new weights, and so does a resumed one."""

    def fit(epochs, resume=None):
        model, first = make_model(), make_model(seed=9).state_dict()
        warm = LambdaCallback(on_epoch_end=lambda epoch, logs: model.load_state_dict(first))
        settings = dict(callbacks=[warm, ModelCheckpoint(tmp_path)], resume=resume)
        model.fit(X, Y, verbose=0, epochs=epochs, **settings)
        slots = model.optimizer.state_dict()["slots"]
        return weight_bytes(model), slots["layers.0.kernel/mean_square"]

    fit(1)
    resumed = fit(3, tmp_path)
    for file in tmp_path.iterdir():
        file.unlink()
    whole = fit(3)
    assert resumed[0] == whole[0] and np.array_equal(resumed[1], whole[1])


def test_an_interrupted_step_leaves_nothing_behind(tmp_path, monkeypatch):
    """No gradient stays for the next training, and the state cannot be resumed."""
    model, whole = make_model(), make_model()
    whole.fit(X, Y, verbose=0, epochs=2)
    model.fit(X, Y, verbose=0)
    file = model.save(tmp_path / "file.npz")
    monkeypatch.setattr(optimizers.RMSprop, "step", Mock(side_effect=KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, verbose=0)
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="the training ended in an error"):
        model.fit(X, Y, verbose=0, resume=model.save(tmp_path / "torn.npz"))
    model.fit(X, Y, verbose=0, epochs=2, resume=file)
    assert weight_bytes(model) == weight_bytes(whole)


def test_another_monitor_is_refused(tmp_path):
    def resumed(*callbacks):
        settings = dict(verbose=0, epochs=2, callbacks=callbacks, resume=tmp_path)
        return make_model().fit(X, Y, **settings).history

    saving = [ModelCheckpoint(tmp_path), ReduceLROnPlateau("loss")]
    make_model().fit(X, Y, verbose=0, callbacks=saving)
    for other in (ReduceLROnPlateau("accuracy"), ReduceLROnPlateau("loss", mode="max")):
        with pytest.raises(
            CheckpointError, match="the checkpoint watched min of loss, now it is m"
        ):
            resumed(other)
    assert resumed(ReduceLROnPlateau("loss"), ModelCheckpoint(tmp_path / "x", "accuracy"))


def test_a_checkpoint_without_callbacks_resumes_and_they_begin_anew(tmp_path):
    model, whole = make_model(), make_model()
    whole.fit(X, Y, verbose=0, epochs=2)
    model.fit(X, Y, verbose=0)
    state = asdict(model.training_state)
    file = checkpoint.save(tmp_path / "file.npz", model, model.optimizer, **state)
    stopping = EarlyStopping("loss", restore_best_weights=False)
    model.fit(X, Y, verbose=0, epochs=2, callbacks=stopping, resume=file)
    assert weight_bytes(model) == weight_bytes(whole)
