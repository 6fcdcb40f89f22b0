"""IDX: valid files are read exactly; invalid files are refused with little memory."""

import gzip
import hashlib
import io
import random
import re
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minigrad.datasets import idx, mnist

MD5 = {
    "train-images-idx3-ubyte.gz": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte.gz": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte.gz": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte.gz": "27ae3e4e09519cfbb04c329615203637",
}


def header(*shape, kind=8):
    return bytes([0, 0, kind, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)


@pytest.mark.parametrize("name", mnist.FILES)
def test_the_included_files_hold_the_original_data(name):
    packed = (mnist.FOLDER / name).read_bytes()
    assert hashlib.md5(gzip.decompress(packed)).hexdigest() == MD5[name]
    # no flags (so no name) and no time stamp: the header depends on nothing but the data
    assert packed[:8] == b"\x1f\x8b\x08\0\0\0\0\0"


def test_mnist_has_the_shapes_of_keras():
    (x, y), (x_test, y_test) = mnist.load_data()
    assert [a.shape for a in (x, y, x_test, y_test)] == [
        (60000, 28, 28), (60000,), (10000, 28, 28), (10000,)
    ]  # fmt: skip
    assert {a.dtype.name for a in (x, y, x_test, y_test)} == {"uint8"}
    assert np.bincount(y).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert x.mean() == pytest.approx(33.318421, abs=1e-6)
    x[:] = 0  # the next call must not return this array
    assert mnist.load_data()[0][0].any()


@given(
    hnp.arrays(
        st.sampled_from(["u1", "i1", "<i2", ">i4", "<f4", ">f8"]),
        hnp.array_shapes(max_dims=4, min_side=0, max_side=4),
    ),
    st.sampled_from(["a.idx", "a.gz"]),
)
def test_a_written_array_is_read_back(tmp_path_factory, array, name):
    path = tmp_path_factory.mktemp("idx") / name
    idx.write(path, array)
    back = idx.read(path)
    assert back.shape == array.shape
    assert back.dtype == array.dtype.newbyteorder("=") and back.flags.writeable
    assert np.array_equal(
        back.view("u1"), array.astype(back.dtype).view("u1")
    )  # as bytes: NaN ≠ NaN


def test_known_bytes_give_known_values(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"\0\0\x0b\x01\0\0\0\x02" + b"\x01\x02\xff\xff")
    assert idx.read(path).tolist() == [258, -1]
    path.write_bytes(b"\0\0\x0d\x02\0\0\0\x01\0\0\0\x01" + b"\x3f\xc0\0\0")
    assert idx.read(path).tolist() == [[1.5]]


INVALID = {
    "empty": (b"", "must begin with two zeros, a type and a number, not b''"),
    "a web page": (
        b"<!DOCTYPE html>",
        "must begin with two zeros, a type and a number, not b'<!DO'",
    ),
    "unknown type": (header(1, kind=10) + b"1", "element type must be one of [8, 9, 11"),
    "no dimension": (header(), "number of dimensions must be 1 to 64, not 0"),
    "255 dimensions": (header(*[1] * 255) + b"1", "must be 1 to 64, not 255"),
    "cut in the header": (header(2, 3)[:-1], "header ends before its 2 dimensions"),
    "cut in the data": (header(2, 3) + b"12345", "1 of the 6 bytes of (2, 3) are missing"),
    "half an element": (header(2, kind=11) + b"123", "1 of the 4 bytes of (2,) are missing"),
    "too long": (header(2, 3) + b"1234567", "more bytes follow the 6 bytes of (2, 3)"),
    "32-bit overflow": (header(65536, 65536) + b"1", "declares shape (65536, 65536) of uint8"),
    "64-bit overflow": (header(*[1 << 31] * 3, kind=14), "of float64, above max_bytes=1073741824"),
    "overflow behind a zero": (header(0, *[(1 << 32) - 1] * 3), "declares shape (0, 4294967295"),
    "a missing gigabyte": (header(1 << 30) + b"1", "1073741823 of the 1073741824 bytes"),
}


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("content, words", INVALID.values(), ids=INVALID)
def test_invalid_files_are_refused(tmp_path, content, words, pack):
    path = tmp_path / "invalid"
    path.write_bytes(pack(content))
    with pytest.raises(ValueError, match="invalid is not a valid IDX file: .*" + re.escape(words)):
        idx.read(path)


def test_damaged_gzip_is_refused(monkeypatch):
    # Keep the files in memory: writing them to disk is slow.
    monkeypatch.setattr(idx, "open", lambda *_: io.BytesIO(content), raising=False)
    whole = gzip.compress(header(1000) + bytes(range(250)) * 4)
    for position in range(2, len(whole)):
        content = whole[:position]
        with pytest.raises(ValueError, match="damaged is not a valid IDX file"):
            idx.read("damaged")
    content = whole[:-5] + bytes([whole[-5] ^ 1]) + whole[-4:]
    with pytest.raises(ValueError, match="CRC check failed"):
        idx.read("damaged")


@pytest.mark.parametrize(
    "n, words", [(10, "more bytes follow the 10 bytes"), (1 << 31, "declares")]
)
def test_a_gzip_bomb_is_not_unpacked(tmp_path, n, words):
    path = tmp_path / "bomb.gz"
    with gzip.GzipFile(path, "wb", compresslevel=1) as file:
        file.write(header(n))
        for _ in range(64):
            file.write(bytes(1 << 20))
    tracemalloc.start()
    with pytest.raises(ValueError, match=words):
        idx.read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 21


def test_max_bytes_limits_the_size(tmp_path):
    path = tmp_path / "a"
    idx.write(path, np.zeros(100, np.uint8))
    assert idx.read(path, max_bytes=100).size == 100
    with pytest.raises(ValueError, match="above max_bytes=99"):
        idx.read(path, max_bytes=99)


def test_a_missing_file_raises_file_not_found(tmp_path):
    with pytest.raises(FileNotFoundError):
        idx.read(tmp_path / "absent")


def test_write_refuses_unsupported_dtypes_and_shapes(tmp_path):
    for array, error, words in [
        (np.zeros(2, bool), TypeError, "cast the bool array"),
        (np.zeros(2, np.int64), TypeError, "cast the int64 array"),
        (np.float32(1), ValueError, "1 to 64 dimensions"),
    ]:
        with pytest.raises(error, match=words):
            idx.write(tmp_path / "a", array)
    assert not list(tmp_path.iterdir())


def test_gzipped_files_are_deterministic(tmp_path):
    first, second = tmp_path / "one.gz", tmp_path / "two.gz"
    idx.write(first, np.arange(9, dtype=np.uint8))
    idx.write(second, np.arange(9, dtype=np.uint8))
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes()[3:8] == bytes(5)


@given(st.sampled_from([b"", b"\0\0", header(2), b"\x1f\x8b\x08\0"]), st.binary(max_size=64))
def test_arbitrary_bytes_are_read_or_refused(tmp_path_factory, beginning, rest):
    path = tmp_path_factory.getbasetemp() / "arbitrary"
    path.write_bytes(beginning + rest)
    if beginning == header(2) and len(rest) == 2:
        assert idx.read(path).tobytes() == rest
    else:
        with pytest.raises(ValueError, match="arbitrary is not a valid IDX file"):
            idx.read(path)


def test_twenty_thousand_mutations(monkeypatch):
    """Every mutated file gives an array or a ValueError, no other error."""
    rng = random.Random(0)
    plain = header(3, 4, kind=11) + bytes(range(24))
    originals = [plain, gzip.compress(plain, mtime=0), header(7) + b"1234567"]
    # Keep the files in memory: writing them to disk is slow.
    monkeypatch.setattr(idx, "open", lambda *_: io.BytesIO(content), raising=False)
    counts = {"read": 0, "refused": 0}
    for _ in range(20_000):
        content = bytearray(rng.choice(originals))
        for _ in range(rng.randint(1, 3)):
            start, n = rng.randrange(len(content) or 1), rng.randint(1, 8)
            cut, added = rng.choice([(1, 1), (1, 1), (n, 0), (0, n)])
            content[start : start + cut] = rng.choice([b"\0" * added, rng.randbytes(added)])
        try:
            assert idx.read("mutant", max_bytes=1 << 16).nbytes <= 1 << 16
            counts["read"] += 1
        except ValueError as error:
            assert "mutant is not a valid IDX file" in str(error)
            counts["refused"] += 1
    assert min(counts.values()) > 100, counts  # both outcomes must occur
