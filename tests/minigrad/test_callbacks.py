"""Each callback, the order of the hooks, early errors, and Ctrl-C."""

import csv
import math
import os
import signal
import sys
from io import StringIO

import numpy as np
import pytest

from minigrad import checkpoint, optimizers
from minigrad.callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    ModelCheckpoint,
    ReduceLROnPlateau,
    TerminateOnNaN,
)
from minigrad.layers import Dense
from minigrad.models import Sequential
from tests.minigrad.helpers import TerminalStderr, X, Y, assert_same_state, make_model


def fit(model, *callbacks, **more):
    settings = dict(x=X, y=Y, batch_size=20, epochs=2, verbose=0, callbacks=callbacks)
    return model.fit(**settings | more).history


HOOKS = [
    "on_train_begin", "on_epoch_begin", "on_train_batch_begin", "on_train_batch_end",
    "on_test_begin", "on_test_end", "on_epoch_end", "on_train_end",
]  # fmt: skip


def recorder(log, name):
    """Return a callback that appends (name, hook, arguments) to the log at each hook."""

    def note(hook):
        return lambda *args: log.append((name, hook, args))

    return LambdaCallback(**{hook: note(hook) for hook in HOOKS})


def test_hooks_are_called_in_keras_order_callback_by_callback():
    log, model = [], make_model()
    history = fit(model, recorder(log, "a"), recorder(log, "b"), validation_split=0.5)
    batch, test = (["on_train_batch_begin", "on_train_batch_end"], ["on_test_begin", "on_test_end"])
    epoch = ["on_epoch_begin", *batch * 2, *test, "on_epoch_end"]
    hooks = ["on_train_begin", *epoch * 2, "on_train_end"]
    assert [hook for name, hook, _ in log if name == "a"] == hooks
    assert [name for name, _, _ in log] == ["a", "b"] * len(hooks)
    numbers = [args[0] for name, hook, args in log if name == "a" and len(args) == 2]
    batches = [0, 0, 1, 1]  # begin and end of each
    assert numbers == [0, *batches, 0, 1, *batches, 1]  # between begin and end of epochs 0 and 1
    last = log[-1][2][0]
    assert last == {name: numbers[-1] for name, numbers in history.items()}
    assert set(last) == {"loss", "accuracy", "val_loss", "val_accuracy", "lr"}


def test_checkpoints_are_saved_after_all_other_callbacks(tmp_path):
    def halve(epoch, logs):
        model.optimizer.lr /= 2

    model = make_model()
    fit(model, ModelCheckpoint(tmp_path), LambdaCallback(on_epoch_end=halve), epochs=1)
    assert checkpoint.read(tmp_path)["optimizer"]["hyper"]["lr"] == model.optimizer.lr == 0.0005


def test_an_exception_names_the_callback():
    def fail(batch, logs):
        raise KeyError("x")

    with pytest.raises(KeyError) as error:
        fit(make_model(), TerminateOnNaN(), LambdaCallback(on_batch_end=fail))
    assert error.value.__notes__ == ["in the callback LambdaCallback, on_train_batch_end"]
    callback = Callback()
    callback.load_state_dict = lambda state: state["count"]
    with pytest.raises(KeyError) as error:
        fit(make_model(), callback)
    assert error.value.__notes__ == ["in the callback Callback, load_state_dict"]


def test_callbacks_can_stop_the_training():
    def stop(*_):
        model.stop_training = True

    for hook, batches in {"on_batch_end": 1, "on_epoch_end": 3}.items():
        model, log = make_model(), []
        fit(model, LambdaCallback(**{hook: stop}), recorder(log, ""))
        assert [hook for _, hook, _ in log].count("on_train_batch_end") == batches
        assert log[-1][1] == "on_train_end"
    assert len(fit(model)["loss"]) == 2, "the next training is not stopped"


# ---- Each callback, with given numbers in the logs ----


def counting_model(lr=1.0):
    """Return a model with one weight, which starts at 0 and grows by lr at each step."""
    model = Sequential([Dense(1, use_bias=False, input_shape=(1,))], seed=0)
    model.compile(optimizers.SGD(lr=lr), loss="mae")
    model.layers[0].kernel.data[:] = 0
    return model


