"""The four compressions of Kafka's record batches, each with a bound: some bytes can say that they are very many."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Mapping
from typing import Final

import lz4.frame
import snappy
import zstandard

BATCH_BYTES_MAX: Final = 64 << 20
"""A record batch that is larger when decompressed cannot be read. What a broker takes of one is 1 MiB, compressed."""

_GZIP: Final = 16 + zlib.MAX_WBITS
_LZ4_RATIO_MAX: Final = 256  # a byte of lz4 stands for 255 at most
_XERIAL: Final = b"\x82SNAPPY\0"
_XERIAL_HEADER: Final = 16


class BadCompression(Exception):
    """Bytes are not compressed as they should be, or are more than may be."""


def decompressed(codec: int, payload: memoryview | bytes, bytes_max: int = BATCH_BYTES_MAX) -> bytes:
    """The bytes that were compressed with a codec, by its number in Kafka; raises `BadCompression`."""
    if codec not in _CODECS:
        raise BadCompression(f"its compression is {codec}, which is none that is known")
    name, decompress = _CODECS[codec]
    try:
        found = decompress(payload, bytes_max)
    except BadCompression:
        raise
    except Exception as error:  # each library has its own, and some have several
        raise BadCompression(f"it is not {name} ({type(error).__name__})") from error
    if len(found) > bytes_max:
        raise BadCompression(f"it has more than {bytes_max} bytes when decompressed")
    return found


def _gzip(payload: memoryview | bytes, bytes_max: int) -> bytes:
    stream = zlib.decompressobj(_GZIP)
    found = stream.decompress(payload, bytes_max + 1)
    if not stream.eof and len(found) <= bytes_max:
        raise BadCompression("it is gzip that ends early")
    return found


def _lz4(payload: memoryview | bytes, bytes_max: int) -> bytes:
    if len(payload) * _LZ4_RATIO_MAX <= bytes_max:
        return bytes(lz4.frame.decompress(payload))  # a third faster
    stream = lz4.frame.LZ4FrameDecompressor()
    found: bytes = stream.decompress(payload, bytes_max + 1)
    if not stream.eof and len(found) <= bytes_max:
        raise BadCompression("it is lz4 that ends early")
    return found


def _zstd(payload: memoryview | bytes, bytes_max: int) -> bytes:
    known = zstandard.frame_content_size(payload)
    if known > bytes_max:
        raise BadCompression(f"it has {known} bytes when decompressed, where {bytes_max} are allowed")
    if known >= 0:
        return zstandard.ZstdDecompressor().decompress(payload)
    with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(payload), read_across_frames=True) as reader:
        return reader.read(bytes_max + 1)


def _snappy(payload: memoryview | bytes, bytes_max: int) -> bytes:
    """One block; or several with their sizes before them, as the Java clients write it."""
    if bytes(payload[: len(_XERIAL)]) != _XERIAL:
        return _snappy_block(payload, bytes_max)
    blocks: list[bytes] = []
    at, left = _XERIAL_HEADER, bytes_max
    while at < len(payload):
        size = struct.unpack_from(">i", payload, at)[0]
        if size < 0 or at + 4 + size > len(payload):
            raise BadCompression("it is snappy that ends early")
        blocks.append(_snappy_block(payload[at + 4 : at + 4 + size], left))
        left -= len(blocks[-1])
        at += 4 + size
    return b"".join(blocks)


def _snappy_block(block: memoryview | bytes, bytes_max: int) -> bytes:
    """A block begins with its size as a varint: it is believed only where it is small enough."""
    size = 0
    for place, byte in enumerate(block[:5]):
        size |= (byte & 0x7F) << (7 * place)
        if not byte & 0x80:
            break
    if size > bytes_max:
        raise BadCompression(f"it has more than {bytes_max} bytes when decompressed")
    return bytes(snappy.decompress(block))


_CODECS: Final[Mapping[int, tuple[str, Callable[[memoryview | bytes, int], bytes]]]] = {
    1: ("gzip", _gzip),
    2: ("snappy", _snappy),
    3: ("lz4", _lz4),
    4: ("zstd", _zstd),
}
