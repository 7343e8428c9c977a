"""What the tests of the learned detector share lies beside them."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # all of them share `app_hours`
