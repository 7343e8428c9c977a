"""Lets the tests of redaction and of the kernel share `redactable`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
