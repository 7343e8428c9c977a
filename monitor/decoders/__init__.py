"""From raw lines to columns. A decoder never raises for bad lines: each becomes a dead letter, the rest go on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import msgspec
import polars as pl

from monitor.sources import RawBatch, UnreadReason


class DeadLetterReason(StrEnum):
    """Why a line could not become an event."""

    BROKEN_JSON = "broken-json"
    NOT_AN_OBJECT = "not-an-object"
    WRONG_TYPE = "wrong-type"
    INVALID_UTF8 = "invalid-utf8"
    LONE_SURROGATE = "lone-surrogate"
    DUPLICATE_KEY = "duplicate-key"
    TOO_DEEP = "too-deep"
    TOO_LONG = "too-long"
    EMPTY_LINE = "empty-line"
    MISSING_TIMESTAMP = "missing-timestamp"
    BAD_TIMESTAMP = "bad-timestamp"
    NOT_COMBINED = "not-combined"  # an access log line not in the combined format
    FAULT = "fault"  # of the program, which it brings out
    CORRUPT = UnreadReason.CORRUPT  # messages that cannot be read, and what follows, of `UnreadReason`
    GONE = UnreadReason.GONE
    TRUNCATED = UnreadReason.TRUNCATED
    RECREATED = UnreadReason.RECREATED


class DeadLetter(msgspec.Struct, frozen=True):
    """A line that could not become an event, whole up to ``dead_letters.bytes_max``; of a run of empty lines, the first."""

    partition: str
    position: int
    reason: DeadLetterReason
    detail: str  # what was found, where in the line, what was expected
    raw: bytes
    length: int
    lines: int = 1  # that it stands for: so many empty ones in a row
    format: str = "ndjson"  # that it was read in


@dataclass(frozen=True, slots=True)
class Decoded:
    """One raw batch as columns, in line order: the fields asked for (null where absent), ``_line`` (still raw text),
    ``_position`` (Int64) and ``@timestamp``, ``event.ingested`` as Int64 microseconds. Lines and those that
    dead letters stand for are together all the lines of the raw batch.
    """

    frame: pl.DataFrame
    dead_letters: list[DeadLetter]


def left_out(raw: RawBatch, bytes_max: int) -> list[DeadLetter]:
    """What stands in no line of a batch's data as dead letters: its oversized lines, and what its source could not read."""
    letters = [
        DeadLetter(
            raw.partition,
            line.position,
            DeadLetterReason.TOO_LONG,
            f"{line.length} bytes in one line",
            line.head[:bytes_max],
            line.length,
        )
        for line in raw.oversized
    ]
    letters += [
        DeadLetter(
            raw.partition,
            one.position,
            DeadLetterReason(one.reason),
            one.detail,
            b"",
            max(one.length, 1),  # more than is kept: there is nothing that could be replayed
            max(one.messages, 1),
        )
        for one in raw.unread
    ]
    return letters


def lines_of(letters: Iterable[DeadLetter]) -> int:
    """How many lines these dead letters stand for."""
    return sum(letter.lines for letter in letters)


class Decoder(Protocol):
    """Reads one format. Rows are the same whatever the batch a line came in."""

    def decode(self, raw: RawBatch, fields: frozenset[str]) -> Decoded: ...
