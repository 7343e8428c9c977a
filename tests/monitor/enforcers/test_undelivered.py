"""An enforcement that could not be delivered is told to people, is in the audit, and can be sent again without reviving anything."""

from __future__ import annotations

import io
import json

import pytest
from refusing import Refusing

from detectors.finding import Severity
from monitor.alerts import Channel
from monitor.enforcers import Enforcer
from monitor.enforcers.catching_up import CatchingUp
from monitor.enforcers.telling import telling
from monitor.enforcers.undelivered import giving_up
from monitor.notifiers import NotifierError, Patience
from monitor.outbox import OutboxWorker
from monitor.responding.lifting import revoke
from monitor.sealing import Seal
from monitor.stores import Turn, enforcing
from monitor.stores.sqlite import sqlite_store
from monitor.telemetry import Telemetry
from monitor.testing import scratch_store, stored_decision
from playbooks.decision import Mode

SECOND = 1_000_000
ENFORCER = Enforcer(name="platform")
CHANNELS = [Channel("webhook:oncall", Severity.MEDIUM)]
ONCE_MORE = Patience(attempts_max=2, backoff_s_min=1.0, backoff_s_max=1.0)


class Scene:
    def __init__(self, folder) -> None:
        self.now = 3_600 * 1_000 * SECOND
        self.tell = telling([ENFORCER], lambda: self.now)
        self.store = scratch_store(folder, tell=self.tell)
        self.platform, self.oncall = (Refusing(ONCE_MORE) for _ in range(2))
        carriers = {ENFORCER.channel: self.platform, "webhook:oncall": self.oncall}
        telemetry = Telemetry(stream=io.StringIO())
        self.worker = OutboxWorker(
            self.store, carriers, lambda: self.now, telemetry, lambda: 1.0, given_up=giving_up(CHANNELS)
        )

    def decide(self, *keys: str) -> None:
        decisions = [stored_decision(key, self.now, self.now + 3600 * SECOND, value=f"wx-{key}") for key in keys]
        self.store.commit(Turn(number=self.store.last_turn() + 1, time=self.now, decisions=decisions))

    def work(self) -> None:
        for _ in range(4):
            self.now += SECOND
            while self.worker.work():
                pass

    @property
    def told(self) -> list[dict]:
        return [json.loads(message.body) for message in self.oncall.taken]

    @property
    def enforced(self) -> list[dict]:
        return [json.loads(message.body) for message in self.platform.taken]

    def states(self, key: str) -> list[str]:
        return [each.state.value for each in self.store.deliveries_about(key)]

    def audited(self, action: str):
        return [one.entry for one in self.store.audit_entries() if one.entry.action == action]


@pytest.fixture
def scene(tmp_path):
    made = Scene(tmp_path)
    yield made
    made.worker.stop(0.0)
    made.store.close()


@pytest.mark.parametrize("refusal", [NotifierError("HTTP 503", retryable=True), NotifierError("HTTP 410", retryable=False)])  # fmt: skip
def test_people_are_told_and_the_audit_has_it(scene, refusal):
    scene.platform.refuses = refusal
    scene.decide("d1")
    scene.work()
    (notice,) = scene.told
    assert (notice["what"], notice["severity"]) == ("enforcement-undelivered", "critical")
    assert notice["look"] == "miniwatch decisions show d1"
    (entry,) = scene.audited("enforcement.undelivered")
    assert (entry.actor, entry.subject, entry.reason) == ("system:enforcer platform", "d1", str(refusal))
    assert scene.states("d1") == ["dead"]


def test_of_a_thousand_that_die_people_hear_once_an_hour(scene):
    scene.platform.refuses = NotifierError("HTTP 410", retryable=False)
    scene.decide(*(f"d{number}" for number in range(50)))
    scene.work()
    assert len(scene.told) == 1
    assert len(scene.audited("enforcement.undelivered")) == 50
    scene.now += 3600 * SECOND
    scene.decide("late")
    scene.work()
    assert len(scene.told) == 2


def test_an_alert_that_dies_tells_nobody(scene):
    scene.platform.refuses = scene.oncall.refuses = NotifierError("HTTP 410", retryable=False)
    scene.decide("d1")
    scene.work()
    assert scene.audited("enforcement.undelivered")[0].subject == "d1"
    assert len(scene.audited("enforcement.undelivered")) == 1


