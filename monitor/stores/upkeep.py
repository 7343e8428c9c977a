"""Keeping the archive in shape: small files of a day joined, old days deleted when the law allows it.

Both change the manifest first, in one transaction, and delete files afterwards. A crash in between leaves files that
nobody names, which the sweep at the next start deletes.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

import msgspec
import polars as pl

from detectors.event import LINE, TIME
from monitor.audit import AuditEntry
from monitor.counting import counted
from monitor.durable import boundary, publish
from monitor.moments import DAY_US
from monitor.refusal import refusals_told
from monitor.stores import Segment
from monitor.stores.archive import Archive
from monitor.stores.segment import SegmentWriter, near_alike, segment_name

RETENTION_DAYS_MIN: Final = 180
"""Network logs are kept for at least six months (Cybersecurity Law, article on keeping logs)."""

GROUP_ROWS: Final = 131_072
"""Rows that are joined in memory at a time; a group ends with the turn that fills it."""

GROUP_BYTES: Final = 1 << 28
"""Bytes of lines that are joined in memory at a time, likewise."""

JOINED_ROWS: Final = 1 << 20
"""A file with so many rows is not joined again: however long a day is, an event is rewritten a few times at most."""

SEGMENTS_MIN: Final = 2
"""Fewer are not worth joining."""


class Manifest(Protocol):
    """The part of the record that names the archive's files."""

    def segments(self, day: str | None = None) -> Sequence[Segment]: ...
    def replace_segments(
        self, old: Sequence[Segment], new: Sequence[Segment], audit: AuditEntry | None = None
    ) -> None: ...


class RetentionTooShort(ValueError):
    """Events would be deleted earlier than the law allows."""

    def __init__(self, days: int) -> None:
        super().__init__(
            f"retention of {days} days is too short: network logs must be kept for at least {RETENTION_DAYS_MIN} days"
        )


class Deleted(msgspec.Struct, frozen=True, kw_only=True):
    """What retention deleted."""

    days: tuple[str, ...] = ()
    events: int = 0
    bytes: int = 0


def compact(archive: Archive, manifest: Manifest, day: str, turn_max: int) -> list[Segment]:
    """Join a day's small files of this folder up to a turn, neighbours to one until it has `JOINED_ROWS`; gives the new files.

    Streams: no more than a group of rows of each file is in memory. Raises `SegmentBroken` when one of them is, and
    `StoreError` when the disk or the record refuses; the old files then stay as they were.
    """
    own = (segment for segment in archive.here(manifest.segments(day)) if segment.stream == archive.stream)
    old = [segment for segment in own if segment.turn_last <= turn_max]
    return [_joined(archive, manifest, day, run) for run in _runs(old)]


def _runs(segments: Iterable[Segment]) -> Iterator[list[Segment]]:
    """Neighbours that are worth joining; large files stand between them."""
    run: list[Segment] = []
    rows = 0
    for segment in sorted(segments, key=lambda segment: segment.turn_first):
        is_large = segment.rows >= JOINED_ROWS
        if not is_large:
            run.append(segment)
            rows += segment.rows
        if is_large or rows >= JOINED_ROWS:
            if len(run) >= SEGMENTS_MIN:
                yield run
            run, rows = [], 0
    if len(run) >= SEGMENTS_MIN:
        yield run


def _joined(archive: Archive, manifest: Manifest, day: str, old: Sequence[Segment]) -> Segment:
    turn_first = min(segment.turn_first for segment in old)
    turn_last = max(segment.turn_last for segment in old)
    path = segment_name(day, turn_first, turn_last, archive.stream, archive.epoch)
    part = archive.folder / f"{path}.part"
    with refusals_told(part), _gone_unless_named(part):
        rows, times = _join(archive, old, part)
        with part.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        new = Segment(
            path=path,
            day=day,
            turn_first=turn_first,
            turn_last=turn_last,
            rows=rows,
            bytes=part.stat().st_size,
            time_min=times[0],
            time_max=times[1],
            sha256=digest,
            stream=archive.stream,
            folder=archive.name,
        )
        publish(part, archive.folder / path, "segment")
    manifest.replace_segments(old, [new])
    archive.delete(segment.path for segment in old)
    return new


