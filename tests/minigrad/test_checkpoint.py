"""A checkpoint restores what was saved, or raises and changes nothing."""

import errno
import functools
import io
import json
import math
import operator
import os
import random
import subprocess
import sys
import tracemalloc
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nursery import X, Y, make_model, stopper

from minigrad import checkpoint, optimizers
from minigrad.callbacks import EarlyStopping, ModelCheckpoint, ReduceLROnPlateau
from minigrad.checkpoint import CheckpointError
from minigrad.layers import Dense
from minigrad.models import Sequential


def small(seed=0, units=2, optimizer="rmsprop"):
    model = Sequential([Dense(units, input_shape=(3,))], seed=seed)
    model.compile(optimizers.get(optimizer, momentum=0.5), loss="mse")
    return model


def trained(seed=0, **more):
    model = small(seed, **more)
    model.fit(np.ones((4, 3)), np.ones((4, model.layers[0].units)), verbose=0)
    return model


def everything(model):
    """Return the bits of everything that loading may change."""
    state = model.optimizer.state_dict() if model.optimizer.parameters else {}
    slots = {name: array.tobytes() for name, array in state.pop("slots", {}).items()}
    weights = {name: array.tobytes() for name, array in model.state_dict().items()}
    return weights, slots, repr(state), repr(model.rng.bit_generator.state)


# Save and load


def test_load_restores_weights_optimizer_and_random_state(tmp_path):
    a, b = trained(seed=1), small(seed=2)
    assert a.save(tmp_path / "file.npz") == tmp_path / "file.npz"
    assert everything(a) != everything(b)
    b.load(tmp_path / "file.npz")
    assert everything(a) == everything(b)


def test_numpy_opens_the_file_without_pickle(tmp_path):
    model = trained()
    model.save(tmp_path / "file.npz")
    with np.load(tmp_path / "file.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(file["model/layers.0.kernel"], model.layers[0].kernel.data)
        index = json.loads(file["checkpoint.json"])
    assert index["format"] == 1
    with zipfile.ZipFile(tmp_path / "file.npz") as file:
        crc = zlib.crc32(file.read("model/layers.0.kernel.npy"))
    assert index["model"]["layers.0.kernel"] == {"crc-32": crc}


def test_load_weights_restores_only_the_weights(tmp_path):
    a, b = trained(seed=1), trained(seed=2)
    a.save_weights(tmp_path / "weights.npz")
    a.save(tmp_path / "all.npz")
    untouched = everything(b)[1:]
    for name in ("weights.npz", "all.npz"):
        b.load_weights(tmp_path / name)
        assert everything(b)[0] == everything(a)[0]
        assert everything(b)[1:] == untouched
        b = trained(seed=2)
    with pytest.raises(CheckpointError, match="holds no optimizer; use load_weights"):
        b.load(tmp_path / "weights.npz")
    assert everything(b) == everything(trained(seed=2))


def test_the_same_content_gives_the_same_bytes(tmp_path):
    files = [trained().save(tmp_path / f"{i}.npz").read_bytes() for i in range(2)]
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
KEYS = st.text(st.characters(exclude_characters="/\0"), max_size=4)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner),
    max_leaves=8,
)


def write_and_read(folder, value):
    path = folder.getbasetemp() / "anything.npz"
    content = {"model": {}, "progress": {"value": value}, "generators": []}
    checkpoint.write(path, content)
    assert same(checkpoint.read(path), content | {"format": 1})


@settings(max_examples=10, deadline=None, derandomize=True)
@given(VALUES)
def test_plain_values_and_arrays_are_read_as_written(tmp_path_factory, value):
    write_and_read(tmp_path_factory, value)


@pytest.mark.slow
@settings(max_examples=100, deadline=None, derandomize=True)
@given(VALUES)
def test_many_plain_values_and_arrays_are_read_as_written(tmp_path_factory, value):
    write_and_read(tmp_path_factory, value)


