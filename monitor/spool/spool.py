"""The spool: one stream of lines in segment files, written by the HTTP front and read as a source.

A segment's name is the position of its first line in the stream. It begins with the idempotency keys of the time before, so that
those before it can be deleted; then come frames, one a request. The ids of documents in it are kept in a file of their own once it is
followed by another. Lines are acknowledged once their frame is fsynced, and a reader
sees no others. The positions never go back: a spool that was lost begins again where the record says that reading had come to.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from monitor.durable import boundary, make_folder, publish, sync_folder
from monitor.sealing import Seal
from monitor.spool.aside import Body
from monitor.spool.frames import (
    HEAD_BYTES,
    KEYS,
    LINES,
    NO_KEY,
    UNKEYED,
    FrameError,
    Head,
    frame,
    heads,
    opened,
    read_sealed,
)
from monitor.spool.given import Given, Outcome, Taken, without
from monitor.spool.ids import documents_of, names_of
from monitor.spool.kept_ids import KeptIds
from monitor.spool.window import NAME_BYTES, KeyWindow

SUFFIX: Final = ".spool"
SEGMENT_BYTES: Final = 32 << 20
"""Size from which on a segment is followed by another; a frame is never divided."""

UNSURE_MAX: Final = 1024
UNSURE_US: Final = 10_000_000
"""Requests of the last ten seconds before the end of the stream may not have been answered when a daemon was killed; at most so many."""


class SegmentFile(msgspec.Struct, frozen=True):
    """One file, and where in the stream it begins."""

    start: int
    path: Path


class Spool:
    """Takes lines and keeps them until they are forgotten. One thread gives, one reads, one forgets.

    `damaged` is told what cannot be read of what was once acknowledged, and from which position on.
    """

    def __init__(
        self,
        folder: Path,
        seal: Seal,
        *,
        bytes_max: int,
        floor: int,
        clock: Callable[[], int],
        damaged: Callable[[int, str], None] = lambda _position, _what: None,
    ) -> None:
        """Open or make a spool whose reader has come to `floor`. Raises `OSError`."""
        self.folder = folder
        self.seal = seal
        self.damaged = damaged
        self.grown = threading.Condition()
        self.end = floor
        self._bytes_max = bytes_max
        self._clock = clock
        self.unsure: deque[tuple[bytes, int]] = deque(maxlen=UNSURE_MAX)
        self._window = KeyWindow()
        self._ids = KeptIds(folder, seal)
        self._sizes: dict[Path, int] = {}
        self._current: SegmentFile | None = None
        self._is_torn = False
        make_folder(folder)
        self._open(floor)

    @property
    def disk_bytes(self) -> int:
        """What the spool takes on disk."""
        with self.grown:
            return sum(self._sizes.values()) + self._ids.disk_bytes

    def segments(self) -> Sequence[SegmentFile]:
        """The files, in the order of the stream."""
        with self.grown:
            paths = sorted(self._sizes)
        return [SegmentFile(int(path.stem), path) for path in paths]

    @property
    def start(self) -> int:
        """The position of the first line that is still there."""
        return next((segment.start for segment in self.segments()), self.end)

    def edge(self) -> tuple[int, int]:
        """The end of the stream, and the size of the newest segment there."""
        with self.grown:
            return self.end, self._sizes[self._current.path] if self._current is not None else 0

    def take(self, given: Sequence[Given]) -> list[Taken]:
        """Make lines durable, those of all requests at once, or say why not.

        Raises `OSError` when the disk refuses: then none of these was acknowledged, and none is read.
        """
        self._mend()
        now = self._clock()
        outcomes: list[Taken] = []
        taken: list[tuple[Head, bytes]] = []
        parts: list[Body] = []
        position, size, seen, named = self.end, self.disk_bytes, dict[bytes, bytes](), dict[int, int]()
        for one in given:
            known = seen.get(one.key[:NAME_BYTES]) or self._window.find(one.key, now)
            if one.key != NO_KEY and known is not None:
                outcomes.append(Taken(Outcome.REPEATED if known == one.key else Outcome.OTHER))
                continue
            repeated = self._ids.repeated(one, named, now)
            lines, ids = without(one, repeated)
            if not lines:
                outcomes.append(Taken(Outcome.TAKEN, repeated))
                continue
            kind, key = (LINES, one.key) if one.request == NO_KEY else (UNKEYED, one.request)
            head, whole = frame(self.seal, kind, position, now, key, lines, ids)
            if size + head.frame_bytes > self._bytes_max:
                outcomes.append(Taken(Outcome.FULL))
                continue
            outcomes.append(Taken(Outcome.TAKEN, repeated))
            seen[one.key[:NAME_BYTES]] = one.key
            named.update(zip(names_of(ids), documents_of(ids), strict=True))
            taken.append((head, ids))
            parts += whole
            position, size = head.end, size + head.frame_bytes
        if taken:
            self._append(parts, position, now)
            for head, ids in taken:
                self._remember(head, ids)
        return outcomes

    def forget(self, position: int) -> None:
        """Delete the segments of which everything before a position has been read, and committed; the newest stays."""
        segments = self.segments()
        for segment, following in pairwise(segments):
            if following.start > position:
                break
            boundary("unlink:spool")
            segment.path.unlink(missing_ok=True)
            with self.grown:
                del self._sizes[segment.path]

    # Writing

    def _append(self, parts: Sequence[Body], position: int, now: int) -> None:
        """Write to the newest segment, or to a new one, up to a position, and fsync; after an error nothing has changed."""
        segment = self._current
        if segment is None or self._sizes[segment.path] >= SEGMENT_BYTES or self._ids.is_full:
            segment = self._begin_segment(self.end, now)
        size = self._sizes[segment.path]
        try:
            boundary("write:spool")
            descriptor = os.open(segment.path, os.O_WRONLY)
            try:
                grown = _write_at(descriptor, parts, size)
                boundary("fsync:spool")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            boundary("fsync:spool:done")
        except OSError:
            self._is_torn = True
            raise
        with self.grown:
            self._sizes[segment.path] = grown
            self.end = position
            self.grown.notify_all()

    def _mend(self) -> None:
        """After a write that failed, cut off what may have come to disk of it. Raises `OSError`."""
        if self._is_torn and self._current is not None:
            _cut(self._current.path, self._sizes[self._current.path])
        self._is_torn = False

    def _begin_segment(self, start: int, now: int) -> SegmentFile:
        kept = self._ids.keep(start)
        path = self.folder / f"{start:020d}{SUFFIX}"
        part = path.with_suffix(".part")
        head, parts = frame(self.seal, KEYS, start, now, NO_KEY, self._window.packed(now))
        boundary("write:spool-segment")
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            _write_at(descriptor, parts, 0)
            boundary("fsync:spool-segment")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        publish(part, path, "spool-segment")
        with self.grown:
            self._sizes[path] = head.frame_bytes
        self._current = SegmentFile(start, path)
        self._ids.followed(kept, now)
        return self._current

    def _remember(self, head: Head, ids: bytes) -> None:
        if head.key != NO_KEY and head.kind != UNKEYED:
            self._window.add(head.key, head.arrival)
        if ids:
            self._ids.add(ids, head.arrival)

    # Opening

    def _open(self, floor: int) -> None:
        """Look through what is there: the keys, where the stream ends, and what a crash has left of a last frame.

        A writer that was killed may have left frames, and names, that are not on disk yet. From now on they are told as taken, so they are put there.
        """
        for part in self.folder.glob("*.part"):
            part.unlink()
        sync_folder(self.folder)
        for name, what in self._ids.open():
            self.damaged(floor, f"{name}: {what}; documents with these ids may be taken again")
        paths = _paths(self.folder)
        for path in paths:
            is_last = path == paths[-1]
            self._sizes[path], end = self._survey(path, is_last=is_last)
            if is_last and end >= floor:  # else what came after it is lost, and its positions are not given again
                self.end, self._current = end, SegmentFile(int(path.stem), path)
        while self.unsure and self.unsure[-1][1] - self.unsure[0][1] > UNSURE_US:
            self.unsure.popleft()

    def _survey(self, path: Path, *, is_last: bool) -> tuple[int, int]:
        """Go through a segment: its size up to the last frame that is there at full length, and the position there.

        Of the last one no more is left, and that durably. Damage with frames behind it stays for the reader, who goes over it and tells.
        """
        size = path.stat().st_size
        whole = begun = 0
        end = int(path.stem)
        short: Head | None = None
        with path.open("rb") as file:
            for begun, head in heads(file, size, end):
                if begun + head.frame_bytes > size:
                    short = head
                    break
                self._recall(file, head, is_checked=is_last)
                whole, end = begun + head.frame_bytes, max(end, head.end)
            file.seek(whole)
            tail = file.read() if is_last else b""
        if tail and (short is None or begun > whole) and not _is_unfinished(tail):
            self.damaged(end, f"{len(tail)} bytes at the end of {path.name} are no frame, and are cut off")
            end = max(end, short.position) if short is not None else end + len(tail)  # so much was given out at most
        if not is_last:
            return size, end
        _cut(path, whole)
        return whole, end

    def _recall(self, file: BinaryIO, head: Head, *, is_checked: bool) -> None:
        """Remember the keys of the frame whose head was just read, where it can be read: else they may come again."""
        ids = b""
        try:
            if head.kind == KEYS:
                self._window.unpack(opened(self.seal, head, read_sealed(file, head))[0])
            elif is_checked:
                sealed = read_sealed(file, head)
                ids = opened(self.seal, head, sealed)[1] if head.has_ids else b""
        except FrameError:
            return
        if head.kind == UNKEYED:
            self.unsure.append((head.key, head.arrival))
        self._remember(head, ids)


def unread_bytes(folder: Path, position: int) -> int:
    """How many bytes of lines a spool holds behind a position. Nothing is changed. Raises `OSError`."""
    count = 0
    for path in _paths(folder):
        size = path.stat().st_size
        with path.open("rb") as file:
            for at, head in heads(file, size, int(path.stem)):
                if at + head.frame_bytes <= size:
                    count += max(0, head.end - max(head.position, position))
    return count


def _paths(folder: Path) -> list[Path]:
    """The segments in a folder, in the order of the stream."""
    return sorted(path for path in folder.glob(f"*{SUFFIX}") if path.stem.isdecimal())


def _is_unfinished(tail: bytes) -> bool:
    """Whether an append that did not come to its end can have left this: less than a head, or room without content."""
    return len(tail) < HEAD_BYTES or not any(tail)


def _write_at(descriptor: int, parts: Sequence[Body], offset: int) -> int:
    """Write parts one behind the other; where the last ends."""
    for part in parts:
        left = memoryview(part)
        while left:
            written = os.pwrite(descriptor, left, offset)
            left, offset = left[written:], offset + written
    return offset


def _cut(path: Path, size: int) -> None:
    """Let a file have this size, durably."""
    boundary("write:spool")
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.ftruncate(descriptor, size)
        boundary("fsync:spool")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
