"""Versions of apps compared number by number: 1.10 is above 1.9, and 2 is 2.0."""

from __future__ import annotations

import re
from typing import Final

VERSION_CHARACTERS_MAX: Final = 64

LATEST: Final = "latest"
"""The version that the registry says is released."""

_NUMBERS: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9}){0,7}")


def is_version(text: str) -> bool:
    """Whether it is one to eight numbers with dots between them: only such ones have an order."""
    return _NUMBERS.fullmatch(text) is not None


def is_below(version: str, least: str) -> bool:
    """Whether a version is older than the least one wanted. Of what has no order nothing is said: it is not below."""
    if not (is_version(version) and is_version(least)):
        return False
    return _numbers(version) < _numbers(least)


def _numbers(version: str) -> tuple[int, ...]:
    """The numbers without zeros at the end, so that 2 and 2.0.0 are one."""
    numbers = [int(part) for part in version.split(".")]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