def same(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
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


# Folders, failed saves and saves at the same time


def test_a_folder_keeps_the_newest_files(tmp_path):
    model = trained()
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
    model, contents = small(), [np.full(10**5, i) for i in range(2)]
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
    trained().save(tmp_path / "folder")
    trained().save(tmp_path / "file.npz")
    assert len(os.listdir(tmp_path / "disk")) == 2
    assert (tmp_path / "file.npz").is_symlink() and (tmp_path / "folder").is_symlink()
    small().load(tmp_path / "file.npz")


@pytest.mark.skipif(os.name != "posix", reason="needs a special file")
def test_devices_stay_devices(tmp_path):
    """A save by root must not replace /dev/null with a file. Here a pipe stands for the device."""
    os.mkfifo(tmp_path / "pipe.npz")
    with pytest.raises(FileExistsError, match="a file is required"):
        trained().save(tmp_path / "pipe.npz")
    assert (tmp_path / "pipe.npz").is_fifo()


def test_a_damaged_newest_file_raises(tmp_path):
    for epoch in (1, 2):
        file = checkpoint.save(tmp_path, trained(), epoch=epoch)
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
    model = trained()
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
    trained().save(tmp_path / "file.npz")
    assert calls == ["fsync", "replace", "fsync"] if os.name == "posix" else ["fsync", "replace"]


def test_values_that_cannot_be_saved_raise(tmp_path):
    path = trained().save(tmp_path / "file.npz")
    before = path.read_bytes()
    unfit = [object(), {1, 2}, {1: 2}, {"crc-32": 3}]
    for value in [*unfit, *(np.array([x]) for x in (None, "a", 1j, np.datetime64(1, "s")))]:
        with pytest.raises(TypeError, match="progress/extra/0 must be a plain value, an array of"):
            checkpoint.save(path, trained(), extra=(value,))
    for epoch in (10**8, 1.5, -(10**7)):
        with pytest.raises(ValueError, match=r"epoch|code 'd'"):
            checkpoint.save(tmp_path, trained(), epoch=epoch)
    a_b = {"a/b": np.ones(1), "a": {"b": np.ones(1)}}
    for names in (a_b, {"a\0b": np.ones(1)}):
        with pytest.raises(ValueError, match=r"'progress/a.*b' cannot be the name of an array"):
            checkpoint.save(path, trained(), **names)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["file.npz"]


# Hostile files


def npy(array=None, *, header=None, data=b""):
    file = io.BytesIO()
    if header is None:
        np.lib.format.write_array(file, array, allow_pickle=True)
        return file.getvalue()
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


def shaped(*shape):
    return repr({"descr": "<f4", "fortran_order": False, "shape": shape})


def forge(members, index, compression=zipfile.ZIP_STORED):
    """Return a file with correct checksums, from (name, bytes) pairs and an index."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in members:
            archive.writestr(name, data)
        archive.writestr("checkpoint.json", index if isinstance(index, str) else json.dumps(index))
    return file.getvalue()


def index(*members, **more):
    """Return an index that lists these members as arrays of the model."""
    model = {name[6:-4]: {"crc-32": zlib.crc32(data)} for name, data in members}
    return {"format": 1, "model": model, "generators": [], "progress": {}} | more


NAME = "layers.0.kernel"
KERNEL = (f"model/{NAME}.npy", npy(np.ones((3, 2), np.float32)))
ANOTHER_KERNEL = (KERNEL[0], npy(np.zeros((3, 2), np.float32)))
BIAS = ("model/layers.0.bias.npy", npy(np.ones(2, np.float32)))
EXTRA = ("model/layers.1.bias.npy", BIAS[1])
OUTSIDE = ("model/../../x.npy", BIAS[1])


# "a/b" and "a": {"b"} name the same member: reading it again and again would use up the memory.
BOTH = ("model/a/b.npy", BIAS[1])
CHECKSUM = {"crc-32": zlib.crc32(BIAS[1])}
ALIASED = index(model={"a/b": CHECKSUM, "a": {"b": CHECKSUM}})


def kernel(data):
    return forge([(KERNEL[0], data), BIAS], index((KERNEL[0], data), BIAS))


def directory_entry(raw, offset, value):
    """Return the file with four bytes of its first directory entry changed."""
    at = raw.index(b"PK\x01\x02") + offset
    return raw[:at] + value.to_bytes(4, "little") + raw[at + 4 :]


def flag(raw, bits):
    at = raw.index(b"PK\x01\x02") + 8
    return raw[:at] + bytes([bits]) + raw[at + 1 :]


ZEROS = npy(np.zeros(1 << 24, np.float32))
GOOD = forge([KERNEL, BIAS], index(KERNEL, BIAS))
HOSTILE = {  # files by the expected error
    "File is not a zip file": {
        "empty": b"",
        "text": b"hello, I am a checkpoint" * 100,
        "a pickle": b"cposix\nsystem\n(S'touch pwned'\ntR.",
    },
    "no member checkpoint.json": {
        "no index": forge([KERNEL], "").replace(b"checkpoint.json", b"checkpoint.jpeg"),
        "an empty zip": b"PK\x05\x06" + bytes(18),
    },
    "must be stored, not compressed": {
        "compressed": forge([KERNEL, BIAS], index(KERNEL, BIAS), zipfile.ZIP_DEFLATED),
        "a bomb": forge([KERNEL, ("x", bytes(10**8))], index(KERNEL), zipfile.ZIP_BZIP2),
        "a bomb of zeros": forge([(KERNEL[0], ZEROS)], index(), zipfile.ZIP_LZMA),
    },
    "claim to be larger than the file": {
        "a wrong length": directory_entry(GOOD, 24, 1 << 31),
        "a wrong compressed length": directory_entry(GOOD, 20, 1 << 31),
        "wrong lengths": directory_entry(directory_entry(GOOD, 20, 1 << 31), 24, 1 << 31),
    },
    "encrypted": {"encrypted": flag(GOOD, 1)},
    "two of its members have the same name": {
        "twice": forge(
            [KERNEL, ("model/layers.0.kernel.npz", b""), BIAS], index(KERNEL, BIAS)
        ).replace(b"kernel.npz", b"kernel.npy"),
    },
    "the array .*kernel is missing, or its checksum differs from the index": {
        "another array": forge([ANOTHER_KERNEL, BIAS], index(KERNEL, BIAS)),
        "a word for a checksum": forge([KERNEL], index(model={NAME: {"crc-32": "x"}})),
        "an absolute name": forge([("/etc/passwd.npy", KERNEL[1]), BIAS], index(KERNEL, BIAS)),
        "a name with ..": forge([("../../x.npy", KERNEL[1]), BIAS], index(KERNEL, BIAS)),
        "no kernel": forge([BIAS], index(KERNEL, BIAS)),
    },
    "its checksum differs from the index": {
        "one member for two entries": forge([BOTH], ALIASED),
    },
    r"does not mention the members \['../x.npy'\]": {
        "a member too many": forge([KERNEL, BIAS, ("../x.npy", b"")], index(KERNEL, BIAS)),
    },
    "Bad CRC-32": {"a bit": GOOD.replace(KERNEL[1], KERNEL[1][:-1] + b"\1")},
    "numbers are required": {
        "objects": kernel(npy(np.array([[print, None]] * 3))),
        "words": kernel(npy(np.array([["a", "b"]] * 3))),
        "complex numbers": kernel(npy(np.ones((3, 2), complex))),
        "records": kernel(npy(np.zeros((3, 2), [("a", "f4")]))),
        "dates": kernel(npy(np.zeros((3, 2), "M8[s]"))),
        "a negative shape": kernel(npy(header=shaped(-3, -2), data=bytes(24))),
    },
    "buffer size must be a multiple of element size": {
        "too few bytes": kernel(KERNEL[1][:-1]),
        "too many bytes": kernel(KERNEL[1] + b"\0"),
    },
    "cannot reshape array of size": {
        "a row too few": kernel(npy(header=shaped(3, 2), data=bytes(20))),
        "a row too many": kernel(npy(header=shaped(3, 2), data=bytes(28))),
        "a huge shape": kernel(npy(header=shaped(1 << 60))),
        "a product that overflows": kernel(npy(header=shaped(1 << 32, 1 << 32))),
    },
    "magic string": {"a pickle for an array": kernel(b"cposix\nsystem\n(S'touch pwned'\ntR.")},
    "npy version": {"a later version": kernel(b"\x93NUMPY\x02" + KERNEL[1][7:])},
    "malformed": {"code": kernel(npy(header="__import__('os').system('touch pwned')"))},
    "EOF|too many": {"a deep header": kernel(npy(header="(" * 100))},
    r"kernel must be float32 \(3, 2\), received": {
        "another shape": kernel(npy(np.ones((2, 3), np.float32))),
        "another dtype": kernel(npy(np.ones((3, 2)))),
        "a number": forge([], index(model={NAME: 3, "layers.0.bias": 4})),
    },
    "is unknown to this model": {
        "a layer too many": forge([KERNEL, BIAS, EXTRA], index(KERNEL, BIAS, EXTRA)),
        "a way out": forge([OUTSIDE, KERNEL, BIAS], index(OUTSIDE, KERNEL, BIAS)),
    },
    r"layers.0.bias is missing": {"no bias": forge([KERNEL], index(KERNEL))},
    "JSONDecodeError": {"not JSON": forge([KERNEL, BIAS], "{")},
    "its index must have the format 1": {
        "a list": forge([], "[]"),
        "null": forge([], "null"),
        "a later format": forge([KERNEL, BIAS], index(KERNEL, BIAS, format=2)),
    },
    "recursion": {"deep JSON": forge([], "[" * 10**6)},
    "4300 digits": {"a long number": forge([], "9" * 10**5)},
    "layers.0.kernel is missing": {"no model": forge([], {"format": 1})},
    "its section .* must be a": {
        "a list for a model": forge([], index(model=[1, 2])),
        "a number for progress": forge([KERNEL, BIAS], index(KERNEL, BIAS, progress=7)),
    },
    "random generators": {
        "another": forge([KERNEL, BIAS], index(KERNEL, BIAS, generators=[{"bit_generator": "X"}])),
        "too many": forge([KERNEL, BIAS], index(KERNEL, BIAS, generators=[{}, {}])),
    },
}
FILES = [
    pytest.param(raw, reason, id=name)
    for reason, files in HOSTILE.items()
    for name, raw in files.items()
]


@pytest.mark.parametrize(("raw", "reason"), FILES)
def test_a_hostile_file_raises_and_changes_nothing(tmp_path, monkeypatch, raw, reason):
    monkeypatch.chdir(tmp_path)
    path, model = tmp_path / "file.npz", Sequential([Dense(2, input_shape=(3,))], seed=0)
    path.write_bytes(GOOD)
    model.load(path)  # check that this test can load a file
    assert (model.layers[0].kernel.data == 1).all()
    path.write_bytes(raw)
    tracemalloc.start()
    with pytest.raises(CheckpointError, match=reason):
        model.load(path)
    memory = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert all((p.data == 1).all() for p in model.parameters())
    assert memory < 3 * len(raw) + 400_000
    assert os.listdir(tmp_path) == ["file.npz"]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda: trained(units=4), r"layers.0.kernel must be float32 \(3, 4\)"),
        (lambda: trained(optimizer="sgd"), "optimizer of this checkpoint.*saved by RMSprop"),
        (lambda: make_trained_classifier(), "layers.2.kernel is missing"),
        (lambda: unbuilt(), "layers.0.kernel is unknown.*input_shape"),
    ],
)
def test_a_checkpoint_of_another_model_is_refused(tmp_path, other, message):
    path, model = trained().save(tmp_path / "file.npz"), other()
    before = everything(model)
    with pytest.raises(CheckpointError, match=message):
        model.load(path)
    assert everything(model) == before


def make_trained_classifier():
    model = make_model()
    model.fit(X, Y, verbose=0)
    return model


def unbuilt():
    model = Sequential([Dense(2)], seed=0)
    model.compile("rmsprop", loss="mse")
    return model


def test_every_truncated_file_raises_and_changes_nothing(tmp_path):
    path, model = tmp_path / "file.npz", trained()
    raw = model.save(path).read_bytes()
    before = everything(model)
    for length in range(0, len(raw), 7):
        path.write_bytes(raw[:length])
        with pytest.raises(CheckpointError):
            model.load(path)
    assert everything(model) == before


# Random damage


def mutate(raw, chance):
    """Overwrite, delete, double or clear some bytes."""
    raw = bytearray(raw)
    for _ in range(chance.choice((1, 1, 1, 2, 5))):
        a, b = sorted(chance.randrange(len(raw) + 1) for _ in range(2))
        b = min(b, a + chance.choice((1, 4, 64, 4096)))
        match chance.randrange(6):
            case 0 | 1:
                raw[a : a + 1] = bytes([chance.randrange(256)])
            case 2:
                raw[a : a + 4] = chance.choice((0, 1, 0xFFFF, 0xFFFFFFFF)).to_bytes(4, "little")
            case 3:
                del raw[a:b]
            case 4:
                raw[a:a] = raw[a:b]
            case 5:
                raw[a:b] = bytes(b - a)
    return bytes(raw)


@pytest.mark.parametrize("files", [500, pytest.param(18_000, marks=pytest.mark.slow)])
def test_a_damaged_file_raises_or_loads_what_was_saved(tmp_path, files):
    """Loading raises, or it restores what was saved, because it never reads the damaged bytes."""
    chance = random.Random(0)
    saved = trained(seed=1)
    raw = saved.save(tmp_path / "file.npz").read_bytes()
    model, refused, harmless = trained(seed=2), 0, 0
    before, expected = everything(model), everything(saved)
    for _ in range(files):
        mutant = mutate(raw, chance)
        try:
            with checkpoint.checkpoint_errors("this"):
                content = checkpoint.unpack(io.BytesIO(mutant), len(mutant))
            checkpoint.restore(content, model, model.optimizer)
        except CheckpointError:
            refused += 1
        else:
            harmless += 1
            assert everything(model) == expected
            model = trained(seed=2)
    assert everything(model) == before
    assert refused > 0.55 * files and harmless > 0.005 * files


# fmt: off
WRONG_VALUES = [
    None, True, -1, 0, 2, 1e308, math.nan, math.inf, -math.inf, "", "x", [], [1], {}, {"a": 1},
    2**63, 10**40, [[]], "rmsprop", 0.5, {"schedule": "CosineDecay"}, {"schedule": 3},
]
# fmt: on


def key_paths(value, path=()):
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        yield (*path, key)
        if isinstance(item, dict | list):
            yield from key_paths(item, (*path, key))


def falsify(text, chance, inside=()):
    """Return the index with one or two values replaced or deleted, in a part of it."""
    index = part = json.loads(text)
    for key in inside:
        part = part[key]
    for *path, last in chance.sample(list(key_paths(part)), chance.choice((1, 1, 2))):
        with suppress(KeyError, TypeError, IndexError):  # the first change removed this path
            inner = functools.reduce(operator.getitem, path, part)
            inner[last] = chance.choice(WRONG_VALUES)
            if chance.random() < 0.2:
                del inner[last]
    return index


def contents(path):
    with zipfile.ZipFile(path) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()[:-1]]
        return members, archive.read("checkpoint.json")


@pytest.mark.parametrize("files", [100, pytest.param(2_000, marks=pytest.mark.slow)])
def test_a_tampered_index_raises_or_holds_only_legal_values(tmp_path, files):
    """The checksums are right, but some values are wrong. Loading accepts only legal values."""
    chance, model, refused = random.Random(0), trained(seed=2), 0
    members, text = contents(trained(seed=1).save(tmp_path / "file.npz"))
    before = everything(model)
    for _ in range(files):
        raw = forge(members, falsify(text, chance))
        try:
            with checkpoint.checkpoint_errors("this"):
                content = checkpoint.unpack(io.BytesIO(raw), len(raw))
            checkpoint.restore(content, model, model.optimizer)
        except CheckpointError:
            refused += 1
            assert everything(model) == before
        else:
            hyper = {name: getattr(model.optimizer, name) for name in model.optimizer.defaults}
            assert all(x is None or isinstance(x, str) or 0 <= x < math.inf for x in hyper.values())
            assert 0 <= model.optimizer.rho < 1 and model.optimizer.steps >= 0
            model = trained(seed=2)
    assert 0.25 * files < refused < 0.975 * files


@pytest.mark.parametrize("files", [50, pytest.param(500, marks=pytest.mark.slow)])
@pytest.mark.parametrize("section", ["progress", "callbacks"])
def test_resume_from_a_tampered_file_ends_or_changes_nothing(tmp_path, section, files):
    """The training ends normally, or the resume is refused and changes nothing."""
    chance, path, refused = random.Random(0), tmp_path / "file.npz", 0
    data = dict(x=np.ones((4, 3)), y=np.ones((4, 2)), batch_size=2, epochs=2, verbose=0)
    data["callbacks"] = [
        EarlyStopping("loss", restore_best_weights=True),
        ReduceLROnPlateau("loss"),
        *stopper(3),
    ]
    model = small(seed=1)
    model.fit(**data | {"callbacks": [*data["callbacks"], ModelCheckpoint(path)]})
    model.load(path)
    members, text = contents(path)
    before = everything(model)
    for _ in range(files):
        path.write_bytes(forge(members, falsify(text, chance, [section])))
        try:
            history = model.fit(**data, resume=path).history
        except CheckpointError:
            refused += 1
            assert everything(model) == before
        else:
            assert {len(numbers) for numbers in history.values()} <= {1, 2}
            model.load_weights(path)
            model.load(path)
            assert everything(model) == before
    assert refused > 0.2 * files


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
    path, model = tmp_path / "file.npz", small()
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
    model = small()
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
