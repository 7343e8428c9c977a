"""What became of what Kafka was told of how far we are. Nothing of ours hangs on it: only who watches lag sees it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, NamedTuple

SILENT_S: Final = 30.0
"""Who watches lag is misled once nothing was taken for so long; a rebalance refuses for less."""


class Told(NamedTuple):
    """What came since it was looked last."""

    failures: int = 0
    error: str | None = None  # it has begun that nothing is taken, and why
    is_over: bool = False  # that has ended


class LagTold:
    """Hears of every answer, from whatever thread; `look` is for one who tells of it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._error = ""
        self._since: float | None = None  # when what was told was refused first, of all that was since one was taken
        self._is_told = False

    def heard(self, error: str | None) -> None:
        """They took it, or why they did not."""
        with self._lock:
            if error is None:
                self._since = None
                return
            self._failures += 1
            self._error = error
            self._since = self._clock() if self._since is None else self._since

    def look(self) -> Told:
        """What is to be told of it."""
        with self._lock:
            failures, self._failures = self._failures, 0
            is_silent = self._since is not None and self._clock() - self._since >= SILENT_S
            begins, ends = is_silent and not self._is_told, self._is_told and self._since is None
            self._is_told = (self._is_told or begins) and not ends
            return Told(failures, self._error if begins else None, ends)
