"""The record's clock, by which several machines say until when they have read their logs."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from monitor.stores import StoreError
from monitor.stores.record import Record

ASKED_S: Final = 10.0
"""How often the record is asked what time it is; between, this machine's steps of time do not matter."""


class RecordClock:
    """What time it was for the record at a moment of this process's monotonic clock. `clock` is this process's own."""

    def __init__(self, store: Record, clock: Callable[[], int]) -> None:
        self._store = store
        self._clock = clock
        self._ahead: int | None = None
        self._asked_at = 0.0

    def at(self, moment: float) -> int:
        """In microseconds since 1970 UTC, rather too early than too late; 0 as long as the record has not said."""
        now = time.monotonic()
        if self._ahead is None or now - self._asked_at >= ASKED_S:
            self._asked_at = now
            with suppress(StoreError):
                told = self._store.agreed_time(self._clock())
                self._ahead = told - round(time.monotonic() * 1_000_000)
        return 0 if self._ahead is None else max(self._ahead + round(moment * 1_000_000), 0)
