import base64
import io

import pytest
from webhooks import NOW

from detectors.finding import Severity
from monitor import keeping_up
from monitor.alerts import Channel
from monitor.keeping_up import KeptUp
from monitor.notifiers import NotifierError
from monitor.notifiers.alert import NEW, Occasion, Word, alert_body
from monitor.notifiers.alertmanager import ALERTS_PER_POST, Member
from monitor.notifiers.notice import Notice
from monitor.responding.clocks_told import ClockWatch
from monitor.responding.tending import acknowledge, close
from monitor.stores import Message, Turn
from monitor.telemetry import Telemetry
from monitor.testing import scratch_store, stored_incident
from playbooks.clocks import Targets, begun

US = 1_000_000
HOLD_S = 900
INCIDENT = stored_incident("i1", opened=NOW * US - 5 * US, severity=Severity.HIGH)
MEMBER = Channel("alertmanager:main:1", Severity.MEDIUM)
EVERY = dict.fromkeys(Severity, 3_600)
TARGETS = Targets(acknowledge_s=EVERY, respond_s=EVERY, resolve_s=EVERY)


def message(word=NEW):
    return Message(key="k1", channel=MEMBER.name, body=alert_body(INCIDENT, [], [], word), created=0)


def member(receiver, now=NOW, **more):
    return Member(f"{receiver.url}/", lambda: now * US, timeout_s=5, hold_s=HOLD_S, **more)


@pytest.fixture
def store(tmp_path):
    opened = scratch_store(tmp_path)
    yield opened
    opened.close()


def quiet():
    return Telemetry(level="error", log_format="json", stream=io.StringIO())


def kept_up(store, receiver, now, channel=MEMBER, telemetry=None, every_s=60.0):
    return KeptUp(
        store,
        channel,
        member(receiver, now),
        lambda: now * US,
        telemetry or quiet(),
        every_s,
    )


def opened(store, key="i1", severity=Severity.HIGH, at=NOW):
    clocks = begun(key, severity, store.clocks_of([key]), TARGETS, at * US)
    incident = stored_incident(key, opened=at * US, severity=severity)
    store.commit(Turn(number=store.last_turn() + 1, time=at, incidents=[incident], clocks=clocks))


def test_an_incident_stands_until_a_time_and_one_that_is_over_has_ended(receiver):
    member(receiver).send(message())
    member(receiver).send(message(Word(occasion=Occasion.CLOSED)))
    member(receiver).send(message(Word(occasion=Occasion.SUPERSEDED, episode=Severity.MEDIUM)))
    [[firing], [resolved], [superseded]] = receiver.told
    assert superseded["labels"] == {**firing["labels"], "severity": "medium"}
    assert superseded["endsAt"] == resolved["endsAt"]
    assert firing["labels"] == resolved["labels"]
    assert firing["labels"]["alertname"] == "MiniwatchIncident"
    assert firing["endsAt"] == "2023-11-14T22:28:20.000000Z"
    assert resolved["endsAt"] == "2023-11-14T22:13:20.000000Z"
    assert receiver.came[0][0]["Content-Type"] == "application/json"


def test_what_is_sent_again_is_the_same_alert_as_what_was_sent_first(receiver, store):
    opened(store)
    member(receiver).send(message())
    kept_up(store, receiver, NOW + 60).keep_up()
    [[first], [again]] = receiver.told
    assert again["labels"] == first["labels"]
    assert again["endsAt"] > first["endsAt"]


def test_what_is_closed_is_sent_for_five_more_minutes_as_over_and_then_no_more(receiver, store):
    opened(store)
    close(store, "i1", actor="operator:ann", reason="done", now=(NOW + 100) * US)
    for now in (NOW + 160, NOW + 399, NOW + 401):
        kept_up(store, receiver, now).keep_up()
    assert [[one["endsAt"] for one in body] for body in receiver.told] == [["2023-11-14T22:15:00.000000Z"]] * 2


@pytest.mark.parametrize("every_s", [5, 60, 150, 151, 900, 3_600])
@pytest.mark.parametrize("into_a_round", [0.0, 0.5, 0.999])
def test_of_what_is_closed_two_rounds_tell_however_far_apart_they_are(receiver, store, every_s, into_a_round):
    opened(store)
    over = NOW + 100
    close(store, "i1", actor="operator:ann", reason="done", now=over * US)
    first = over + int(every_s * (1 - into_a_round)) + 1
    for number in range(2):
        kept_up(store, receiver, first + number * every_s, every_s=every_s).keep_up()
    assert [len(body) for body in receiver.told] == [1, 1]


