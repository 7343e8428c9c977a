"""The archive: every event as its redacted line, in Parquet files by the day of arrival.

A file is written whole, fsynced and named before the turn that names it in the manifest is committed; a file that no
manifest row names is as if it had never been. The manifest is the record's; it is passed in.
"""

from __future__ import annotations

import hashlib
import heapq
import io
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from detectors.event import ARRIVAL, DTYPES, INDEX, TIME, kind_of
from monitor.durable import make_folder, write_file
from monitor.moments import DAY_US
from monitor.refusal import refusals_told
from monitor.stores import Segment, StoreError
from monitor.stores.folder_name import folder_name, name_there
from monitor.stores.segment import (
    ROW,
    STORED,
    TURN,
    SegmentBroken,
    SegmentWriter,
    day_text,
    described,
    in_order,
    matching,
    segment_name,
    turns_in,
    turns_of,
)

DAYS_PER_TURN_MAX: Final = 400
"""Files that one turn may make; events of still older days lie with the oldest of these, and are kept longer."""

PATHS_TOLD_MAX: Final = 3
"""Files named in a message."""

_LAST_DAY: Final = 2_932_896  # 9999-12-31

Broken = Callable[[SegmentBroken], None]


def _nothing() -> None:
    pass


class Archive:
    """The files under one folder. The index fields, and `more` if given, are kept as columns beside the line.

    What is written, replayed and swept are those of one stream (`of_stream`); what is scanned, of all.
    """

    def __init__(
        self, folder: Path, more: Sequence[str] = (), stream: str = "", epoch: int = 0, name: str = ""
    ) -> None:
        self.folder: Final = folder
        self._name = name
        self.stream: Final = stream
        self.epoch: Final = epoch
        self._more = tuple(more)
        self.between: Callable[[], None] = _nothing  # called before each turn that is replayed: a replay may take long
        self.columns: Final = {**STORED, **{name: DTYPES[kind_of(name)] for name in (*INDEX, *more)}}
        with refusals_told(folder):
            make_folder(folder)

    def of_stream(self, stream: str, epoch: int) -> Archive:
        """The same folder, for the turns that are written of a stream under an epoch."""
        return Archive(self.folder, self._more, stream, epoch, self._name)

    @property
    def name(self) -> str:
        """What this folder is called, wherever it is moved; made when first asked for. Raises `StoreError`."""
        self._name = self._name or folder_name(self.folder)
        return self._name

    def here(self, segments: Iterable[Segment]) -> list[Segment]:
        """Those that lie in this folder, as far as anybody knows; the others are on the disks of other machines."""
        names = {"", self._name or name_there(self.folder)}
        return [segment for segment in segments if segment.folder in names]

    def write(self, turn: int, frame: pl.DataFrame) -> list[Segment]:
        """Write a turn's events, in processing order, to one file for each day of arrival.

        Only the archive's columns are kept; duplicates are for the caller to leave out. Raises `StoreError` when the
        disk refuses: nothing of the turn counts then, and the same turn may be written again.
        """
        if frame.is_empty():
            return []
        kept = self._kept(turn, frame)
        day = np.clip(kept.get_column(ARRIVAL).to_numpy() // DAY_US, 0, _LAST_DAY)
        days = np.unique(day)[-DAYS_PER_TURN_MAX:]
        if len(days) == 1:
            return [self._write_day(turn, int(days[0]), kept)]
        day = np.maximum(day, days[0])
        return [self._write_day(turn, int(each), kept[np.flatnonzero(day == each)]) for each in days]

    def _kept(self, turn: int, frame: pl.DataFrame) -> pl.DataFrame:
        given = set(frame.columns)
        rows = frame.height
        fields = [
            frame.get_column(name).cast(dtype)
            if name in given
            else pl.Series(name, [None], dtype=dtype).new_from_index(0, rows)
            for name, dtype in self.columns.items()
            if name not in {TURN, ROW}
        ]
        numbers = pl.Series(ROW, np.arange(rows, dtype=np.uint32))
        return pl.DataFrame([pl.Series(TURN, np.full(rows, turn, dtype=np.int64)), numbers, *fields])

    def _write_day(self, turn: int, day: int, frame: pl.DataFrame) -> Segment:
        path = segment_name(day_text(day), turn, turn, self.stream, self.epoch)
        content = io.BytesIO()
        with SegmentWriter(content, self.columns, in_order=True) as writer:
            writer.write(frame)
        raw = content.getbuffer()
        with refusals_told(self.folder / path):
            self.make_folder(day_text(day))
            write_file(self.folder / path, raw, "segment")
        digest = hashlib.sha256(raw).hexdigest()
        return described(frame, path, day_text(day), len(raw), digest, self.stream, self.name)

    def make_folder(self, day: str) -> None:
        """The folder of a day, durably there."""
        make_folder(self.folder / day)

    def scan(
        self,
        segments: Iterable[Segment],
        *,
        columns: Sequence[str] | None = None,
        since: int | None = None,
        until: int | None = None,
        where: pl.Expr | None = None,
        turn_after: int = 0,
        newest_first: bool = False,
        broken: Broken | None = None,
    ) -> Iterator[pl.DataFrame]:
        """Events of these segments as frames, a group of rows at a time, in the order of processing or its reverse.

        `since` (included) and `until` (not) are of the event's time. A broken file raises `SegmentBroken`; with
        `broken` it is told there, and the scan goes on with the next.
        """
        wanted = [pl.col(TURN) > turn_after] if turn_after else []
        wanted += [pl.col(TIME) >= since] if since is not None else []
        wanted += [pl.col(TIME) < until] if until is not None else []
        wanted += [where] if where is not None else []
        shown = list(self.columns) if columns is None else [*columns]
        read = self._dtypes([TURN, ROW, *shown, *(name for each in wanted for name in each.meta.root_names())])
        for segment in _overlapping(segments, since, until, turn_after, newest_first=newest_first):
            try:
                path = self.folder / segment.path
                for frame in matching(path, read, wanted, since, until, newest_first=newest_first):
                    yield (frame.reverse() if newest_first else frame).select(shown)
            except SegmentBroken as error:
                if broken is None:
                    raise
                broken(error)

    def _dtypes(self, names: Iterable[str]) -> dict[str, pl.DataType]:
        return {name: self.columns.get(name, DTYPES[kind_of(name)]) for name in names}

    def replay(self, segments: Iterable[Segment], after_turn: int = 0) -> Iterator[pl.DataFrame]:
        """All events processed after a turn, a frame a turn, in the order in which they were processed.

        Raises `SegmentBroken` when a file is, and `StoreError` when one lies elsewhere: a gap in a replay would be a wrong answer.
        """
        own = [s for s in segments if s.stream == self.stream and s.turn_last > after_turn]
        if elsewhere := len(own) - len(self.here(own)):
            found = f"{elsewhere} files of the archive lie in another archive folder than {self.folder}"
            raise StoreError(f"{found}: use the data_dir that has them, or put it here", retryable=False)
        waiting = deque(sorted(own, key=lambda s: (s.turn_first, s.path)))
        heap: list[tuple[int, int, pl.DataFrame, Iterator[tuple[int, pl.DataFrame]]]] = []
        opened = 0
        while waiting or heap:
            while waiting and (not heap or waiting[0].turn_first <= heap[0][0]):
                opened += 1
                stream = turns_in(self.folder / waiting.popleft().path, after_turn, self.columns)
                _advance(heap, opened, stream)
            if not heap:
                continue
            turn = heap[0][0]
            parts = []
            while heap and heap[0][0] == turn:
                _, place, part, stream = heapq.heappop(heap)
                parts.append(part)
                _advance(heap, place, stream)
            self.between()
            yield parts[0] if len(parts) == 1 else in_order(pl.concat(parts))

    def check(self, segments: Iterable[Segment]) -> Iterator[SegmentBroken]:
        """Which files are not as they were written: every byte is read."""
        for segment in segments:
            path = self.folder / segment.path
            try:
                with path.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                yield SegmentBroken(path, error.strerror or str(error))
                continue
            if digest != segment.sha256:
                yield SegmentBroken(path, "its bytes are not those that were written")

    def sweep(self, manifest: Iterable[Segment], last_turn: int) -> list[str]:
        """Delete what a crash left: files that no row of the manifest names. To be called at start, before any write.

        Returns their paths. Raises `StoreError` and deletes nothing when the files know of turns that the record does
        not: it is not this archive's record then, or an older copy of it.
        """
        named = {segment.path for segment in manifest}
        unnamed = [path for path in self._files() if path.relative_to(self.folder).as_posix() not in named]
        turns = [turns_of(path.name, self.stream) for path in unnamed]
        newest = max((last for pair in turns if pair for last in pair), default=0)
        if newest > last_turn + 1:
            raise StoreError(
                f"{self.folder} holds events of turn {newest}, but the database ends with turn {last_turn}: it is not "
                "this archive's database, or an old copy of it. Name the data_dir to which both belong, or restore both "
                f"from one backup. Without a backup, move what the database does not know out of the archive ({_some(unnamed)}); "
                "the sources are then read again from where the database ends",
                retryable=False,
            )
        self.delete(path.relative_to(self.folder).as_posix() for path in unnamed)
        return sorted(path.relative_to(self.folder).as_posix() for path in unnamed)

    def _files(self) -> Iterator[Path]:
        for path in self.folder.glob("????-??-??/*"):
            if turns_of(path.name.removesuffix(".part"), self.stream) is not None:
                yield path

    def days_before(self, day: str) -> list[Path]:
        """All files of days of arrival before one, whichever stream wrote them."""
        return sorted(path for path in self.folder.glob("????-??-??/*") if path.parent.name < day)

    def delete(self, paths: Iterable[str]) -> None:
        """Delete files that the manifest no longer names, and days that are empty after it."""
        with refusals_told(self.folder):
            for path in paths:
                (self.folder / path).unlink(missing_ok=True)
            for day in self.folder.glob("????-??-??"):
                if not any(day.iterdir()):
                    day.rmdir()


def _some(paths: Sequence[Path]) -> str:
    """The first few of some files, for a message."""
    more = f" and {len(paths) - PATHS_TOLD_MAX} more" if len(paths) > PATHS_TOLD_MAX else ""
    return ", ".join(str(path) for path in sorted(paths)[:PATHS_TOLD_MAX]) + more


def _advance(
    heap: list[tuple[int, int, pl.DataFrame, Iterator[tuple[int, pl.DataFrame]]]],
    place: int,
    stream: Iterator[tuple[int, pl.DataFrame]],
) -> None:
    """Put a stream back into the heap with its next turn, if it has one."""
    if (following := next(stream, None)) is not None:
        heapq.heappush(heap, (following[0], place, following[1], stream))


def _overlapping(
    segments: Iterable[Segment], since: int | None, until: int | None, turn_after: int, *, newest_first: bool
) -> Collection[Segment]:
    found = [
        segment
        for segment in segments
        if segment.turn_last > turn_after
        and (since is None or segment.time_max >= since)
        and (until is None or segment.time_min < until)
    ]
    if len({segment.stream for segment in found}) > 1:  # turns of different streams have no order, times have
        return sorted(found, key=lambda segment: (segment.time_min, segment.path), reverse=newest_first)
    return sorted(found, key=lambda segment: (segment.turn_first, segment.path), reverse=newest_first)
