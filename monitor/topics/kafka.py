"""A topic of a Kafka cluster, by kafka-python: an idempotent producer that waits for all replicas in sync.

The producer is made anew after every trouble, so that nothing of before is still on its way by itself.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any, Final

from kafka import KafkaConsumer, KafkaProducer, TopicPartition, errors
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient, NewTopic

from monitor.config.topics import TopicKeys
from monitor.sources.kafka.kafka_python import security_of
from monitor.sources.kafka.settings import KafkaSettings
from monitor.topics import Item, Outcome, Published, Refused, Taken, TopicTrouble

RECONNECT_MS: Final = 2_000
"""At most so long after a broker is back it is found again; by default the client would leave it alone for up to half a minute, and with it all that waits to be sent."""

REQUEST_MS: Final = 10_000
BOOTSTRAP_MS: Final = 5_000
"""How long any of the brokers named may take to answer."""

DELIVERY_MS: Final = 20_000
"""How long one record may be on its way, tries of the client's own included."""

AGAIN_S: Final = 0.2
"""How often it is asked again for a topic that was made just now."""

LINGER_MS: Final = 100
"""Records wait so long for others to go with them, or until all are handed over, which is sooner."""

FLUSH_S: Final = 30.0
LET_GO_S: Final = 2.0
"""How long a producer may take to end once it is not to wait for anybody."""

METADATA_MS: Final = 10_000
READ_ROWS: Final = 5000
READ_QUIET_S_MAX: Final = 30.0
"""When nothing came for so long, a topic cannot be read now."""

_UNKNOWN_TOPIC: Final = 3
_EXISTS: Final = 36
_FINAL: Final = (errors.MessageSizeTooLargeError, errors.RecordListTooLargeError, errors.InvalidRecordError)
_LASTING: Final = (
    errors.AuthorizationError,
    errors.SaslAuthenticationFailedError,
    errors.UnsupportedSaslMechanismError,
    errors.InvalidTopicError,
    errors.PolicyViolationError,
    ssl.SSLCertVerificationError,
)
_MESSAGE_BYTES_SHOWN: Final = 300


def connection(brokers: Sequence[str], settings: KafkaSettings) -> dict[str, Any]:
    """How a client of kafka-python reaches the brokers; raises `OSError` where a file of TLS cannot be used."""
    return {
        "bootstrap_servers": list(brokers),
        "client_id": "miniwatch",
        "bootstrap_timeout_ms": BOOTSTRAP_MS,
        "request_timeout_ms": REQUEST_MS,
        "reconnect_backoff_max_ms": RECONNECT_MS,
        **security_of(settings),
    }


def make(admin: KafkaAdminClient, wanted: NewTopic) -> None:
    """Have a topic that is not there; who may not make it takes it as it is. Raises `KafkaError`.

    Asking for one that is not there can make it as the brokers like; so it is made first, as it must be.
    """
    (made,) = admin.create_topics([wanted], raise_errors=False)["topics"]
    code = made["error_code"]
    if code not in {0, _EXISTS} and not issubclass(errors.for_code(code), errors.AuthorizationError):
        raise errors.for_code(code)(made["error_message"])


def described(admin: KafkaAdminClient, topic: str) -> Mapping[str, Any]:
    """What brokers tell of a topic, of one that was made just now as soon as they know of it; raises `KafkaError`."""
    ends = time.monotonic() + METADATA_MS / 1000
    while True:
        found: dict[str, Any] = admin.describe_topics([topic])[0]
        code = found["error_code"]
        if not code and found["partitions"]:
            return found
        if code not in {0, _UNKNOWN_TOPIC} or time.monotonic() > ends:
            raise errors.for_code(code or _UNKNOWN_TOPIC)
        time.sleep(AGAIN_S)


