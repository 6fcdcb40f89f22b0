"""Let the tests import what the examples import: drawing.py and problems.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
