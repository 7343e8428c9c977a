"""A record in a folder, and the hands that act on it."""

import sys
from pathlib import Path

import pytest

from monitor.testing import scratch_store

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def store(tmp_path):
    opened = scratch_store(tmp_path)
    yield opened
    opened.close()
