"""Settings of the whole suite. Programs that are not tests are not collected."""

import os

import pytest

from minigrad.optimizers import registry

collect_ignore = ["benchmarks/compare.py", "benchmarks/frameworks.py"]
collect_ignore_glob = ["golden/*.py"]


@pytest.fixture(autouse=True)
def forget_registrations(monkeypatch):
    """Restore the registry of optimizers after each test."""
    monkeypatch.setattr(registry, "_registry", dict(registry._registry))


@pytest.fixture
def plt(monkeypatch):
    """Return matplotlib.pyplot without a display; close its figures afterwards."""
    monkeypatch.setitem(os.environ, "MPLBACKEND", "Agg")
    pyplot = pytest.importorskip("matplotlib.pyplot")
    yield pyplot
    pyplot.close("all")
