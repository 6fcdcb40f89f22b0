"""Tests may import the programs that stand beside them, such as nursery.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
