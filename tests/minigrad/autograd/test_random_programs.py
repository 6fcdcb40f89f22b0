"""Random programs agree with NumPy and with finite differences."""

from collections import Counter

import numpy as np
import pytest

from minigrad.autograd.dispatch import HANDLED_FUNCTIONS
from tests.minigrad.autograd.random_programs import run

pytestmark = pytest.mark.skipif(
    np.finfo(np.longdouble).eps > 1e-18, reason="the truth needs np.longdouble with more digits"
)


def disagreements(seed, numbers):
    """Return the outcomes' counts, and the programs that disagree."""
    counts, programs = Counter(), []
    for number in numbers:
        program, (kind, text) = run(seed, number)
        counts[kind] += 1
        if kind == "DISAGREES":
            programs.append(f"program {number} of seed {seed}: {text}\n{program}")
    return counts, programs


def test_300_random_programs_agree_with_numpy_and_differences():
    counts, programs = disagreements(0, range(300))
    assert not programs, "\n\n".join(programs)
    assert counts["agreed"] > 250


@pytest.mark.slow
def test_4000_random_programs_agree_with_numpy_and_differences():
    _, programs = disagreements(1, range(4000))
    assert not programs, "\n\n".join(programs)


def test_a_derivative_that_is_wrong_by_a_millionth_is_found(monkeypatch):
    tanh = HANDLED_FUNCTIONS[np.tanh]
    correct = tanh.vjps[0]
    wrong = lambda g, out, _x: correct(g, out, _x) * 1.000001  # noqa: E731
    monkeypatch.setattr(tanh, "vjps", (wrong,))
    monkeypatch.setattr(tanh, "plans", {})  # they hold the vjps
    _, programs = disagreements(2, range(40))
    assert any("np.tanh" in text and "derivative is" in text for text in programs)
