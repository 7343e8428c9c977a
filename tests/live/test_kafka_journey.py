"""The whole daemon on a topic of a real broker: killed in the middle, it comes to what a file of the same lines comes to."""

import contextlib
import os
import random
import signal
import sys
import time
from pathlib import Path

import kafka as kk
import pytest
from kafka.admin import KafkaAdminClient
from server import until

sys.path.insert(0, str(Path(__file__).parents[1] / "journeys"))

import journey
from child import Plan

pytestmark = pytest.mark.live
SMALL = {"batch__rows_max": 60, "batch__bytes_max": 64 << 10}
"""Cuts the stream into some twenty turns, and messages in two."""


@pytest.fixture(scope="module")
def lines():
    return journey.troubled(seed=6, events=1300)


@pytest.fixture(scope="module", params=["kafka-python", "confluent"])
def topic(request, kafka, lines):
    """The lines in messages of one to nine lines, between which there is nothing now and then; as an address."""
    return sent(kafka, f"journey-{request.param}", lines) + f"?client={request.param}"


def sent(broker, name, lines, partitions=1):
    chance = random.Random(1)
    with contextlib.closing(KafkaAdminClient(bootstrap_servers=broker.bootstrap)) as admin:
        admin.create_topics({name: {"num_partitions": partitions, "replication_factor": 1}})
    with contextlib.closing(kk.KafkaProducer(bootstrap_servers=broker.bootstrap, compression_type="zstd")) as made:
        at = 0
        while at < len(lines):
            count = chance.randrange(1, 10)
            made.send(name, b"".join(lines[at : at + count]), partition=chance.randrange(partitions))
            at += count
            if chance.random() < 0.1:
                made.send(name, b"", partition=0)
    return f"kafka://{broker.bootstrap}/{name}"


@pytest.fixture(scope="module")
def expected(lines, tmp_path_factory):
    folder = tmp_path_factory.mktemp("file")
    (folder / "events.ndjson").write_bytes(b"".join(lines))
    journey.run(journey.configured(folder / "data", [folder / "events.ndjson"], **SMALL))
    return journey.outcome(folder / "data")


def test_a_topic_comes_to_what_a_file_comes_to(topic, expected, tmp_path):
    journey.run(journey.configured(tmp_path / "data", [topic], **SMALL))
    assert journey.differences(expected, journey.outcome(tmp_path / "data")) == {}
    assert expected.findings


@pytest.mark.drawn(2)
@pytest.mark.parametrize("seed", [1, 2])
def test_killed_again_and_again_it_comes_to_the_same(topic, expected, tmp_path, seed):
    chance = random.Random(seed)
    plan = Plan(data_dir=str(tmp_path / "data"), sources=[topic], keys=SMALL, every_turn=False)
    kills = sum(plan.killed_after(turn, chance.uniform(0, 0.1)) for turn in (3, 9, 15))
    assert plan.run() == 0
    assert kills >= 2
    assert journey.differences(expected, journey.outcome(tmp_path / "data")) == {}


def test_a_daemon_that_follows_and_is_killed_has_every_event_once(topic, expected, tmp_path):
    keys = {**SMALL, "snapshots__every_s": 1.0}
    plan = Plan(data_dir=str(tmp_path / "data"), sources=[topic], keys=keys, live=True, every_turn=False)
    assert plan.killed_after(4, 0.05)
    process = plan.start()
    until(lambda: _received(tmp_path / "data") == expected.totals["received"], 60)
    os.kill(process.pid, signal.SIGTERM)
    process.join(30)
    assert process.exitcode == 0
    found = journey.outcome(tmp_path / "data")
    assert sorted(found.archived) == sorted(expected.archived)
    assert (found.imbalance, found.totals["received"]) == (0, expected.totals["received"])
    assert found.dead_letters == expected.dead_letters


def _received(data_dir):
    time.sleep(0.2)
    return journey.outcome(data_dir).totals["received"]


def test_several_partitions_that_are_killed_come_to_what_they_come_to_undisturbed(kafka, lines, tmp_path):
    address = sent(kafka, "journey-of-three", lines, partitions=3)
    journey.run(journey.configured(tmp_path / "calm", [address], **SMALL))
    plan = Plan(data_dir=str(tmp_path / "data"), sources=[address], keys=SMALL, every_turn=False)
    assert plan.killed_after(5, 0.02)
    assert plan.run() == 0
    calm = journey.outcome(tmp_path / "calm")
    assert journey.differences(calm, journey.outcome(tmp_path / "data")) == {}
    assert calm.totals["received"] == len(lines)


@pytest.mark.drawn(1)
@pytest.mark.parametrize("client", ["kafka-python", "confluent"])
def test_partitions_that_are_added_are_read_by_a_run_that_follows(kafka, lines, tmp_path, client):
    topic = f"journey-that-grows-{client}"
    address = sent(kafka, topic, lines[:200]) + f"?client={client}"
    plan = Plan(data_dir=str(tmp_path / "data"), sources=[address], live=True, every_turn=False)
    process = plan.start()
    until(lambda: _received(tmp_path / "data") == 200, 60)
    with contextlib.closing(KafkaAdminClient(bootstrap_servers=kafka.bootstrap)) as admin:
        admin.create_partitions({topic: 3})
    with contextlib.closing(kk.KafkaProducer(bootstrap_servers=kafka.bootstrap)) as made:
        for number, line in enumerate(lines[200:]):
            made.send(topic, line, partition=number % 3)
    until(lambda: _received(tmp_path / "data") == len(lines), 60)
    process.terminate()
    process.join(30)
    assert process.exitcode == 0
    assert journey.outcome(tmp_path / "data").imbalance == 0
