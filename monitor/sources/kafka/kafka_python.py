"""kafka-python as the client: its group membership, metadata and fetching, and our own reading of what is fetched.

kafka-python makes an object of every message, field by field. `read_records` reads a whole fetch at once instead: it is put in
place of the class by which the fetcher unpacks records. That, when a fetch was asked for, and what the group's coordinator knows of a
rebalance, are the inner parts that we rely on (tests say so when they change).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec
from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.subscription_state import AsyncConsumerRebalanceListener
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import (
    CorruptRecordError,
    GroupAuthorizationFailedError,
    KafkaError,
    KafkaTimeoutError,
    LogTruncationError,
    OffsetOutOfRangeError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)
from kafka.net.compat import KafkaNetClient
from kafka.net.selector import NetworkSelector
from kafka.structs import OffsetAndMetadata

from monitor.sources.kafka import client
from monitor.sources.kafka.client import (
    Answer,
    Bounds,
    Event,
    Expelled,
    Membership,
    Parted,
    Topic,
    Trouble,
    no_right_to_group,
    stands_at,
)
from monitor.sources.kafka.reaching import why_unreachable
from monitor.sources.kafka.records import Aborted, Fetched, read_records
from monitor.sources.kafka.settings import METADATA_S_MAX, Address, KafkaSettings

_AT_ONCE: Final = 64
"""Pieces of a fetch that one poll gives; each has up to `GROUP_BYTES_MAX` bytes of records."""

_RELEASE_LOOK_S: Final = 0.02

ANSWERS_MAX: Final = 10_000
"""Answers that wait to be asked about; the oldest go."""


class KafkaPythonClient:
    """A topic by way of kafka-python."""

    def __init__(self, address: Address, settings: KafkaSettings) -> None:
        self._topic = address.topic
        self._net: NetworkSelector | None = None
        self._cluster: Any = None
        options = options_of(address, settings)
        try:
            self._consumer = KafkaConsumer(**options, kafka_client=self._made)
        except KafkaTimeoutError as error:
            raise Trouble(why_unreachable(address, settings)) from error
        except (KafkaError, OSError, ValueError) as error:
            raise Trouble(_told(error)) from error
        self._address, self._settings = address, settings
        records = partial(_Records, message_bytes_max=settings.message_bytes_max)
        self._consumer._fetcher.PartitionRecords = records  # noqa: SLF001 - see the module
        self._answers = _Answers(self._consumer._fetcher)  # noqa: SLF001 - see the module
        self._heard: dict[int, float] = {}  # when something came of a partition last
        self._stuck: dict[int, str] = {}
        self._timeout_ms = int(settings.request_timeout_s * 1000)

    def _made(self, **configs: Any) -> KafkaNetClient:
        """The client below the consumer: whose loop waits, and who knows the cluster."""
        # That a task of its took long is told as a warning: but its loop shares this process with turns, and waits for them.
        self._net = NetworkSelector(**configs | {"slow_task_threshold_secs": 0})
        client = KafkaNetClient(net=self._net, **configs)
        self._cluster = client.cluster
        # The consumer's setting does not get this far (3.0.12): a topic that was deleted would be made again by who asks for it.
        self._cluster.config["allow_auto_create_topics"] = False
        return client

    def topic(self) -> Topic:
        """Ask the brokers for the topic."""
        self._cluster.add_topic(self._topic)
        self._wait(self._cluster.request_update())
        if self._topic in self._cluster.unauthorized_topics:
            raise Trouble(self._no_right())
        partitions = self._cluster.partitions_for_topic(self._topic)
        if not partitions:
            raise Trouble(self._no_topic())
        return Topic(self.topic_id(), frozenset(partitions))

    def topic_id(self) -> str:
        """What the last answer about the cluster says; after a fetch has failed there is always a new one."""
        return str(self._cluster.topic_id(self._topic) or "")

    def _wait(self, future: Any) -> None:
        until = time.monotonic() + self._timeout_ms / 1000
        while not future.is_done:
            if time.monotonic() > until:
                raise Trouble(why_unreachable(self._address, self._settings))
            time.sleep(0.005)
        if future.failed():
            if isinstance(future.exception, UnknownTopicOrPartitionError):
                raise Trouble(self._no_topic())
            if isinstance(future.exception, TopicAuthorizationFailedError):
                raise Trouble(self._no_right())
            raise Trouble(_told(future.exception))

    def _no_right(self) -> str:
        return f"no right to read topic {self._topic}: grant this user Describe and Read on it"

    def _no_topic(self) -> str:
        return f"there is no topic {self._topic}, or none that this user may see"

    def bounds(self, partition: int) -> Bounds:
        """Ask the leader for the first and the last offset."""
        one = TopicPartition(self._topic, partition)
        with _troubles():
            begin = self._consumer.beginning_offsets([one], self._timeout_ms)[one]
            return Bounds(begin, self._consumer.end_offsets([one], self._timeout_ms)[one])

    def join(self, membership: Membership) -> None:
        """Become a member of the group."""
        assert self._net is not None  # noqa: S101 - the consumer has made it
        self._consumer.subscribe([self._topic], listener=_Listener(self._consumer, membership, self._net))

    def assign(self, partitions: Collection[int]) -> None:
        """Read these partitions without a group; new ones wait until they are sought."""
        wanted = [TopicPartition(self._topic, number) for number in sorted(partitions)]
        added = set(wanted) - self._consumer.assignment()
        self._consumer.assign(wanted)
        self._consumer.pause(*added)
        _place(self._consumer, added)

    def seek(self, partition: int, offset: int, leader_epoch: int) -> None:
        """Go on at an offset; what was fetched before is dropped."""
        one = TopicPartition(self._topic, partition)
        if one in self._consumer.assignment():
            place = OffsetAndMetadata(offset, "", leader_epoch)
            self._consumer._subscription.seek(one, place)  # noqa: SLF001 - the public one takes no epoch

    def pause(self, partitions: Collection[int]) -> None:
        """Fetch nothing of these partitions for a while."""
        self._consumer.pause(*self._ours(partitions))

    def resume(self, partitions: Collection[int]) -> None:
        """Fetch them again."""
        self._consumer.resume(*self._ours(partitions))

    def _ours(self, partitions: Collection[int]) -> list[TopicPartition]:
        there = self._consumer.assignment()
        return [one for number in partitions if (one := TopicPartition(self._topic, number)) in there]

    def poll(self, wait_s: float) -> Sequence[Event]:
        """What was fetched, and what parts us from it."""
        self._finish_joining()
        self._notice_silence()
        try:
            found = self._consumer.poll(int(wait_s * 1000), _AT_ONCE)
        except OffsetOutOfRangeError as error:
            return [Event(one.partition, Parted()) for one in error.args[0]]
        except LogTruncationError as error:
            return [_parted(one, place) for one, place in error.divergent_offsets.items()]
        except TopicAuthorizationFailedError as error:
            raise Trouble(self._no_right()) from error
        except CorruptRecordError:
            found = {}  # of one partition, which is not named: it stands still, and the others go on
        except (KafkaError, OSError) as error:
            raise Trouble(self._why(error)) from error
        self._look_for_stuck(one.partition for one in found)
        return [Event(one.partition, fetched) for one, pieces in found.items() for fetched in pieces]

    def stuck(self) -> Mapping[int, str]:
        """As it was found when it was looked last."""
        return self._stuck

    def _look_for_stuck(self, heard: Iterable[int]) -> None:
        """Of partitions of which nothing came for long, find those whose logs go on."""
        now = time.monotonic()
        for partition in heard:
            self._heard[partition] = now
            self._stuck.pop(partition, None)
        going = self._consumer.assignment() - self._consumer.paused()
        self._heard = {one.partition: self._heard.get(one.partition, now) for one in going}
        for one in going:
            if now - self._heard[one.partition] < client.STALL_S:
                continue
            self._heard[one.partition] = now
            place, bounds = self._consumer.position(one), self.bounds(one.partition)
            if place is not None and bounds.begin <= place < bounds.end:
                self._stuck = {**self._stuck, one.partition: stands_at(place, bounds.end)}

    def _finish_joining(self) -> None:
        """Have a rebalance that was begun come to its end.

        Where it was begun for what the cluster tells of the topic, and a poll ends while it is under way, the coordinator (3.0.12)
        takes it for unnecessary from then on: the member would hear of no partition any more, send no heartbeat, and take itself for
        the owner of what others have long been given.
        """
        coordinator = self._consumer._coordinator  # noqa: SLF001 - nobody else knows
        if coordinator is not None and coordinator.rejoining and not coordinator.need_rejoin():
            coordinator.request_rejoin()

    def _notice_silence(self) -> None:
        """Raise `Expelled` where no heartbeat was answered for longer than a session.

        The coordinator (3.0.12) looks for its broker again then, and takes itself for a member as long as it does not reach it: what
        others have been given would be fetched, and taken back from them, for as long as leaders of partitions answer.
        """
        coordinator = self._consumer._coordinator  # noqa: SLF001 - as above
        if coordinator is not None and coordinator.stable() and coordinator.heartbeat.session_timeout_expired():
            raise Expelled(
                f"the coordinator of group {self._address.group} has not answered for {self._settings.session_timeout_s:g} s"
            )

    def answers(self) -> Sequence[Answer]:
        """What came since the last call."""
        return self._answers.take()

    def end(self, partition: int) -> int | None:
        """The high water mark of the last fetch."""
        one = TopicPartition(self._topic, partition)
        return self._consumer.highwater(one) if one in self._consumer.assignment() else None

    def commit(self, offsets: Mapping[int, int], heard: Callable[[str | None], None]) -> None:
        """Tell the group's coordinator."""

        def answered(_told: object, answer: object) -> None:
            heard(self._why(answer) if isinstance(answer, BaseException) else None)

        told = {TopicPartition(self._topic, number): OffsetAndMetadata(at, "", -1) for number, at in offsets.items()}
        try:
            self._consumer.commit_async(told, callback=answered)
        except (KafkaError, AssertionError) as error:
            heard(self._why(error))

    def _why(self, error: BaseException) -> str:
        return no_right_to_group(self._address) if isinstance(error, GroupAuthorizationFailedError) else _told(error)

    def close(self) -> None:
        """Leave the group and hang up."""
        try:
            self._consumer.close(autocommit=False, timeout_ms=2000)
        except (KafkaError, OSError, RuntimeError):
            return


