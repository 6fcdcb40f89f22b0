"""Settings of the whole suite. Programs that are not tests are not collected."""

import os
from collections import defaultdict

import pytest

from minigrad.optimizers import registry

collect_ignore = ["benchmarks/compare.py", "benchmarks/frameworks.py"]
collect_ignore_glob = ["golden/*.py"]
DEVIATIONS = defaultdict(list)  # (title, framework or kind, dtype): relative deviations


@pytest.fixture(scope="session")
def deviations():
    """Return the deviations that the run prints at its end."""
    return DEVIATIONS


def pytest_terminal_summary(terminalreporter):
    """Print how far we deviate from the frameworks."""
    for title in dict.fromkeys(title for title, *_ in DEVIATIONS):
        terminalreporter.section(title)
        for (of, what, dtype), found in sorted(DEVIATIONS.items()):
            if of == title:
                largest = f"largest relative deviation {max(found):.1e}"
                terminalreporter.write_line(f"{what:9} {dtype}: {len(found):3} cases, {largest}")


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
