"""From an address to a group: which client reads it is the address's word."""

# ruff: noqa: PLC0415 - a client is imported by those who read with it

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

from monitor.sources import Source, SourceError
from monitor.sources.kafka.client import Client, Trouble
from monitor.sources.kafka.group import PACE_S, POLL_S, Group
from monitor.sources.kafka.reaching import why_unreachable
from monitor.sources.kafka.settings import Address, KafkaSettings
from monitor.sources.lines import LINE_BYTES_MAX


def client_of(address: Address, settings: KafkaSettings) -> Client:
    """A client of the kind that the address names; raises `Trouble`."""
    if address.client == "confluent":
        try:
            from monitor.sources.kafka.confluent import ConfluentClient
        except ImportError as error:
            raise Trouble("client=confluent needs the extra: pip install 'miniwatch[confluent]'") from error
        return ConfluentClient(address, settings)
    from monitor.sources.kafka.kafka_python import KafkaPythonClient

    return KafkaPythonClient(address, settings)


def open_group(
    address: Address,
    settings: KafkaSettings,
    *,
    until_end: bool = False,
    line_bytes_max: int = LINE_BYTES_MAX,
    pace_s: float = PACE_S,
) -> Group:
    """The partitions of a topic that are ours, from now on."""
    return Group(
        address,
        settings,
        lambda: client_of(address, settings),
        until_end=until_end,
        line_bytes_max=line_bytes_max,
        pace_s=pace_s,
    )


class WholeTopic:
    """All partitions of a topic, for one process that reads them all. Whoever closes the last of its sources hangs up."""

    def __init__(self, group: Group, partitions: Sequence[str]) -> None:
        self._group = group
        self._open: set[str] = set()
        self.sources = self._sources(partitions)

    def added(self) -> list[Source]:
        """Partitions that were added since it was asked last: to be opened, and closed, with the others."""
        return self._sources(self._group.poll().assigned)

    def _sources(self, partitions: Sequence[str]) -> list[Source]:
        self._open.update(partitions)
        return [self._group.source(partition, partial(self._closed, partition)) for partition in partitions]

    def _closed(self, partition: str) -> None:
        self._open.discard(partition)
        if not self._open:
            self._group.close()


def open_topic(
    address: Address,
    settings: KafkaSettings,
    *,
    until_end: bool = False,
    line_bytes_max: int = LINE_BYTES_MAX,
) -> WholeTopic:
    """A topic for one process; raises `SourceError` when no broker tells its partitions in time.

    With `until_end` those that are added are not read: it ends where the topic ended.
    """
    group = Group(
        address,
        settings,
        lambda: client_of(address, settings),
        until_end=until_end,
        line_bytes_max=line_bytes_max,
        whole=True,
    )
    until = time.monotonic() + settings.request_timeout_s
    ours: tuple[str, ...] = ()
    while not ours and time.monotonic() < until:
        ours = group.poll(POLL_S).assigned
    if not ours:
        why = group.trouble or why_unreachable(address, settings)
        group.close()
        raise SourceError(f"{group.name_of_topic}: {why}", retryable=True)
    return WholeTopic(group, ours)