def _parted(one: TopicPartition, place: OffsetAndMetadata | None) -> Event:
    return Event(one.partition, Parted(is_truncated=True, end=None if place is None else place.offset))


def _place(consumer: KafkaConsumer, partitions: Collection[TopicPartition]) -> None:
    """Give partitions a place, so that nobody asks the group for one: where to go on is for our store to say."""
    for one in partitions:
        consumer.seek(one, 0)


class _Listener(AsyncConsumerRebalanceListener):  # type: ignore[misc]  # kafka-python has no types
    """Hears of rebalances on the client's own thread, and lets it go on beating while partitions are given up."""

    def __init__(self, consumer: KafkaConsumer, membership: Membership, net: NetworkSelector) -> None:
        self._consumer, self._membership, self._net = consumer, membership, net

    async def on_partitions_assigned(self, assigned: Collection[TopicPartition]) -> None:
        self._consumer.pause(*assigned)
        _place(self._consumer, assigned)
        self._membership.assigned([one.partition for one in assigned])

    async def on_partitions_revoked(self, revoked: Collection[TopicPartition]) -> None:
        numbers = [one.partition for one in revoked]
        self._membership.revoked(numbers)
        while not self._membership.is_released(numbers):
            await self._net.sleep(_RELEASE_LOOK_S)

    async def on_partitions_lost(self, lost: Collection[TopicPartition]) -> None:
        self._membership.lost([one.partition for one in lost])


