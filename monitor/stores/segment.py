"""One file of the archive: how its rows lie in it, how they are written, and how they are read again."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Final, Self, cast

import polars as pl

from detectors.event import HASH, INTERNAL, LINE, TIME
from monitor.stores import Segment, StoreError

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

TURN: Final = "_turn"
"""The turn in which an event was processed."""

ROW: Final = "_row"
"""An event's place in its turn: (turn, row) is the order of processing, whatever the order in the file."""

COMPRESSION_LEVEL: Final = 1
"""Of zstd: lower ones save a tenth of the CPU for a third more bytes, and higher ones cost more for none fewer."""

PAGE_ROWS: Final = 8_192
"""Rows compressed together: more of them do not compress better."""

_NAME: Final = re.compile(r"(?:([0-9a-f]{12})-\d+\.)?(\d{12})(?:-(\d{12}))?\.parquet")
_NEAR: Final = 2**32
_OF_ONE_ROW: Final = frozenset({LINE, HASH, "event.id"})  # their values do not come again
_VIEWS: Final = pl.CompatLevel.newest()  # texts are handed over as they are, not copied


class SegmentBroken(StoreError):
    """A file of the archive is missing, cut short, altered, or was not written by us."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}", retryable=False)
        self.path = path


def segment_name(day: str, turn_first: int, turn_last: int, stream: str = "", epoch: int = 0) -> str:
    """A segment's path in the archive. Who writes a stream under another epoch writes other files."""
    turns = f"{turn_first:012d}" if turn_first == turn_last else f"{turn_first:012d}-{turn_last:012d}"
    begin = f"{_begin(stream)}{epoch}." if stream else ""
    return f"{day}/{begin}{turns}.parquet"


def turns_of(name: str, stream: str = "") -> tuple[int, int] | None:
    """First and last turn in a file, by its name; None when it is not named like a segment of the stream."""
    if (match := _NAME.fullmatch(name)) is None or not name.startswith(_begin(stream)):
        return None
    if not stream and match[1]:
        return None
    return int(match[2]), int(match[3] or match[2])


def _begin(stream: str) -> str:
    """With what the names of a stream's files begin; nothing for the first."""
    return f"{hashlib.sha256(stream.encode()).hexdigest()[:12]}-" if stream else ""


def day_text(day: int) -> str:
    """A day counted from 1970, as YYYY-MM-DD."""
    return (dt.date(1970, 1, 1) + dt.timedelta(days=day)).isoformat()


