"""Times on the wire, as microseconds: RFC 3339 text with a zone, or milliseconds since 1970 as a number.

A number of ten digits is none: read as milliseconds it would be in the spring of 1970, but it is a time of our days in seconds.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Final

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

_LATEST: Final = 253_402_300_800_000_000  # the year 10000, in microseconds
_SECONDS: Final = (1_000_000_000, 10_000_000_000)  # from 2001 to 2286, and from January to April 1970 in milliseconds
_UNITS: Final = {10: "seconds", 16: "microseconds", 19: "nanoseconds"}
_RFC3339: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(?:[Zz]|([+-])(\d\d):?(\d\d))", re.ASCII
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def instant(value: str | float | None) -> int | None:
    """One time as microseconds, or None when it is not one. RFC 3339, section 5.6; the zone must be there."""
    if value is None:
        return None
    if not isinstance(value, str):
        if _SECONDS[0] <= value < _SECONDS[1]:
            return None
        micros = round(value * 1000) if value == value and abs(value) < 2**53 else -1  # noqa: PLR0124 - not a number
        return micros if 0 <= micros < _LATEST else None
    match = _RFC3339.fullmatch(value)
    if match is None:
        return None
    day, clock, fraction, sign, hours, minutes = match.groups()
    leap = clock.endswith(":60")
    try:
        moment = datetime.fromisoformat(f"{day}T{clock[:-2]}59+00:00" if leap else f"{day}T{clock}+00:00")
        offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    except ValueError:
        return None
    if offset >= timedelta(hours=24):
        return None
    moment_us = (moment - _EPOCH) // timedelta(microseconds=1) + (1_000_000 if leap else 0)
    micros = (
        moment_us
        + int(((fraction or "") + "000000")[:6])
        - (-1 if sign == "-" else 1) * (offset // timedelta(microseconds=1))
    )
    return micros if 0 <= micros < _LATEST else None


def other_unit(value: float) -> str | None:
    """The unit in which a number that is no time would be one of our days."""
    whole = str(int(value)) if math.isfinite(value) and value > 0 else ""
    return _UNITS.get(len(whole))


def instants(texts: pl.Series) -> pl.Series:
    """Times of a column, as Int64 microseconds; null where there is none or it is not a time.

    Whole numbers are milliseconds. The usual form (``2026-03-02T08:00:00.000Z``, up to nine digits) is read by Arrow; what it
    cannot read goes value by value.
    """
    if texts.dtype.is_integer():
        is_none = ~texts.is_between(0, _LATEST // 1000 - 1) | texts.is_between(*_SECONDS, closed="left")
        return (texts * 1000).set(texts.is_not_null() & is_none, None).cast(pl.Int64)
    usual = texts.str.contains(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?Z$")
    plain = texts.set(~usual.fill_null(value=True), None)
    try:
        parsed = pl.Series(pc.cast(plain.to_arrow(), pa.timestamp("ns", "UTC"))).dt.timestamp("us")
    except pa.ArrowInvalid:  # a thirtieth of February somewhere, or a year that nanoseconds cannot hold
        moments = plain.str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us", strict=False)
        parsed = moments.dt.timestamp("us")
    odd = texts.is_not_null() & parsed.is_null()
    if odd.any():
        rows = odd.arg_true()
        parsed = parsed.scatter(rows, pl.Series([instant(text) for text in texts.gather(rows)], dtype=pl.Int64))
    return parsed.set(parsed < 0, None)
