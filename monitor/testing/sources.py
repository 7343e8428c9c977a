"""Stand-ins for sources, and the laws that every source keeps."""

# ruff: noqa: S101 - assertions are how a battery speaks

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Final, NamedTuple

import numpy as np

from monitor.sources import LINES_MAX, Position, RawBatch, Source
from monitor.sources.lines import LINE_BYTES_MAX, Cut, LineCutter


class MemorySource:
    """A source whose stream is given by the test: whole from the start, or fed as the test goes on.

    Unless `follow`, it ends where `content` ends. `append` is the writer; it may stop in the middle of a line.
    """

    def __init__(
        self,
        content: bytes = b"",
        *,
        partition: str = "memory:1",
        follow: bool = False,
        format: str = "ndjson",  # noqa: A002 - the word of the configuration
        line_bytes_max: int = LINE_BYTES_MAX,
    ) -> None:
        self.partition = partition
        self.content = content
        self.follow = follow
        self._format = format
        self._line_bytes_max = line_bytes_max
        self._ready: deque[Cut] = deque()
        self._finished = False
        self._cutter = LineCutter(0, line_bytes_max)
        self._at = 0

    def append(self, data: bytes) -> None:
        """Write more into the stream."""
        self.content += data

    @property
    def ready(self) -> bool:
        """Whether lines that were cut wait to be given."""
        return bool(self._ready)

    @property
    def ended(self) -> bool:
        """Whether all has been given and no more will come."""
        return self._finished and not self._ready

    @property
    def lag_bytes(self) -> int | None:
        """What has been written and not given."""
        return len(self.content) - (self._ready[0].start if self._ready else self._cutter.position)

    @property
    def missing(self) -> str | None:
        """Nothing: all of it is in memory."""
        return None

    def open(self, position: Position | None) -> None:
        """Go to the position, or to the beginning."""
        self._at = position.end if position else 0
        self._cutter = LineCutter(self._at, self._line_bytes_max)
        self._ready.clear()
        self._finished = False

    def read(self, bytes_max: int, wait_s: float, lines_max: int = LINES_MAX) -> RawBatch | None:
        """The next lines at once, or None: nobody writes while we would wait."""
        del wait_s
        while not self._ready and not self._finished:
            block = self.content[self._at : self._at + bytes_max]
            self._at += len(block)
            self._ready.extend(self._cutter.feed(block, lines_max))
            if not block and self.follow:
                return None
            if not block:
                self._ready.extend(self._cutter.finish())
                self._finished = True
        if not self._ready:
            return None
        cut = self._ready.popleft()
        return RawBatch(self.partition, self._format, cut.data, cut.start, cut.end, b"", cut.oversized)

    def close(self) -> None:
        """Nothing to let go."""


SOURCE_LINE_BYTES_MAX: Final = 64
"""The bound on a line that the sources made for `check_source` must have."""

_STREAMS: Final = (
    b"",
    b"\n",
    b"one line\n",
    b"no newline",
    b"\n\n  \n",
    b"a\nbb\nccc\n" * 40 + b"last, unfinished",
    b"\r\n\x00\xff\xfe\n\xe4\xb8\xad\n" * 9,
    b"x" * 64 + b"\n" + b"y" * 65 + b"\n" + b"z" * 64,
    b"short\n" + b"o" * 1000 + b"\n" + b"p" * 70 + b"\nshort\n" + b"q" * 5000,
    b"".join(b"%d:%s\n" % (number, b"v" * (number * 7 % 90)) for number in range(200)),
)
_BYTES_MAX: Final = (1, 7, 64, 100, 4096, 1 << 20)
_LINES_MAX: Final = (1, 3, 7)
_READS_MAX: Final = 100_000


class Laid(NamedTuple):
    """Where the lines of some content stand in a stream, with their newlines, and where the stream ends."""

    lines: Sequence[tuple[int, bytes]]
    end: int


def laid_as_bytes(content: bytes) -> Laid:
    """A line's position is that of its first byte, as in a file."""
    lines = _lines(content)
    begins = accumulate((len(line) for line in lines), initial=0)
    return Laid(list(zip(begins, lines, strict=False)), len(content))


