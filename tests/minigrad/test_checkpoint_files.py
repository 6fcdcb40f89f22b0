"""Damaged and tampered checkpoint files raise CheckpointError and change nothing."""

import functools
import io
import json
import math
import operator
import os
import random
import tracemalloc
import zipfile
import zlib
from contextlib import suppress

import numpy as np
import pytest

from minigrad import checkpoint
from minigrad.callbacks import EarlyStopping, ModelCheckpoint, ReduceLROnPlateau
from minigrad.checkpoint import CheckpointError
from minigrad.layers import Dense
from minigrad.models import Sequential
from tests.minigrad.helpers import (
    X,
    Y,
    all_state,
    make_model,
    small_model,
    stop_after_batches,
    trained_model,
)

# ---- Tampered files ----


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
TAMPERED = {  # files by the expected error
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
    for reason, files in TAMPERED.items()
    for name, raw in files.items()
]


@pytest.mark.parametrize(("raw", "reason"), FILES)
def test_a_tampered_file_raises_and_changes_nothing(tmp_path, monkeypatch, raw, reason):
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
        (lambda: trained_model(units=4), r"layers.0.kernel must be float32 \(3, 4\)"),
        (lambda: trained_model(optimizer="sgd"), "optimizer of this checkpoint.*saved by RMSprop"),
        (lambda: make_trained_classifier(), "layers.2.kernel is missing"),
        (lambda: unbuilt(), "layers.0.kernel is unknown.*input_shape"),
    ],
)
def test_a_checkpoint_of_another_model_is_refused(tmp_path, other, message):
    path, model = trained_model().save(tmp_path / "file.npz"), other()
    before = all_state(model)
    with pytest.raises(CheckpointError, match=message):
        model.load(path)
    assert all_state(model) == before


def make_trained_classifier():
    model = make_model()
    model.fit(X, Y, verbose=0)
    return model


def unbuilt():
    model = Sequential([Dense(2)], seed=0)
    model.compile("rmsprop", loss="mse")
    return model


def test_every_truncated_file_raises_and_changes_nothing(tmp_path):
    path, model = tmp_path / "file.npz", trained_model()
    raw = model.save(path).read_bytes()
    before = all_state(model)
    for length in range(0, len(raw), 7):
        path.write_bytes(raw[:length])
        with pytest.raises(CheckpointError):
            model.load(path)
    assert all_state(model) == before


# ---- Random damage ----


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
    saved = trained_model(seed=1)
    raw = saved.save(tmp_path / "file.npz").read_bytes()
    model, refused, harmless = trained_model(seed=2), 0, 0
    before, expected = all_state(model), all_state(saved)
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
            assert all_state(model) == expected
            model = trained_model(seed=2)
    assert all_state(model) == before
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


def replace_values(text, chance, inside=()):
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
    chance, model, refused = random.Random(0), trained_model(seed=2), 0
    members, text = contents(trained_model(seed=1).save(tmp_path / "file.npz"))
    before = all_state(model)
    for _ in range(files):
        raw = forge(members, replace_values(text, chance))
        try:
            with checkpoint.checkpoint_errors("this"):
                content = checkpoint.unpack(io.BytesIO(raw), len(raw))
            checkpoint.restore(content, model, model.optimizer)
        except CheckpointError:
            refused += 1
            assert all_state(model) == before
        else:
            hyper = {name: getattr(model.optimizer, name) for name in model.optimizer.defaults}
            assert all(x is None or isinstance(x, str) or 0 <= x < math.inf for x in hyper.values())
            assert 0 <= model.optimizer.rho < 1 and model.optimizer.steps >= 0
            model = trained_model(seed=2)
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
        *stop_after_batches(3),
    ]
    model = small_model(seed=1)
    model.fit(**data | {"callbacks": [*data["callbacks"], ModelCheckpoint(path)]})
    model.load(path)
    members, text = contents(path)
    before = all_state(model)
    for _ in range(files):
        path.write_bytes(forge(members, replace_values(text, chance, [section])))
        try:
            history = model.fit(**data, resume=path).history
        except CheckpointError:
            refused += 1
            assert all_state(model) == before
        else:
            assert {len(numbers) for numbers in history.values()} <= {1, 2}
            model.load_weights(path)
            model.load(path)
            assert all_state(model) == before
    assert refused > 0.2 * files
