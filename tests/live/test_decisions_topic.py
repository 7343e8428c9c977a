"""The topic of decisions on a real broker: who reads it from its beginning has what is in force, whatever died meanwhile."""

from __future__ import annotations

import json
import random
import re
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import pytest
from consumer import read, state
from kafka import errors
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    KafkaAdminClient,
    NewTopic,
    ResourcePattern,
    ResourceType,
)
from server import until

sys.path.insert(0, str(Path(__file__).parents[1] / "journeys"))

import journey
from child import Plan

from detectors.finding import Entity, Scope
from monitor.clock import now_us
from monitor.config.topics import TopicKeys
from monitor.enforcers import slot_of
from monitor.enforcers.telling import tell_of
from monitor.enforcers.topic import key_of, value_of
from monitor.kept import Kept
from monitor.responding.adding import add
from monitor.responding.lifting import revoke
from monitor.sources.kafka.settings import KafkaSettings
from monitor.stores.deciding import nothing
from monitor.stores.record import DeliveryState
from monitor.topics import Item, Refused, Taken, TopicTrouble
from monitor.topics.kafka import KafkaTopic
from playbooks.action import Captcha, Throttle
from playbooks.decision import Mode

pytestmark = pytest.mark.live

ROUNDS = 6
ACTOR = {"actor": "operator:ann", "reason": "a test"}


def shown() -> dict[str, object]:
    """What the page about enforcers shows of Python."""
    page = (Path(__file__).parents[2] / "docs/enforcers.md").read_text()
    (block,) = re.findall(r"(?ms)^```python\n(.*?)^```", page)
    names: dict[str, object] = {}
    exec(block, names)  # noqa: S102 - our own text, to see that it works
    return names


def topic_keys(bootstrap: str, topic: str, **more) -> TopicKeys:
    return TopicKeys(name="gateways", of="decisions", brokers=(bootstrap,), topic=topic, **more)


@pytest.fixture
def written(kafka, request):
    """A topic of the test's own, as we write it."""
    made = KafkaTopic(topic_keys(kafka.bootstrap, request.node.originalname, partitions=3), KafkaSettings())
    yield made
    made.close()


def test_a_topic_is_made_compacted_and_is_known_again(kafka, written):
    known = written.check()
    assert written.check() == known
    items = [Item(f"i{number}", f"k{number}", b"{}") for number in range(2500)]
    assert all(isinstance(outcome, Taken) for outcome in written.publish(items).outcomes)
    written.publish([Item("i2500", "k7", None)])
    held = dict(written.held(lambda: False))
    assert (len(held), held["k7"], held["k8"]) == (2500, None, b"{}")
    found = read(kafka.bootstrap, "test_a_topic_is_made_compacted_and_is_known_again")
    assert found[0].headers == [("idempotency-key", found[0].key.replace(b"k", b"i"))]
    with closing(KafkaAdminClient(bootstrap_servers=kafka.bootstrap)) as admin:
        admin.delete_topics(["test_a_topic_is_made_compacted_and_is_known_again"])
    until(lambda: _checked(written) not in {None, known})
    assert dict(written.held(lambda: False)) == {}


def _checked(topic):
    with suppress(TopicTrouble):
        return topic.check()


def test_a_record_that_is_too_large_is_refused_alone(written):
    written.check()
    items = [Item("a", "ka", b"{}"), Item("b", "kb", b"x" * 1_200_000), Item("c", "kc", b"{}")]
    published = written.publish(items)
    assert [type(outcome) for outcome in published.outcomes] == [Taken, Refused, Taken]
    assert published.trouble is None


def test_a_topic_that_forgets_is_not_written(kafka, written):
    name = "test_a_topic_that_forgets_is_not_written"
    with closing(KafkaAdminClient(bootstrap_servers=kafka.bootstrap)) as admin:
        admin.create_topics([NewTopic(name, num_partitions=1, replication_factor=1)])
    with pytest.raises(TopicTrouble, match=r"cleanup.policy=delete") as refused:
        written.check()
    assert refused.value.lasting


def test_a_broker_that_stands_still_or_is_gone_is_a_trouble_that_passes(fresh_kafka, monkeypatch):
    for name, milliseconds in {"REQUEST_MS": 3000, "BOOTSTRAP_MS": 2000, "DELIVERY_MS": 4000}.items():
        monkeypatch.setattr(f"monitor.topics.kafka.{name}", milliseconds)
    topic = KafkaTopic(topic_keys(fresh_kafka.bootstrap, "t"), KafkaSettings())
    topic.check()
    assert isinstance(topic.publish([Item("a", "ka", b"1")]).outcomes[0], Taken)
    fresh_kafka.pause()
    published = topic.publish([Item("b", "kb", b"2")])
    assert published.outcomes == [None]
    assert not published.trouble.lasting
    fresh_kafka.resume()
    fresh_kafka.kill()
    with pytest.raises(TopicTrouble, match=r"brokers") as refused:
        topic.check()
    assert not refused.value.lasting
    fresh_kafka.start()
    topic.check()
    assert isinstance(topic.publish([Item("b", "kb", b"2")]).outcomes[0], Taken)
    assert state(fresh_kafka.bootstrap, "t") == {"ka": b"1", "kb": b"2"}
    topic.close()


