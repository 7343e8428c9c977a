"""Where events come from. A source gives raw bytes with positions; what they mean is a decoder's business."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Protocol, TypeGuard

import msgspec
import numpy as np

from monitor.sources.messages import Messages
from monitor.sources.messages import Offsets as Offsets

LINES_MAX: Final = 50_000
"""Lines given at once unless the reader asks for fewer or more; ``batch.rows_max``."""


class RawBatch(msgspec.Struct, frozen=True):
    r"""Whole lines of one partition, as bytes.

    Every line ends in ``\n`` (the source adds one to the last line of a stream that lacks it, and `end` then does not
    count it). The position of a line is a byte offset in the partition's (uncompressed) stream; files that follow one
    another by rotation go on counting. A line longer than the source's bound stands in `oversized` instead of in `data`.
    Where lines come as messages, `messages` says which position each has, and positions do not count bytes: only their
    order means something, and `bytes_between` tells how much lies between two of them.
    """

    partition: str  # "file:/var/log/app.ndjson", "stdin:", … : stable across runs, a primary key in the store
    format: str  # "ndjson" or "combined"
    data: bytes
    start: int
    end: int  # the position to go on from when this batch has been committed
    cursor: bytes = b""  # what else the source needs to go on from `end` (its own JSON), stored with the position
    oversized: tuple[Oversized, ...] = ()  # by position
    arrivals: tuple[
        tuple[int, int], ...
    ] = ()  # positions from which on lines arrived at a time, where the source knows
    messages: Messages | None = None
    unread: tuple[Unread, ...] = ()  # what was there or should have been and could not be read, by position

    def positions(self, offsets: Offsets) -> Offsets:
        """The positions of the lines that begin at these offsets in `data`: oversized lines before them count too."""
        if self.messages is not None:
            return self.messages.at(offsets)
        if not self.oversized:
            return offsets + self.start
        left_out = np.concatenate([[0], np.cumsum([line.length + 1 for line in self.oversized])])
        # The offsets in `data` from which on each oversized line is missing.
        gaps = np.array([line.position for line in self.oversized], dtype=np.int64) - self.start - left_out[:-1]
        positions: Offsets = offsets + self.start + left_out[np.searchsorted(gaps, offsets, side="right")]
        return positions

    def offset(self, position: int) -> int:
        """Where in `data` the line at a position begins."""
        if self.messages is not None:
            return self.messages.offset(position, len(self.data))
        left_out = sum(line.length + 1 for line in self.oversized if line.position < position)
        return position - self.start - left_out

    @property
    def set_apart(self) -> list[int]:
        """The positions of all that does not stand in `data`, in their order."""
        return sorted([*(line.position for line in self.oversized), *(one.position for one in self.unread)])

    def bytes_between(self, begin: int, end: int) -> int:
        """How many bytes the lines have that begin at one position or after it, and before another."""
        if self.messages is None:
            return end - begin
        left_out = sum(line.length + 1 for line in self.oversized if begin <= line.position < end)
        return self.offset(end) - self.offset(begin) + left_out

    def cut(self, position: int) -> tuple[RawBatch, RawBatch]:
        """The lines before the position of one of them, and those from it on."""
        offset, size, messages = self.offset(position), len(self.data), self.messages
        before = tuple(line for line in self.oversized if line.position < position)
        unread = tuple(one for one in self.unread if one.position < position)
        return (
            msgspec.structs.replace(
                self,
                data=self.data[:offset],
                end=position,
                oversized=before,
                messages=None if messages is None else messages.part(0, offset),
                unread=unread,
            ),
            msgspec.structs.replace(
                self,
                data=self.data[offset:],
                start=position,
                oversized=self.oversized[len(before) :],
                messages=None if messages is None else messages.part(offset, size),
                unread=self.unread[len(unread) :],
            ),
        )

    def joined(self, following: RawBatch) -> RawBatch:
        """The lines of this batch and those of the one that goes on where it ends."""
        assert (self.messages is None) is (following.messages is None)  # noqa: S101 - they are of one source
        messages = None
        if self.messages is not None and following.messages is not None:
            messages = self.messages.then(len(self.data), following.messages)
        return msgspec.structs.replace(
            following,
            data=self.data + following.data,
            start=self.start,
            oversized=self.oversized + following.oversized,
            arrivals=self.arrivals + following.arrivals,
            messages=messages,
            unread=self.unread + following.unread,
        )

    def bare(self, data: bytes) -> RawBatch:
        """Some lines of the batch alone, whose positions are their offsets."""
        return msgspec.structs.replace(self, data=data, start=0, oversized=(), messages=None, unread=())


class Oversized(msgspec.Struct, frozen=True):
    """A line over ``decode.line_bytes_max``: where it began, how long it was, and its beginning."""

    position: int
    length: int
    head: bytes


class UnreadReason(StrEnum):
    """Why what a source holds, or should hold, could not be read."""

    CORRUPT = "corrupt"  # it is there and its checksum, its compression or its framing is wrong
    GONE = "gone"  # it was deleted before it was read
    TRUNCATED = "truncated"  # the log ends before the place where reading was to go on
    RECREATED = "recreated"  # the log is another one by the same name


class Unread(msgspec.Struct, frozen=True):
    """Messages that could not be read: from where, and how many offsets. It is told once, in the raw batch in which
    reading goes past them. Nothing of them is kept.
    """

    position: int
    messages: int  # offsets; how many lines they held nobody knows
    reason: UnreadReason
    detail: str  # for people
    length: int = 0  # bytes, where they were there


class Position(msgspec.Struct, frozen=True):
    """Where to go on in a partition: what the last committed `RawBatch` said."""

    partition: str
    end: int
    cursor: bytes = b""


class Source(Protocol):
    """One stream of lines with positions: one source is one partition here; Kafka has many.

    `open` is called once, with the last committed position of this partition or None. `read` then gives the next raw
    batch, or None when nothing came within `wait_s`; it never waits longer, never gives more than `lines_max` lines, oversized
    ones included, and never the same bytes twice between two calls of `open`. `ready` is true while there are lines that the
    next `read` gives at once; `ended` once a source that does not follow has given all it had. A source
    keeps no file of its own and commits nothing: what was read but not committed is read again after a restart.
    It never raises for bad content; `SourceError` says that the source itself cannot be read.
    """

    format: str  # of its lines

    @property
    def partition(self) -> str: ...

    @property
    def ready(self) -> bool: ...

    @property
    def ended(self) -> bool: ...

    @property
    def lag_bytes(self) -> int | None:
        """How much is there and not yet read; None where that cannot be known."""
        ...

    @property
    def missing(self) -> str | None:
        """What the source waits for before it can give anything at all, for people; None when it is there."""
        ...

    def open(self, position: Position | None) -> None: ...

    def read(self, bytes_max: int, wait_s: float, lines_max: int = LINES_MAX) -> RawBatch | None: ...

    def close(self) -> None: ...


class TimedSource(Source, Protocol):
    """A source that knows when its log ended where."""

    def taken_as_of(self, position: int) -> float | None:
        """The latest moment, on the monotonic clock, of which it is known that all that was in the log then begins before a position.

        None where that is known of none.
        """
        ...


def is_timed(source: Source) -> TypeGuard[TimedSource]:
    """Whether it is such a source."""
    return hasattr(type(source), "taken_as_of")


class SourceError(Exception):
    """A source cannot be read. `retryable` says whether trying again makes sense."""

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable
