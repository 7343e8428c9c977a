"""Lets the tests of redaction and of the kernel share `redactable`, and those of models what they are made of."""

import sys
from pathlib import Path

for place in ("../detectors/learned", "."):
    sys.path.insert(0, str((Path(__file__).parent / place).resolve()))
