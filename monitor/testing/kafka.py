"""A Kafka topic in memory, and the client of it: what brokers do, without one."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np

from monitor.sources import LINES_MAX, Position, RawBatch
from monitor.sources.kafka.client import Answer, Bounds, Event, Membership, Parted, Topic, Trouble
from monitor.sources.kafka.feed import Cursor, Feed
from monitor.sources.kafka.records import Fetched, of_values
from monitor.sources.lines import LINE_BYTES_MAX
from monitor.sources.messages import MESSAGE_BITS
from monitor.testing.sources import Laid

LINES_EACH = 3
"""How many lines of a content `messages_of` puts into a message."""


@dataclass
class MemoryTopic:
    """A topic whose log is a list for each partition; None stands where nothing is left or a marker is."""

    logs: dict[int, list[bytes | None]] = field(default_factory=lambda: {0: []})
    begins: dict[int, int] = field(default_factory=dict)  # offsets before it are gone
    id: str = "first"
    refusal: str | None = None  # why nobody is answered

    def bounds(self, partition: int) -> Bounds:
        """The offsets that are there."""
        begin = self.begins.get(partition, 0)
        return Bounds(begin, max(len(self.logs.get(partition, ())), begin))


class MemoryClient:
    """Reads a `MemoryTopic` by the laws of `monitor.sources.kafka.client.Client`.

    A group has this one member, to which `grant` and `take_back` do what a coordinator does.
    """

    def __init__(self, topic: MemoryTopic, *, at_once: int = 7) -> None:
        self.of = topic
        self.at_once = at_once  # messages that a fetch brings of a partition
        self.committed: dict[int, int] = {}
        self.uncommitted: str | None = None  # why nothing of it is taken
        self.places: dict[int, int] = {}
        self.paused: set[int] = set()
        self.membership: Membership | None = None
        self.owned: set[int] = set()
        self.standing: dict[int, str] = {}
        self._coming: list[int] = []
        self._going: list[int] = []
        self._polled = 0.0

    def topic(self) -> Topic:
        """The topic as it is now."""
        if self.of.refusal is not None:
            raise Trouble(self.of.refusal)
        return Topic(self.of.id, frozenset(self.of.logs))

    def topic_id(self) -> str:
        """Its id now."""
        return self.of.id

    def bounds(self, partition: int) -> Bounds:
        """The offsets that are there now."""
        return self.of.bounds(partition)

    def join(self, membership: Membership) -> None:
        """Become the one member."""
        self.membership = membership

    def grant(self, *partitions: int) -> None:
        """Have partitions assigned at the next poll."""
        self._coming += partitions

    def take_back(self, *partitions: int) -> None:
        """Have partitions revoked at the next poll."""
        self._going += partitions

    def assign(self, partitions: Collection[int]) -> None:
        """Read these."""
        self.paused |= set(partitions) - self.owned
        self.owned = set(partitions)

    def seek(self, partition: int, offset: int, leader_epoch: int) -> None:  # noqa: ARG002 - its log goes one way
        """Go on there."""
        self.places[partition] = offset

    def pause(self, partitions: Collection[int]) -> None:
        """Give nothing of them."""
        self.paused |= set(partitions)

    def resume(self, partitions: Collection[int]) -> None:
        """Give them again."""
        self.paused -= set(partitions)

    def answers(self) -> Sequence[Answer]:
        """Where logs end."""
        return [Answer(one, self._polled, self.of.bounds(one).end) for one in sorted(self.owned) if one in self.places]

    def poll(self, wait_s: float) -> Sequence[Event]:
        """Some messages of every partition; waits a little where there is nothing."""
        self._polled = time.monotonic()
        if self.of.refusal is not None:
            raise Trouble(self.of.refusal)
        self._rebalance()
        found = [event for one in sorted(self.owned - self.paused) if one in self.places for event in self._fetch(one)]
        if not found:
            time.sleep(min(wait_s, 0.002))
        return found

    def _rebalance(self) -> None:
        member = self.membership
        if member is None:
            return
        if self._coming:
            self.owned |= set(self._coming)
            self.paused |= set(self._coming)
            member.assigned(self._coming)
            self._coming = []
        if self._going:
            going, self._going = self._going, []
            self.owned -= set(going)
            member.revoked(going)
            while not member.is_released(going):
                time.sleep(0.002)

    def _fetch(self, partition: int) -> Sequence[Event]:
        offset, bounds = self.places[partition], self.of.bounds(partition)
        if not bounds.begin <= offset <= bounds.end:
            return [Event(partition, Parted())]
        values = self.of.logs[partition][offset : offset + self.at_once]
        if not values:
            return []
        self.places[partition] = end = offset + len(values)
        offsets = np.arange(offset, end, dtype=np.int64)
        fetched: Fetched = of_values(values, offsets, offsets + 1, end, leader_epoch=0)
        return [Event(partition, msgspec.structs.replace(fetched, start=offset))]

    def stuck(self) -> Mapping[int, str]:
        """Partitions that the test says to be."""
        return self.standing

    def end(self, partition: int) -> int | None:
        """The end of its log."""
        return self.of.bounds(partition).end

    def commit(self, offsets: Mapping[int, int], heard: Callable[[str | None], None]) -> None:
        """Keep what was told."""
        if self.uncommitted is None:
            self.committed.update(offsets)
        heard(self.uncommitted)

    def close(self) -> None:
        """Nothing to let go."""


def messages_of(content: bytes) -> list[bytes | None]:
    """A content as messages of some lines each; between them what has no lines: empty messages and tombstones."""
    lines = io.BytesIO(content).readlines()
    messages: list[bytes | None] = []
    for first in range(0, len(lines), LINES_EACH):
        messages.append(b"".join(lines[first : first + LINES_EACH]))
        messages += [b"", None] if first % (2 * LINES_EACH) else []
    return messages


def laid_as_messages(content: bytes) -> Laid:
    """Where the lines of `messages_of` stand."""
    placed: list[tuple[int, bytes]] = []
    messages = messages_of(content)
    for offset, message in enumerate(messages):
        at = offset << MESSAGE_BITS
        for line in (message or b"").split(b"\n"):
            placed.append((at, line + b"\n"))
            at += len(line) + 1
        if not message or message.endswith(b"\n"):
            placed.pop()
    return Laid(placed, len(messages) << MESSAGE_BITS)


class MessageSource:
    """A partition whose messages are given by the test, read without a thread; it ends where they end."""

    format = "ndjson"

    def __init__(
        self, messages: Sequence[bytes | None], *, line_bytes_max: int = LINE_BYTES_MAX, arrivals: Sequence[int] = ()
    ) -> None:
        """`arrivals` are milliseconds, of each message; without them nobody tells."""
        self.partition = "kafka:memory/0"
        self._messages = messages
        self._times = np.array([*arrivals, *[-1] * len(messages)][: len(messages)], dtype=np.int64)
        self._feed = Feed(self.partition, self.format, line_bytes_max)

    @property
    def ready(self) -> bool:
        """Whether lines wait to be given."""
        return self._feed.ready

    @property
    def ended(self) -> bool:
        """Whether all has been given."""
        return not self._feed.ready and self._feed.next_offset >= len(self._messages)

    @property
    def lag_bytes(self) -> int | None:
        """What is held."""
        return self._feed.bytes

    @property
    def missing(self) -> str | None:
        """Nothing."""
        return None

    def open(self, position: Position | None) -> None:
        """Go to the position, or to the beginning."""
        self._feed.begin(position.end if position else 0, Cursor())

    def read(self, bytes_max: int, wait_s: float, lines_max: int = LINES_MAX) -> RawBatch | None:
        """The next lines, of one message or of as many as there are room for."""
        del wait_s
        at = self._feed.next_offset
        while self._feed.bytes <= bytes_max and at < len(self._messages):
            after = at + 1
            fetched = of_values(self._messages[at:after], np.arange(at, after), self._times[at:after], after)
            self._feed.add(fetched)
            at = after
        return self._feed.read(bytes_max, lines_max)

    def close(self) -> None:
        """Nothing to let go."""