class SetLogs(Callback):
    """Replace measured numbers in the logs by given ones."""

    def __init__(self, numbers, name="loss"):
        self.numbers, self.name = numbers, name

    def on_epoch_end(self, epoch, logs):
        logs[self.name] = self.numbers[epoch]


def watch(callback, numbers, lr=1.0, name="loss"):
    """Train one step per epoch; return the lr of each epoch and the final weight."""
    model = counting_model(lr)
    history = model.fit(
        np.ones((1, 1)),
        np.full((1, 1), 100.0),
        epochs=len(numbers),
        verbose=0,
        callbacks=[SetLogs(numbers, name), callback],
    )
    return history.history["lr"], model.layers[0].kernel.data.item()


@pytest.mark.parametrize(
    ("settings", "numbers", "epochs", "best"),
    [
        ({"patience": 0}, [3, 2, 2, 1], 3, 2),
        ({"patience": 1}, [3, 2, 2, 1], 3, 2),
        ({"patience": 2}, [3, 2, 2, 1], 4, 4),
        ({"patience": 2}, [3, 1, 2, 3, 0], 4, 2),
        ({"patience": 9}, [3, 1, 2, 3], 4, 2),  # patience did not end
        ({"patience": 1, "min_delta": 1}, [3, 2.5, 1], 2, 1),
        ({"patience": 1, "mode": "max"}, [1, 2, 1], 3, 2),
        ({"patience": 2, "baseline": 1.5}, [3, 2.5, 2, 1], 2, 2),  # better, but not than 1.5
        ({"patience": 2, "baseline": 2.7}, [3, 2.5, 2, 1], 4, 4),
        ({"patience": 1, "baseline": 0.5}, [3, 2, 1], 2, 2),  # never in the first epoch
        ({"patience": 1, "start_from_epoch": 2}, [1, 3, 3, 4, 2], 4, 3),
        ({"patience": 2}, [3, math.nan, math.inf, 1], 3, 1),
        ({"patience": 9}, [math.nan] * 3, 3, 3),  # no best epoch
    ],
)
def test_early_stopping_stops_and_restores_as_keras_does(settings, numbers, epochs, best):
    stopping = EarlyStopping("loss", restore_best_weights=True, **settings)
    lrs, weight = watch(stopping, numbers)
    assert (len(lrs), weight) == (epochs, best)
    lrs, weight = watch(EarlyStopping("loss", **settings), numbers)
    assert (len(lrs), weight) == (epochs, epochs), "the last weights stay, as in Keras"


def test_the_mode_of_accuracies_is_max():
    assert EarlyStopping("val_accuracy").maximize and EarlyStopping("val_ACC").maximize
    assert EarlyStopping("loss", mode="MAX").maximize
    assert not EarlyStopping("val_loss").maximize
    assert not EarlyStopping("accuracy", mode="min").maximize


@pytest.mark.parametrize(
    ("settings", "numbers", "lrs"),
    [
        ({"patience": 1}, [3, 2, 2, 2, 1], [1, 1, 1, 0.5, 0.25]),
        ({"patience": 2}, [3, 3, 3, 3, 3, 3], [1, 1, 1, 0.5, 0.5, 0.25]),
        ({"patience": 1, "cooldown": 1}, [3] * 5, [1, 1, 0.5, 0.25, 0.125]),
        ({"patience": 1, "cooldown": 2}, [3] * 6, [1, 1, 0.5, 0.5, 0.25, 0.25]),
        ({"patience": 1, "cooldown": 3}, [3, 3, 2, 2, 2, 2], [1, 1, 0.5, 0.5, 0.5, 0.25]),
        ({"patience": 1, "min_lr": 0.4}, [3] * 5, [1, 1, 0.5, 0.4, 0.4]),
        ({"patience": 1, "min_lr": 2.0}, [3] * 3, [1, 1, 1]),
        ({"patience": 1, "min_delta": 1.5}, [3, 2, 1], [1, 1, 0.5]),
    ],
)
def test_reduce_lr_on_plateau_lowers_lr_as_keras_does(settings, numbers, lrs):
    assert watch(ReduceLROnPlateau("loss", factor=0.5, **settings), numbers)[0] == lrs


