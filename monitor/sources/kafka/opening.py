"""From an address to a group: which client reads it is the address's word."""

# ruff: noqa: PLC0415 - a client is imported by those who read with it

from __future__ import annotations

import time
from functools import partial

from monitor.sources import Source, SourceError
from monitor.sources.kafka.client import Client, Trouble
from monitor.sources.kafka.group import POLL_S, Group
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
    address: Address, settings: KafkaSettings, *, until_end: bool = False, line_bytes_max: int = LINE_BYTES_MAX
) -> Group:
    """The partitions of a topic that are ours, from now on."""
    return Group(
        address, settings, lambda: client_of(address, settings), until_end=until_end, line_bytes_max=line_bytes_max
    )


def open_topic(
    address: Address,
    settings: KafkaSettings,
    *,
    until_end: bool = False,
    line_bytes_max: int = LINE_BYTES_MAX,
) -> list[Source]:
    """All partitions of a topic, for one process that reads them all; raises `SourceError` when no broker tells them in time.

    A topic that gets more partitions cannot be read on with these: each of them says so, for good, and all are there when
    it is opened again. Whoever closes the last of them hangs up.
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
        why = group.trouble or "none answers in time"
        group.close()
        raise SourceError(f"{group.name_of_topic}: {why}", retryable=True)
    open_ones = set(ours)

    def closed(partition: str) -> None:
        open_ones.discard(partition)
        if not open_ones:
            group.close()

    group.keep_to(ours)
    return [group.source(partition, partial(closed, partition)) for partition in ours]
