"""How much of a topic lies behind the positions that the record accounts for: asked of the brokers, for whoever wants to know it now."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing

import msgspec

from monitor.sources import Position
from monitor.sources.kafka.checking import TIMEOUT_S
from monitor.sources.kafka.feed import Cursor
from monitor.sources.kafka.kafka_python import KafkaPythonClient
from monitor.sources.kafka.settings import Address, KafkaSettings
from monitor.sources.messages import MESSAGE_BITS


def unread_messages(address: Address, settings: KafkaSettings, positions: Mapping[int, Position]) -> Mapping[int, int]:
    """Messages of each of the topic's partitions that were not read yet; raises `Trouble`.

    Of a partition without a position that is all it holds; so it is where the topic was made again since.
    """
    quick = msgspec.structs.replace(settings, request_timeout_s=min(settings.request_timeout_s, TIMEOUT_S))
    with closing(KafkaPythonClient(msgspec.structs.replace(address, group=""), quick)) as client:
        topic = client.topic()
        found = {}
        for number in sorted(topic.partitions):
            begin, end = client.bounds(number)
            found[number] = end - max(begin, _next_offset(positions.get(number), topic.id))
        return found


def _next_offset(position: Position | None, topic: str) -> int:
    """The offset that is to be read next in this topic."""
    if position is None:
        return 0
    cursor = msgspec.json.decode(position.cursor or b"{}", type=Cursor)
    return (position.end >> MESSAGE_BITS) - cursor.base if cursor.topic in {"", topic} else 0