def test_csv_logger_writes_the_history(tmp_path):
    log = tmp_path / "log.csv"
    log.write_text("from another day")
    history = fit(make_model(), CSVLogger(log, separator=";"), validation_split=0.2)
    rows = list(csv.DictReader(StringIO(log.read_text()), delimiter=";"))
    assert [row.pop("epoch") for row in rows] == ["0", "1"]
    assert history == {name: [float(row[name]) for row in rows] for name in rows[0]}


def test_terminate_on_nan_stops_before_the_nan_is_saved(tmp_path, capsys):
    """The broken state is not saved."""
    model = counting_model()

    def write_nan(batch, logs):
        if batch == 2:
            model.layers[0].kernel.data[:] = np.nan

    model.compile(optimizers.SGD(lr=1.0, on_nonfinite="ignore"), loss="mae")
    model.fit(
        np.ones((5, 1)),
        np.ones((5, 1)),
        batch_size=1,
        epochs=3,
        verbose=0,
        callbacks=[
            LambdaCallback(on_batch_begin=write_nan),
            TerminateOnNaN(),
            ModelCheckpoint(tmp_path, save_freq=1),
        ],
    )
    assert capsys.readouterr().out == "TerminateOnNaN: the loss of batch 2 is nan\n"
    assert checkpoint.read(tmp_path)["progress"]["batch"] == 2
    assert all(np.isfinite(a).all() for a in checkpoint.read(tmp_path)["model"].values())


def test_save_best_only_keeps_the_best_weights(tmp_path):
    best = ModelCheckpoint(tmp_path / "best.npz", monitor="loss", save_best_only=True)
    watch(best, [3, 1, 2, 4])
    assert checkpoint.read(tmp_path / "best.npz")["model"]["layers.0.kernel"] == 2


def test_save_freq_2_saves_every_second_batch(tmp_path):
    fit(make_model(), ModelCheckpoint(tmp_path, save_freq=2, keep=9))
    names = sorted(path.stem.removeprefix("checkpoint-") for path in tmp_path.iterdir())
    assert names == [
        f"0000000{epoch}-0000000{batch}" for epoch, batch in ((0, 2), (1, 0), (1, 2), (2, 0))
    ]


def test_checkpoints_of_another_training_are_not_overwritten(tmp_path):
    fit(make_model(), ModelCheckpoint(tmp_path))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(
        FileExistsError, match="holds a later checkpoint of another training, checkpoint-00000002"
    ):
        fit(make_model(), ModelCheckpoint(tmp_path))
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_names_of_hooks_and_monitors_ignore_case():
    epochs = []
    fit(make_model(), LambdaCallback(ON_epoch_End=lambda epoch, logs: epochs.append(epoch)))
    assert epochs == [0, 1]

    def F1(y_true, y_pred):
        return 0.5

    model = make_model()
    model.compile("rmsprop", "cross_entropy", [F1])
    for monitor in ("F1", "LOSS"):
        assert len(fit(model, EarlyStopping(monitor, patience=9))["F1"]) == 2


@pytest.mark.skipif(not os.path.exists("/sys/kernel"), reason="needs Linux's /sys")
def test_a_read_only_folder_raises_before_training():
    model = make_model()
    before = model.state_dict()
    for path in ("/sys/kernel", "/sys/kernel/new", "/sys/kernel/best.npz"):
        with pytest.raises(OSError, match="/sys/kernel"):
            fit(model, ModelCheckpoint(path))
    assert_same_state(model.state_dict(), before)


