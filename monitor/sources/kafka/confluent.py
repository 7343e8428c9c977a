"""confluent-kafka as the client: librdkafka fetches, checks and unpacks in threads of its own, and gives messages one by one."""

from __future__ import annotations

import logging
import struct
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from confluent_kafka import (
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec

from monitor.sources.kafka import client
from monitor.sources.kafka.client import (
    Answer,
    Bounds,
    Event,
    Membership,
    Parted,
    Topic,
    Trouble,
    no_right_to_group,
    stands_at,
)
from monitor.sources.kafka.kafka_python import KafkaPythonClient
from monitor.sources.kafka.reaching import why_unreachable
from monitor.sources.kafka.records import Fetched, of_values
from monitor.sources.kafka.settings import METADATA_S_MAX, Address, KafkaSettings

_AT_ONCE: Final = 20_000
"""Messages taken at a time, at most; how many bytes they may have is bounded by the client's queues."""

FRESH_S: Final = 1.0
"""So long after fetching begins, what the client last heard of an end counts as new."""

_RELEASE_LOOK_S: Final = 0.02
_NOBODY: Final = "miniwatch"  # a group that is never joined: the client wants a name
_PARTED: Final = {KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE}  # noqa: SLF001 - how it names its own
_CORRUPT: Final = {
    KafkaError._BAD_MSG,  # noqa: SLF001
    KafkaError._BAD_COMPRESSION,  # noqa: SLF001
    KafkaError._UNDERFLOW,  # noqa: SLF001
    KafkaError._NOT_IMPLEMENTED,  # noqa: SLF001 - a compression that nobody knows
    KafkaError.INVALID_MSG,
    KafkaError.MSG_SIZE_TOO_LARGE,
}


class ConfluentClient:
    """A topic by way of confluent-kafka."""

    def __init__(self, address: Address, settings: KafkaSettings) -> None:
        self._topic = address.topic
        self._message_bytes_max = settings.message_bytes_max
        self._timeout_s = settings.request_timeout_s
        self._address, self._settings = address, settings
        self._polled = 0.0
        self._fetched_since: dict[int, float] = {}
        self._places: dict[int, int] = {}
        self._heard: dict[int, float] = {}  # when something came of a partition last
        self._paused: set[int] = set()
        self._spoilt: set[int] = set()
        self._stuck: dict[int, str] = {}
        self._looked: dict[int, float] = {}  # when it was tried last to read what this client cannot
        self._trouble: str | None = None
        self._id = ""
        self._commit_heard: Callable[[str | None], None] = lambda _error: None
        connection = connection_of(address, settings) | {"error_cb": self._hear}
        try:
            self._admin = AdminClient(connection, logger=_SILENT)
            options = _options(address, settings) | connection | {"on_commit": self._committed}
            self._consumer = Consumer(options, logger=_SILENT)
        except (KafkaException, ValueError) as error:
            raise Trouble(_told(error)) from error

    def _hear(self, error: KafkaError) -> None:
        """What is wrong with brokers or with our right to speak to them; the client goes on trying."""
        if error.code() in {KafkaError._ALL_BROKERS_DOWN, KafkaError._AUTHENTICATION, KafkaError._SSL}:  # noqa: SLF001
            self._trouble = error.str()

    def topic(self) -> Topic:
        """Ask the brokers for the topic."""
        asked = self._admin.describe_topics(TopicCollection([self._topic]), request_timeout=self._timeout_s)
        try:
            found = asked[self._topic].result()
        except KafkaException as error:
            code = error.args[0].code()
            if code == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise Trouble(f"there is no topic {self._topic}, or none that this user may see") from error
            if code == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                raise Trouble(
                    f"no right to read topic {self._topic}: grant this user Describe and Read on it"
                ) from error
            if code in {KafkaError._TIMED_OUT, KafkaError._TRANSPORT}:  # noqa: SLF001
                raise Trouble(why_unreachable(self._address, self._settings)) from error
            raise Trouble(self._trouble or _told(error)) from error
        self._trouble = None
        high, low = found.topic_id.get_most_significant_bits(), found.topic_id.get_least_significant_bits()
        self._id = str(uuid.UUID(bytes=struct.pack(">qq", high, low)))  # as the other client writes it
        return Topic(self._id, frozenset(one.id for one in found.partitions))

    def topic_id(self) -> str:
        """As it was told last."""
        return self._id

    def bounds(self, partition: int) -> Bounds:
        """Ask the leader for the first and the last offset."""
        one = TopicPartition(self._topic, partition)
        found = []
        for which in (OffsetSpec.earliest(), OffsetSpec.latest()):
            asked = self._admin.list_offsets(
                {one: which}, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=self._timeout_s
            )
            try:
                found.append(asked[one].result().offset)
            except KafkaException as error:
                raise Trouble(_told(error)) from error
        return Bounds(*found)

    def join(self, membership: Membership) -> None:
        """Become a member of the group."""

        def assigned(consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
            numbers = [one.partition for one in partitions]
            self._begin(consumer, numbers)
            membership.assigned(numbers)

        def revoked(consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
            numbers = [one.partition for one in partitions]
            membership.revoked(numbers)
            while not membership.is_released(numbers):
                time.sleep(_RELEASE_LOOK_S)
            self._leave(consumer, numbers)

        def lost(consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
            numbers = [one.partition for one in partitions]
            membership.lost(numbers)
            self._leave(consumer, numbers)

        self._consumer.subscribe([self._topic], on_assign=assigned, on_revoke=revoked, on_lost=lost)

    def _begin(self, consumer: Consumer, numbers: Collection[int]) -> None:
        """Have partitions, without fetching from them yet: where is for our store to say."""
        ours = [TopicPartition(self._topic, number, 0) for number in numbers]
        consumer.incremental_assign(ours)
        consumer.pause(ours)

    def _leave(self, consumer: Consumer, numbers: Collection[int]) -> None:
        for number in numbers:
            self._places.pop(number, None)
            self._heard.pop(number, None)
        consumer.incremental_unassign([TopicPartition(self._topic, number) for number in numbers])

    def assign(self, partitions: Collection[int]) -> None:
        """Read these partitions without a group; new ones wait until they are sought."""
        have = {one.partition for one in self._consumer.assignment()}
        with _troubles():
            self._begin(self._consumer, sorted(set(partitions) - have))

    def seek(self, partition: int, offset: int, leader_epoch: int) -> None:
        """Go on at an offset; what was fetched before is dropped."""
        known = {"leader_epoch": leader_epoch} if leader_epoch >= 0 else {}
        place = TopicPartition(self._topic, partition, offset, **known)
        if partition not in {one.partition for one in self._consumer.assignment()}:
            return
        with _troubles():
            self._consumer.incremental_unassign([TopicPartition(self._topic, partition)])
            self._consumer.incremental_assign([place])
        self._places[partition], self._heard[partition] = offset, time.monotonic()
        self._fetched_since[partition] = time.monotonic()

    def pause(self, partitions: Collection[int]) -> None:
        """Fetch nothing of these partitions for a while."""
        with _troubles():
            self._consumer.pause(self._ours(partitions))
        self._paused |= set(partitions)

    def resume(self, partitions: Collection[int]) -> None:
        """Fetch them again."""
        with _troubles():
            self._consumer.resume(self._ours(partitions))
        self._paused -= set(partitions)
        self._heard |= dict.fromkeys(partitions, time.monotonic())
        self._fetched_since |= dict.fromkeys(partitions, time.monotonic())

    def _ours(self, partitions: Collection[int]) -> list[TopicPartition]:
        there = {one.partition for one in self._consumer.assignment()}
        return [TopicPartition(self._topic, number) for number in partitions if number in there]

    def answers(self) -> Sequence[Answer]:
        """Where logs ended when the last poll began, less the longest that an answer takes where nothing new is there.

        librdkafka does not tell when it asked: an answer that was under way for longer, as from a leader that hangs, counts as younger than it
        is. Of partitions that are paused, or were until just now, nothing is known.
        """
        asked = self._polled - self._settings.fetch_wait_ms / 1000
        known = (
            number
            for number in self._places
            if number not in self._paused and self._fetched_since[number] < asked - FRESH_S
        )
        ends = ((number, self.end(number)) for number in known)
        return [Answer(number, asked, end) for number, end in ends if end is not None]

    def poll(self, wait_s: float) -> Sequence[Event]:
        """What came, partition by partition."""
        self._polled = time.monotonic()
        if self._trouble is not None:
            told, self._trouble = self._trouble, None
            raise Trouble(told)
        try:
            messages = self._consumer.consume(1, wait_s)
            if messages:
                messages += self._consumer.consume(_AT_ONCE, 0)
        except KafkaException as error:
            raise Trouble(_told(error)) from error
        if not messages:
            return self._stalled()
        numbers = [message.partition() for message in messages]
        self._heard |= dict.fromkeys(numbers, time.monotonic())
        if len(set(numbers)) == 1:
            return self._events(numbers[0], messages)
        apart: dict[int, list[Message]] = {}
        for number, message in zip(numbers, messages, strict=True):
            apart.setdefault(number, []).append(message)
        return [event for number, own in apart.items() for event in self._events(number, own)]

    def _events(self, partition: int, messages: Sequence[Message]) -> list[Event]:
        """Messages and errors of a partition, in their order."""
        errors = [place for place, message in enumerate(messages) if message.error() is not None]
        found: list[Event] = []
        begun = 0
        for place in [*errors, len(messages)]:
            if place > begun:
                found.append(Event(partition, self._fetched(partition, messages[begun:place])))
            if place < len(messages):
                told = self._error(partition, messages[place])
                found += [] if told is None else [Event(partition, told)]
                if partition in self._spoilt:
                    self._spoilt.discard(partition)
                    return found + self._read_otherwise(partition)
            begun = place + 1
        return found

    def _fetched(self, partition: int, messages: Sequence[Message]) -> Fetched:
        offsets = np.fromiter((message.offset() for message in messages), np.int64, len(messages))
        times = np.fromiter((message.timestamp()[1] for message in messages), np.int64, len(messages))
        values = [message.value() for message in messages]
        after = int(offsets[-1]) + 1
        self._stuck = {one: why for one, why in self._stuck.items() if one != partition}
        start, self._places[partition] = self._places.get(partition, -1), after
        epoch = messages[-1].leader_epoch()
        fetched = of_values(
            values,
            offsets,
            times,
            after,
            leader_epoch=-1 if epoch is None else epoch,
            message_bytes_max=self._message_bytes_max,
        )
        return msgspec.structs.replace(fetched, start=start)

    def _error(self, partition: int, message: Message) -> Fetched | Parted | None:
        error = message.error()
        code, offset = error.code(), message.offset()
        offset = -1 if offset is None else offset
        if code == KafkaError._PARTITION_EOF:  # noqa: SLF001
            self._places[partition] = max(offset, self._places.get(partition, 0))
            return Fetched(next_offset=self._places[partition])
        if code in _PARTED:
            return Parted()
        if code == KafkaError._LOG_TRUNCATION:  # noqa: SLF001
            return Parted(is_truncated=True)
        if code in _CORRUPT:
            self._spoilt.add(partition)
        else:
            self._trouble = self._why(error)
        return None

    def _read_otherwise(self, partition: int) -> list[Event]:
        """What this client cannot read, by the other one: it says how far what is spoilt goes, and this one goes on there.

        librdkafka tells of a wrong checksum with its batch's first offset alone; of records that lie it tells nothing, and asks for
        them again for ever.
        """
        begun = self._places[partition]
        if partition in self._stuck and time.monotonic() - self._looked[partition] < client.STALL_S:
            return []
        self._looked[partition] = time.monotonic()
        other = KafkaPythonClient(msgspec.structs.replace(self._address, group=""), self._settings)
        try:
            other.assign([partition])
            other.seek(partition, begun, -1)
            other.resume([partition])
            until = time.monotonic() + self._timeout_s
            found: list[Event] = []
            while not found and time.monotonic() < until:
                found = list(other.poll(_RELEASE_LOOK_S))
        finally:
            other.close()
        if not found and (end := self.bounds(partition).end) > begun:
            self._stuck = {**self._stuck, partition: stands_at(begun, end)}
        ends = [event.what.next_offset for event in found if isinstance(event.what, Fetched)]
        self.seek(partition, max(ends, default=begun), -1)
        return found

    def _stalled(self) -> list[Event]:
        """Partitions of which nothing comes though there is something."""
        now, found = time.monotonic(), list[Event]()
        for partition, heard in list(self._heard.items()):
            if now - heard < client.STALL_S or partition in self._paused or partition not in self._places:
                continue
            self._heard[partition] = now
            place = self._places[partition]
            if (self.end(partition) or 0) > place and self.bounds(partition).end > place:
                found += self._read_otherwise(partition)
        return found

    def stuck(self) -> Mapping[int, str]:
        """Those of which the other client got nothing either."""
        return self._stuck

    def end(self, partition: int) -> int | None:
        """The high water mark, as the client last heard of it."""
        try:
            found = self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), cached=True)
        except KafkaException:
            return None
        return None if found is None or found[1] < 0 else int(found[1])

    def commit(self, offsets: Mapping[int, int], heard: Callable[[str | None], None]) -> None:
        """Tell the group's coordinator."""
        self._commit_heard = heard
        told = [TopicPartition(self._topic, number, at) for number, at in offsets.items()]
        try:
            self._consumer.commit(offsets=told, asynchronous=True)
        except KafkaException as error:
            heard(self._why(error.args[0]))

    def _committed(self, error: KafkaError | None, places: Sequence[TopicPartition]) -> None:
        """What the coordinator answers, as a whole or of one of the places."""
        errors = [one for one in (error, *(place.error for place in places)) if one is not None]
        self._commit_heard(self._why(errors[0]) if errors else None)

    def _why(self, error: KafkaError) -> str:
        is_refused = error.code() == KafkaError.GROUP_AUTHORIZATION_FAILED
        return no_right_to_group(self._address) if is_refused else error.str()

    def close(self) -> None:
        """Leave the group and hang up."""
        try:
            self._consumer.close()
        except (KafkaException, RuntimeError):
            return


class _troubles:  # noqa: N801 - read as a word of the language
    """What the client raises is told as `Trouble`."""

    def __enter__(self) -> None:
        return

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, (KafkaException, ValueError)):
            raise Trouble(_told(error)) from error


def _told(error: BaseException) -> str:
    first = error.args[0] if error.args else error
    return first.str() if isinstance(first, KafkaError) else str(error)


_SILENT: Final = logging.getLogger("monitor.sources.kafka.confluent")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False


def connection_of(address: Address, settings: KafkaSettings) -> dict[str, Any]:
    """How brokers are reached and who we are, as librdkafka wants to be told."""
    found: dict[str, Any] = {
        "bootstrap.servers": ",".join(address.brokers),
        "client.id": "miniwatch",
        "security.protocol": settings.security_protocol,
        "socket.timeout.ms": int(settings.request_timeout_s * 1000),
        "reconnect.backoff.max.ms": 2000,
        "topic.metadata.refresh.interval.ms": int(METADATA_S_MAX * 1000),
        "allow.auto.create.topics": False,
    }
    if settings.tls:
        found |= {"ssl.endpoint.identification.algorithm": "https", "enable.ssl.certificate.verification": True}
        files = {
            "ssl.ca.location": settings.tls_ca,
            "ssl.certificate.location": settings.tls_certificate,
            "ssl.key.location": settings.tls_key or settings.tls_certificate,
        }
        found |= {name: path for name, path in files.items() if path}
    if settings.sasl_mechanism:
        found |= {
            "sasl.mechanism": settings.sasl_mechanism,
            "sasl.username": settings.sasl_user,
            "sasl.password": settings.sasl_password,
        }
    return found


def _options(address: Address, settings: KafkaSettings) -> dict[str, Any]:
    options: dict[str, Any] = {
        "group.id": address.group or _NOBODY,
        "partition.assignment.strategy": "cooperative-sticky",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "error",
        "isolation.level": "read_committed",
        "check.crcs": True,
        "fetch.max.bytes": settings.fetch_bytes_max,
        "max.partition.fetch.bytes": settings.partition_fetch_bytes_max,
        "receive.message.max.bytes": settings.fetch_bytes_max + settings.partition_fetch_bytes_max + (1 << 20),
        "queued.max.messages.kbytes": max(settings.buffer_bytes_max >> 10, 1),
        "queued.min.messages": 1_000_000,
        "fetch.wait.max.ms": settings.fetch_wait_ms,
        "session.timeout.ms": int(settings.session_timeout_s * 1000),
        "heartbeat.interval.ms": max(int(settings.session_timeout_s * 1000) // 10, 1),
        "max.poll.interval.ms": int(settings.poll_interval_s_max * 1000),
    }
    if settings.group_instance_id and address.group:
        options["group.instance.id"] = settings.group_instance_id
    return options
