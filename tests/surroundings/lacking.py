"""What a test needs of the machine, and it lacks."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def lacking(why: str, *, whole_file: bool = False) -> NoReturn:
    """Skip a test, or the whole file that is being read, and say why; on CI, which must have what it needs, it fails."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI must have this: {why}", pytrace=False)
    pytest.skip(reason=why, allow_module_level=whole_file)
