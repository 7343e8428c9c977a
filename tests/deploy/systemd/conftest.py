"""Lets the tests share what they stand on."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
