"""One frame of the spool: the lines of one request, sealed, behind a head that says where in the stream they stand.

A head is 53 bytes, big-endian: ``MWSF``, kind (1 byte), position in the stream (8), arrival in microseconds (8), length of the
lines (4), digest of what the request is known by (16; zeros for none), length of what is sealed (4), CRC-32 of what is sealed (4), CRC-32 of
the head (4). Behind the lines, and sealed with them, stand the digests of the ids that documents among them have. All of a head is also
part of the context that the lines are sealed in, so frames can neither be altered nor exchanged for one another.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final

import msgspec

from monitor.sealing import OVERHEAD_BYTES, Seal, SealError
from monitor.spool.aside import ASIDE_BYTES, Body
from monitor.spool.ids import ID_BYTES

MAGIC: Final = b"MWSF"
LINES: Final = 1  # of a request with an idempotency key, or with nothing to know it by
KEYS: Final = 2  # at the beginning of a segment: the idempotency keys of the time before
IDS: Final = 3  # a file of its own: the ids of documents in a segment that is full
UNKEYED: Final = 4  # lines of a request without a key, known by the digest of all of it
_OF_LINES: Final = frozenset({LINES, UNKEYED})
NO_KEY: Final = bytes(16)
_HEAD: Final = struct.Struct(">4sBQqI16sII")
_CRC: Final = struct.Struct(">I")
HEAD_BYTES: Final = _HEAD.size + _CRC.size
SEALED_BYTES_MAX: Final = 1 << 30
_SEARCHED_BYTES: Final = 1 << 20


class FrameError(Exception):
    """Here is no frame that can be read. `length`: how many bytes to go on to the next, where the head can be believed."""

    def __init__(self, message: str, *, length: int | None = None) -> None:
        super().__init__(message)
        self.length = length


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """What a frame's head says. The lines are the stream's bytes from `position` to `end`; keys and ids take none of it."""

    kind: int
    position: int
    arrival: int
    length: int
    key: bytes
    sealed_bytes: int
    checksum: int

    @property
    def has_lines(self) -> bool:
        return self.kind in _OF_LINES

    @property
    def has_ids(self) -> bool:
        """Whether documents among the lines have ids."""
        return self.has_lines and self.sealed_bytes > self.length + OVERHEAD_BYTES

    @property
    def end(self) -> int:
        return self.position + (self.length if self.has_lines else 0)

    @property
    def frame_bytes(self) -> int:
        return HEAD_BYTES + self.sealed_bytes

    @property
    def context(self) -> str:
        return f"spool:{self.kind}:{self.position}:{self.arrival}:{self.length}:{self.key.hex()}"


def frame(
    seal: Seal, kind: int, position: int, arrival: int, key: bytes, content: Body, ids: bytes = b""
) -> tuple[Head, tuple[bytes, Body]]:
    """A frame and its bytes: those of the head, and what is sealed."""
    head = Head(kind=kind, position=position, arrival=arrival, length=len(content), key=key, sealed_bytes=0, checksum=0)
    sealed: Body
    if len(content) > ASIDE_BYTES:
        sealed = seal.seal_aside((content, ids), head.context)
    else:
        sealed = seal.seal(bytes(content) + ids, head.context)
    head = msgspec.structs.replace(head, sealed_bytes=len(sealed), checksum=zlib.crc32(sealed))
    packed = _HEAD.pack(MAGIC, kind, position, arrival, head.length, key, len(sealed), head.checksum)
    return head, (packed + _CRC.pack(zlib.crc32(packed)), sealed)


def read_head(file: BinaryIO) -> Head | None:
    """The head that begins here; None at the end of the file. Raises `FrameError`."""
    packed = file.read(HEAD_BYTES)
    if not packed:
        return None
    if len(packed) < HEAD_BYTES or packed[:4] != MAGIC:
        raise FrameError("no head of a frame")
    if _CRC.unpack_from(packed, _HEAD.size)[0] != zlib.crc32(packed[: _HEAD.size]):
        raise FrameError("a damaged head")
    _, kind, position, arrival, length, key, sealed_bytes, checksum = _HEAD.unpack_from(packed)
    return Head(
        kind=kind,
        position=position,
        arrival=arrival,
        length=length,
        key=key,
        sealed_bytes=sealed_bytes,
        checksum=checksum,
    )


def next_head(file: BinaryIO, begin: int, end: int, position: int) -> int | None:
    """Where between two places in a file the next head of lines stands that can be believed; none of lines before a position."""
    at = begin
    while at + HEAD_BYTES <= end:
        file.seek(at)
        block = file.read(min(_SEARCHED_BYTES, end - at))
        if len(block) < HEAD_BYTES:
            return None
        found = block.find(MAGIC)
        while 0 <= found <= len(block) - HEAD_BYTES:
            head = _believed(block[found : found + HEAD_BYTES])
            if head is not None and head.has_lines and head.position >= position:
                return at + found
            found = block.find(MAGIC, found + 1)
        at += len(block) - HEAD_BYTES + 1
    return None


def heads(file: BinaryIO, size: int, position: int) -> Iterator[tuple[int, Head]]:
    """The heads of a segment that begins at a position, each with where it stands; what is damaged between them is gone over."""
    at = 0
    while at < size:
        file.seek(at)
        try:
            head = read_head(file)
        except FrameError:
            found = next_head(file, at + 1, size, position)
            if found is None:
                return
            at = found
            continue
        if head is None:
            return
        yield at, head
        at, position = at + head.frame_bytes, max(position, head.end)


def _believed(packed: bytes) -> Head | None:
    try:
        return read_head(io.BytesIO(packed))
    except FrameError:
        return None


def read_sealed(file: BinaryIO, head: Head) -> bytes:
    """What is sealed in the frame whose head was just read, with the right checksum. Raises `FrameError`."""
    sealed = file.read(min(head.sealed_bytes, SEALED_BYTES_MAX))
    if len(sealed) < head.sealed_bytes:
        raise FrameError("a frame that ends too early")
    if zlib.crc32(sealed) != head.checksum:
        raise FrameError("a damaged frame", length=head.frame_bytes)
    return sealed


def opened(seal: Seal, head: Head, sealed: bytes) -> tuple[bytes, bytes]:
    """The content of a frame, and the digests of ids behind it. Raises `FrameError`."""
    try:
        content = seal.open(sealed, head.context)
    except SealError as error:
        raise FrameError(str(error), length=head.frame_bytes) from None
    if len(content) == head.length:
        return content, b""
    if len(content) < head.length or (len(content) - head.length) % ID_BYTES or not head.has_lines:
        raise FrameError("a frame of another length than it says", length=head.frame_bytes)
    return content[: head.length], content[head.length :]
