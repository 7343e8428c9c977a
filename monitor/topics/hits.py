"""The topic of hits: partitions of a stream write to it what is counted among all of them (`monitor.partitions.sending`)."""

from __future__ import annotations

from contextlib import closing
from typing import Any, Final

from kafka import KafkaProducer, errors
from kafka.admin import KafkaAdminClient, NewTopic

from monitor.sources.kafka.settings import KafkaSettings
from monitor.stores import StoreError
from monitor.topics.kafka import DELIVERY_MS, connection, described, let_go, make, trouble_of

RETENTION_MS: Final = 7 * 86_400_000
"""How long hits stay: as long as a window's memory might have to be learnt again."""

WAIT_S: Final = 8.0
"""Longer than this nobody waits for brokers in one go, once for what they know and once for their answers: a turn that waits is to say so before
it is taken for dead (`http.alive_s_max`)."""


class HitsTopic:
    """Writes to explicit partitions, in order; made if it is not there. Errors are `StoreError`, to be tried again."""

    def __init__(self, brokers: tuple[str, ...], topic: str, partitions: int, settings: KafkaSettings) -> None:
        self._brokers = brokers
        self._topic = topic
        self._settings = settings
        self._producer: KafkaProducer | None = None
        self._sent: list[Any] = []
        self.partitions = self._made(partitions)

    def _made(self, partitions: int) -> int:
        """Make the topic; how many partitions it has."""
        wanted = NewTopic(
            self._topic, num_partitions=partitions, replication_factor=-1, topic_configs={"retention.ms": RETENTION_MS}
        )
        try:
            with closing(KafkaAdminClient(**connection(self._brokers, self._settings))) as admin:
                make(admin, wanted)
                return len(described(admin, self._topic)["partitions"])
        except (errors.KafkaError, OSError) as error:
            raise self._refusal(error) from error

    def write(self, partition: int, message: bytes) -> None:
        """Have a message on its way."""
        try:
            self._sent.append(self._opened().send(self._topic, value=message, partition=partition))
        except (errors.KafkaError, OSError) as error:
            self._drop()
            raise self._refusal(error) from error

    def flush(self) -> None:
        """Wait until all that was written is taken."""
        sent, self._sent = self._sent, []
        try:
            self._opened().flush(WAIT_S)
            for future in sent:
                if not future.is_done:
                    raise errors.KafkaTimeoutError("no answer in time")
                if not future.succeeded():
                    raise future.exception
        except (errors.KafkaError, OSError) as error:
            self._drop()
            raise self._refusal(error) from error

    def close(self) -> None:
        self._drop()

    def _opened(self) -> KafkaProducer:
        if self._producer is None:
            self._producer = KafkaProducer(
                **connection(self._brokers, self._settings),
                acks="all",
                enable_idempotence=True,
                delivery_timeout_ms=DELIVERY_MS,
                max_block_ms=int(WAIT_S * 1000),
                allow_auto_create_topics=False,
            )
        return self._producer

    def _drop(self) -> None:
        self._sent = []
        if self._producer is not None:
            producer, self._producer = self._producer, None
            let_go(producer)

    def _refusal(self, error: BaseException) -> StoreError:
        return StoreError(str(trouble_of(error, f"topic {self._topic}")), retryable=True)