class _Answers:
    """Hears of the fetcher's answers when they come, with the moment at which each was asked for."""

    def __init__(self, fetcher: Any) -> None:
        self._fetcher = fetcher
        self._ends: dict[int, int] = {}
        self._heard: deque[Answer] = deque(maxlen=ANSWERS_MAX)
        self._handled = fetcher._handle_fetch_response  # noqa: SLF001 - see the module
        fetcher._handle_fetch_response = self._handle  # noqa: SLF001

    def _handle(self, node_id: Any, fetch_offsets: Mapping[TopicPartition, int], asked: float, response: Any) -> None:
        self._handled(node_id, fetch_offsets, asked, response)
        told = {one.partition_index: one for topic in response.responses for one in topic.partitions}
        self._ends |= {number: one.high_watermark for number, one in told.items() if not one.error_code}
        others = (
            {one.partition for one in fetch_offsets} - told.keys() if self._is_of_changes(node_id, response) else ()
        )
        for number in (*(number for number, one in told.items() if not one.error_code), *others):
            if number in self._ends:
                self._heard.append(Answer(number, asked, self._ends[number]))

    def _is_of_changes(self, node_id: Any, response: Any) -> bool:
        """Whether a partition of which nothing is said is as it was (KIP-227): where the session goes on, and the answer was not put off."""
        session = self._fetcher._session_handlers.get(node_id)  # noqa: SLF001 - see the module
        return session is not None and session.next_metadata.epoch > 0 and not response.throttle_time_ms

    def take(self) -> list[Answer]:
        return [self._heard.popleft() for _ in range(len(self._heard))]


