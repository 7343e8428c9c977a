"""Sources that are left alone for a while, and for longer each time it was in vain."""

from __future__ import annotations

import time
from typing import Final

REST_S: Final = (1.0, 60.0)
"""First and longest pause before a batch that brought out too many faults is tried again."""


class Rests:
    """Which partitions are at rest, and until when."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        self._pause_s: dict[str, float] = {}

    def left_s(self, partition: str) -> float:
        """How much longer; not above 0 where it need not be left alone."""
        return self._until.get(partition, 0.0) - time.monotonic()

    def begin(self, partition: str) -> None:
        """Leave it alone, twice as long as the last time."""
        pause_s = self._pause_s[partition] = min(max(2 * self._pause_s.get(partition, 0.0), REST_S[0]), REST_S[1])
        self._until[partition] = time.monotonic() + pause_s

    def end(self, partition: str) -> None:
        """It has been read: the next rest is a first one again."""
        self._until.pop(partition, None)
        self._pause_s.pop(partition, None)
