"""Which idempotency keys were taken lately: as many as fit, for a day."""

from __future__ import annotations

import hashlib
import struct
from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from monitor.spool.aside import Body

KEYS_MAX: Final = 50_000
"""Keys that are remembered, the newest; each takes 24 bytes at the beginning of every segment of the spool."""

KEY_US_MAX: Final = 86_400_000_000
"""How long a key is remembered at most: a day."""

DIGEST_BYTES: Final = 16
NAME_BYTES: Final = 10
"""So much of a digest is of the key; the rest is of the lines."""

_ENTRY: Final = struct.Struct(f">{DIGEST_BYTES}sq")


def digest_of(token: str, key: str, lines: Body) -> bytes:
    """What is remembered of a key and of what came with it: two clients may use the same key, each has its own token."""
    named = hashlib.blake2b(f"{token}\0{key}".encode(), digest_size=NAME_BYTES).digest()
    return named + hashlib.sha256(lines).digest()[: DIGEST_BYTES - NAME_BYTES]  # processors have a word for SHA-256


def request_digest(token: str, page: str, body: Body) -> bytes:
    """What a request without a key is known by: two clients may say the same, each has its own token."""
    told = hashlib.sha256(f"{token}\0{page}\0".encode())
    told.update(body)
    return told.digest()[:DIGEST_BYTES]


class KeyWindow:
    """Digests of keys with the time at which each was taken, in that order."""

    def __init__(self) -> None:
        self._taken: OrderedDict[bytes, tuple[bytes, int]] = OrderedDict()  # by key: the whole digest, and when

    def __len__(self) -> int:
        return len(self._taken)

    def find(self, digest: bytes, now: int) -> bytes | None:
        """The digest of what was taken within the window with the key of this one."""
        found, at = self._taken.get(digest[:NAME_BYTES], (None, 0))
        return found if now - at < KEY_US_MAX else None

    def add(self, digest: bytes, at: int) -> None:
        """Remember a key that was taken."""
        self._taken[digest[:NAME_BYTES]] = (digest, at)
        self._taken.move_to_end(digest[:NAME_BYTES])
        while len(self._taken) > KEYS_MAX:
            self._taken.popitem(last=False)

    def packed(self, now: int) -> bytes:
        """All that is still remembered, to be kept."""
        return b"".join(_ENTRY.pack(digest, at) for digest, at in self._taken.values() if now - at < KEY_US_MAX)

    def unpack(self, kept: bytes) -> None:
        """Remember what was kept."""
        for digest, at in _entries(kept):
            self.add(digest, at)


def _entries(kept: bytes) -> Iterator[tuple[bytes, int]]:
    return _ENTRY.iter_unpack(kept[: len(kept) // _ENTRY.size * _ENTRY.size])
