"""What topics are written from, with the record in PostgreSQL."""

import pytest

from monitor.clock import now_us
from monitor.config.topics import TopicKeys
from monitor.enforcers.topic import Publication, publishing
from monitor.sealing import Seal
from monitor.sources.kafka.settings import KafkaSettings
from monitor.stores import Turn
from monitor.stores.postgresql import PostgresqlAt, PostgresqlDatabase
from monitor.stores.sql import SqlStore
from monitor.telemetry import Telemetry
from monitor.testing import stored_decision
from monitor.testing.topics import AGAIN_US, check_untold
from monitor.topics.decisions import DecisionsFeed
from monitor.topics.kafka import KafkaTopic
from monitor.topics.publisher import Publisher
from playbooks.decision import DecisionState

pytestmark = pytest.mark.live

HOUR_US = 3_600_000_000


def record(postgres, **more) -> SqlStore:
    database = PostgresqlDatabase(PostgresqlAt(url=postgres.database()))
    return SqlStore(database, seal=Seal(bytes(32)), **more)


def test_the_laws_of_findings_in_line(postgres):
    check_untold(lambda: record(postgres, again_us=AGAIN_US))


def test_decisions_leave_postgresql_for_a_topic(postgres, kafka):
    to = Publication(name="gateways")
    store = record(postgres, tell=publishing([to], now_us))
    telemetry, now = Telemetry(), now_us()
    feed = DecisionsFeed(store, to, 3600, now_us, telemetry)
    keys = TopicKeys(name=to.name, of="decisions", brokers=(kafka.bootstrap,), topic="from-postgresql")
    publisher = Publisher(feed, KafkaTopic(keys, KafkaSettings()), telemetry)
    made = [stored_decision(f"d{number}", now, now + HOUR_US, value=f"wx{number}") for number in range(1500)]
    store.commit(Turn(number=1, time=now, decisions=made))
    lifted = [stored_decision("d7", now, now + HOUR_US, value="wx7", state=DecisionState.REVOKED)]
    store.commit(Turn(number=2, time=now, decisions=lifted))
    assert publisher.write_all(float("inf"))
    publisher.stop()
    held = dict(KafkaTopic(keys, KafkaSettings()).held(lambda: False))
    assert len(held) == 1500
    assert [key for key, value in held.items() if value is None] == ['["AppId","wx7","throttle",null]']
    store.close()
