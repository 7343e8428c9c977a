"""What a request brings, read and unpacked within bounds, however slowly it comes and however small it was packed."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from typing import Final

import zstandard
from starlette.requests import Request

from monitor.console.access import Refused
from monitor.console.bounds import RequestBounds
from monitor.spool.aside import Aside, Body

RATIO_MAX: Final = 200
"""How many times larger than what came an unpacked body may be, once it is over `FREE_BYTES`."""

FREE_BYTES: Final = 1 << 20
_BLOCK_BYTES: Final = 256 << 10
_PIECE_BYTES: Final = 4 << 10  # zlib copies what is left of a piece behind each member, and members may be tiny
_ZSTD_WINDOW_BYTES_MAX: Final = 8 << 20
_GZIP: Final = 31  # window bits with which zlib expects gzip's head

ENCODINGS: Final = ("identity", "gzip", "zstd")


async def read_body(request: Request, bounds: RequestBounds) -> bytes:
    """The body as it came. Raises `Refused` as soon as it is too large."""
    blocks: list[bytes] = []
    size = 0
    async for block in request.stream():
        size += len(block)
        if size > bounds.body_bytes_max:
            raise Refused(413, f"a body of more than {bounds.body_bytes_max} bytes; send it in parts")
        blocks.append(block)
    return b"".join(blocks)


async def read_aside(request: Request, bounds: RequestBounds) -> memoryview:
    """A large body as it came, in memory of its own, as it may wait for its turn. Raises `Refused` as soon as it is too large."""
    whole = Aside(bounds.body_bytes_max)
    async for block in request.stream():
        if not whole.add(block):
            raise Refused(413, f"a body of more than {bounds.body_bytes_max} bytes; send it in parts")
    return whole.content()


async def pass_over(request: Request, bounds: RequestBounds) -> None:
    """Take a body that nobody needs. Raises `Refused` as soon as it is too large."""
    size = 0
    async for block in request.stream():
        size += len(block)
        if size > bounds.body_bytes_max:
            raise Refused(413, f"a body of more than {bounds.body_bytes_max} bytes")


def encoding_of(request: Request) -> str:
    """How the body is packed. Raises `Refused` for a way that is not known here."""
    named = request.headers.get("content-encoding", "identity").strip().lower()
    if named not in ENCODINGS:
        raise Refused(415, f"Content-Encoding is one of {', '.join(ENCODINGS)}")
    return named


def unpacked(body: Body, encoding: str, bounds: RequestBounds) -> Body:
    """The body as it was before it was packed. Raises `Refused` when it is broken, or grows too large."""
    if encoding == "identity":
        return body
    most = unpacked_most(body, bounds)
    whole = Aside(most)
    for block in _unpacking(body, encoding):
        if not whole.add(block):
            raise Refused(413, f"a body that unpacks to more than {most} bytes; send it in parts")
    return whole.content()


def unpacked_most(body: Body, bounds: RequestBounds) -> int:
    """How large a packed body may be once it is unpacked."""
    return min(bounds.unpacked_bytes_max, max(FREE_BYTES, RATIO_MAX * len(body)))


def unpacked_within(body: Body, encoding: str, most: int) -> bytes | None:
    """The body unpacked, where it is of so many bytes at most. Raises `Refused` when it is broken."""
    if encoding == "identity":
        return bytes(body) if len(body) <= most else None
    whole = io.BytesIO()
    for block in _unpacking(body, encoding):
        whole.write(block)
        if whole.tell() > most:
            return None
    return whole.getvalue()


def _unpacking(body: Body, encoding: str) -> Iterator[bytes]:
    """The body unpacked, in blocks. Raises `Refused` where it is broken."""
    try:
        yield from _gunzipped(body) if encoding == "gzip" else _unzstandard(body)
    except (zlib.error, zstandard.ZstdError, EOFError) as error:
        raise Refused(400, f"the body is not what Content-Encoding: {encoding} says: {error}") from None


def _gunzipped(body: Body) -> Iterator[bytes]:
    """In blocks; members may follow one another. Raises `EOFError` when the last one is cut off."""
    left = memoryview(body)
    while left:
        member = zlib.decompressobj(_GZIP)
        while not member.eof:
            piece = left[:_PIECE_BYTES]
            block = member.decompress(piece, _BLOCK_BYTES)
            left = left[len(piece) - len(member.unconsumed_tail) - len(member.unused_data) :]
            if block:
                yield block
            elif not left and not member.eof:
                raise EOFError("it ends too early")


def _unzstandard(body: Body) -> Iterator[bytes]:
    """In blocks; frames may follow one another. Raises `EOFError` when the last one is cut off."""
    unpacker = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES_MAX)
    with unpacker.stream_reader(body, read_across_frames=True) as stream:
        while block := stream.read(_BLOCK_BYTES):
            yield block
