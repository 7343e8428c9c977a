"""What a message costs from a real broker to a raw batch of lines: by kafka-python's own records, by ours, by confluent-kafka.

    tests/live/servers/servers start kafka
    python tests/bench/kafka_read.py BOOTSTRAP [--messages 400000] [--partitions 1 8] [--compression none lz4]

Messages are nested ECS events of about 650 bytes. CPU seconds are those of the reading process, all its threads; the
broker's are not among them. `poll()` is what kafka-python gives by itself, its values joined to lines as ours are.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.errors import TopicAlreadyExistsError

import monitor.sources.kafka.confluent
import monitor.sources.kafka.kafka_python  # noqa: F401 - loading the clients is no part of what is measured
from monitor.simulate import simulate
from monitor.sources.kafka.opening import open_topic
from monitor.sources.kafka.records import of_values
from monitor.sources.kafka.settings import Address, KafkaSettings

WAYS = ("poll()", "kafka-python", "confluent")
SETTINGS = KafkaSettings(buffer_bytes_max=64 << 20)


def main() -> None:
    """Measure every way in a process of its own, for every number of partitions and compression."""
    wanted = _arguments()
    if wanted.way:
        print(*_measured(wanted.bootstrap, wanted.topic, wanted.way))
        return
    print(f"{wanted.messages:,} messages; messages per CPU second, and per second, best of {wanted.rounds}")
    for compression in wanted.compression:
        for partitions in wanted.partitions:
            topic = _sent(wanted.bootstrap, wanted.messages, partitions, compression, wanted.batch_bytes)
            for way in WAYS:
                best = max(_alone(wanted.bootstrap, topic, way) for _ in range(wanted.rounds))
                print(
                    f"{compression:>6}  {partitions} partitions  {way:<13} {best[0]:>12,.0f} {best[1]:>12,.0f}",
                    flush=True,
                )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("bootstrap")
    parser.add_argument("--messages", type=int, default=400_000)
    parser.add_argument("--partitions", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--compression", nargs="+", default=["none", "lz4", "zstd", "snappy"])
    parser.add_argument(
        "--batch-bytes", type=int, default=256 << 10, help="a producer's batch; Java's default is 16384"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--topic", help=argparse.SUPPRESS)
    return parser.parse_args()


def _sent(bootstrap: str, messages: int, partitions: int, compression: str, batch_bytes: int) -> str:
    """A topic with so many events; made once."""
    topic = f"bench-{messages}-{partitions}-{compression}-{batch_bytes}"
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        admin.create_topics({topic: {"num_partitions": partitions, "replication_factor": 1}})
    except TopicAlreadyExistsError:
        return topic
    finally:
        admin.close()
    lines = b"".join(simulate(1, 20_000, apps=200)).splitlines()
    producer = KafkaProducer(
        bootstrap_servers=bootstrap,
        compression_type=None if compression == "none" else compression,
        batch_size=batch_bytes,
        linger_ms=50,
    )
    for number in range(messages):
        producer.send(topic, lines[number % len(lines)], partition=number % partitions)
    producer.close()
    return topic


def _alone(bootstrap: str, topic: str, way: str) -> tuple[float, float]:
    command = [sys.executable, "-W", "ignore", str(Path(__file__)), bootstrap, "--way", way, "--topic", topic]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    per_cpu, per_second = done.stdout.split()
    return float(per_cpu), float(per_second)


def _measured(bootstrap: str, topic: str, way: str) -> tuple[float, float]:
    read: Callable[[str, str], int] = _polled if way == "poll()" else lambda *where: _ours(*where, way)
    begun, cpu = time.perf_counter(), time.process_time()
    lines = read(bootstrap, topic)
    return lines / (time.process_time() - cpu), lines / (time.perf_counter() - begun)


def _ours(bootstrap: str, topic: str, client: str) -> int:
    sources = open_topic(Address((bootstrap,), topic, client=client), SETTINGS, until_end=True).sources
    for source in sources:
        source.open(None)
    lines = 0
    while going := [source for source in sources if not source.ended]:
        for source in going:
            raw = source.read(32 << 20, 0.02)
            lines += 0 if raw is None else len(raw.messages.begins) if raw.messages is not None else 0
    for source in sources:
        source.close()
    return lines


def _polled(bootstrap: str, topic: str) -> int:
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
        max_poll_records=20_000,
        max_partition_fetch_bytes=SETTINGS.partition_fetch_bytes_max,
        fetch_max_bytes=SETTINGS.fetch_bytes_max,
        fetch_max_wait_ms=SETTINGS.fetch_wait_ms,
        metrics_enabled=False,
    )
    partitions = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic))]
    consumer.assign(partitions)
    left = sum(consumer.end_offsets(partitions).values())
    lines = 0
    while lines < left:
        for records in consumer.poll(100).values():
            lines += len(_as_lines(records))
    consumer.close()
    return lines


def _as_lines(records: Sequence[object]) -> Sequence[int]:
    values = [record.value for record in records]  # type: ignore[attr-defined]
    offsets = np.array([record.offset for record in records], dtype=np.int64)  # type: ignore[attr-defined]
    times = np.array([record.timestamp for record in records], dtype=np.int64)  # type: ignore[attr-defined]
    return of_values(values, offsets, times, int(offsets[-1]) + 1).offsets  # type: ignore[return-value]


if __name__ == "__main__":
    main()
