"""A checkpoint restores what was saved, or raises and changes nothing."""

import errno
import io
import json
import os
import subprocess
import sys
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigrad import checkpoint
from minigrad.checkpoint import CheckpointError
from minigrad.layers import Dense
from minigrad.models import Sequential
from tests.minigrad.helpers import all_state, small_model, trained_model

# ---- Save and load ----


def test_load_restores_weights_optimizer_and_random_state(tmp_path):
    a, b = trained_model(seed=1), small_model(seed=2)
    assert a.save(tmp_path / "file.npz") == tmp_path / "file.npz"
    assert all_state(a) != all_state(b)
    b.load(tmp_path / "file.npz")
    assert all_state(a) == all_state(b)


def test_numpy_opens_the_file_without_pickle(tmp_path):
    model = trained_model()
    model.save(tmp_path / "file.npz")
    with np.load(tmp_path / "file.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(file["model/layers.0.kernel"], model.layers[0].kernel.data)
        index = json.loads(file["checkpoint.json"])
    assert index["format"] == 1
    with zipfile.ZipFile(tmp_path / "file.npz") as file:
        crc = zlib.crc32(file.read("model/layers.0.kernel.npy"))
    assert index["model"]["layers.0.kernel"] == {"crc-32": crc}


def test_load_weights_restores_only_the_weights(tmp_path):
    a, b = trained_model(seed=1), trained_model(seed=2)
    a.save_weights(tmp_path / "weights.npz")
    a.save(tmp_path / "all.npz")
    untouched = all_state(b)[1:]
    for name in ("weights.npz", "all.npz"):
        b.load_weights(tmp_path / name)
        assert all_state(b)[0] == all_state(a)[0]
        assert all_state(b)[1:] == untouched
        b = trained_model(seed=2)
    with pytest.raises(CheckpointError, match="holds no optimizer; use load_weights"):
        b.load(tmp_path / "weights.npz")
    assert all_state(b) == all_state(trained_model(seed=2))


def test_the_same_content_gives_the_same_bytes(tmp_path):
    files = [trained_model().save(tmp_path / f"{i}.npz").read_bytes() for i in range(2)]
    assert files[0] == files[1]


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.sampled_from("?bBhHiIlLefd").map(lambda code: np.arange(3).astype(code)),
    st.sampled_from([(), (0,), (2, 0), (2, 1, 3)]).map(lambda shape: np.full(shape, np.nan)),
    st.just(np.arange(6.0).reshape(2, 3).T),
    st.just(np.arange(4, dtype=">i2")),
)
KEYS = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), max_size=4)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner),
    max_leaves=8,
)


def assert_round_trip(folder, value):
    path = folder.getbasetemp() / "anything.npz"
    content = {"model": {}, "progress": {"value": value}, "generators": []}
    checkpoint.write(path, content)
    assert equal_content(checkpoint.read(path), content | {"format": 1})


@settings(max_examples=10, deadline=None, derandomize=True)
@given(VALUES)
def test_plain_values_and_arrays_are_read_as_written(tmp_path_factory, value):
    assert_round_trip(tmp_path_factory, value)


@pytest.mark.slow
@settings(max_examples=100, deadline=None, derandomize=True)
@given(VALUES)
def test_many_plain_values_and_arrays_are_read_as_written(tmp_path_factory, value):
    assert_round_trip(tmp_path_factory, value)


def equal_content(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal_content(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(equal_content, a, b))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return a == b or (a != a and b != b)


def test_a_checkpoint_is_at_most_1_percent_larger_than_its_arrays(tmp_path):
    layers = [Dense(512, "relu", input_shape=(784,)), Dense(10, "softmax")]
    model = Sequential(layers, seed=0)
    model.compile("rmsprop", loss="categorical_crossentropy")
    model.fit(np.zeros((1, 784)), [0], verbose=0)
    arrays = 2 * sum(p.data.nbytes for p in model.parameters())  # weights and mean squares
    size = model.save(tmp_path / "file.npz").stat().st_size
    assert arrays < size < 1.01 * arrays


# ---- Folders, failed saves and saves at the same time ----


def test_a_folder_keeps_the_newest_files(tmp_path):
    model = trained_model()
    (tmp_path / "data.npz").touch()
    for epoch in range(5):
        checkpoint.save(tmp_path, model, epoch=epoch)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"checkpoint-0000000{i}-00000000.npz" for i in (2, 3, 4)] + ["data.npz"]
    assert checkpoint.latest(tmp_path).name == names[2]
    with pytest.raises(ValueError, match="keep must be a positive integer, received 0"):
        model.save(tmp_path, keep=0)


def test_two_saves_at_the_same_time_do_not_mix(tmp_path):
    """Two saves to one path: each is complete, or an error."""
    model, contents = small_model(), [np.full(10**5, i) for i in range(2)]
    with ExitStack() as stack:
        for i in (0, 1):  # both write, then both rename
            file = stack.enter_context(checkpoint.atomic_write(tmp_path / "file"))
            file.write(contents[i].tobytes())
    assert (tmp_path / "file").read_bytes() == contents[0].tobytes()
    assert os.listdir(tmp_path) == ["file"]
    (tmp_path / "run[1].npz.0badcafe.part").touch()  # left by a killed process
    model.save(tmp_path / "run[1].npz")
    assert sorted(os.listdir(tmp_path)) == ["file", "run[1].npz"]


@pytest.mark.skipif(os.name != "posix", reason="needs links")
def test_links_stay_links(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "folder").symlink_to("disk")
    (tmp_path / "file.npz").symlink_to("disk/far.npz")
    trained_model().save(tmp_path / "folder")
    trained_model().save(tmp_path / "file.npz")
    assert len(os.listdir(tmp_path / "disk")) == 2
    assert (tmp_path / "file.npz").is_symlink() and (tmp_path / "folder").is_symlink()
    small_model().load(tmp_path / "file.npz")