@pytest.mark.parametrize("operation", [ACLOperation.WRITE, ACLOperation.DESCRIBE])
def test_who_may_not_write_has_a_trouble_that_lasts_until_somebody_mends_it(kafka, operation):
    name = f"denied-{operation.name.lower()}"
    topic = KafkaTopic(topic_keys(kafka.bootstrap, name), KafkaSettings())
    topic.check()
    pattern = ResourcePattern(ResourceType.TOPIC, name)
    denied = {"principal": "User:ANONYMOUS", "host": "*", "operation": operation, "resource_pattern": pattern}
    with closing(KafkaAdminClient(bootstrap_servers=kafka.bootstrap)) as admin:
        admin.create_acls([ACL(permission_type=ACLPermissionType.DENY, **denied)])
        published = topic.publish([Item("a", "ka", b"1")])
        assert published.outcomes == [None]
        assert published.trouble.lasting
        admin.delete_acls([ACLFilter(permission_type=ACLPermissionType.DENY, **denied)])
    assert isinstance(topic.publish([Item("a", "ka", b"1")]).outcomes[0], Taken)
    topic.close()


class Installation:
    """A daemon that can be killed, people who decide beside it, and a broker that can be killed too."""

    def __init__(self, folder: Path, broker) -> None:
        self.data, self.source, self.broker = folder / "data", folder / "events.ndjson", broker
        self.source.touch()
        self.keys = {
            "topics": [{"name": "gateways", "of": "decisions", "brokers": [broker.bootstrap], "topic": "decisions"}]
        }
        config = journey.configured(self.data, [f"file:{self.source}?follow"], **self.keys)
        self.knowing = Kept.open(self.data, tell=tell_of(config, now_us))
        self.unknowing = Kept.open(self.data, tell=nothing)
        self.process = None

    def start(self, at: str = "") -> None:
        source = f"file:{self.source}?follow"
        self.process = Plan(data_dir=str(self.data), sources=[source], keys=self.keys, live=True, at=at).start()

    def kill(self) -> None:
        self.process.kill()
        self.process.join()

    def log(self) -> str:
        path = self.data.with_suffix(".log")
        return path.read_text() if path.exists() else ""

    def in_force(self) -> dict[str, object]:
        live = self.knowing.store.decisions_in_force(now_us(), [Mode.LIVE])
        return {key_of(slot_of(each)): json.loads(value_of(each)) for each in live}

    def told(self) -> dict[str, object]:
        """By the consumer that docs/enforcers.md shows."""
        try:
            found = shown()["decisions_in_force"](self.broker.bootstrap, "decisions")
        except errors.KafkaError:
            return {}
        return {key.decode(): value for key, value in found.items()}


def test_whatever_dies_a_consumer_has_what_is_in_force(tmp_path, fresh_kafka):
    """Decisions are added, superseded, lifted and run out, by processes that know of the topic and one that does not."""
    installed, chance, made = Installation(tmp_path, fresh_kafka), random.Random(11), []
    for number in range(ROUNDS):
        installed.start(at=chance.choice(["send:topic", "send:topic:done", "commit:outbox", "commit:outbox:done", ""]))
        for _ in range(chance.randint(2, 8)):
            kept = chance.choice([installed.knowing, installed.unknowing])
            _act(kept.store, chance, made)
        if number % 3 == 1:
            fresh_kafka.kill()
            _act(installed.knowing.store, chance, made)
            time.sleep(chance.uniform(0.2, 1.0))
            fresh_kafka.start()
        installed.process.join(chance.uniform(1.0, 4.0))
        installed.kill()
    installed.start()
    try:
        until(lambda: installed.told() == installed.in_force() != {}, 60)
        assert len(made) > len(installed.in_force())
    finally:
        installed.kill()
        for kept in (installed.knowing, installed.unknowing):
            kept.store.close()


def _act(store, chance, made) -> None:
    entity = Entity(Scope.APP, f"wx{chance.randrange(12)}")
    lasts_s = chance.choice([2, 5, 3600])
    if made and chance.random() < 0.3:
        with suppress(Exception):
            revoke(store, chance.choice(made), now=now_us(), **ACTOR)
        return
    action = chance.choice([
        Throttle(duration_s=lasts_s, limit=chance.choice([10, 60]), per_s=60, target="getLocation"),
        Captcha(duration_s=lasts_s),
    ])  # fmt: skip
    with suppress(Exception):  # the same or a harder act is in force
        made.append(add(store, entity, action, now=now_us(), **ACTOR).decision.id)


def test_what_a_topic_cannot_take_is_told_and_the_rest_goes_on(tmp_path, fresh_kafka):
    """A broker that is gone for a while costs nothing but time; the record keeps what is due and says why."""
    installed = Installation(tmp_path, fresh_kafka)
    installed.start()
    until(lambda: "topic_reached" in installed.log())
    fresh_kafka.kill()
    key = add(installed.knowing.store, Entity(Scope.APP, "wx1"), Captcha(duration_s=3600), now=now_us(), **ACTOR)
    about = key.decision.id
    waiting = until(lambda: [each for each in installed.knowing.store.deliveries_about(about) if each.last_error], 60)
    assert waiting[0].state is DeliveryState.PENDING
    fresh_kafka.start()
    until(lambda: installed.told() == installed.in_force(), 60)
    assert installed.knowing.store.deliveries_about(about)[0].state is DeliveryState.SENT
    installed.kill()
