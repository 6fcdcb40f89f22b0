"""Settings of the whole suite. Programs that are not tests are not collected."""

import os

import pytest

collect_ignore_glob = ["benchmarks/[cf]*.py", "golden/*.py"]


@pytest.fixture
def plt(monkeypatch):
    """Return matplotlib.pyplot without a display; close its figures afterwards."""
    monkeypatch.setitem(os.environ, "MPLBACKEND", "Agg")
    pyplot = pytest.importorskip("matplotlib.pyplot")
    yield pyplot
    pyplot.close("all")
