"""Lets the journeys share `journey`, which the demonstration uses as well."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
