"""Alerts outlive a receiver that is away, or wrongly configured, for most of a day; the others are told of it; what was given up can be sent again."""

from __future__ import annotations

import io
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from refusing import Refusing

from detectors.finding import Severity
from monitor.alerts import Channel
from monitor.config.oncall import AppriseKeys, ClusterKeys, PagerDutyKeys
from monitor.config.receivers import WebhookKeys
from monitor.enforcers.undelivered import giving_up
from monitor.notifiers import NotifierError, Patience
from monitor.outbox import UNREACHED_S, OutboxWorker, backoff_s
from monitor.stores import Message, Turn
from monitor.telemetry import Telemetry
from monitor.testing import scratch_store
from monitor.unreached import telling_others

SECOND, HOUR_S = 1_000_000, 3_600
PAGER, CHAT, SECOND_ONE = "pagerduty:security", "apprise:chat", "webhook:head"
CHANNELS = [
    Channel(PAGER, Severity.HIGH),
    Channel(CHAT, Severity.MEDIUM),
    Channel(SECOND_ONE, Severity.MEDIUM, is_second=True),
]
DOWN, WRONG = NotifierError("HTTP 401", retryable=True), NotifierError("HTTP 400", retryable=False)


class Told(Refusing):
    """Somebody who is told of alerts."""

    def __init__(self) -> None:
        super().__init__(Patience(attempts_max=600, backoff_s_min=1.0, backoff_s_max=60.0))

    @property
    def heard(self) -> list[str]:
        """Of which channels it was told that they take nothing."""
        told = [json.loads(message.body) for message in self.taken]
        return [one["title"].split()[0] for one in told if one.get("what") == "channel-unreached"]


class Scene:
    def __init__(self, folder) -> None:
        self.now, self.turn = 10 * HOUR_S * SECOND, 0
        self.store = scratch_store(folder)
        self.carriers = {channel.name: Told() for channel in CHANNELS}
        self.worker = OutboxWorker(
            self.store,
            self.carriers,
            lambda: self.now,
            Telemetry(stream=io.StringIO()),
            lambda: 1.0,
            given_up=giving_up(CHANNELS),
            unreached=telling_others(CHANNELS),
        )

    def alert(self, key: str, channel: str = PAGER, line: str = "") -> None:
        self.turn += 1
        message = Message(key=f"{channel}:{key}", channel=channel, body=b"{}", created=self.now, line=line)
        self.store.commit(Turn(number=self.turn, time=self.now, messages=[message]))

    def pass_by(self, seconds: float) -> None:
        until = self.now + int(seconds * SECOND)
        while self.now < until:
            self.now += 10 * SECOND
            while self.worker.work():
                pass


@pytest.fixture
def scene(tmp_path):
    made = Scene(tmp_path)
    yield made
    made.worker.stop(0.0)
    made.store.close()


def test_the_others_hear_once_an_hour_of_a_channel_that_has_taken_nothing_for_ten_minutes(scene):
    scene.carriers[PAGER].refuses = DOWN
    scene.alert("a1")
    scene.pass_by(UNREACHED_S - 30)
    assert scene.carriers[CHAT].heard == []
    scene.pass_by(300)
    assert scene.carriers[CHAT].heard == scene.carriers[SECOND_ONE].heard == [PAGER]
    scene.pass_by(HOUR_S)
    assert scene.carriers[CHAT].heard == [PAGER, PAGER]
    scene.carriers[PAGER].refuses = None
    scene.pass_by(120)
    assert [message.key for message in scene.carriers[PAGER].taken] == [f"{PAGER}:a1"]


def test_of_an_alert_that_will_never_be_taken_the_others_hear_at_once_and_the_audit_has_it(scene):
    scene.carriers[PAGER].refuses = WRONG
    scene.alert("a1")
    scene.pass_by(20)
    assert scene.carriers[CHAT].heard == [PAGER]
    (entry,) = [one.entry for one in scene.store.audit_entries() if one.entry.action == "alert.undelivered"]
    assert (entry.actor, entry.subject, entry.reason) == (f"system:notifier {PAGER}", f"{PAGER}:a1", "HTTP 400")


def test_channels_that_are_all_down_do_not_tell_of_one_another_for_ever(scene):
    for carrier in scene.carriers.values():
        carrier.refuses = WRONG
    scene.alert("a1")
    scene.pass_by(60)
    assert scene.store.counts().messages_by_state == {"dead": 3}


def test_a_failure_long_ago_is_none_that_lasts(scene):
    scene.carriers[PAGER].refuses = DOWN
    scene.alert("a1")
    scene.pass_by(30)
    scene.carriers[PAGER].refuses = WRONG
    scene.pass_by(60)
    before = len(scene.carriers[CHAT].heard)
    scene.pass_by(2 * HOUR_S)
    scene.carriers[PAGER].refuses = DOWN
    scene.alert("a2")
    scene.pass_by(60)
    assert len(scene.carriers[CHAT].heard) == before


@pytest.mark.parametrize("keys", [WebhookKeys, PagerDutyKeys, ClusterKeys, AppriseKeys])
def test_alerts_outlive_an_outage_of_most_of_a_day(keys):
    patience = Patience(**{name: keys.model_fields[name].default for name in Patience.__struct_fields__})
    for seed in range(50):
        chance = random.Random(seed).random
        waited_s = sum(backoff_s(patience, attempt, chance()) for attempt in range(1, patience.attempts_max))
        assert waited_s > 20 * HOUR_S


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(1, 2), st.booleans()), min_size=1, max_size=8))
def test_what_is_sent_again_never_takes_back_what_was_said_later(tmp_path_factory, words):
    scene = Scene(tmp_path_factory.mktemp("record"))
    for number, (incident, is_taken) in enumerate(words):
        scene.carriers[PAGER].refuses = None if is_taken else WRONG
        scene.alert(f"{incident}:{number}", line=f"i{incident}")
        scene.pass_by(10)
    scene.carriers[PAGER].refuses = None
    scene.store.send_again(PAGER, None, "operator:ann", "it is back", scene.now)
    scene.pass_by(30)
    for incident in {incident for incident, _ in words}:
        told = [int(one.key.split(":")[-1]) for one in scene.carriers[PAGER].taken if one.line == f"i{incident}"]
        assert told == sorted(told)
        assert told[-1] == max(number for number, (each, _) in enumerate(words) if each == incident)
    (entry,) = [one.entry for one in scene.store.audit_entries() if one.entry.action == "notifier.retry"]
    assert (entry.actor, entry.subject) == ("operator:ann", PAGER)
    scene.worker.stop(0.0)
    scene.store.close()
