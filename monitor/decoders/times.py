"""Times on the wire, as microseconds: RFC 3339 text with a zone, or milliseconds since 1970 as a number."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

_LATEST: Final = 253_402_300_800_000_000  # the year 10000, in microseconds
_RFC3339: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(?:[Zz]|([+-])(\d\d):?(\d\d))", re.ASCII
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def instant(value: str | float | None) -> int | None:
    """One time as microseconds, or None when it is not one. RFC 3339, section 5.6; the zone must be there."""
    if value is None:
        return None
    if not isinstance(value, str):
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


def instants(texts: pl.Series) -> pl.Series:
    """Times of a column, as Int64 microseconds; null where there is none or it is not a time.

    Whole numbers are milliseconds. The usual form (``2026-03-02T08:00:00.000Z``, up to nine digits) is read by Arrow; what it
    cannot read goes value by value.
    """
    if texts.dtype.is_integer():
        return (texts * 1000).set(texts.is_not_null() & ~texts.is_between(0, _LATEST // 1000 - 1), None).cast(pl.Int64)
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
