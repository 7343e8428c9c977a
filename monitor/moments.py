"""Times as people write and read them, on the command line and over HTTP."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

MICROSECONDS: Final = 1_000_000
HOUR_US: Final = 3_600 * MICROSECONDS
DAY_US: Final = 24 * HOUR_US
EXPIRY_DAYS_MAX: Final = 366
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST: Final = -62_135_596_800 * MICROSECONDS
"""The first instant of the year 1: nothing is older."""

AGO: Final = r"[0-9]{1,9}[smhdw](?: ago)?"
_AGO: Final = re.compile(r"([0-9]{1,9})([smhdw])(?: ago)?", re.ASCII)
_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_HINT: Final = "write 2026-03-02, 2026-03-02T10:00:00Z, or how long ago: 30m, 2h, 7d"
_HINT_AHEAD: Final = "write 2026-03-02, 2026-03-02T10:00:00Z, or how long from now: 30m, 2h, 7d"


class NoMoment(ValueError):
    """A text is no time, or not one that may be given there; the message says what to write."""


def moment(text: str, now: int) -> int:
    """The microseconds of a date, an RFC 3339 time (UTC where it has no zone), or a span before now."""
    if match := _AGO.fullmatch(text.strip()):
        return max(now - _micros_of(match), _FIRST)
    return _dated(text, _HINT)


def expiry(text: str, now: int) -> int:
    """The microseconds of a time to come: a span from now (30d), or a date or time."""
    match = _AGO.fullmatch(text.strip())
    at = now + _micros_of(match) if match else _dated(text, _HINT_AHEAD)
    if not now < at <= now + EXPIRY_DAYS_MAX * 86_400 * MICROSECONDS:
        raise NoMoment(f"{text!r} is not between now and a year from now; write 12h, 30d or a date")
    return at


def _dated(text: str, hint: str) -> int:
    try:
        read = datetime.fromisoformat(text.strip())
        return micros(read if read.tzinfo else read.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise NoMoment(f"{text!r} is no time; {hint}") from None


def _micros_of(match: re.Match[str]) -> int:
    return int(match[1]) * _UNITS_S[match[2]] * MICROSECONDS


def micros(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1)


def stamp(at: int) -> str:
    """RFC 3339 with microseconds and Z: what programs read."""
    try:
        return (_EPOCH + timedelta(microseconds=at)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    except OverflowError:
        return str(at)


def short(at: int | None) -> str:
    """A time for people, UTC, to the second."""
    return "" if at is None else stamp(at)[:19].replace("T", " ")


def span(from_us: int, to_us: int) -> str:
    """How long something is, in its two largest units."""
    seconds = max(0, to_us - from_us) // MICROSECONDS
    parts = []
    for name, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        if seconds >= size:
            parts.append(f"{seconds // size} {name}")
            seconds %= size
    return " ".join(parts[:2]) or "0 s"
