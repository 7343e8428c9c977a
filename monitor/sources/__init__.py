"""Where events come from. A source gives raw bytes with positions; what they mean is a decoder's business."""

from __future__ import annotations

from typing import Final, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

Offsets = npt.NDArray[np.int64]

LINES_MAX: Final = 50_000
"""Lines given at once unless the reader asks for fewer or more; ``batch.rows_max``."""


class RawBatch(msgspec.Struct, frozen=True):
    r"""Whole lines of one partition, as bytes.

    Every line ends in ``\n`` (the source adds one to the last line of a stream that lacks it, and `end` then does not
    count it). The position of a line is a byte offset in the partition's (uncompressed) stream; files that follow one
    another by rotation go on counting. A line longer than the source's bound stands in `oversized` instead of in `data`.
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

    def positions(self, offsets: Offsets) -> Offsets:
        """The positions of the lines that begin at these offsets in `data`: oversized lines before them count too."""
        if not self.oversized:
            return offsets + self.start
        left_out = np.concatenate([[0], np.cumsum([line.length + 1 for line in self.oversized])])
        # The offsets in `data` from which on each oversized line is missing.
        gaps = np.array([line.position for line in self.oversized], dtype=np.int64) - self.start - left_out[:-1]
        positions: Offsets = offsets + self.start + left_out[np.searchsorted(gaps, offsets, side="right")]
        return positions

    def offset(self, position: int) -> int:
        """Where in `data` the line at a position begins."""
        left_out = sum(line.length + 1 for line in self.oversized if line.position < position)
        return position - self.start - left_out


class Oversized(msgspec.Struct, frozen=True):
    """A line over ``decode.line_bytes_max``: where it began, how long it was, and its beginning."""

    position: int
    length: int
    head: bytes


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


class SourceError(Exception):
    """A source cannot be read. `retryable` says whether trying again makes sense."""

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable
