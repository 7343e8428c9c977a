"""Tests of statistics share small streams."""

import sys
from pathlib import Path

import pytest

from detectors.statistical import detector

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True, scope="session")
def _few_rows_wait():
    """Small streams are counted in several steps too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detector, "WAITING_MAX", 300)
        yield
