"""What is inside .gz and .zst files, a bounded piece at a time, up to the very place where one is broken."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, Final

from monitor.sources import SourceError

if TYPE_CHECKING:
    import zstandard

SUFFIXES: Final = (".gz", ".zst")
"""File names that say that a file is compressed."""

_INPUT_BYTES: Final = 64 << 10
_PIECE_BYTES_MAX: Final = 1 << 20
_GZIP = 31  # zlib's window bits for "a gzip header and checksum are expected"
_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_ZSTD_HEADER_BYTES_MAX: Final = 18
_ZSTD_RAW, _ZSTD_REPEATED, _ZSTD_COMPRESSED = range(3)


def broken(path: str, what: str) -> SourceError:
    """A compressed file is not what it should be."""
    return SourceError(
        f"{path}: {what}; the lines before that place have been read. If the file is still being copied, start again "
        "when it is complete; otherwise replace it by a sound copy, from which reading goes on where it stopped",
        retryable=False,
    )


def gzip_pieces(file: BinaryIO, path: str) -> Iterator[bytes]:
    """The content of a gzip file of one or many members. Raises `SourceError` where it is broken, after all before."""
    member = zlib.decompressobj(_GZIP)
    begun = False  # whether the member has any input yet: an end before that is a proper end
    while block := file.read(_INPUT_BYTES):
        more = True
        while more:
            if not begun:
                block = block.lstrip(b"\0")  # padding that tape tools leave between and after members
                begun = bool(block)
            before = member.copy()
            try:
                piece = member.decompress(block, _PIECE_BYTES_MAX)
            except zlib.error as error:
                yield from _until_broken(before, block)
                raise broken(path, f"damaged gzip data near compressed byte {file.tell()} ({error})") from None
            yield piece
            if member.eof:
                block = member.unused_data
                member, begun = zlib.decompressobj(_GZIP), False
                more = bool(block)
            else:  # a full piece may leave output inside the decompressor though its input is all taken
                block = member.unconsumed_tail
                more = bool(block) or len(piece) == _PIECE_BYTES_MAX
    if begun:
        raise broken(path, f"the gzip data ends too early, at compressed byte {file.tell()}")


def _until_broken(member: zlib._Decompress, block: bytes) -> Iterator[bytes]:
    """Bytes that come out before the damage, one by one: an error discards what its own call had made."""
    pieces = []
    try:
        for value in block:
            rest = bytes([value])
            while piece := member.decompress(rest, 1):
                pieces.append(piece)
                rest = member.unconsumed_tail
    except zlib.error:
        pass  # as expected: the caller tells
    yield b"".join(pieces)


def zstd_pieces(file: BinaryIO, path: str) -> Iterator[bytes]:
    """The content of a zstd file of one or many frames. Raises `SourceError` where it is broken, after all before.

    The decompressor is fed one block of the format at a time. So a piece is at most the format's 128 KiB however
    well it compresses, and damage costs the block it is in and no earlier one.
    """
    import zstandard  # noqa: PLC0415 - few inputs are compressed, every start would pay

    while magic := file.read(4):
        if len(magic) == 4 and magic[0] & 0xF0 == 0x50 and magic[1:] == b"\x2a\x4d\x18":
            length = int.from_bytes(_exactly(file, 4, path), "little")
            file.seek(length, 1)
            continue
        if magic != _ZSTD_MAGIC:
            raise broken(path, f"not zstd data at compressed byte {file.tell() - len(magic)}")
        try:
            yield from _zstd_frame(file, path, magic)
        except zstandard.ZstdError as error:
            raise broken(path, f"damaged zstd data near compressed byte {file.tell()} ({error})") from None


def _zstd_frame(file: BinaryIO, path: str, magic: bytes) -> Iterator[bytes]:
    import zstandard  # noqa: PLC0415 - as above

    begin = file.tell()
    start = magic + file.read(_ZSTD_HEADER_BYTES_MAX - 4)
    header_bytes = zstandard.frame_header_size(start)
    parameters = zstandard.get_frame_parameters(start)
    file.seek(begin + header_bytes - 4)
    frame: zstandard.ZstdDecompressionObj = zstandard.ZstdDecompressor().decompressobj()
    yield frame.decompress(start[:header_bytes])
    last = False
    while not last:
        header = _exactly(file, 3, path)
        word = int.from_bytes(header, "little")
        last, kind, length = bool(word & 1), word >> 1 & 3, word >> 3
        if kind not in {_ZSTD_RAW, _ZSTD_REPEATED, _ZSTD_COMPRESSED}:
            raise zstandard.ZstdError("a block of no known kind")
        yield frame.decompress(header + _exactly(file, 1 if kind == _ZSTD_REPEATED else length, path))
    if parameters.has_checksum:
        yield frame.decompress(_exactly(file, 4, path))


def _exactly(file: BinaryIO, length: int, path: str) -> bytes:
    found = file.read(length)
    if len(found) < length:
        raise broken(path, f"the zstd data ends too early, at compressed byte {file.tell()}")
    return found


class PieceReader:
    """Reads pieces as if they were a file; an error waits until all that came before it has been read."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = b""
        self._error: SourceError | None = None

    def read(self, length: int) -> bytes:
        """The next bytes, at most `length`; none at the end."""
        parts = [self._left[:length]]
        self._left = self._left[length:]
        missing = length - len(parts[0])
        while missing and self._error is None:
            try:
                piece = next(self._pieces)
            except StopIteration:
                break
            except SourceError as error:
                self._error = error
                break
            parts.append(piece[:missing])
            self._left = piece[missing:]
            missing -= len(parts[-1])
        data = b"".join(parts)
        if not data and self._error is not None:
            raise self._error
        return data