@pytest.mark.skipif(os.name != "posix", reason="needs a special file")
def test_devices_stay_devices(tmp_path):
    """A save by root must not replace /dev/null with a file. Here a pipe stands for the device."""
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(FileExistsError, match="a file is required"):
        trained_model().save(tmp_path / "pipe.npz")
    assert (tmp_path / "pipe.npz").is_fifo()


def test_a_damaged_newest_file_raises(tmp_path):
    for epoch in (1, 2):
        file = checkpoint.save(tmp_path, trained_model(), epoch=epoch)
    file.write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"2-0*\.npz \(delete it to resume from .*1-0*\.npz"):
        checkpoint.read(tmp_path)
    file.unlink()
    assert checkpoint.read(tmp_path)["progress"] == {"epoch": 1}


class FullDisk(io.FileIO):
    room = 0

    def write(self, data):
        FullDisk.room -= len(data)
        if FullDisk.room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


@pytest.mark.parametrize("room", range(0, 3200, 320))
def test_a_full_disk_keeps_the_old_file(tmp_path, monkeypatch, room):
    model = trained_model()
    path = model.save(tmp_path / "file.npz")
    before = path.read_bytes()
    assert len(before) > 3200
    model.fit(np.ones((4, 3)), np.zeros((4, 2)), verbose=0)
    FullDisk.room = room
    monkeypatch.setattr(checkpoint, "open", lambda path, mode: FullDisk(path, "w"), raising=False)
    with pytest.raises(OSError, match="No space left"):
        model.save(path)
    assert os.listdir(tmp_path) == ["file.npz"] and path.read_bytes() == before


def test_a_save_is_durable(tmp_path, monkeypatch):
    """First sync the file, then rename it, then sync the folder."""
    calls = []
    for name in ("fsync", "replace"):
        original = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, f=original, n=name: (calls.append(n), f(*a)))
    trained_model().save(tmp_path / "file.npz")
    assert calls == ["fsync", "replace", "fsync"] if os.name == "posix" else ["fsync", "replace"]


def test_values_that_cannot_be_saved_raise(tmp_path):
    path = trained_model().save(tmp_path / "file.npz")
    before = path.read_bytes()
    unfit = [object(), {1, 2}, {1: 2}, {"crc-32": 3}]
    for value in [*unfit, *(np.array([x]) for x in (None, "a", 1j, np.datetime64(1, "s")))]:
        with pytest.raises(TypeError, match="progress/extra/0 must be a plain value, an array of"):
            checkpoint.save(path, trained_model(), extra=(value,))
    for epoch in (10**8, 1.5, -(10**7)):
        with pytest.raises(ValueError, match=r"epoch|code 'd'"):
            checkpoint.save(tmp_path, trained_model(), epoch=epoch)
    a_b = {"a/b": np.ones(1), "a": {"b": np.ones(1)}}
    for names in (a_b, {"a\0b": np.ones(1)}, {"a\ud800b": np.ones(1)}):
        with pytest.raises(ValueError, match=r"'progress/a.*b' cannot be the name of an array"):
            checkpoint.save(path, trained_model(), **names)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["file.npz"]


SAVE_OFTEN = """
import sys
import numpy as np
from minigrad import checkpoint
from minigrad.layers import Dense

model = Dense(2)
model(np.ones((1, 3)))
for _ in range(100):
    checkpoint.save(sys.argv[1], model)
"""


posix_locks = pytest.mark.skipif(os.name != "posix", reason="needs locks of folders")


@posix_locks
def test_threads_may_save_to_one_file_at_once(tmp_path):
    path, model = tmp_path / "file.npz", small_model()
    (tmp_path / "file.npz.0123abcd.part").write_bytes(b"of a killed process")
    with ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(checkpoint.save, path, model) for _ in range(60)]
    assert {future.result() for future in futures} == {path}
    checkpoint.load(path, model)
    checkpoint.save(path, model)
    assert os.listdir(tmp_path) == ["file.npz"]


@posix_locks
@pytest.mark.slow
def test_processes_may_save_to_one_file_at_once(tmp_path):
    path = tmp_path / "file.npz"
    (tmp_path / "file.npz.0123abcd.part").write_bytes(b"of a killed process")
    command = [sys.executable, "-c", SAVE_OFTEN, str(path)]
    options = dict(stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])
    processes = [subprocess.Popen(command, **options) for _ in range(3)]
    assert [process.communicate()[1] for process in processes] == [""] * 3
    model = Dense(2)
    model(np.ones((1, 3)))
    checkpoint.load(path, model)
    checkpoint.save(path, model)
    assert os.listdir(tmp_path) == ["file.npz"]


@pytest.mark.skipif(os.name != "posix", reason="needs devices and pipes")
def test_devices_pipes_and_loops_of_links_are_refused(tmp_path):
    device, pipe, loop, other = (tmp_path / name for name in ("zero.npz", "pipe.npz", "a.npz", "b"))
    device.symlink_to("/dev/zero")
    os.mkfifo(pipe)
    loop.symlink_to(other)
    other.symlink_to(loop)
    model = small_model()
    for path in (device, pipe):
        with pytest.raises(CheckpointError, match="npz is a folder, device or pipe; a file is"):
            model.load(path)
    with pytest.raises(OSError, match="symbolic links"):
        model.load(loop)
    for path in (device, pipe, loop):
        with pytest.raises(FileExistsError, match="loop of links; a file is required"):
            checkpoint.save(path, model)
    with pytest.raises(OSError, match="b"):
        checkpoint.save(other / "file.npz", model)
    assert len(os.listdir(tmp_path)) == 4