def test_what_died_is_sent_again_and_only_the_latest_word_of_each(scene):
    scene.platform.refuses = NotifierError("HTTP 410", retryable=False)
    scene.decide("lifted", "stays", "received")
    scene.work()
    scene.platform.refuses = None
    revoke(scene.store, "lifted", actor="operator:a", reason="b", now=scene.now)
    scene.work()
    assert scene.store.send_again(ENFORCER.channel, None, "operator:a", "it is back", scene.now) == 2
    scene.work()
    assert [(told["punish_id"], told["miniwatch"]["state"]) for told in scene.enforced] == [
        ("lifted", "revoked"),
        ("stays", "active"),
        ("received", "active"),
    ]
    (entry,) = scene.audited("enforcer.retry")
    assert (entry.actor, entry.reason, entry.subject) == ("operator:a", "it is back", "enforcer:platform")


def test_one_that_lost_its_memory_is_sent_all_that_is_in_force_under_new_keys(scene):
    scene.decide("d1", "d2")
    scene.work()
    revoke(scene.store, "d1", actor="operator:a", reason="b", now=scene.now)
    scene.work()
    before = {each.message.key for each in scene.store.deliveries_about("d2")}
    assert scene.store.send_again(ENFORCER.channel, scene.tell, "operator:a", "b", scene.now) == 1
    scene.work()
    assert scene.enforced[-1]["punish_id"] == "d2"
    assert len({each.message.key for each in scene.store.deliveries_about("d2")} - before) == 1


def _caught_up(scene, *enforcers: Enforcer) -> None:
    CatchingUp(scene.store, enforcers, lambda: scene.now).look()


def test_a_new_enforcer_learns_what_is_in_force_once(scene):
    scene.decide("d1", "over")
    revoke(scene.store, "over", actor="operator:a", reason="b", now=scene.now)
    scene.store.commit(Turn(number=2, decisions=[stored_decision("shadow", mode=Mode.SHADOW)]))
    for scopes in (("AppId",), ("AppId",), ("AppId", "Ip")):
        _caught_up(scene, Enforcer(name="second", scopes=scopes))
    channels = [each.message.channel for each in scene.store.deliveries_about("d1")]
    assert channels == ["enforcer:platform", "enforcer:second"]
    assert {each.message.channel for each in scene.store.deliveries_about("over")} == {"enforcer:platform"}


def test_what_a_command_without_the_enforcer_changed_is_told_by_the_daemon(scene, tmp_path):
    _caught_up(scene, ENFORCER)
    other = sqlite_store(tmp_path / "miniwatch.db", seal=Seal(bytes(32)))  # its configuration names no enforcer
    other.commit(Turn(number=1, decisions=[stored_decision("d1"), stored_decision("d2", value="wx2")]))
    revoke(other, "d2", actor="operator:a", reason="b", now=scene.now)
    other.close()
    assert scene.states("d1") == []
    for _ in range(3):
        _caught_up(scene, ENFORCER)
    scene.work()
    assert [(told["punish_id"], told["miniwatch"]["state"]) for told in scene.enforced] == [
        ("d1", "active"),
        ("d2", "revoked"),
    ]


def test_more_changes_than_are_gone_through_at_once_are_all_told(scene, tmp_path, monkeypatch):
    monkeypatch.setattr(enforcing, "CHANGES_MAX", 3)
    _caught_up(scene, ENFORCER)
    other = sqlite_store(tmp_path / "miniwatch.db", seal=Seal(bytes(32)))
    other.commit(Turn(number=1, decisions=[stored_decision(f"d{n}", value=f"wx{n}") for n in range(9)]))
    other.close()
    _caught_up(scene, ENFORCER)
    assert len(scene.store.due_messages(2**60, 100)) == 9


def test_what_was_given_up_goes_with_retention_but_for_what_is_about_acts_in_force(scene):
    scene.decide("d1", "d2")
    for each in scene.store.due_messages(2**60, 9):
        scene.store.message_failed(each.message.key, "HTTP 410", scene.now, dead=True)
    revoke(scene.store, "d2", actor="operator:a", reason="b", now=scene.now)
    scene.store.forget_messages(scene.now + 1, scene.now)
    assert (scene.states("d1"), scene.states("d2")) == (["dead"], ["pending"])


def test_receipts_of_what_is_in_force_outlive_retention(scene):
    scene.decide("d1", "d2")
    scene.work()
    revoke(scene.store, "d2", actor="operator:a", reason="b", now=scene.now)
    scene.work()
    scene.store.forget_messages(scene.now + 1, scene.now)
    assert (scene.states("d1"), scene.states("d2")) == (["sent"], [])
    (state,) = scene.store.enforcer_states("enforcer:")
    assert (state.channel, state.sent, state.pending, state.dead) == ("enforcer:platform", 1, 0, 0)
