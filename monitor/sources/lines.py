"""Blocks of bytes become whole lines with positions, however the blocks were cut."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

import msgspec
import numpy as np

from monitor.sources import LINES_MAX, Oversized

LINE_BYTES_MAX: Final = 1 << 20
"""A line longer than this is `Oversized` unless the configuration says otherwise."""

HEAD_BYTES_MAX: Final = 64 << 10
"""How much is kept of the beginning of an oversized line; `line_bytes_max` where that is less."""

_COUNTED_BYTES: Final = 256 << 10
"""Looked through for newlines at a time: what is found in them stays in the processor's cache."""


class Cut(msgspec.Struct, frozen=True):
    """A run of whole lines: the stream from `start` to `end`, the oversized lines among them set apart."""

    start: int
    data: bytes
    end: int
    oversized: tuple[Oversized, ...] = ()


class LineCutter:
    """Takes the blocks of one stream in order and gives back whole lines; what is left of the last line waits.

    A line over `line_bytes_max` (its newline not counted) is skipped as it comes, so that memory stays bounded by the
    bound and one block whatever its length. The lines given do not depend on where the blocks were cut. The work of a
    block is a few searches at the speed of memory, not a step for each line.
    """

    def __init__(self, position: int, line_bytes_max: int = LINE_BYTES_MAX) -> None:
        self.position = position  # of the first byte not yet given back
        self.held_bytes = 0  # taken since then
        self._line_bytes_max = line_bytes_max
        self._head_bytes = min(HEAD_BYTES_MAX, line_bytes_max)  # there is always so much of it when it is noticed
        self._held: list[bytes] = []
        self._skipped_head: bytes | None = None  # of the oversized line that is being skipped

    def feed(self, block: bytes, lines_max: int = LINES_MAX) -> list[Cut]:
        """Take the next bytes of the stream; give the lines that they complete, at most `lines_max` in a cut."""
        start, begin = self.position, 0
        cuts: list[Cut] = []
        if self._skipped_head is not None:
            begin = block.find(b"\n") + 1
            if begin == 0:
                self.held_bytes += len(block)
                return []
            line = self._end_skipped(self.held_bytes + begin - 1, newline=1)
            cuts.append(Cut(start, b"", self.position, (line,)))
        last = block.rfind(b"\n", begin) + 1
        if last > begin:
            is_all = not self._held and last - begin == len(block)
            whole = block if is_all else b"".join([*self._held, memoryview(block)[begin:last]])  # one copy, not two
            self._held, self.held_bytes = [], 0
            for part in _parts(whole, lines_max):
                start = self.position
                data, oversized = self._without_oversized(part)
                self.position += len(part)
                cuts.append(Cut(start, data, self.position, tuple(oversized)))
            begin = last
        self._hold(block[begin:])
        return cuts

    def finish(self) -> list[Cut]:
        """The stream has ended: give its last line if that lacks a newline."""
        start = self.position
        if self._skipped_head is not None:
            line = self._end_skipped(self.held_bytes, newline=0)
            return [Cut(start, b"", self.position, (line,))]
        if not self.held_bytes:
            return []
        end = start + self.held_bytes
        data = b"".join([*self._held, b"\n"])
        self._held, self.held_bytes, self.position = [], 0, end
        return [Cut(start, data, end)]

    def _without_oversized(self, whole: bytes) -> tuple[bytes, list[Oversized]]:
        """Whole lines from the position on, and those of them that are too long."""
        parts: list[bytes] = []
        oversized: list[Oversized] = []
        begin = at = 0
        while at < len(whole):
            # The last newline within reach of a line's start: all lines up to it are short enough.
            newline = whole.rfind(b"\n", at, at + self._line_bytes_max + 1)
            if newline < 0:
                newline = whole.find(b"\n", at)
                oversized.append(Oversized(self.position + at, newline - at, whole[at : at + self._head_bytes]))
                parts.append(whole[begin:at])
                begin = newline + 1
            at = newline + 1
        return (b"".join([*parts, whole[begin:]]), oversized) if oversized else (whole, oversized)

    def _end_skipped(self, length: int, newline: int) -> Oversized:
        line = Oversized(self.position, length, self._skipped_head or b"")
        self._skipped_head, self.held_bytes = None, 0
        self.position += length + newline
        return line

    def _hold(self, rest: bytes) -> None:
        if rest:
            self._held.append(rest)
            self.held_bytes += len(rest)
        if self.held_bytes > self._line_bytes_max:
            self._skipped_head = b"".join(self._held)[: self._head_bytes]
            self._held = []


def _parts(whole: bytes, lines_max: int) -> Iterator[bytes]:
    """Whole lines in parts of at most so many, and about as many in each."""
    bytes_as_numbers = np.frombuffer(whole, np.uint8)
    windows = [bytes_as_numbers[at : at + _COUNTED_BYTES] for at in range(0, len(whole), _COUNTED_BYTES)]
    counts = [int(np.count_nonzero(window == ord("\n"))) for window in windows]
    lines = sum(counts)
    if lines <= lines_max:
        yield whole
        return
    parts = -(-lines // lines_max)
    each = -(-lines // parts)
    wanted = np.arange(each, lines, each)  # the numbers of the lines that end a part, from 1
    ends, seen, at = [0], 0, 0
    for window, count in zip(windows, counts, strict=True):
        within = wanted[(wanted > seen) & (wanted <= seen + count)]
        if len(within):
            ends += (at + 1 + np.flatnonzero(window == ord("\n"))[within - seen - 1]).tolist()
        seen, at = seen + count, at + len(window)
    for begin, end in pairwise([*ends, len(whole)]):
        yield whole[begin:end]
