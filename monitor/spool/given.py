"""What a request gives to the spool, and what becomes of it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from itertools import compress

import msgspec

from monitor.spool.frames import NO_KEY
from monitor.spool.ids import ID_BYTES


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

    lines: bytes
    key: bytes = NO_KEY
    request: bytes = NO_KEY
    ids: bytes = b""
    creates: Sequence[bool] = ()
    count: int = 0  # only to be told


class Taken(msgspec.Struct, frozen=True):
    """What became of a request; of one that was taken, which of its lines were not, since their ids had been taken before."""

    outcome: Outcome
    repeated: frozenset[int] = frozenset()


def without(given: Given, repeated: frozenset[int]) -> tuple[bytes, bytes]:
    """The lines of a request but those, and the ids of these."""
    if not repeated:
        return given.lines, given.ids
    lines = given.lines.split(b"\n")[:-1]
    is_new = [place not in repeated for place in range(len(lines))]
    ids = [given.ids[place * ID_BYTES : (place + 1) * ID_BYTES] for place in range(len(lines))]
    return b"".join([line + b"\n" for line in compress(lines, is_new)]), b"".join(compress(ids, is_new))
