"""What a Kafka client must be able to do for us; there are two, and they keep the same laws."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from monitor.sources.kafka.records import Fetched
from monitor.sources.kafka.settings import Address


class Topic(NamedTuple):
    """A topic as the brokers tell it."""

    id: str  # changes when a topic is deleted and made again
    partitions: frozenset[int]


class Bounds(NamedTuple):
    """The first offset that a partition's log still has, and the one after the last that may be read."""

    begin: int
    end: int


class Parted(NamedTuple):
    """Reading cannot go on where it should: the log does not have that offset; or its leader says that what was read before
    is not what it holds, which goes another way from `end` on (None: nobody knows from where).
    """

    is_truncated: bool = False
    end: int | None = None


class Event(NamedTuple):
    """Something about a partition: what was fetched, or why nothing can be."""

    partition: int
    what: Fetched | Parted


class Answer(NamedTuple):
    """What a partition's leader has answered: where the log ended, at the moment at which it was asked or later."""

    partition: int
    asked: float  # on the monotonic clock
    end: int  # the offset after the last message that all who keep it have, whether or not its transaction is over


class Trouble(Exception):
    """Kafka cannot be asked now, or will not answer us: in words for people. It may pass."""


class Expelled(Trouble):
    """The brokers have heard nothing of us for longer than a session: what was ours is others'. Another client has to join anew."""


class Membership(Protocol):
    """Who is told of the partitions of a consumer group as they come and go; from whatever thread."""

    def assigned(self, partitions: Collection[int]) -> None: ...

    def revoked(self, partitions: Collection[int]) -> None:
        """They are to be given up; the client waits until `is_released` says so."""
        ...

    def is_released(self, partitions: Collection[int]) -> bool: ...

    def lost(self, partitions: Collection[int]) -> None: ...


class Client(Protocol):
    """One topic of a cluster, read by one thread. Every call may raise `Trouble`, and none waits longer than it is told.

    A partition gives nothing until it was sought and resumed. `poll` gives what came within `wait_s`; it keeps the
    membership of a group alive and tells `Membership`. What it gives of a partition begins where it was sought, goes on
    without a gap that is not told, and never stops at what cannot be read.
    """

    def topic(self) -> Topic: ...

    def topic_id(self) -> str:
        """The topic's id as far as it is known without asking."""
        ...

    def bounds(self, partition: int) -> Bounds: ...

    def join(self, membership: Membership) -> None: ...

    def assign(self, partitions: Collection[int]) -> None: ...

    def seek(self, partition: int, offset: int, leader_epoch: int) -> None: ...

    def pause(self, partitions: Collection[int]) -> None: ...

    def resume(self, partitions: Collection[int]) -> None: ...

    def poll(self, wait_s: float) -> Sequence[Event]: ...

    def answers(self) -> Sequence[Answer]:
        """What leaders have answered since this was called last, in the order in which they were asked."""
        ...

    def stuck(self) -> Mapping[int, str]:
        """Partitions of which nothing comes though their logs go on, each with where it stands, in words for people."""
        ...

    def end(self, partition: int) -> int | None:
        """The end of a partition's log as far as it is known without asking."""
        ...

    def commit(self, offsets: Mapping[int, int], heard: Callable[[str | None], None]) -> None:
        """Tell the brokers how far the group is, as well as can be: it neither waits nor raises.

        `heard` is called with why they did not take it, or with None where they did, by whatever thread and whenever.
        """
        ...

    def close(self) -> None: ...


STALL_S: Final = 10.0
"""After so long without a word about a partition that has more, it is looked whether it can be read at all."""


def stands_at(offset: int, end: int) -> str:
    """What is said of a partition that is stuck."""
    return (
        f"it stands at offset {offset} of {end}: its leader gives nothing from there on, as where the length of a record batch is "
        "spoilt on its disk; have another replica lead"
    )


def no_right_to_group(address: Address) -> str:
    """What is said where the brokers refuse a group."""
    return f"no right to the group {address.group}: grant this user Read on it"
