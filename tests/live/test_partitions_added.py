"""Partitions are added to a real topic while workers are at work on it: what comes into them is counted with the others, as one process does."""

import json
import random
import time
from datetime import UTC, datetime, timedelta

import pytest
from chaos import LOUD, Site, outcome, settled, undisturbed
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic
from server import until

from monitor.simulate import simulate

pytestmark = pytest.mark.live
EVENTS = 4_000
SECONDS = 30
NOT_KEYED = {"MINIWATCH_KAFKA__KEYED_BY": ""}
TOPIC = "grows"


def produce(bootstrap, partitions, seed):
    """Events of these seconds, each in any of the partitions, in the order of their times."""
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20})
    chance = random.Random(seed)
    start = datetime.now(UTC) + timedelta(seconds=1)  # after all that was there is known to be read
    reached = 0
    for line in b"".join(simulate(seed, EVENTS, apps=10, start=start, duration_s=600, kinds=LOUD)).splitlines():
        event = json.loads(line)
        event["event"].pop("ingested", None)
        at = start + (datetime.fromisoformat(event["@timestamp"]) - start) * SECONDS / 600
        event["@timestamp"] = at.isoformat(timespec="milliseconds")
        reached = max(reached, int(at.timestamp() * 1000))
        producer.produce(TOPIC, json.dumps(event), partition=chance.randrange(partitions), timestamp=reached)
    producer.flush()
    return reached / 1000


def test_partitions_that_are_added_are_worked_on_by_those_who_are_there(fresh_kafka, fresh_postgres, tmp_path):
    admin = AdminClient({"bootstrap.servers": fresh_kafka.bootstrap})
    admin.create_topics([NewTopic(TOPIC, 2, 1, config={"retention.ms": "-1"})])[TOPIC].result()
    site = Site(tmp_path / "many", f"kafka://{fresh_kafka.bootstrap}/{TOPIC}?group=w", fresh_postgres.url, **NOT_KEYED)
    for role in ("detect", "detect", "respond"):
        site.start("--role", role)
    kept = site.kept()

    def received():
        return sum(one.received for name, one in kept.store.progress().items() if "miniwatch-hits" not in name)

    try:
        ends = produce(fresh_kafka.bootstrap, 2, 1)
        until(lambda: received() == EVENTS, 90)
        admin.create_partitions([NewPartitions(TOPIC, 5)])[TOPIC].result()
        until(lambda: len([one for one in kept.store.leases() if one.name.startswith(f"kafka:{TOPIC}/")]) == 5, 90)
        time.sleep(max(ends - time.time(), 0.0))  # what comes now is later than what was there
        produce(fresh_kafka.bootstrap, 5, 2)
        settled(kept, 2 * EVENTS)
    finally:
        kept.store.close()
        site.end()
    expected = undisturbed(tmp_path / "one", fresh_kafka, TOPIC)
    assert len(expected["findings"]) > 20
    found = outcome(site)
    for name in ("received", "imbalance", "unanswered", "findings"):
        assert found[name] == expected[name], name
    assert found["archived"].keys() == expected["archived"].keys()  # some events come twice, in other partitions