def test_a_change_of_directory_does_not_move_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    leave = LambdaCallback(on_epoch_begin=lambda epoch, logs: epoch or os.chdir("elsewhere"))
    fit(make_model(), ModelCheckpoint("run"), CSVLogger("log.csv"), leave)
    assert sorted(os.listdir(tmp_path)) == ["elsewhere", "log.csv", "run"]
    assert not os.listdir(tmp_path / "elsewhere") and len(os.listdir(tmp_path / "run")) == 2


def test_a_checkpoint_may_have_epoch_and_metrics_in_its_name(tmp_path):
    path = tmp_path / "w-{epoch:02d}-{val_loss:.2f}.npz"
    history = fit(make_model(), ModelCheckpoint(path), validation_split=0.2)
    names = [f"w-{i + 1:02d}-{loss:.2f}.npz" for i, loss in enumerate(history["val_loss"])]
    assert sorted(os.listdir(tmp_path)) == names
    assert [checkpoint.read(tmp_path / name)["progress"]["epoch"] for name in names] == [1, 2]
    path = tmp_path / "b-{epoch}-{val_loss:.1f}-{{x}}.npz"
    stop = LambdaCallback(on_batch_end=lambda *_: setattr(model, "stop_training", True))
    fit(model := make_model(), stop, ModelCheckpoint(path), validation_split=0.2)
    assert "b-1-nan-{x}.npz" in os.listdir(tmp_path), "stopped before the validation"


def test_initial_epoch_in_files_and_after_a_resume(tmp_path):
    model = make_model()
    callbacks = [CSVLogger(tmp_path / "log.csv"), ModelCheckpoint(tmp_path / "run")]
    options = dict(initial_epoch=3, verbose=0)
    model.fit(X, Y, epochs=5, callbacks=callbacks, **options)
    assert [line[0] for line in (tmp_path / "log.csv").read_text().splitlines()[1:]] == ["3", "4"]
    other = make_model()
    history = other.fit(X, Y, epochs=6, resume=tmp_path / "run", **options)
    assert len(history.history["loss"]) == 3
    for wrong in (-3, 1.5, "a"):
        with pytest.raises(ValueError, match="initial_epoch must be an integer, 0 or more"):
            model.fit(X, Y, initial_epoch=wrong, verbose=0)
    model.fit(iter([(X, Y)]), epochs=5, initial_epoch=4, verbose=0)
    with pytest.raises(ValueError, match="save_weights_only needs a file"):
        ModelCheckpoint("folder", save_weights_only=True)


class KerasHooks(Callback):
    def __init__(self):
        self.calls = []

    def on_train_batch_begin(self, batch, logs=None):
        self.calls.append(f"begin {batch}")

    def on_train_batch_end(self, batch, logs=None):
        self.calls.append(f"end {batch} {sorted(logs)}")

    def on_test_begin(self, logs=None):
        self.calls.append("test")

    def on_test_end(self, logs=None):
        self.calls.append(f"tested {sorted(logs)}")


def test_keras_names_of_hooks_are_called():
    hooks, names = KerasHooks(), "['accuracy', 'loss']"
    fit(make_model(), hooks, epochs=1, batch_size=60, validation_split=0.2)
    assert hooks.calls == ["begin 0", f"end 0 {names}", "test", f"tested {names}"]


@pytest.mark.parametrize("name", ["on_epoch_ended", "on_Epoch_end", "on_predict_begin"])
def test_a_hook_that_is_never_called_is_refused(name):
    callback = type("Mine", (Callback,), {name: lambda self, *_: None})()
    with pytest.raises(ValueError, match=f"unknown hook of Mine '{name}'.*on_train_batch_end"):
        fit(make_model(), callback)


