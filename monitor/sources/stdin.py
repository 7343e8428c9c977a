"""Reads lines from standard input, or any other pipe."""

from __future__ import annotations

import os
import select
import time
from collections import deque
from typing import BinaryIO, Final

from monitor.sources import LINES_MAX, Position, RawBatch, SourceError
from monitor.sources.lines import LINE_BYTES_MAX, Cut, LineCutter

PAUSE_S: Final = 0.005
"""When the writer has paused for this long, what has come is given at once rather than gathered further."""

_READ_BYTES_MAX: Final = 1 << 20


class StdinSource:
    """What comes through a pipe, once: it cannot be rewound.

    So a partition is one run: ``stdin:`` and the run's id, and its positions count the bytes of that run. What a
    killed run had read and not committed is gone with it, as is what stood in the pipe; what it had committed is not
    read again. Where that is not good enough, write to a file and follow it. A last line without newline is given when
    the writer closes the pipe.
    """

    def __init__(
        self,
        stream: BinaryIO,
        *,
        run: str,
        format: str = "ndjson",  # noqa: A002 - the word of the configuration
        line_bytes_max: int = LINE_BYTES_MAX,
    ) -> None:
        self._stream = stream
        self._run = run
        self.format = format
        self._line_bytes_max = line_bytes_max
        self._cutter = LineCutter(0, line_bytes_max)
        self._ready: deque[Cut] = deque()
        self._finished = False

    @property
    def partition(self) -> str:
        """``stdin:`` and the id of the run."""
        return f"stdin:{self._run}"

    @property
    def ready(self) -> bool:
        """Whether lines that were read wait to be given."""
        return bool(self._ready)

    @property
    def ended(self) -> bool:
        """Whether the writer has closed the pipe and all has been given."""
        return self._finished and not self._ready

    @property
    def lag_bytes(self) -> int | None:
        """Never known: nobody can look into a pipe."""
        return None

    @property
    def missing(self) -> str | None:
        """Nothing: the stream is there."""
        return None

    def open(self, position: Position | None) -> None:
        """Begin to read; a position only says where counting goes on."""
        self._cutter = LineCutter(position.end if position else 0, self._line_bytes_max)

    def read(self, bytes_max: int, wait_s: float, lines_max: int = LINES_MAX) -> RawBatch | None:
        """What comes within `wait_s`, as soon as the writer pauses or `bytes_max` is reached."""
        if not self._ready and not self._finished:
            self._ready.extend(self._gather(bytes_max, time.monotonic() + wait_s, lines_max))
        if not self._ready:
            return None
        cut = self._ready.popleft()
        return RawBatch(self.partition, self.format, cut.data, cut.start, cut.end, b"", cut.oversized)

    def close(self) -> None:
        """Nothing to let go: the stream is the caller's."""

    def _gather(self, bytes_max: int, deadline: float, lines_max: int) -> list[Cut]:
        blocks: list[bytes] = []
        left = bytes_max - self._cutter.held_bytes
        left = left if left > 0 else bytes_max
        cuts: list[Cut] = []
        while left > 0:
            wait_s = max(0.0, deadline - time.monotonic())
            block = self._next(min(left, _READ_BYTES_MAX), min(wait_s, PAUSE_S) if blocks else wait_s)
            if not block:
                break
            blocks.append(block)
            left -= len(block)
        cuts.extend(self._cutter.feed(b"".join(blocks), lines_max))
        if self._finished:
            cuts.extend(self._cutter.finish())
        return cuts

    def _next(self, length: int, wait_s: float) -> bytes:
        """Some bytes; none when none came in time, or ever will."""
        descriptor = self._stream.fileno()
        try:
            if not select.select([descriptor], [], [], wait_s)[0]:
                return b""
            block = os.read(descriptor, length)
        except BlockingIOError:  # another reader of the same pipe was faster
            return b""
        except OSError as error:
            raise SourceError(f"standard input cannot be read: {error.strerror}", retryable=False) from None
        self._finished = not block
        return block
