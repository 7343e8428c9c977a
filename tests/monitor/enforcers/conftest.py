"""Lets the tests of enforcers share the receiver in `receiving`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
