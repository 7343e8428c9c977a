"""Reads a file of lines from where it stopped: plain, .gz or .zst, to its end or for ever."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from monitor.sources import LINES_MAX, Position, RawBatch, SourceError, rotation
from monitor.sources.compression import SUFFIXES
from monitor.sources.lines import LINE_BYTES_MAX, Cut, LineCutter
from monitor.sources.opened import OpenedFile, Trace

POLL_S: Final = 0.2
"""How often a followed file is looked at while nothing new comes."""

QUIET_S: Final = 1.0
"""How long a rotated file must have been silent before we leave it: its writer may not have reopened yet."""


STEPS_MAX: Final = 8
"""Blocks and changes of file that one `read` takes without a line to show for it, though its time be over."""


class FileSource:
    """One file of lines, read to its end, or followed through rotation, truncation and copy-truncate.

    Positions are byte offsets in the uncompressed stream. A followed file's stream goes on through its rotated
    siblings: they are found by inode and content (`rotation`), also after several rotations while nobody read, also
    when compressed meanwhile. A compressed file is resumed by decompressing it again up to the position. A last line
    without newline is given at the end of a file that is not followed, and when a followed one has been rotated;
    until then it may still be growing.

    Not promised: a file that came and was rotated away before the first look at it; what is written to a rotated file more than `quiet_s` after the new one has begun; what copy-truncate
    itself loses (written between its copy and its truncation) or cuts in two; the unread rest of a file of which no
    sibling is left. Two files that begin alike and hold the same bytes before the position cannot be told apart.
    A file that has shrunk or was replaced is read from its beginning; positions go on counting.

    At most `bytes_max` bytes are given at once, and one line that is longer; at most `lines_max` lines.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        follow: bool = False,
        format: str = "ndjson",  # noqa: A002 - the word of the configuration
        line_bytes_max: int = LINE_BYTES_MAX,
        quiet_s: float = QUIET_S,
    ) -> None:
        self._path = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow a link to what it is today
        if follow and self._path.suffix in SUFFIXES:
            raise SourceError(f"{self._path} is compressed and cannot be followed; leave out ?follow", retryable=False)
        self._follow = follow
        self.format = format
        self._line_bytes_max = line_bytes_max
        self._quiet_s = quiet_s
        self._quiet_since: float | None = None
        self._file: OpenedFile | None = None
        self._cutter = LineCutter(0, line_bytes_max)
        self._ready: deque[RawBatch] = deque()
        self._finished = False

    @property
    def partition(self) -> str:
        """``file:`` and the absolute path."""
        return f"file:{self._path}"

    @property
    def ready(self) -> bool:
        """Whether lines that were read wait to be given."""
        return bool(self._ready)

    @property
    def ended(self) -> bool:
        """Whether all has been given; never of a followed file."""
        return self._finished and not self._ready

    @property
    def lag_bytes(self) -> int | None:
        """Bytes not yet given of the file being read, and of the present one if that is another."""
        waiting = sum(batch.end - batch.start for batch in self._ready) + self._cutter.held_bytes
        if self._finished or self._file is None:
            return waiting
        size = self._file.size()
        if size is None:
            return None
        try:
            now = self._path.stat()
        except OSError:
            return waiting + max(0, size - self._file.offset)
        newer = 0 if now.st_ino == self._file.inode else now.st_size
        return waiting + newer + max(0, size - self._file.offset)

    @property
    def missing(self) -> str | None:
        """A followed file that is not there yet."""
        is_there = self._file is not None or self._finished or self._path.exists()
        return None if is_there else f"{self._path}: there is no such file yet; it is waited for"

    def open(self, position: Position | None) -> None:
        """Go to the position, or to the beginning. A followed file need not exist yet."""
        self.close()
        self._finished = False
        self._cutter = LineCutter(position.end if position else 0, self._line_bytes_max)
        self._guarded(lambda: self._resume(position) if position else self._begin(self._path))

    def read(self, bytes_max: int, wait_s: float, lines_max: int = LINES_MAX) -> RawBatch | None:
        """The next lines; None when none came in time."""
        deadline = time.monotonic() + wait_s
        steps = 0
        while not self._ready and not self._finished:
            went_on = self._guarded(lambda: self._advance(bytes_max, lines_max))
            steps += 1
            left_s = deadline - time.monotonic()
            if left_s <= 0 and (not went_on or steps >= STEPS_MAX):
                break
            if not went_on:
                time.sleep(min(POLL_S, left_s))
        return self._ready.popleft() if self._ready else None

    def close(self) -> None:
        """Let the file go; what was read and not given is read again after the next `open`."""
        if self._file is not None:
            self._file.close()
            self._file = None
        self._ready.clear()

    def _advance(self, bytes_max: int, lines_max: int) -> bool:
        """Read one block, or find out what comes after the end; false when there is nothing to do but wait."""
        if self._file is None and not self._begin(self._path):
            return False
        assert self._file is not None  # noqa: S101 - begun just now
        # Held bytes count, so that a batch keeps to its bound; a line longer than that is read in blocks all the same.
        left = bytes_max - self._cutter.held_bytes
        block = self._file.read(left if left > 0 else bytes_max)
        if self._follow and not self._file.compressed and self._file.overwritten():
            self._file.unread(block)
            self._start_over(self._file)
            return True
        if not block:
            return self._at_end(self._file)
        self._quiet_since = None
        self._give(self._cutter.feed(block, lines_max))
        return True

    def _at_end(self, file: OpenedFile) -> bool:
        if not self._follow:
            self._give(self._cutter.finish())
            self._finished = True
            return True
        if not rotation.moved_on(self._path, file.inode):
            self._quiet_since = None
            return False
        if not file.compressed:  # nobody writes into those
            now = time.monotonic()
            if self._quiet_since is None:
                self._quiet_since = now
                return True  # look again: more may have been written between our reading and the rotation
            if now - self._quiet_since < self._quiet_s:
                return False
        if self._end_line():
            return True
        later = rotation.after(self._path, file.offset, file.trace(file.offset))
        return bool(later) and self._leave(file, later[0])

    def _leave(self, file: OpenedFile, sibling: rotation.Sibling) -> bool:
        """Go on with the next file; false when it was renamed under our hands."""
        try:
            following = OpenedFile(sibling.path, 0)
        except FileNotFoundError:
            return False
        if following.inode != sibling.inode:
            following.close()
            return False
        file.close()
        following.base = self._cutter.position
        self._file, self._quiet_since = following, None
        return True

    def _start_over(self, file: OpenedFile) -> None:
        """The file was truncated: read on in the copy that was made of it, if there is one, else from its beginning."""
        copy = rotation.find(self._path, file.offset, file.trace(file.offset), siblings=True)
        if copy is None and self._end_line():
            return
        file.close()
        self._file, self._quiet_since = copy, None
        if copy is None:
            self._begin(self._path)

    def _end_line(self) -> bool:
        """Give the unfinished last line of a file that we are about to leave.

        The next file is opened only after that has been handed on: it is then read at once, and so known again if it
        is truncated in its turn.
        """
        self._give(self._cutter.finish())
        return bool(self._ready)

    def _resume(self, position: Position) -> bool:
        if not position.cursor:
            self._file = OpenedFile(self._path, 0)
            if not self._file.go_to(position.end, None):
                raise SourceError(f"{self._path} is shorter than the position {position.end}", retryable=False)
            return True
        try:
            trace = msgspec.json.decode(position.cursor, type=Trace)
        except msgspec.MsgspecError as error:
            raise SourceError(
                f"{self._path}: the stored position has a broken cursor: {error}", retryable=False
            ) from None
        offset = position.end - trace.base
        self._file = rotation.find(self._path, offset, trace, siblings=self._follow)
        if self._file is None:
            later = rotation.after(self._path, offset, trace) if self._follow else []
            return self._begin(later[0].path if later else self._path)
        return True

    def _begin(self, path: Path) -> bool:
        """Open a file at its beginning; false when a followed one is not there yet."""
        try:
            self._file = OpenedFile(path, self._cutter.position)
        except FileNotFoundError:
            if not self._follow:
                raise
            return False
        return True

    def _give(self, cuts: list[Cut]) -> None:
        file = self._file
        assert file is not None  # noqa: S101 - lines come from an open file
        for cut in cuts:
            if data := _last_lines(cut):
                file.set_mark(cut.end - file.base, data)
            cursor = msgspec.json.encode(file.trace(cut.end - file.base))
            batch = RawBatch(self.partition, self.format, cut.data, cut.start, cut.end, cursor, cut.oversized)
            self._ready.append(batch)

    def _guarded(self, step: Callable[[], bool]) -> bool:
        """Take a step; what the system refuses becomes a `SourceError` that says what to do."""
        try:
            return step()
        except FileNotFoundError:
            raise SourceError(
                f"{self._path}: there is no such file; check the path, or add ?follow to wait for it", retryable=False
            ) from None
        except PermissionError:
            raise SourceError(
                f"{self._path}: no permission to read it; let the user that runs miniwatch read the file and enter its "
                "folders",
                retryable=self._follow,
            ) from None
        except OSError as error:
            raise SourceError(f"{self._path} cannot be read: {error.strerror}", retryable=True) from None


def _last_lines(cut: Cut) -> bytes:
    """What of the lines given stands right before the end of the cut, without a newline that is not in the stream."""
    if not cut.oversized:
        return cut.data[: cut.end - cut.start]
    last = cut.oversized[-1]
    length = max(0, cut.end - last.position - last.length - 1)
    return cut.data[len(cut.data) - length :]
