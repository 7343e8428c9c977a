"""Lets the journeys share `journey`, which the demonstration uses as well, and what tests of models have made."""

import sys
from pathlib import Path

for place in ("../detectors/learned", "../monitor/partitions", "../monitor", "."):
    sys.path.insert(0, str((Path(__file__).parent / place).resolve()))
