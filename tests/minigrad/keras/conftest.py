"""Prints at the end of the run how far the Keras face deviates from Keras."""

from collections import defaultdict

import pytest

DEVIATIONS = defaultdict(list)


@pytest.fixture(scope="session")
def golden_summary():
    return DEVIATIONS


def pytest_terminal_summary(terminalreporter):
    if DEVIATIONS:
        terminalreporter.section("minigrad.keras against Keras")
    for (kind, dtype), found in sorted(DEVIATIONS.items()):
        terminalreporter.write_line(
            f"{kind:9} {dtype}: {len(found):3} cases, largest relative deviation {max(found):.1e}"
        )
