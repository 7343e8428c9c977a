"""Which idempotency keys were taken lately: as many as fit, for a day."""

from __future__ import annotations

import hashlib
import struct
from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

KEYS_MAX: Final = 50_000
"""Keys that are remembered, the newest; each takes 24 bytes at the beginning of every segment of the spool."""

KEY_US_MAX: Final = 86_400_000_000
"""How long a key is remembered at most: a day."""

DIGEST_BYTES: Final = 16
_ENTRY: Final = struct.Struct(f">{DIGEST_BYTES}sq")


def digest_of(token: str, key: str) -> bytes:
    """What is remembered of a key: two clients may use the same one, each has its own token."""
    return hashlib.blake2b(f"{token}\0{key}".encode(), digest_size=DIGEST_BYTES).digest()


class KeyWindow:
    """Digests of keys with the time at which each was taken, in that order."""

    def __init__(self) -> None:
        self._times: OrderedDict[bytes, int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._times)

    def has(self, digest: bytes, now: int) -> bool:
        """Whether a request with this key was taken within the window."""
        taken = self._times.get(digest)
        return taken is not None and now - taken < KEY_US_MAX

    def add(self, digest: bytes, at: int) -> None:
        """Remember a key that was taken."""
        self._times[digest] = at
        self._times.move_to_end(digest)
        while len(self._times) > KEYS_MAX:
            self._times.popitem(last=False)

    def packed(self, now: int) -> bytes:
        """All that is still remembered, to be kept."""
        return b"".join(_ENTRY.pack(digest, at) for digest, at in self._times.items() if now - at < KEY_US_MAX)

    def unpack(self, kept: bytes) -> None:
        """Remember what was kept."""
        for digest, at in _entries(kept):
            self.add(digest, at)


def _entries(kept: bytes) -> Iterator[tuple[bytes, int]]:
    return _ENTRY.iter_unpack(kept[: len(kept) // _ENTRY.size * _ENTRY.size])