# ---- Mistakes raise before the training starts ----


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: EarlyStopping(), ValueError, "'val_loss'; did you mean 'loss'"),
        (lambda: EarlyStopping("acuracy"), ValueError, "did you mean 'accuracy'"),
        (lambda: EarlyStopping("loss", mode="mni"), ValueError, "did you mean 'min'"),
        (lambda: ReduceLROnPlateau("los"), ValueError, "did you mean 'loss'"),
        (lambda: ReduceLROnPlateau("loss", factor=1.0), ValueError, r"factor must be in \(0, 1\)"),
        (lambda: ModelCheckpoint("x", save_best_only=True), ValueError, "did you mean 'loss'"),
        (
            lambda: ModelCheckpoint("x", keep=0),
            ValueError,
            "keep must be a positive integer, received 0",
        ),
        (lambda: ModelCheckpoint("x", save_freq=0), ValueError, "save_freq.*must be.*received 0"),
        (lambda: ModelCheckpoint("x", save_freq="day"), ValueError, "save_freq.*received 'day'"),
        (lambda: ModelCheckpoint("x", save_freq=2, save_best_only=True), ValueError, "needs save"),
        (
            lambda: ModelCheckpoint("w-{epock}.npz"),
            ValueError,
            "'epock'.*the fields are epoch, loss",
        ),
        (lambda: ModelCheckpoint("w-{}.npz"), ValueError, "the fields are epoch, loss"),
        (lambda: ModelCheckpoint("w-{loss:d}.npz"), ValueError, "cannot fill in 'w-{loss:d}.npz'"),
        (lambda: ModelCheckpoint("w-{epoch}.h5"), ValueError, r"Keras's format .* suffix \.npz"),
        (lambda: ModelCheckpoint("x", keep="3"), ValueError, "keep must be .* received '3'"),
        (lambda: LambdaCallback(on_epoch_ended=print), ValueError, "did you mean 'on_epoch_end'"),
        (lambda: EarlyStopping, TypeError, "a callback such as .* is needed, not"),
    ],
)
def test_mistakes_raise_before_the_training_starts(make, error, message):
    model = make_model()
    before = model.state_dict()
    with pytest.raises(error, match=message):
        fit(model, make())
    assert_same_state(model.state_dict(), before)


def test_reduce_lr_on_plateau_refuses_a_schedule():
    model = make_model(lr=optimizers.CosineDecay(0.1, steps=10))
    with pytest.raises(ValueError, match="lr must be a number, received CosineDecay"):
        fit(model, ReduceLROnPlateau("loss"))


# ---- Ctrl-C ----


def press(at, times=1):
    """Return a callback that presses Ctrl-C during a batch."""
    presses = iter(range(times))

    def interrupt(batch, logs):
        while batch == at and next(presses, None) is not None:
            os.kill(os.getpid(), signal.SIGINT)

    return LambdaCallback(on_batch_begin=interrupt)


@pytest.mark.skipif(os.name != "posix", reason="needs SIGINT")
def test_ctrl_c_stops_after_the_batch(tmp_path, monkeypatch):
    """The bar closes, the batch is saved, fit returns the history, and a resume continues."""
    whole, model = make_model(), make_model()
    history = fit(whole, epochs=3)
    monkeypatch.setattr(sys, "stderr", bar := TerminalStderr())
    monkeypatch.setattr(sys.modules["tqdm"].tqdm, "monitor_interval", 0)
    assert fit(model, press(at=1), ModelCheckpoint(tmp_path), epochs=3, verbose=1) == {}
    assert "epoch 1/3:  67%" in bar.getvalue() and bar.getvalue().endswith("\n")
    assert checkpoint.latest(tmp_path).name == "checkpoint-00000000-00000002.npz"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    again = make_model()
    assert fit(again, press(at=0), epochs=3, resume=tmp_path) == {
        k: v[:1] for k, v in history.items()
    }
    again.save(tmp_path)
    assert fit(again, epochs=3, resume=tmp_path) == history


@pytest.mark.skipif(os.name != "posix", reason="needs SIGINT")
def test_a_second_ctrl_c_raises_at_once():
    log = []
    with pytest.raises(KeyboardInterrupt):
        fit(make_model(), press(at=1, times=2), recorder(log, ""))
    assert [hook for _, hook, _ in log].count("on_train_batch_end") == 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_monitor_that_is_no_name_is_refused_with_the_names_that_exist():
    with pytest.raises(ValueError, match=r"unknown monitor for EarlyStopping None\. Available: "):
        make_model().fit(X, Y, verbose=0, callbacks=EarlyStopping(None, mode="min"))
