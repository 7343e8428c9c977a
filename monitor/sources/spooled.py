"""What came in over HTTP, read from the spool as one stream."""

from __future__ import annotations

import os
import time
from collections import deque
from typing import BinaryIO, Final

import msgspec

from monitor.sources import LINES_MAX, Position, RawBatch, SourceError
from monitor.sources.lines import LINE_BYTES_MAX, Cut, LineCutter
from monitor.spool.frames import FrameError, next_head, opened, read_head, read_sealed
from monitor.spool.spool import SegmentFile, Spool

PARTITION: Final = "http:"


class SpoolSource:
    """The spool's one partition. A position is a place in its stream, however that is laid out in files.

    A batch says when its lines arrived. Lines that cannot be read any more (a damaged disk) are gone over, and told. With
    `follow`, the default, it never ends.
    """

    def __init__(self, spool: Spool, *, follow: bool = True, line_bytes_max: int = LINE_BYTES_MAX) -> None:
        self.format = "ndjson"
        self._spool = spool
        self._follow = follow
        self._line_bytes_max = line_bytes_max
        self._segment: SegmentFile | None = None
        self._file: BinaryIO | None = None
        self._next = 0  # the position of what comes after what has been given to the cutter
        self._rest = b""  # of a frame of which the beginning has been
        self._found: _Found | None = None  # a frame after a gap, while what is before the gap is given
        self._cutter = LineCutter(0, line_bytes_max)
        self._ready: deque[Cut] = deque()
        self._arrivals: deque[tuple[int, int]] = deque()

    @property
    def partition(self) -> str:
        """``http:``."""
        return PARTITION

    @property
    def ready(self) -> bool:
        """Whether lines that were read wait to be given."""
        return bool(self._ready)

    @property
    def ended(self) -> bool:
        """Only without `follow`: whether all that is there has been given."""
        return not self._follow and not self._ready and self._next >= self._spool.end

    @property
    def lag_bytes(self) -> int | None:
        """What is acknowledged and not yet given."""
        return max(0, self._spool.end - (self._ready[0].start if self._ready else self._cutter.position))

    @property
    def missing(self) -> str | None:
        """Nothing: the spool is there before the first request."""
        return None

    def open(self, position: Position | None) -> None:
        """Begin at a position; without one, at the first line that is still there."""
        self._go_to(position.end if position is not None else self._spool.start)

    def read(self, bytes_max: int, wait_s: float, lines_max: int = LINES_MAX) -> RawBatch | None:
        """The next lines, as soon as there are any."""
        until = time.monotonic() + wait_s
        while not self._ready:
            if self._next >= self._spool.end and not self._grown(until):
                return None
            try:
                block = self._gather(bytes_max)
            except OSError as error:
                raise SourceError(f"the spool cannot be read: {error}", retryable=True) from None
            self._ready.extend(self._cutter.feed(block, lines_max))
        return self._batch(self._ready.popleft())

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = self._segment = None

    def _grown(self, until: float) -> bool:
        """Wait for lines; whether there are any."""
        with self._spool.grown:
            wait_s = max(0.0, until - time.monotonic())
            return self._follow and self._spool.grown.wait_for(lambda: self._spool.end > self._next, wait_s)

    def _batch(self, cut: Cut) -> RawBatch:
        while len(self._arrivals) > 1 and self._arrivals[1][0] <= cut.start:
            self._arrivals.popleft()
        arrivals = tuple(one for one in self._arrivals if one[0] < cut.end)
        return RawBatch(PARTITION, self.format, cut.data, cut.start, cut.end, b"", cut.oversized, arrivals)

    def _go_to(self, position: int) -> None:
        """Go on from a place in the stream: whatever was begun is left."""
        self.close()
        self._next, self._rest, self._found = position, b"", None
        self._cutter = LineCutter(position, self._line_bytes_max)
        self._ready.clear()
        self._arrivals.clear()

    def _gather(self, bytes_max: int) -> bytes:
        """The next bytes of the stream: of as many frames as fit, or as much of one as fits."""
        blocks: list[bytes] = []
        left = max(1, bytes_max - self._cutter.held_bytes)
        while left > 0 and self._next < self._spool.end:
            if self._rest:
                block, self._rest = self._rest[:left], self._rest[left:]
                blocks.append(block)
                self._next += len(block)
                left -= len(block)
                continue
            self._found = self._found or self._look()
            if self._found is not None and self._found.position > self._next and blocks:
                break  # what is before the gap is given first
            self._enter()
        return b"".join(blocks)

    def _enter(self) -> None:
        """Go on with the frame that was found, if one was; what is missing before it is gone over."""
        found, self._found = self._found, None
        if found is None:
            return
        if found.position > self._next:  # frames are whole lines, so none is begun
            self._spool.damaged(self._next, f"{found.position - self._next} bytes are missing")
            self._next = found.position
            self._cutter = LineCutter(found.position, self._line_bytes_max)
        if found.lines:
            self._arrivals.append((self._next, found.arrival))
            self._rest = found.lines[self._next - found.position :]

    def _look(self) -> _Found | None:
        """The next frame, from the next position on; None where that takes another look."""
        end, size = self._spool.edge()  # before the file is read: what is written meanwhile is not taken for lost
        file = self._file or self._open_segment(self._containing())
        begun, is_broken = file.tell(), False
        try:
            head = read_head(file)
            if head is not None and (not head.has_lines or head.end <= self._next):
                file.seek(begun + head.frame_bytes)
                return None
            if head is not None:
                return _Found(head.position, head.arrival, opened(self._spool.seal, head, read_sealed(file, head))[0])
        except FrameError as error:
            self._spool.damaged(self._next, str(error))
            if error.length is not None:
                file.seek(begun + error.length)
                return None
            is_broken = True
        following = self._following()
        if is_broken and self._segment is not None:
            until = size if following is None else os.fstat(file.fileno()).st_size
            found = next_head(file, begun + 1, until, self._segment.start)
            if found is not None:
                file.seek(found)
                return None
        if following is None:  # nothing that can be read is left of what was there
            file.seek(size)
            return _Found(end, 0, b"")
        if is_broken or os.fstat(file.fileno()).st_size <= begun:  # else it has grown before the next was begun
            self._open_segment(following)
        return None

    def _containing(self) -> SegmentFile:
        """The segment in which the next position lies, or the first after it."""
        segments = self._spool.segments()
        return next((one for one in reversed(segments) if one.start <= self._next), segments[0])

    def _following(self) -> SegmentFile | None:
        begun = self._segment.start if self._segment is not None else -1
        return next((one for one in self._spool.segments() if one.start > begun), None)

    def _open_segment(self, segment: SegmentFile) -> BinaryIO:
        """Without a buffer: what was read of the end of a file ahead of time may have changed since."""
        self.close()
        self._segment = segment
        self._file = segment.path.open("rb", buffering=0)
        return self._file


class _Found(msgspec.Struct, frozen=True):
    """Lines that stand at a position and arrived at a time; without lines, a place to go on from."""

    position: int
    arrival: int
    lines: bytes
