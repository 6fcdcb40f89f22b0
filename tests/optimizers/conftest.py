"""Prints at the end of the run how far the optimizers deviate from the frameworks."""

from collections import defaultdict

import pytest

DEVIATIONS = defaultdict(list)


@pytest.fixture(scope="session")
def golden_summary():
    return DEVIATIONS


def pytest_terminal_summary(terminalreporter):
    if DEVIATIONS:
        terminalreporter.section("optimizers against the steps of the frameworks")
    for (framework, dtype), found in sorted(DEVIATIONS.items()):
        terminalreporter.write_line(
            f"{framework:6} {dtype}: {len(found):3} configurations, "
            f"largest relative deviation {max(found):.1e}"
        )
