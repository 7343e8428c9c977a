"""Tests of statistics share small streams."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