def check_source(
    make: Callable[[bytes], Source],
    *,
    rewinds: bool = True,
    laid: Callable[[bytes], Laid] = laid_as_bytes,
    few: bool = False,
) -> None:
    """The laws that every source keeps. `make` gives a new source of the stream that holds just these bytes.

    Its lines are bounded by `SOURCE_LINE_BYTES_MAX`, and it does not follow. Called again with the same bytes it gives
    the same partition. Where a stream cannot be read twice, `rewinds` is false and resuming is not tried. `laid` says where
    in it lines stand. With `few`, fewer sizes are tried: where opening a source takes long.
    """
    sizes, counts = (_BYTES_MAX[2:3], _LINES_MAX[1:2]) if few else (_BYTES_MAX, _LINES_MAX)
    each = 20 if few else 1
    for content in _STREAMS:
        for bytes_max in sizes:
            batches = _read_to_end(make(content), None, bytes_max)
            check_batches(laid(content), batches)
            if rewinds and bytes_max >= 64:
                check_resume(make, content, batches, bytes_max, each)
        for lines_max in counts:
            batches = _read_to_end(make(content), None, 1 << 20, lines_max)
            check_batches(laid(content), batches)
            most = max((batch.data.count(b"\n") + len(batch.oversized) for batch in batches), default=0)
            assert most <= lines_max, f"{most} lines in a batch, where {lines_max} were asked for"
            if rewinds:
                check_resume(make, content, batches, 1 << 20, each)


def check_batches(
    content: bytes | Laid, batches: Sequence[RawBatch], line_bytes_max: int = SOURCE_LINE_BYTES_MAX
) -> None:
    """Every line of the content stands once, whole and in order, in the batches, at its position."""
    laid = content if isinstance(content, Laid) else laid_as_bytes(content)
    expected: list[tuple[int, int, bytes | None]] = []
    for position, line in laid.lines:
        text = line.removesuffix(b"\n")
        expected.append((position, len(text), text if len(text) <= line_bytes_max else None))
    line_at = dict(laid.lines)
    found: list[tuple[int, int, bytes | None]] = []
    end = 0
    for batch in batches:
        assert batch.start == end, f"a batch begins at {batch.start} where {end} was next"
        assert batch.end > batch.start, f"a batch at {batch.start} goes nowhere"
        assert not batch.data or batch.data.endswith(b"\n"), f"the batch at {batch.start} splits a line"
        lines = _lines(batch.data)
        offsets = np.cumsum([0, *(len(line) for line in lines)], dtype=np.int64)[:-1]
        for line, at, offset in zip(lines, batch.positions(offsets).tolist(), offsets.tolist(), strict=True):
            assert batch.offset(at) == offset, f"the position {at} leads to another line"
            found.append((at, len(line) - 1, line[:-1]))
        for large in batch.oversized:
            assert line_at.get(large.position, b"").startswith(large.head), (
                f"wrong head of the line at {large.position}"
            )
            assert 0 < len(large.head) <= large.length, f"no head of the line at {large.position}"
            found.append((large.position, large.length, None))
        end = batch.end
    assert sorted(found) == expected, "the lines given are not the lines of the stream"
    assert end == laid.end, f"the last batch ends at {end}, the stream at {laid.end}"


def check_resume(
    make: Callable[[bytes], Source], content: bytes, batches: Sequence[RawBatch], bytes_max: int, each: int = 1
) -> None:
    """From every committed position on, or `each` of so many, the same lines come as without the stop."""
    for number, batch in list(enumerate(batches))[::each]:
        again = _read_to_end(make(content), Position(batch.partition, batch.end, batch.cursor), bytes_max)
        rest = batches[number + 1 :]
        assert b"".join(one.data for one in again) == b"".join(one.data for one in rest), f"resumed at {batch.end}"
        assert [line for one in again for line in one.oversized] == [line for one in rest for line in one.oversized]
        assert (again[-1].end if again else batch.end) == batches[-1].end


def _read_to_end(
    source: Source, position: Position | None, bytes_max: int, lines_max: int = LINES_MAX
) -> list[RawBatch]:
    source.open(position)
    batches = []
    for _ in range(_READS_MAX):
        batch = source.read(bytes_max, 0.0, lines_max)
        if batch is not None:
            assert batch.partition == source.partition
            batches.append(batch)
        elif source.ended:
            break
        assert not (source.ready and source.ended), "what waits to be given is not at its end"
    assert source.ended, "a source that does not follow ends"
    assert source.read(bytes_max, 0.0) is None, "nothing comes after the end"
    assert source.lag_bytes in {0, None}, "nothing is left to read at the end"
    source.close()
    return batches


def _lines(data: bytes) -> list[bytes]:
    """Lines with their newlines; only a newline byte ends one."""
    return io.BytesIO(data).readlines()
