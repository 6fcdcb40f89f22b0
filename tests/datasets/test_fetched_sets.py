"""Downloaded sets, read from a local folder without network access."""

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pytest

from minigrad.datasets import airfoil, fashion_mnist, idx, mnist
from minigrad.datasets.download import DownloadError

SHARED = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("MINIGRAD_DATA", str(tmp_path))
    for module in (airfoil, fashion_mnist):
        monkeypatch.setattr(module, "MIRRORS", ())
    return tmp_path


def exact_optimum(x, y):
    """Return the least mean ½(ŷ − y)² of a linear model on the first 1,500 standardised rows."""
    table = np.c_[x, y]
    table = ((table - table.mean(axis=0)) / table.std(axis=0))[:1500]
    a, b = np.c_[table[:, :5], np.ones(1500)], table[:, 5]
    return 0.5 * np.mean((a @ np.linalg.lstsq(a, b, rcond=None)[0] - b) ** 2)


@pytest.mark.parametrize("line_ending", [b"\n", b"\r\n"])
def test_airfoil_accepts_both_line_endings(folder, line_ending):
    original = SHARED / "airfoil_self_noise.dat"
    if not original.exists():
        pytest.skip("../shared/data does not hold the measurements")
    (folder / original.name).write_bytes(original.read_bytes().replace(b"\n", line_ending))
    x, y = airfoil.load_data()
    assert x.shape == (1503, 5) and y.shape == (1503,) and x.dtype == y.dtype == np.float64
    assert [*x[0], y[0]] == [800, 0, 0.3048, 71.3, 0.00266337, 126.201]
    assert exact_optimum(x, y) == pytest.approx(0.24168795509193775, abs=1e-15)


def test_airfoil_with_wrong_content_is_refused(folder):
    (folder / "airfoil_self_noise.dat").write_bytes(b"9" * 58481)
    with pytest.raises(
        DownloadError, match=r"wrong content: 58481 bytes; required: 58481 bytes with sha256:10ee"
    ):
        airfoil.load_data()


def test_fashion_mnist_has_the_layout_of_mnist(folder, monkeypatch):
    """Use small files with the names and layout of the real ones, which are 31 MB."""
    sets = [np.arange(2 * 28 * 28).reshape(2, 28, 28) % 251, np.array([9, 0])] * 2
    (folder / "fashion_mnist").mkdir()
    digests = {}
    for name, array in zip(mnist.FILES, sets, strict=True):
        path = folder / "fashion_mnist" / name
        idx.write(path, array.astype(np.uint8))
        digests[name] = {"md5:" + hashlib.md5(path.read_bytes()).hexdigest(): path.stat().st_size}
    assert list(fashion_mnist.FILES) == list(mnist.FILES)
    monkeypatch.setattr(fashion_mnist, "FILES", digests)
    (x, y), (x_test, y_test) = fashion_mnist.load_data()
    for array, expected in zip((x, y, x_test, y_test), sets, strict=True):
        assert array.dtype == np.uint8 and np.array_equal(array, expected)
    assert [fashion_mnist.CLASSES[label] for label in y] == ["ankle boot", "T-shirt/top"]


def test_mnist_files_in_the_folder_of_fashion_mnist_are_refused(folder):
    (folder / "fashion_mnist").mkdir()
    for name in mnist.FILES:
        packed = (mnist.FOLDER / name).read_bytes()
        (folder / "fashion_mnist" / name).write_bytes(gzip.compress(b"") + packed)
    with pytest.raises(DownloadError, match=r"required: \[26421880\]"):
        fashion_mnist.load_data()
