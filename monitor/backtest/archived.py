"""The archive as an input of the pipeline: its events in the order in which they were processed, labelled as they were then."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from detectors.event import TIME, WATERMARK
from monitor.intake import Intake, Lot, Piece, Place, Stand, merged
from monitor.intake.timeline import AHEAD, CLOCK, ClockState
from monitor.pipeline import Pipeline
from monitor.recall import recalled
from monitor.sources import LINES_MAX, Position, RawBatch
from monitor.stores import Segment
from monitor.stores.archive import Archive
from monitor.stream.duplicates import CONFLICT

PARTITION: str = "archive"


class ArchiveSource:
    """A `Source` of archived events, given as frames in their order."""

    format = "archive"
    partition = PARTITION
    missing = None
    ready = False

    def __init__(self, frames: Iterator[pl.DataFrame]) -> None:
        self._frames = frames
        self._rows = 0
        self.frame = pl.DataFrame()  # what was read last
        self.ended = False

    @property
    def lag_bytes(self) -> int | None:
        return None

    def open(self, position: Position | None) -> None:
        """It always begins at the beginning."""

    def read(self, bytes_max: int, wait_s: float, lines_max: int = LINES_MAX) -> RawBatch | None:  # noqa: ARG002 - it is cut by rows of its own, and never waits
        following = next(self._frames, None)
        if following is None:
            self.ended = True
            return None
        self.frame = following
        begun, self._rows = self._rows, self._rows + following.height
        return RawBatch(PARTITION, self.format, b"", begun, self._rows)

    def close(self) -> None:
        """Files are closed as they are read."""


def frames_of(
    archive: Archive, segments: Sequence[Segment], since: int | None, until: int | None, rows_max: int
) -> Iterator[pl.DataFrame]:
    """What lies in some segments, between two times of the events; of several streams as one, by how far time had come."""
    wanted = [
        segment
        for segment in segments
        if (since is None or segment.time_max >= since) and (until is None or segment.time_min < until)
    ]
    conditions = [pl.col(TIME) >= since] if since is not None else []
    conditions += [pl.col(TIME) < until] if until is not None else []
    streams = sorted({segment.stream for segment in wanted})
    for turn in together([archive.of_stream(stream, 0).replay(wanted) for stream in streams]):
        frame = turn.filter(*conditions) if conditions else turn
        for first in range(0, frame.height, rows_max):
            yield frame.slice(first, rows_max)


def together(streams: Sequence[Iterator[pl.DataFrame]]) -> Iterator[pl.DataFrame]:
    """Turns of several streams, each in its order, as one stream in the order of their watermarks; one frame of each is held."""
    if len(streams) == 1:
        yield from streams[0]
        return
    held: dict[int, pl.DataFrame] = {}
    going = dict(enumerate(streams))
    while True:
        for place in [place for place in going if place not in held]:
            following = next((frame for frame in going[place] if frame.height), None)
            if following is None:
                del going[place]
            else:
                held[place] = following
        if not held:
            return
        until = min(int(frame[WATERMARK][-1]) for frame in held.values())
        counts = {place: int(frame[WATERMARK].search_sorted(until, side="right")) for place, frame in held.items()}
        yield pl.concat([held[place][:count] for place, count in counts.items()]).sort(WATERMARK, maintain_order=True)
        held = {place: held[place][count:] for place, count in counts.items() if count < held[place].height}


class ArchivedIntake(Intake):
    """Takes archived events as they are: what the door and the clock did to them was done when they came."""

    archived: ArchiveSource
    reach: int | None = None

    def fill(self, raw: RawBatch | None, fields: frozenset[str], now: int | None = None) -> None:  # noqa: ARG002 - the past has its own
        assert raw is not None  # noqa: S101 - nothing is held back
        furthest = pl.col(WATERMARK) + self.bounds.lateness + self.bounds.skew
        frame = recalled(self.archived.frame, fields).with_columns(
            pl.col(WATERMARK).alias(CLOCK), (pl.col(TIME) > furthest).alias(AHEAD)
        )
        stands = tuple(Stand(end, b"", ClockState()) for end in (0, raw.end))
        self.lot = Lot(raw, frame, (), ClockState(), stands, raw.end + 1)

    def take(self, rows: int) -> Piece:
        piece = super().take(rows)
        if self.reach is not None:
            self.place = Place(time_max=self.reach, claimed=self.place.claimed)
        return piece


class ArchivedPipeline(Pipeline):
    """The pipeline on events that carry their labels."""

    def _labelled(self, pieces: Sequence[Piece], watermark: int | None) -> tuple[pl.DataFrame, int]:
        if not pieces:
            return super()._labelled(pieces, watermark)
        frame = merged(pieces).with_columns(pl.lit(value=False).alias(CONFLICT))
        return frame, max(self.watermark, int(frame[WATERMARK].to_numpy().max(initial=self.watermark)))
