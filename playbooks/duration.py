"""Durations as people write them: 90s, 30m, 24h, 7d; always bounded, never permanent."""

from __future__ import annotations

import re
from typing import Final

DURATION_S_MIN: Final = 1
DURATION_S_MAX: Final = 365 * 86_400
"""Nothing automatic lasts longer than a year; what should, is a person's decision, renewed."""

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_WRITTEN: Final = re.compile(r"([0-9]{1,9})([smhd])")


def parse_duration_s(text: str) -> int:
    """Seconds of `24h`; raises `ValueError` saying what is wrong. There is no word for for ever, and 0 is not one."""
    match = _WRITTEN.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a duration")
    seconds = int(match[1]) * _UNITS[match[2]]
    if not DURATION_S_MIN <= seconds <= DURATION_S_MAX:
        raise ValueError(f"{text!r} is {'nothing or for ever' if seconds == 0 else 'more than a year'}")
    return seconds


def about_text(seconds: float) -> str:
    """`270 days`, `90 minutes`: the largest unit of which there are at least two, rounded down."""
    for name, unit in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * unit:
            return f"{int(seconds // unit):,} {name}"
    return f"{seconds:.0f} second{'' if round(seconds) == 1 else 's'}"


def duration_text(seconds: int) -> str:
    """`3 days`, `24 hours`: the largest unit that divides evenly, but days only from two on."""
    for name, unit, least in (("day", 86_400, 2), ("hour", 3600, 1), ("minute", 60, 1), ("second", 1, 0)):
        if seconds % unit == 0 and seconds // unit >= least:
            count = seconds // unit
            return f"{count:,} {name}{'' if count == 1 else 's'}"
    raise AssertionError(seconds)