@contextmanager
def _gone_unless_named(part: Path) -> Iterator[None]:
    """Leave no half-written file on what may be a full disk."""
    try:
        yield
    finally:
        part.unlink(missing_ok=True)


def _join(archive: Archive, old: Sequence[Segment], part: Path) -> tuple[int, tuple[int, int]]:
    """Write the rows of some segments to one file, fsynced; gives the number of rows, and the first and last time."""
    boundary("write:segment")
    rows, earliest, latest = 0, 2**63 - 1, -(2**63)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        with SegmentWriter(file, archive.columns, in_order=False) as writer:
            for group in _groups(archive.replay(old)):
                writer.write(near_alike(group))
                first, last = group.select(pl.col(TIME).min(), pl.col(TIME).max().alias("last")).row(0)
                rows, earliest, latest = rows + group.height, min(earliest, first), max(latest, last)
        file.flush()
        boundary("fsync:segment")
        os.fsync(file.fileno())
    return rows, (earliest, latest)


def _groups(turns: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Whole turns together until they fill a group."""
    waiting: list[pl.DataFrame] = []
    rows = size = 0
    for turn in turns:
        waiting.append(turn)
        rows += turn.height
        size += int(turn[LINE].str.len_bytes().sum())
        if rows >= GROUP_ROWS or size >= GROUP_BYTES:
            yield pl.concat(waiting)
            waiting, rows, size = [], 0, 0
    if waiting:
        yield pl.concat(waiting)


def retain(archive: Archive, manifest: Manifest, *, days: int, now: int, turn_max: int | None = None) -> Deleted:
    """Delete whole days of arrival that lie more than `days` before today (UTC).

    With `turn_max`, files that hold later turns stay: recovery still needs them. Raises `RetentionTooShort` below
    `RETENTION_DAYS_MIN`.
    """
    oldest = _oldest(days, now)
    old = [
        segment
        for segment in manifest.segments()
        if segment.day < oldest
        and (turn_max is None or segment.stream != archive.stream or segment.turn_last <= turn_max)
    ]
    if not old:
        return Deleted()
    deleted = Deleted(
        days=tuple(sorted({segment.day for segment in old})),
        events=sum(segment.rows for segment in old),
        bytes=sum(segment.bytes for segment in old),
    )
    entry = AuditEntry(
        time=now,
        actor="system:retention",
        action="archive.delete",
        subject=f"{deleted.days[0]} to {deleted.days[-1]}",
        reason=f"arrived more than {days} days ago",
        before=f"{counted(deleted.events, 'event')} in {counted(len(old), 'file')}",
    )
    manifest.replace_segments(old, [], entry)
    archive.delete(segment.path for segment in old)
    return deleted


def sweep_days(archive: Archive, manifest: Manifest, *, days: int, now: int) -> Deleted:
    """Delete the files of this folder that `retain` has let go elsewhere: who decides reaches no other disk than his own.

    Those that were written within the last day are left: a turn that is not committed yet may be about to name them.
    """
    oldest = _oldest(days, now)
    named = {segment.path for segment in manifest.segments()}
    old = [path for path in archive.days_before(oldest) if path.relative_to(archive.folder).as_posix() not in named]
    gone = {path: path.stat() for path in old}
    gone = {path: found for path, found in gone.items() if found.st_mtime_ns // 1000 < now - DAY_US}
    archive.delete(path.relative_to(archive.folder).as_posix() for path in gone)
    touched = tuple(sorted({path.parent.name for path in gone}))
    return Deleted(days=touched, bytes=sum(found.st_size for found in gone.values()))


def _oldest(days: int, now: int) -> str:
    """The first day that is kept."""
    if days < RETENTION_DAYS_MIN:
        raise RetentionTooShort(days)
    today = dt.datetime.fromtimestamp(now / 1_000_000, dt.UTC).date()
    return (today - dt.timedelta(days=days)).isoformat()
