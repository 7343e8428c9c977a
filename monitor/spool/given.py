"""What a request gives to the spool, and what becomes of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from monitor.spool.aside import ASIDE_BYTES, Aside, Body
from monitor.spool.frames import NO_KEY
from monitor.spool.ids import ID_BYTES

_BLOCK_BYTES: Final = 256 << 10


class Outcome(StrEnum):
    """What became of lines that were given."""

    TAKEN = "taken"
    REPEATED = "repeated"
    OTHER = "other"  # lines than were taken with the same key
    FULL = "full"


class Given(msgspec.Struct, frozen=True):
    r"""The lines of one request, each ended by ``\n``, how many they are, and the digest of its idempotency key with them.

    Without a key, `request` is the digest of all of it. `ids` has a digest for each line (`ids.NO_ID` for one without); of a
    line that `creates`, its id must not have been taken before, and of another one not with the same document.
    """

    lines: Body
    key: bytes = NO_KEY
    request: bytes = NO_KEY
    ids: bytes = b""
    creates: Sequence[bool] = ()
    count: int = 0  # only to be told


class Taken(msgspec.Struct, frozen=True):
    """What became of a request; of one that was taken, which of its lines were not, since their ids had been taken before."""

    outcome: Outcome
    repeated: frozenset[int] = frozenset()


def without(given: Given, repeated: frozenset[int]) -> tuple[Body, bytes]:
    """The lines of a request but those, and the ids of these."""
    if not repeated:
        return given.lines, given.ids
    lines = (line for place, line in enumerate(lines_of(given.lines)) if place not in repeated)
    kept = (place for place in range(len(given.ids) // ID_BYTES) if place not in repeated)
    ids = b"".join(given.ids[place * ID_BYTES : (place + 1) * ID_BYTES] for place in kept)
    return _together(lines, len(given.lines)), ids


def _together(lines: Iterator[memoryview], bytes_max: int) -> Body:
    """Lines one behind the other; only many of them are asked memory for that the system might refuse."""
    if bytes_max <= ASIDE_BYTES:
        return b"".join(lines)
    whole = Aside(bytes_max)
    for line in lines:
        whole.add(line)
    return whole.content()


def lines_of(content: Body) -> Iterator[memoryview]:
    """The lines of a body, each with its end; the last one may have none. None of them is copied."""
    whole, begin = memoryview(content), 0
    for at in range(0, len(whole), _BLOCK_BYTES):
        block = bytes(whole[at : at + _BLOCK_BYTES])
        found = block.find(b"\n")
        while found >= 0:
            yield whole[begin : at + found + 1]
            begin = at + found + 1
            found = block.find(b"\n", found + 1)
    if begin < len(whole):
        yield whole[begin:]