def test_an_incident_that_became_worse_is_one_alert_that_is_over_and_one_that_stands(receiver, store):
    opened(store)
    opened(store, severity=Severity.CRITICAL, at=NOW + 10)
    kept_up(store, receiver, NOW + 60).keep_up()
    [body] = receiver.told
    ends = {one["labels"]["severity"]: one["endsAt"] for one in body}
    assert ends == {"high": "2023-11-14T22:13:30.000000Z", "critical": "2023-11-14T22:29:20.000000Z"}


def test_what_somebody_has_acknowledged_stands_until_it_is_closed_and_that_is_no_news(receiver, store):
    opened(store)
    acknowledge(store, "i1", actor="operator:ann", now=(NOW + 10) * US, channels=[MEMBER])
    assert list(store.due_messages(2**62, 10)) == []
    assert len(kept_up(store, receiver, NOW + 600).standing()) == 1


def test_a_second_channel_keeps_up_only_what_nobody_acknowledged_in_time(receiver, store):
    second = Channel(MEMBER.name, Severity.MEDIUM, is_second=True)
    opened(store)
    assert kept_up(store, receiver, NOW + 60, second).standing() == []
    ClockWatch(store, [], lambda: (NOW + 3_600) * US).look()
    assert len(kept_up(store, receiver, NOW + 3_660, second).standing()) == 1


def test_what_is_less_severe_than_a_member_hears_of_is_not_kept_up(receiver, store):
    opened(store, severity=Severity.LOW)
    assert kept_up(store, receiver, NOW + 60).standing() == []


@pytest.mark.parametrize("hears_from", [Severity.LOW, Severity.HIGH])
def test_many_incidents_of_little_weight_end_no_alert_of_a_grave_one(receiver, store, monkeypatch, hears_from):
    monkeypatch.setattr(keeping_up, "ALERTS_MAX", 3)
    opened(store, "grave", severity=Severity.CRITICAL)
    for number in range(5):
        opened(store, f"i{number}", severity=Severity.LOW, at=NOW + number)
    telemetry = quiet()
    kept_up(store, receiver, NOW + 60, Channel(MEMBER.name, hears_from), telemetry).keep_up()
    assert receiver.told[0][0]["labels"]["incident"] == "grave"
    count = telemetry.registry.get_sample_value("miniwatch_alerts_left_out", {"channel": MEMBER.name})
    assert count == (3 if hears_from is Severity.LOW else 0)


def test_a_mistake_of_ours_counts_as_not_kept_up(receiver, store, monkeypatch):
    opened(store)
    telemetry = quiet()
    monkeypatch.setattr(Member, "keep_up", lambda _self, _standing: {}["oops"])
    kept_up(store, receiver, NOW + 60, telemetry=telemetry).keep_up()
    labels = {"channel": MEMBER.name, "outcome": "failed"}
    assert telemetry.registry.get_sample_value("miniwatch_alerts_resent_total", labels) == 1


def test_many_alerts_are_sent_in_parts_and_a_member_that_refuses_one_gets_no_more(receiver, store):
    for number in range(ALERTS_PER_POST + 1):
        opened(store, f"i{number}")
    kept_up(store, receiver, NOW + 60).keep_up()
    assert sorted(len(body) for body in receiver.told) == [1, ALERTS_PER_POST]
    receiver.came.clear()
    receiver.behave = lambda handler: handler.answer(500)
    kept_up(store, receiver, NOW + 60).keep_up()
    assert len(receiver.came) == 1


def test_a_notice_stands_for_an_hour(receiver):
    notice = Notice(what="pack-returned", key="p1", severity=Severity.HIGH, title="T", text="x", time=0, look="l")
    body = Message(key="alertmanager:main:1:pack-returned:p1", channel=MEMBER.name, body=notice.body, created=0)
    member(receiver).send(body)
    [[alert]] = receiver.told
    assert alert["labels"] == {
        "alertname": "MiniwatchNotice",
        "what": "pack-returned",
        "notice": "p1",
        "severity": "high",
    }
    assert alert["endsAt"] == "2023-11-14T23:13:20.000000Z"


def test_who_asks_for_a_password_gets_it_and_no_error_repeats_it(receiver):
    receiver.behave = lambda handler: handler.answer(401, b"not sesame")
    with pytest.raises(NotifierError) as caught:
        member(receiver, username="miniwatch", password="sesame").send(message())
    assert str(caught.value) == "HTTP 401 not <secret>"
    told = receiver.came[0][0]["Authorization"].removeprefix("Basic ")
    assert base64.b64decode(told) == b"miniwatch:sesame"