class _Records:
    """In place of `Fetcher.PartitionRecords`: what one fetch brought of one partition, given as `Fetched`."""

    def __init__(
        self,
        fetch_offset: int,
        tp: TopicPartition,
        records: Any,
        key_deserializer: object = None,  # noqa: ARG002 - the fetcher's own call
        value_deserializer: object = None,  # noqa: ARG002
        check_crcs: bool = True,  # noqa: ARG002
        isolation_level: object = None,  # noqa: ARG002 - always read_committed
        aborted_transactions: Sequence[Any] | None = None,
        metric_aggregator: Any = None,
        on_drain: Any = lambda _records: None,
        *,
        message_bytes_max: int,
    ) -> None:
        self.topic_partition = tp
        self.next_fetch_offset = fetch_offset
        self.leader_epoch = -1
        self.bytes_read = records.size_in_bytes()
        self.records_read = 0
        self._metrics, self._on_drain = metric_aggregator, on_drain
        taken_back = sorted((one.first_offset, one.producer_id) for one in aborted_transactions or ())
        buffer = records._buffer  # noqa: SLF001 - it tells its batches one by one, and stops at one that is corrupt
        # The fetcher takes a first batch that says it is longer than the fetch for an error of the whole client, for ever.
        records._next_slice = memoryview(buffer)  # noqa: SLF001 - what is whole of it is for us to say
        self._read: Iterator[Fetched] | None = read_records(
            buffer, fetch_offset, Aborted(taken_back), message_bytes_max=message_bytes_max
        )

    def __bool__(self) -> bool:
        return self._read is not None

    def take(self, n: int | None = None) -> list[Fetched]:
        """The next pieces; the fetcher asks again until there are none."""
        found: list[Fetched] = []
        while self._read is not None and (n is None or len(found) < n):
            piece = next(self._read, None)
            if piece is None:
                self.drain()
                break
            piece = msgspec.structs.replace(piece, start=self.next_fetch_offset)
            self.next_fetch_offset = piece.next_offset
            self.leader_epoch = piece.leader_epoch if piece.leader_epoch >= 0 else self.leader_epoch
            self.records_read += len(piece.offsets)
            found.append(piece)
        return found

    def drain(self) -> None:
        """All was taken, or nobody wants it any more."""
        if self._read is not None:
            self._read = None
            if self._metrics:
                self._metrics.record(self.topic_partition, self.bytes_read, self.records_read)
            self._on_drain(self)


class _troubles:  # noqa: N801 - read as a word of the language
    """What the client raises is told as `Trouble`."""

    def __enter__(self) -> None:
        return

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, KafkaTimeoutError):
            raise Trouble("no broker answers in time") from error
        if isinstance(error, (KafkaError, OSError, ValueError)):
            raise Trouble(_told(error)) from error


def _told(error: BaseException) -> str:
    name = type(error).__name__.removesuffix("Error")
    return f"{name}: {error}" if str(error) else name


def options_of(address: Address, settings: KafkaSettings) -> dict[str, Any]:
    """A consumer's, of kafka-python."""
    options: dict[str, Any] = {
        "bootstrap_servers": list(address.brokers),
        "client_id": "miniwatch",
        "group_id": address.group or None,
        "group_instance_id": (address.group and settings.group_instance_id) or None,
        "partition_assignment_strategy": [CooperativeStickyAssignor],
        "enable_auto_commit": False,
        "auto_offset_reset": "none",
        "isolation_level": "read_committed",
        "allow_auto_create_topics": False,
        "check_crcs": True,
        "metrics_enabled": False,
        "fetch_max_bytes": settings.fetch_bytes_max,
        "max_partition_fetch_bytes": settings.partition_fetch_bytes_max,
        "fetch_max_wait_ms": settings.fetch_wait_ms,
        "session_timeout_ms": int(settings.session_timeout_s * 1000),
        "heartbeat_interval_ms": max(int(settings.session_timeout_s * 1000) // 10, 1),
        "max_poll_interval_ms": int(settings.poll_interval_s_max * 1000),
        "request_timeout_ms": int(settings.request_timeout_s * 1000),
        "bootstrap_timeout_ms": int(settings.request_timeout_s * 1000),
        "metadata_max_age_ms": int(METADATA_S_MAX * 1000),
        "reconnect_backoff_max_ms": 2000,
    }
    return options | security_of(settings)


def security_of(settings: KafkaSettings) -> dict[str, Any]:
    """Encryption and who we are, as kafka-python wants to be told."""
    secured: dict[str, Any] = {"security_protocol": settings.security_protocol}
    if settings.tls:
        secured |= {"ssl_context": settings.tls_context(), "ssl_check_hostname": True}
    if settings.sasl_mechanism:
        secured |= {
            "sasl_mechanism": settings.sasl_mechanism,
            "sasl_plain_username": settings.sasl_user,
            "sasl_plain_password": settings.sasl_password,
        }
    return secured
