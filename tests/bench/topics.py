"""How many decisions a second leave the record for a Kafka topic, acknowledged and with their receipts kept; and are compared.

Needs a broker: `tests/live/servers/servers start kafka`, then `python tests/bench/topics.py 127.0.0.1:PORT [DECISIONS]`.
"""

from __future__ import annotations

import io
import sys
import tempfile
import time
import uuid
from pathlib import Path

from monitor.clock import now_us
from monitor.config.topics import TopicKeys
from monitor.enforcers.topic import Publication, publishing
from monitor.sources.kafka.settings import KafkaSettings
from monitor.stores import Turn
from monitor.telemetry import Telemetry
from monitor.testing import scratch_store, stored_decision
from monitor.topics.decisions import DecisionsFeed
from monitor.topics.kafka import KafkaTopic
from monitor.topics.publisher import Publisher

HOUR_US = 3_600_000_000


def publisher_of(store, bootstrap: str, topic: str, to: Publication) -> Publisher:
    keys = TopicKeys(name=to.name, of="decisions", brokers=(bootstrap,), topic=topic)
    telemetry = Telemetry(stream=io.StringIO())
    feed = DecisionsFeed(store, to, 3600, now_us, telemetry)
    return Publisher(feed, KafkaTopic(keys, KafkaSettings()), telemetry)


def main(bootstrap: str, decisions: int) -> None:
    to, topic = Publication(name="bench"), f"bench-{uuid.uuid4().hex[:8]}"
    with tempfile.TemporaryDirectory() as folder:
        store = scratch_store(Path(folder), tell=publishing([to], now_us))
        now = now_us()
        for turn in range(decisions // 1000):
            made = [
                stored_decision(f"d{turn}-{number}", now, now + HOUR_US, value=f"wx{turn}-{number}")
                for number in range(1000)
            ]
            store.commit(Turn(number=turn + 1, time=now, decisions=made))
        publisher = publisher_of(store, bootstrap, topic, to)
        began, cpu = time.monotonic(), time.process_time()
        assert publisher.write_all(began + 600)
        seconds, spent = time.monotonic() - began, time.process_time() - cpu
        print(f"written: {decisions / seconds:,.0f} records/s ({seconds:.2f} s, {spent:.2f} CPU s)")
        publisher.stop()
        again = publisher_of(store, bootstrap, topic, to)
        began = time.monotonic()
        assert again.write_all(began + 600)
        print(f"compared with the record: {decisions / (time.monotonic() - began):,.0f} keys/s")
        again.stop()
        store.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 50_000)
