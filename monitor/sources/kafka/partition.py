"""One partition of a topic: what the thread fetches into it and the worker reads from it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final, Protocol

import msgspec

from monitor.sources import LINES_MAX, Position, RawBatch, UnreadReason
from monitor.sources.kafka import NotOurs
from monitor.sources.kafka.client import Answer, Client, Parted
from monitor.sources.kafka.feed import Cursor, Feed
from monitor.sources.kafka.records import Fetched
from monitor.sources.kafka.settings import KafkaSettings
from monitor.sources.messages import MESSAGE_BITS

RESUME_SHARE: Final = 0.5
"""A partition whose buffer is full is fetched again once so much of it has been read."""


ANSWERS_MAX: Final = 256
"""Answers about where the log ends that have not been come up to; the oldest go."""


class Partition:
    """A partition that is ours. `opened`, `read` and the properties are the worker's; the rest is the thread's.

    The condition that the group shares out guards all of it.
    """

    def __init__(
        self,
        number: int,
        name: str,
        format: str,  # noqa: A002 - the word of the configuration
        settings: KafkaSettings,
        changed: threading.Condition,
        *,
        until_end: bool,
        line_bytes_max: int,
    ) -> None:
        self.number, self.name, self.format = number, name, format
        self.is_ours = True
        self._settings, self._changed, self._until_end = settings, changed, until_end
        self._feed = Feed(name, format, line_bytes_max)
        self._wanted: Position | None = None
        self._is_wanted = False  # opened by the worker and not yet sought
        self._is_open = False
        self._is_full = False
        self._is_again = False  # to be sought anew where it is, by another client
        self._last: int | None = None  # the offset at which a run to the end leaves
        self._end: int | None = None  # of the log, as far as it is known
        self._mean_bytes = 0.0
        self._answers: deque[Answer] = deque(maxlen=ANSWERS_MAX)
        self._as_of: float | None = None

    # The worker's

    def opened(self, position: Position | None) -> None:
        """Go on from a position; the thread does it."""
        with self._changed:
            self._wanted, self._is_wanted, self._is_open, self._is_again = position, True, False, False
            self._feed.clear()
            self._last = None
            self._forget_answers()

    def _forget_answers(self) -> None:
        self._answers.clear()
        self._as_of = None

    def read(self, bytes_max: int, wait_s: float, lines_max: int) -> RawBatch | None:
        """The next lines, or None when there are none in time."""
        with self._changed:
            if not self._feed.ready and wait_s > 0:
                self._changed.wait_for(lambda: self._feed.ready or not self.is_ours or self._has_ended(), wait_s)
            return self._feed.read(bytes_max, lines_max) if self.is_ours else None

    @property
    def ready(self) -> bool:
        return self._feed.ready

    @property
    def ended(self) -> bool:
        with self._changed:
            return not self._feed.ready and (self._has_ended() or (self._until_end and not self.is_ours))

    def _has_ended(self) -> bool:
        return self._is_open and self._last is not None and self._feed.next_offset >= self._last

    @property
    def lag_bytes(self) -> int | None:
        """What is held, and an estimate of what was not fetched yet: so many messages of the mean size. 0 only where there is none."""
        with self._changed:
            if not self._is_open or self._end is None:
                return None
            behind = max(self._end - self._feed.next_offset, 0)
            return self._feed.bytes + max(int(behind * self._mean_bytes), behind)

    def taken_as_of(self, position: int) -> float | None:
        """The latest moment, on the monotonic clock, of which it is known that all that was in the log then begins before a position."""
        with self._changed:
            offset = self._feed.next_offset if position >= self._feed.end else self.offset_of(position)
            while self._answers and self._answers[0].end <= offset:
                self._as_of = self._answers.popleft().asked
            return self._as_of

    def offset_of(self, position: int) -> int:
        """The offset of the message at a position that was given."""
        return max((position >> MESSAGE_BITS) - self._feed.cursor.base, 0)

    # The thread's

    def give_up(self) -> None:
        """It is not ours any more: what was fetched ahead is dropped."""
        self.is_ours = False
        self._feed.clear()

    def begin_again(self) -> None:
        """Another client reads from now on: go on where the last one was."""
        with self._changed:
            self._is_again = self._is_open or self._is_again
            self._is_wanted = self._is_again or self._is_wanted
            self._is_open = False

    def prepare(self, client: Client, topic_id: str, bytes_max: int) -> None:
        """Do what the worker asked for, and see to it that no more is fetched ahead than `bytes_max`, and what was under way then."""
        if self._is_wanted:
            self._begin(client, topic_id)
        elif self._is_open and topic_id and self._feed.cursor.topic not in {"", topic_id}:
            self._recreated(client, topic_id)
        if self._is_open:
            self._throttle(client, bytes_max)

    def _begin(self, client: Client, topic_id: str) -> None:
        with self._changed:
            position = self._wanted
        bounds = client.bounds(self.number)
        if position is None:
            first = bounds.begin if self._settings.start_at == "earliest" else bounds.end
            end, cursor = first << MESSAGE_BITS, Cursor()
        else:
            end, cursor = position.end, msgspec.json.decode(position.cursor or b"{}", type=Cursor)
        cursor = msgspec.structs.replace(cursor, topic=cursor.topic or topic_id)
        with self._changed:
            if self._wanted is not position or not self.is_ours:
                return
            if self._is_again:
                cursor = self._feed.cursor
            else:
                self._feed.begin(end, cursor)
            offset = self._feed.next_offset
            self._end = bounds.end
            self._last = bounds.end if self._until_end else None
            self._is_wanted, self._is_open, self._is_full, self._is_again = False, True, False, False
        if topic_id and cursor.topic != topic_id:
            self._recreated(client, topic_id)
        elif not bounds.begin <= offset <= bounds.end:
            self._part(client, Parted())
        else:
            client.seek(self.number, offset, cursor.epoch)
            client.resume([self.number])
        with self._changed:
            self._changed.notify_all()

    def take(self, client: Client, what: Fetched | Parted, topic_id: str) -> None:
        """Hear what came."""
        if isinstance(what, Parted):
            self._part(client, what, topic_id)
            return
        with self._changed:
            if not self._is_open or not self.is_ours or self._is_wanted:
                return
            if what.start not in {
                -1,
                self._feed.next_offset,
            }:  # something between was fetched for nobody: it is asked for again
                self.begin_again()
                return
            self._feed.add(what)
            self._end = max(client.end(self.number) or 0, what.next_offset)
            if len(what.offsets):
                self._mean_bytes = len(what.data) / len(what.offsets)
            self._changed.notify_all()

    def answered(self, answer: Answer) -> None:
        """Hear where the log ended."""
        with self._changed:
            if self._is_open and self.is_ours and not self._is_wanted:
                while self._answers and self._answers[-1].end > answer.end:  # it was truncated meanwhile
                    self._answers.pop()
                self._answers.append(answer)

    def _throttle(self, client: Client, most: int) -> None:
        held = self._feed.bytes
        if not self._is_full and held >= most:
            client.pause([self.number])
            self._is_full = True
        elif self._is_full and held <= most * RESUME_SHARE:
            client.resume([self.number])
            self._is_full = False

    def _recreated(self, client: Client, topic_id: str) -> None:
        """The topic is another one: go on at its beginning, at positions after all that were used."""
        bounds = client.bounds(self.number)
        detail = (
            f"the topic was deleted and made again: what it held from offset {self._feed.next_offset} on, "
            f"if anything, was not read; reading goes on at offset {bounds.begin} of the new one"
        )
        self._go_on(client, UnreadReason.RECREATED, 1, detail, bounds.begin, bounds.end, topic_id)

    def _part(self, client: Client, parted: Parted, topic_id: str = "") -> None:
        """The log does not have the offset at which we want to go on, or not the same messages before it."""
        if topic_id and self._feed.cursor.topic and client.topic().id != self._feed.cursor.topic:
            return  # another topic: found out and told at the next look
        bounds = client.bounds(self.number)
        ours = self._feed.next_offset
        if not parted.is_truncated and ours < bounds.begin:
            lost = bounds.begin - ours
            detail = (
                f"{lost} offsets ({ours} to {bounds.begin - 1}) were deleted before they were read: raise the topic's "
                "retention, or read faster"
            )
            self._go_on(client, UnreadReason.GONE, lost, detail, bounds.begin, bounds.end)
        elif parted.is_truncated or ours > bounds.end:
            at = min(max(ours if parted.end is None else parted.end, bounds.begin), bounds.end)
            detail = (
                f"the log was truncated: it goes on at offset {at}, and {max(ours - at, 0)} messages that were read are no "
                "longer in it (an unclean election of a leader?); they stay in the record"
            )
            self._go_on(client, UnreadReason.TRUNCATED, 1, detail, at, bounds.end)
        else:
            client.seek(self.number, ours, -1)
            client.resume([self.number])

    def _go_on(
        self,
        client: Client,
        reason: UnreadReason,
        messages: int,
        detail: str,
        offset: int,
        end: int,
        topic: str | None = None,
    ) -> None:
        client.seek(self.number, offset, -1)
        with self._changed:
            self._feed.skip(reason, messages, detail, offset, topic)
            self._forget_answers()
            self._end = end
            self._last = end if self._until_end else None
            self._changed.notify_all()
        client.resume([self.number])
        self._is_full = False


class Reader(Protocol):
    """Who fetches the partition."""

    trouble: str | None
    stuck: Mapping[int, str]


class PartitionSource:
    """One partition of a topic as a `Source`."""

    def __init__(self, partition: Partition, reader: Reader, closed: Callable[[], None] = lambda: None) -> None:
        self._partition, self._reader, self._closed = partition, reader, closed
        self.format = partition.format

    @property
    def partition(self) -> str:
        """``kafka:``, the topic, and the partition's number."""
        return self._partition.name

    @property
    def ready(self) -> bool:
        return self._partition.ready

    @property
    def ended(self) -> bool:
        return self._partition.ended

    @property
    def lag_bytes(self) -> int | None:
        return self._partition.lag_bytes

    def taken_as_of(self, position: int) -> float | None:
        """The latest moment of which it is known that all that was in the log then begins before a position (`TimedSource`)."""
        return self._partition.taken_as_of(position)

    @property
    def missing(self) -> str | None:
        """Why Kafka cannot be asked, or gives nothing of this partition, while that is so."""
        return self._reader.trouble or self._reader.stuck.get(self._partition.number)

    def open(self, position: Position | None) -> None:
        """Go on from a position. Whether the log still has it is found out later, and told in a batch; raises `NotOurs`."""
        if not self._partition.is_ours:
            raise NotOurs(self.partition)
        self._partition.opened(position)

    def read(self, bytes_max: int, wait_s: float, lines_max: int = LINES_MAX) -> RawBatch | None:
        """The next lines; None when none came in time."""
        return self._partition.read(bytes_max, wait_s, lines_max)

    def close(self) -> None:
        """Let whoever opened it know; a partition is given up by its group, not here."""
        self._closed()
