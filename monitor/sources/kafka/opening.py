"""From an address to a group: which client reads it is the address's word."""

# ruff: noqa: PLC0415 - a client is imported by those who read with it

from __future__ import annotations

from monitor.sources.kafka.client import Client
from monitor.sources.kafka.group import Group
from monitor.sources.kafka.settings import Address, KafkaSettings
from monitor.sources.lines import LINE_BYTES_MAX


def client_of(address: Address, settings: KafkaSettings) -> Client:
    """A client of the kind that the address names; raises `Trouble`."""
    from monitor.sources.kafka.kafka_python import KafkaPythonClient

    return KafkaPythonClient(address, settings)


def open_group(
    address: Address, settings: KafkaSettings, *, until_end: bool = False, line_bytes_max: int = LINE_BYTES_MAX
) -> Group:
    """The partitions of a topic that are ours, from now on."""
    return Group(
        address, settings, lambda: client_of(address, settings), until_end=until_end, line_bytes_max=line_bytes_max
    )
