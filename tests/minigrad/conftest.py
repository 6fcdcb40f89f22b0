"""Let tests import the helper modules in this folder, such as forkserver.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
