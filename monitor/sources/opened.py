"""One open file, plain or compressed: where its bytes begin in the stream, and how to know it again under another name."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from monitor.sources import SourceError
from monitor.sources.compression import SUFFIXES, PieceReader, gzip_pieces, zstd_pieces

HEAD_BYTES: Final = 1024
"""How much of a file's beginning is remembered, to know it again."""

MARK_BYTES: Final = 1024
"""How much of what was read last is remembered, to see that it is still there."""

TAIL_BYTES: Final = 1 << 16
"""How far from the end of a block a line's end is looked for."""

_SKIP_BYTES: Final = 1 << 20


class Trace(msgspec.Struct, frozen=True):
    """What a source remembers of the file it was in: the cursor of its position, as JSON.

    `base` is the position in the stream at which the file begins. `head` and `mark` are hashes of its first bytes and
    of those read last (which end at `mark_end` in the file): a file that was renamed, copied or compressed is known
    by them, and one that was overwritten under the same name or inode is not mistaken for itself.
    """

    inode: int
    base: int
    modified: int  # nanoseconds
    head: str
    head_bytes: int
    mark: str = ""
    mark_bytes: int = 0
    mark_end: int = 0


class OpenedFile:
    """A file being read forward. Bytes inside a compressed one count uncompressed."""

    def __init__(self, path: Path, base: int) -> None:
        # Without O_NONBLOCK, opening a pipe that nobody writes to would never return.
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(self._descriptor)
            kind = "a directory" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            advice = (
                "name a file, or several as DIRECTORY/*.ndjson" if kind == "a directory" else "for a pipe use stdin:"
            )
            raise SourceError(f"{path} is {kind}; {advice}", retryable=False)
        self.path = path
        self.base = base
        self.inode = status.st_ino
        self.compressed = path.suffix in SUFFIXES
        self.offset = 0  # of the next byte to read
        self._head = b""
        self._mark, self._mark_end = b"", 0
        self._pieces: PieceReader | None = None
        if self.compressed:
            open_pieces: Callable[[BinaryIO, str], Iterator[bytes]]
            open_pieces = gzip_pieces if path.suffix == ".gz" else zstd_pieces
            self._compressed = os.fdopen(self._descriptor, "rb", buffering=_SKIP_BYTES)
            self._pieces = PieceReader(open_pieces(self._compressed, str(path)))

    def read(self, length: int) -> bytes:
        """The next bytes; none at the present end. A large block of a plain file ends with a line where it can."""
        block = (
            self._pieces.read(length) if self._pieces else os.pread(self._descriptor, self._whole(length), self.offset)
        )
        if self.offset == len(self._head) < HEAD_BYTES:
            self._head += block[: HEAD_BYTES - len(self._head)]
        self.offset += len(block)
        return block

    def _whole(self, length: int) -> int:
        """So many of the next bytes as are whole lines: what is over would have to be moved to stand before the next block."""
        if length <= TAIL_BYTES:
            return length
        tail = os.pread(self._descriptor, TAIL_BYTES, self.offset + length - TAIL_BYTES)
        return length - TAIL_BYTES + (tail.rfind(b"\n") + 1 or TAIL_BYTES)

    def unread(self, block: bytes) -> None:
        """Take back the last `read` of a plain file: what it gave is not of this file any more."""
        self.offset -= len(block)
        if self.offset < len(self._head):
            self._head = self._head[: self.offset]

    def size(self) -> int | None:
        """How long the file is now; None for a compressed one."""
        return None if self.compressed else os.fstat(self._descriptor).st_size

    def set_mark(self, end: int, data: bytes) -> None:
        """Remember that `data` was given and ended at `end` in the file."""
        self._mark, self._mark_end = data[-MARK_BYTES:], end

    def trace(self, offset: int) -> Trace:
        """What to remember for going on from `offset`."""
        head = self._head[:offset]
        modified = os.fstat(self._descriptor).st_mtime_ns
        mark = self._mark
        return Trace(self.inode, self.base, modified, _hash(head), len(head), _hash(mark), len(mark), self._mark_end)

    def overwritten(self) -> bool:
        """Whether a plain file no longer holds what was read from it: it was truncated, and perhaps written again."""
        status = os.fstat(self._descriptor)
        if status.st_size < self.offset:
            return True
        head = os.pread(self._descriptor, len(self._head), 0)
        mark = os.pread(self._descriptor, len(self._mark), self._mark_end - len(self._mark))
        return head != self._head or mark != self._mark

    def go_to(self, offset: int, trace: Trace | None) -> bool:
        """Go forward to `offset`; false when the file does not reach so far, or is not the one of the trace.

        A compressed file must be decompressed up to there.
        """
        mark_end = trace.mark_end if trace else offset
        mark_begin = mark_end - (trace.mark_bytes if trace else min(offset, MARK_BYTES))
        mark = b""
        if not self.compressed:
            if os.fstat(self._descriptor).st_size < offset:
                return False
            self._head = os.pread(self._descriptor, min(offset, HEAD_BYTES), 0)
            mark = os.pread(self._descriptor, mark_end - mark_begin, mark_begin)
            self.offset = offset
        while self.offset < offset:
            at = self.offset
            block = self.read(min(offset - at, _SKIP_BYTES))
            if not block:
                return False
            mark += block[max(0, mark_begin - at) : max(0, mark_end - at)]
        self._mark, self._mark_end = mark, mark_end
        return trace is None or (_hash(self._head[: trace.head_bytes]) == trace.head and _hash(mark) == trace.mark)

    def close(self) -> None:
        """Let the file go."""
        if self.compressed:
            self._compressed.close()
        else:
            os.close(self._descriptor)


def _hash(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=8).hexdigest()
