"""Which partitions of a topic are ours, and the thread that fetches them while the worker does other things."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

import msgspec

from monitor.sources.kafka import Changes, NotOurs
from monitor.sources.kafka.client import Client, Expelled, Topic, Trouble
from monitor.sources.kafka.lag import LagTold
from monitor.sources.kafka.partition import Partition, PartitionSource
from monitor.sources.kafka.records import Fetched
from monitor.sources.kafka.settings import Address, KafkaSettings
from monitor.sources.lines import LINE_BYTES_MAX

POLL_S: Final = 0.1
"""How long the thread waits for Kafka at a time; what the worker asks of it is done in between."""

PACE_S: Final = 0.05
"""After a fetch that brought little the thread lets so much time pass: a fetch costs the same whatever it brings, and while turns are
taken every one of its steps waits for the interpreter. What comes after a silence is not held up by it."""

MUCH_BYTES: Final = 4 << 20
"""A poll that brings so much is followed by the next at once: there is more."""

RETRY_S: Final = (0.2, 5.0)
"""First and longest pause after Kafka could not be asked."""

TOPIC_S: Final = 5.0
"""How often it is asked whether the topic is still the same and how many partitions it has."""

CLOSE_S_MAX: Final = 10.0
"""How long the thread may take to leave the group."""


class Group:
    """The partitions of one topic that are ours, with or without a consumer group.

    `poll`, `source`, `release`, `commit` and `close` are the worker's, and none waits for Kafka. A thread of its own
    fetches ahead, up to ``buffer_bytes_max`` of all partitions, and keeps the membership alive. While Kafka cannot be
    reached `trouble` says why; nothing is lost by it, and it is tried again for ever.
    """

    def __init__(
        self,
        address: Address,
        settings: KafkaSettings,
        connect: Callable[[], Client],
        *,
        until_end: bool = False,
        line_bytes_max: int = LINE_BYTES_MAX,
        whole: bool = False,
        pace_s: float = PACE_S,
    ) -> None:
        """With `whole`, all partitions are ours whatever group the address names: that is only told how far we are."""
        self.address, self.settings = address, settings
        self.trouble: str | None = None
        self.stuck: Mapping[int, str] = {}
        """Partitions of which nothing comes though their logs go on, and where they stand."""
        self.lag: Final = LagTold()
        self.partition_count = 0
        """How many partitions the topic has, as far as is known; 0 until Kafka has told."""
        self._connect = connect
        self._pace_s = pace_s
        self._until_end = until_end
        self._is_member = bool(address.group) and not whole
        self._line_bytes_max = line_bytes_max
        self._changed = threading.Condition()
        self._topic: Topic | None = None
        self._partitions: dict[int, Partition] = {}
        self._assigned: list[int] = []
        self._revoked: list[int] = []
        self._lost: list[int] = []
        self._held: dict[int, float] = {}  # revoked and not released: until when they may be
        self._commits: dict[int, int] = {}
        self._first: frozenset[int] | None = None  # that were there when it was looked first
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=f"kafka-{address.topic}", daemon=True)
        self._thread.start()

    # What the worker calls

    def name(self, number: int) -> str:
        """A partition's, in the store and everywhere."""
        return f"kafka:{self.address.topic}/{number}"

    @property
    def name_of_topic(self) -> str:
        """The topic with its brokers, for people."""
        return f"kafka://{','.join(self.address.brokers)}/{self.address.topic}"

    def _number(self, partition: str) -> int:
        return int(partition.rpartition("/")[2])

    def poll(self, wait_s: float = 0.0) -> Changes:
        """What has changed since the last call; waits up to `wait_s` for something to."""
        with self._changed:
            self._changed.wait_for(lambda: self._assigned or self._revoked or self._lost or self._closing, wait_s)
            found = (self._assigned, self._revoked, self._lost)
            self._assigned, self._revoked, self._lost = [], [], []
        return Changes(*(tuple(self.name(number) for number in sorted(each)) for each in found))

    def wait_for_messages(self, wait_s: float) -> None:
        """Until some of a partition that is ours are there to be read, at most so long."""
        with self._changed:
            ours = list(self._partitions.values())
            if ours:
                self._changed.wait_for(lambda: self._closing or any(one.ready for one in ours), wait_s)

    def source(self, partition: str, closed: Callable[[], None] = lambda: None) -> PartitionSource:
        """The source of a partition that is ours; raises `NotOurs`. `closed` is called when it is closed."""
        with self._changed:
            found = self._partitions.get(self._number(partition))
            if found is None:
                raise NotOurs(partition)
            return PartitionSource(found, self, closed)

    def release(self, partitions: Collection[str]) -> None:
        """Revoked partitions are finished with: another may have them."""
        with self._changed:
            for partition in partitions:
                self._held.pop(self._number(partition), None)

    def commit(self, positions: Mapping[str, int]) -> None:
        """Tell Kafka up to which positions partitions are accounted for, soon. Only lag is seen by it."""
        with self._changed:
            for partition, position in positions.items():
                number = self._number(partition)
                if number in self._partitions:
                    self._commits[number] = self._partitions[number].offset_of(position)

    def partitions(self, wait_s: float) -> Sequence[str]:
        """The names of all partitions of the topic, once Kafka has told; raises `Trouble` when it has not in time."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._topic is not None, wait_s) or self._topic is None:
                raise Trouble(self.trouble or "no broker answers in time")
            return [self.name(number) for number in sorted(self._topic.partitions)]

    def close(self) -> None:
        """Give up all partitions, released or not, and leave the group."""
        with self._changed:
            self._closing = True
            self._held.clear()
            self._changed.notify_all()
        self._thread.join(CLOSE_S_MAX)

    # What the client tells, from its own thread

    def assigned(self, partitions: Collection[int]) -> None:
        """They are ours from now on."""
        with self._changed:
            for number in partitions:
                self._partitions[number] = self._partition(number)
                self._assigned.append(number)
            self._changed.notify_all()

    def revoked(self, partitions: Collection[int]) -> None:
        """They are to be given up, once the worker is ready."""
        with self._changed:
            until = time.monotonic() + self.settings.release_s_max
            for number in partitions:
                self._take_away(number, self._revoked)
                self._held[number] = until
            self._changed.notify_all()

    def is_released(self, partitions: Collection[int]) -> bool:
        """Whether the worker has let them go, or has had time enough."""
        with self._changed:
            if self._closing:
                return True
            now = time.monotonic()
            return all(self._held.get(number, 0.0) <= now for number in partitions)

    def lost(self, partitions: Collection[int]) -> None:
        """They are another's already."""
        with self._changed:
            for number in partitions:
                self._take_away(number, self._lost)
                self._held.pop(number, None)
            self._changed.notify_all()

    def _take_away(self, number: int, told: list[int]) -> None:
        partition = self._partitions.pop(number, None)
        if partition is not None:
            partition.give_up()
        self._commits.pop(number, None)
        if number in self._assigned:  # the worker has not even heard of it
            self._assigned.remove(number)
            self._held.pop(number, None)
        else:
            told.append(number)

    def _partition(self, number: int) -> Partition:
        is_added = self._first is not None and number not in self._first
        # What was sent to it before we heard of it is to be read too, wherever else reading begins.
        settings = msgspec.structs.replace(self.settings, start_at="earliest") if is_added else self.settings
        return Partition(
            number,
            self.name(number),
            self.address.format,
            settings,
            self._changed,
            until_end=self._until_end,
            line_bytes_max=self._line_bytes_max,
        )

    # The thread

    def _run(self) -> None:
        pause_s = RETRY_S[0]
        while not self._closing:
            client = None
            try:
                client = self._connect()
                self._serve(client)
            except Trouble as error:
                self._say(str(error))
            except Exception as error:  # noqa: BLE001 - a fault of the client's or of ours: another is made
                last = traceback.extract_tb(error.__traceback__)[-1]
                self._say(f"a fault of the program ({type(error).__name__} at {last.name}, line {last.lineno})")
            finally:
                if client is not None:
                    client.close()
                self._begin_again()
            self._pause(pause_s)
            pause_s = min(pause_s * 2, RETRY_S[1])

    def _pause(self, seconds: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closing, seconds)

    def _begin_again(self) -> None:
        """What the last client read, another goes on with; members of a group have lost all."""
        with self._changed:
            self._topic = None
            if self._is_member:
                self.lost(list(self._partitions))
            for partition in self._partitions.values():
                partition.begin_again()

    def _serve(self, client: Client) -> None:
        """Read for as long as the worker wants to. A client that was connected once finds its brokers again by itself."""
        pause_s, asked_at = RETRY_S[0], 0.0
        has_joined = False
        while not self._closing:
            try:
                if time.monotonic() - asked_at >= TOPIC_S or self._topic is None:
                    self._look_at(client.topic(), client)
                    asked_at = time.monotonic()
                if self._is_member and not has_joined:
                    client.join(self)
                    has_joined = True
                brought = self._step(client)
                if 0 < brought < MUCH_BYTES and self._pace_s:
                    self._pause(self._pace_s)
            except Expelled:
                raise
            except Trouble as error:
                self._say(str(error))
                self._pause(pause_s)
                pause_s = min(pause_s * 2, RETRY_S[1])
            else:
                self.stuck = client.stuck()
                self._say(None)
                pause_s = RETRY_S[0]

    def _step(self, client: Client) -> int:
        """Do what was asked for, and poll once; how many bytes of lines came."""
        with self._changed:
            ours = dict(self._partitions)
            commits, self._commits = self._commits, {}
            topic = self._topic
        assert topic is not None  # noqa: S101 - it was looked at
        share = self.settings.buffer_bytes_max // max(len(ours), 1)
        for partition in ours.values():
            partition.prepare(client, topic.id, share)
        if commits and self.address.group:
            client.commit(commits, self.lag.heard)
        events = client.poll(POLL_S)
        if (
            client.topic_id() != topic.id
        ):  # what came is another topic's: it is found out first, and read from its beginning
            self._topic = None
            for partition in ours.values():
                partition.begin_again()  # what was fetched is let go, and the client is past it
            return 0
        for number, what in events:
            if number in ours:
                ours[number].take(client, what, topic.id)
        for answer in client.answers():
            if answer.partition in ours:
                ours[answer.partition].answered(answer)
        return sum(len(what.data) for _, what in events if isinstance(what, Fetched))

    def _look_at(self, topic: Topic, client: Client) -> None:
        """Take note of the topic; without a group, of partitions that were added, unless what there was is read to its end."""
        with self._changed:
            before, self._topic = self._topic, topic
            self._first = topic.partitions if self._first is None else self._first
            self.partition_count = len(topic.partitions)
            self._changed.notify_all()
        if not self._is_member and (before is None or topic.partitions != before.partitions):
            wanted = topic.partitions & self._first if self._until_end else topic.partitions
            client.assign(wanted)
            self.assigned(sorted(wanted - set(self._partitions)))

    def _say(self, trouble: str | None) -> None:
        with self._changed:
            self.trouble = trouble
            if trouble is not None:
                self._changed.notify_all()
