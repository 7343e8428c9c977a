"""A consumer of topics that knows nothing of us."""

from __future__ import annotations

import contextlib

import kafka


def read(bootstrap: str, topic: str) -> list:
    """All records of a topic, from its beginning."""
    with contextlib.closing(kafka.KafkaConsumer(bootstrap_servers=bootstrap, group_id=None)) as consumer:
        parts = [kafka.TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or ())]
        consumer.assign(parts)
        ends = consumer.end_offsets(parts)
        consumer.seek_to_beginning(*parts)
        found = []
        while any(consumer.position(part) < ends[part] for part in parts):
            for records in consumer.poll(timeout_ms=500).values():
                found += records
        return found


def state(bootstrap: str, topic: str) -> dict[str, bytes]:
    """What stands at the end of a compacted topic, by key."""
    standing: dict[str, bytes] = {}
    for record in read(bootstrap, topic):
        if record.value is None:
            standing.pop(record.key.decode(), None)
        else:
            standing[record.key.decode()] = record.value
    return standing
