"""All workers on a topic take it to be keyed by the same field: else one would count at home what another sends to all, and what the third neither counts nor
is sent.

What they take it for stands in a lease that all of them hold together, in the name of the field. Who takes it for something else gets it
only once none of the others is left, so that it can be changed when all have been stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from monitor.stores import StoreError
from monitor.stores.record import Record

HELD_S: Final = 30.0
"""How long after its last word a worker is believed to be there."""

SAID_S: Final = 5.0


class KeyedOtherwise(Exception):
    """Other workers take the topic to be keyed by another field."""


class Keying:
    """What one worker takes a topic to be keyed by. `say` again and again while it works."""

    def __init__(self, record: Record, topic: str, keyed_by: str, clock: Callable[[], int]) -> None:
        self._record = record
        self._lease = f"keyed:{topic}"
        self._keyed_by = keyed_by
        self._clock = clock
        self._said_at = -SAID_S

    def say(self) -> None:
        """Have it stand in the record; raises `KeyedOtherwise`, and `StoreError` that cannot be retried: while the record is away nothing is counted."""
        now = time.monotonic()
        if now - self._said_at < SAID_S:
            return
        try:
            ours = self._record.take(self._lease, _holder(self._keyed_by), self._clock(), HELD_S)
        except StoreError as error:
            if not error.retryable:
                raise
            return
        if ours is None:
            raise KeyedOtherwise(self._refusal())
        self._said_at = now

    def _refusal(self) -> str:
        others = next((one.holder for one in self._record.leases() if one.name == self._lease), "")
        return (
            f"kafka.keyed_by is {self._keyed_by!r}; other workers on this record take the topic to be {others}: give all the same, "
            f"or stop them and start again {HELD_S:g} s later"
        )


def _holder(keyed_by: str) -> str:
    return f"keyed by {keyed_by or 'nothing'}"
