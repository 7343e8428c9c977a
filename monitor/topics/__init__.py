"""Kafka topics on which others are told: what is written to one, and what may go wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeAlias

import msgspec


class Item(msgspec.Struct, frozen=True):
    """One record for a topic: later ones of a key take the place of earlier ones; without a value it ends the key."""

    id: str  # the idempotency key: the same however often it is written
    key: str
    value: bytes | None


class Taken(msgspec.Struct, frozen=True):
    """Every replica that must have a record has it."""

    receipt: str


class Refused(msgspec.Struct, frozen=True):
    """A record will never be taken, whatever becomes of the others."""

    why: str


Outcome: TypeAlias = Taken | Refused | None
"""What became of a record; None: nobody knows, it must be written again."""


class Published(msgspec.Struct, frozen=True):
    """What became of records, in their order, and what was wrong with the topic meanwhile."""

    outcomes: Sequence[Outcome]
    trouble: TopicTrouble | None = None


class TopicTrouble(Exception):
    """A topic cannot be written or read now, through no fault of a record. `lasting`: somebody has to mend something."""

    def __init__(self, message: str, *, lasting: bool = False) -> None:
        super().__init__(message)
        self.lasting = lasting


class Topic(Protocol):
    """A topic of a cluster, used by one thread. No call waits longer than a bound of its own."""

    def check(self) -> str:
        """Make the topic if it is not there, see that it is as it must be, and say its id, which another by its name has not.

        Raises `TopicTrouble`.
        """
        ...

    def publish(self, items: Sequence[Item]) -> Published:
        """Write records in their order, those of one key at least, and wait until it is known what became of them."""
        ...

    def held(self, stopping: Callable[[], bool]) -> Iterator[tuple[str, bytes | None]]:
        """Keys and values, from the beginning up to where the topic ends now. Raises `TopicTrouble`."""
        ...

    def close(self) -> None: ...
