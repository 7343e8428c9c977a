"""Spans of time as Go writes and reads them: ``3h59m50s``, ``-2m0s``, ``0s``."""

from __future__ import annotations

import re
from typing import Final

CHARACTERS_MAX: Final = 64

_UNITS: Final = {
    "h": 3600.0,
    "m": 60.0,
    "s": 1.0,
    "ms": 1e-3,
    "us": 1e-6,
    "µs": 1e-6,
    "μs": 1e-6,
    "ns": 1e-9,
    "d": 86_400.0,
}
_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(h|ms|m|s|us|µs|μs|ns|d)")


def written(seconds: int) -> str:
    """Whole seconds as Go prints them."""
    hours, rest = divmod(abs(seconds), 3600)
    minutes, left = divmod(rest, 60)
    sign = "-" if seconds < 0 else ""
    if hours:
        return f"{sign}{hours}h{minutes}m{left}s"
    return f"{sign}{minutes}m{left}s" if minutes else f"{sign}{left}s"


def read(text: str) -> float | None:
    """Seconds of a text as Go or cscli take it (days too); None for what is no such text."""
    rest = text[1:] if text[:1] in {"+", "-"} else text
    if rest == "0":
        return 0.0
    if not 0 < len(rest) <= CHARACTERS_MAX:
        return None
    seconds, at = 0.0, 0
    while at < len(rest):
        part = _PART.match(rest, at)
        if part is None:
            return None
        seconds += float(part[1]) * _UNITS[part[2]]
        at = part.end()
    return -seconds if text[0] == "-" else seconds