def near_alike(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows with those of one app and one person (or address) side by side.

    Lines that are alike compress a tenth better when they are near each other. Sorting costs more time than that saves.
    """
    person = pl.coalesce("user.id", "source.ip")
    alike = pl.col("miniprogram.app_id").hash() // _NEAR * _NEAR + person.hash() // _NEAR
    return frame.sort(alike, maintain_order=True)


def in_order(frame: pl.DataFrame) -> pl.DataFrame:
    """The rows as they were processed; they are not moved where they lie so, as those of one turn do."""
    if frame[TURN].n_unique() <= 1 and frame[ROW].is_sorted():
        return frame
    return frame.sort(TURN, ROW)


def described(
    frame: pl.DataFrame, path: str, day: str, size: int, sha256: str, stream: str = "", folder: str = ""
) -> Segment:
    """The manifest's row for a file that holds these rows."""
    turns, times = frame.get_column(TURN), frame.get_column(TIME)
    return Segment(
        path=path,
        day=day,
        turn_first=cast("int", turns.min()),
        turn_last=cast("int", turns.max()),
        rows=frame.height,
        bytes=size,
        time_min=cast("int", times.min()),
        time_max=cast("int", times.max()),
        sha256=sha256,
        stream=stream,
        folder=folder,
    )


class SegmentWriter:
    """Writes rows to a file, a group of them at a time. The file is whole at the end of the `with`.

    Rows have the columns given here, in this order; with `in_order` they come as they were processed, so that numbers rise by
    little. Only times and turns have statistics: nothing else is asked of them.
    """

    def __init__(self, sink: IO[bytes], columns: dict[str, pl.DataType], *, in_order: bool) -> None:
        from pyarrow.parquet import ParquetWriter  # noqa: PLC0415 - slow to load, and most commands write nothing

        repeated = [name for name, dtype in columns.items() if dtype == pl.String() and name not in _OF_ONE_ROW]
        numbers = [name for name, dtype in columns.items() if dtype.is_integer() and name not in _OF_ONE_ROW]
        self._writer: ParquetWriter = ParquetWriter(
            sink,
            pl.DataFrame(schema=columns).to_arrow(compat_level=_VIEWS).schema,
            compression="zstd",
            compression_level=COMPRESSION_LEVEL,
            use_dictionary=repeated,
            column_encoding=dict.fromkeys(numbers, "DELTA_BINARY_PACKED" if in_order else "PLAIN"),
            write_statistics=[TURN, TIME],
            write_batch_size=PAGE_ROWS,
            store_schema=False,
        )

    def write(self, frame: pl.DataFrame) -> None:
        """Add rows as one group."""
        self._writer.write_table(frame.to_arrow(compat_level=_VIEWS), row_group_size=frame.height)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()


class SegmentFile:
    """A file open for reading, a group of rows at a time. Raises `SegmentBroken`, naming the file."""

    def __init__(self, path: Path) -> None:
        from pyarrow.parquet import ParquetFile  # noqa: PLC0415 - takes a tenth of a second; only readers pay

        self.path: Final = path
        try:
            self._file: ParquetFile = ParquetFile(path)
        except FileNotFoundError:
            raise SegmentBroken(path, "this file is in the manifest but not on the disk") from None
        except (OSError, ValueError) as error:
            raise SegmentBroken(path, f"not a whole Parquet file ({error})") from error
        self._names: Final = frozenset(self._file.schema_arrow.names)
        if missing := {TURN, ROW, *INTERNAL} - self._names:
            self.close()
            raise SegmentBroken(path, f"not a segment of ours: it has no {', '.join(sorted(missing))}")

    @property
    def groups(self) -> int:
        return int(self._file.num_row_groups)

    def close(self) -> None:
        self._file.close()

    def read(self, group: int, columns: dict[str, pl.DataType]) -> pl.DataFrame:
        """Some columns of one group of rows; null where this file has none of that name."""
        wanted = [name for name in columns if name in self._names]
        try:
            table = self._file.read_row_group(group, columns=wanted)
        except (OSError, ValueError) as error:
            raise SegmentBroken(self.path, f"damaged: its rows cannot be read ({error})") from error
        frame = pl.DataFrame(table)
        return frame.select(
            pl.col(name).cast(dtype) if name in self._names else pl.lit(None, dtype).alias(name)
            for name, dtype in columns.items()
        )

    def times(self, group: int) -> tuple[int, int] | None:
        """Earliest and latest event time of a group, where the file says so."""
        of_group = self._file.metadata.row_group(group)
        column = of_group.column(self._file.schema_arrow.names.index(TIME))
        statistics: Any = column.statistics
        if statistics is None or not statistics.has_min_max:
            return None
        return int(statistics.min), int(statistics.max)


def turns_in(path: Path, after_turn: int, columns: dict[str, pl.DataType]) -> Iterator[tuple[int, pl.DataFrame]]:
    """The rows of a file, turn by turn, in the order of processing; a group of rows is in memory at a time."""
    file = SegmentFile(path)
    try:
        for group in range(file.groups):
            frame = file.read(group, columns).filter(pl.col(TURN) > after_turn)
            ordered = in_order(frame)
            parts = [ordered] if frame[TURN].n_unique() == 1 else ordered.partition_by(TURN, maintain_order=True)
            for part in parts:
                yield int(part.item(0, TURN)), part
    finally:
        file.close()


def matching(
    path: Path,
    columns: dict[str, pl.DataType],
    wanted: Sequence[pl.Expr],
    since: int | None,
    until: int | None,
    *,
    newest_first: bool,
) -> Iterator[pl.DataFrame]:
    """The rows of a file for which every expression holds; long columns are read only where something matches."""
    named = {name for expression in wanted for name in expression.meta.root_names()}
    cheap = {name: dtype for name, dtype in columns.items() if name in named and name != LINE}
    file = SegmentFile(path)
    try:
        groups = range(file.groups)
        for group in reversed(groups) if newest_first else groups:
            if not _overlaps(file.times(group), since, until):
                continue
            on_cheap = [expression for expression in wanted if set(expression.meta.root_names()) <= set(cheap)]
            if on_cheap and file.read(group, cheap).filter(*on_cheap).is_empty():
                continue
            frame = file.read(group, columns).filter(*wanted) if wanted else file.read(group, columns)
            if not frame.is_empty():
                yield in_order(frame)
    finally:
        file.close()


def _overlaps(times: tuple[int, int] | None, since: int | None, until: int | None) -> bool:
    if times is None:
        return True
    return (since is None or times[1] >= since) and (until is None or times[0] < until)


STORED: Final[dict[str, pl.DataType]] = {TURN: pl.Int64(), ROW: pl.UInt32(), **INTERNAL}
"""Columns of every segment beside the fields that its archive keeps."""
