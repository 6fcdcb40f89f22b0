"""Solutions of lesson 7.

1. The mistake in the function: the factor 1 − ρ was missing in v.
2. The variant "7": ε stands inside the root, and v starts at 0.5.
3. Adam: it keeps m and v in slots, not m̂ and v̂.
"""

import tempfile
from pathlib import Path

from minigrad.optimizers.tools.grade import Report, grade

EXERCISE_1 = """
import numpy as np

def rmsprop(g, slots, *, rho=0.9, eps=1e-8):
    v = slots.get("v", np.zeros_like(g))
    v = rho * v + (1 - rho) * g**2
    slots["v"] = v
    return g / (np.sqrt(v) + eps)
"""

EXERCISE_2 = """
import numpy as np

def rmsprop(g, slots, *, rho=0.9, eps=1e-8):
    v = slots.get("v", np.full_like(g, 0.5))
    v = rho * v + (1 - rho) * g**2
    slots["v"] = v
    return g / np.sqrt(v + eps)
"""

EXERCISE_3 = """
import numpy as np

def adam(g, slots, *, t, beta1=0.9, beta2=0.999, eps=1e-8):
    m = slots.get("m", np.zeros_like(g))
    v = slots.get("v", np.zeros_like(g))
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    slots["m"], slots["v"] = m, v
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return m_hat / (np.sqrt(v_hat) + eps)
"""


def graded(source: str, task: str, variant: str | None = None) -> Report:
    """Write the source to a file and grade it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{task}.py"
        file.write_text(source, encoding="utf-8")
        report = grade(file, task, variant)
    report.file = file.name
    return report


def main() -> None:
    print("1.", graded(EXERCISE_1, "rmsprop"))
    print("2.", graded(EXERCISE_2, "rmsprop", "7"))
    print("3.", graded(EXERCISE_3, "adam"))


if __name__ == "__main__":
    main()