class KafkaTopic:
    """One topic. One of decisions must be compacted: of every key its last value is kept for good."""

    def __init__(self, keys: TopicKeys, settings: KafkaSettings) -> None:
        self._keys = keys
        self._topic = keys.topic
        self._is_compacted = keys.of == "decisions"
        self._settings = settings
        self._producer: KafkaProducer | None = None

    def check(self) -> str:
        with _told(), closing(KafkaAdminClient(**self._connection())) as admin:
            try:
                make(admin, self._wanted())
            except errors.KafkaError as error:
                raise trouble_of(error, f"topic {self._topic} could not be made") from error
            try:
                found = described(admin, self._topic)
            except errors.KafkaError as error:
                raise trouble_of(error, f"topic {self._topic}") from error
            if self._is_compacted:
                self._check_policy(admin)
            return str(found["topic_id"])

    def _wanted(self) -> NewTopic:
        return NewTopic(
            self._topic,
            num_partitions=self._keys.partitions,
            replication_factor=self._keys.replicas or -1,
            topic_configs={"cleanup.policy": "compact"} if self._is_compacted else {},
        )

    def _check_policy(self, admin: KafkaAdminClient) -> None:
        asked = [ConfigResource(ConfigResourceType.TOPIC, self._topic)]
        try:
            policy = admin.describe_configs(asked, config_filter="all")["topic"][self._topic]["cleanup.policy"]["value"]
        except (errors.AuthorizationError, KeyError):
            return  # who may not look takes it on trust
        if policy != "compact":
            remedy = "set cleanup.policy=compact, or name another topic"
            raise TopicTrouble(
                f"topic {self._topic} forgets what is in force (cleanup.policy={policy}): {remedy}", lasting=True
            )

    def publish(self, items: Sequence[Item]) -> Published:
        sent: list[Any] = []
        trouble: TopicTrouble | None = None
        try:
            producer = self._opened()
            sent.extend(self._send(producer, item) for item in items)
            producer.flush(FLUSH_S)
        except (errors.KafkaError, OSError) as error:
            trouble = trouble_of(error, f"topic {self._topic}")
        outcomes: list[Outcome] = []
        for future in sent:
            outcome, why = _outcome(future)
            outcomes.append(outcome)
            if why is not None and trouble is None:
                trouble = trouble_of(why, f"topic {self._topic}")
        outcomes += [None] * (len(items) - len(sent))
        if trouble is not None:
            self._drop()
        return Published(outcomes, trouble)

    def _send(self, producer: KafkaProducer, item: Item) -> Any:
        try:
            return producer.send(
                self._topic,
                key=item.key.encode(),
                value=item.value,
                headers=[("idempotency-key", item.id.encode())],
            )
        except _FINAL as error:
            return Refused(_told_of(error))

    def held(self, stopping: Callable[[], bool]) -> Iterator[tuple[str, bytes | None]]:
        how = self._connection()
        with (
            _told(),
            closing(KafkaConsumer(**how, group_id=None, enable_auto_commit=False, check_crcs=True)) as consumer,
        ):
            found = consumer.partitions_for_topic(self._topic)
            if not found:
                raise TopicTrouble(f"topic {self._topic} is not there")
            partitions = [TopicPartition(self._topic, number) for number in sorted(found)]
            consumer.assign(partitions)
            ends = consumer.end_offsets(partitions)
            consumer.seek_to_beginning(*partitions)
            quiet = time.monotonic()
            while not stopping() and any(consumer.position(each) < ends[each] for each in partitions):
                read = consumer.poll(timeout_ms=500, max_records=READ_ROWS)
                if read:
                    quiet = time.monotonic()
                elif time.monotonic() - quiet > READ_QUIET_S_MAX:
                    raise TopicTrouble(f"topic {self._topic} gave nothing for {READ_QUIET_S_MAX:g} s")
                for records in read.values():
                    for record in records:
                        yield (record.key or b"").decode("utf-8", "replace"), record.value

    def close(self) -> None:
        self._drop()

    def _connection(self) -> dict[str, Any]:
        return connection(self._keys.brokers, self._settings)

    def _opened(self) -> KafkaProducer:
        if self._producer is None:
            self._producer = KafkaProducer(
                **self._connection(),
                acks="all",
                enable_idempotence=True,
                linger_ms=LINGER_MS,
                delivery_timeout_ms=DELIVERY_MS,
                max_block_ms=METADATA_MS,
                allow_auto_create_topics=False,
            )
        return self._producer

    def _drop(self) -> None:
        """Let go of the producer, with whatever it still holds."""
        if self._producer is not None:
            producer, self._producer = self._producer, None
            let_go(producer)


def let_go(producer: KafkaProducer) -> None:
    """End a producer, with whatever it still holds; raises nothing.

    `KafkaProducer.close` waits for what is on its way, raises where that does not come, and leaves its thread at work: that would bring later
    what is written again meanwhile. No public name ends it.
    """
    try:
        producer.close(timeout=0)
    except errors.KafkaError:
        producer._sender.force_close()  # noqa: SLF001 - see above
        producer._sender.join(LET_GO_S)  # noqa: SLF001
        with suppress(errors.KafkaError):
            producer.close(timeout=0)


def _outcome(future: Any) -> tuple[Outcome, BaseException | None]:
    """What became of one record, and what that says of the topic."""
    if isinstance(future, Refused):
        return future, None
    if not future.is_done:
        return None, errors.KafkaTimeoutError("no answer in time")
    if future.succeeded():
        return Taken(f"partition {future.value.partition}, offset {future.value.offset}"), None
    error = future.exception
    return (Refused(_told_of(error)), None) if isinstance(error, _FINAL) else (None, error)


@contextmanager
def _told() -> Iterator[None]:
    """Errors of the client as `TopicTrouble`."""
    try:
        yield
    except (errors.KafkaError, OSError) as error:
        raise trouble_of(error, "the brokers") from error


def trouble_of(error: BaseException, what: str) -> TopicTrouble:
    """An error of the client or the network in our words, and whether somebody has to mend something."""
    if isinstance(error, TopicTrouble):
        return error
    return TopicTrouble(f"{what}: {_told_of(error)}", lasting=isinstance(error, _LASTING))


def _told_of(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    return text if len(text) <= _MESSAGE_BYTES_SHOWN else text[:_MESSAGE_BYTES_SHOWN] + "…"
