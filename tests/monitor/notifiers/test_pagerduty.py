import json

import msgspec
import pytest
from webhooks import NOW

from detectors.finding import Severity
from monitor.alerts import Channel, clock_alerts, tended_alerts
from monitor.notifiers import NotifierError
from monitor.notifiers.alert import NEW, Occasion, Word, alert_body
from monitor.notifiers.notice import Notice
from monitor.notifiers.pagerduty import SEVERITIES, PagerDuty, dedup_key, event_of
from monitor.stores import Message
from monitor.testing import stored_decision, stored_finding, stored_incident
from playbooks.clocks import Clock, ClockKind

KEY = "R" * 32
PAGER = Channel("pagerduty:security", Severity.MEDIUM)
INCIDENT = stored_incident("i1", severity=Severity.CRITICAL, tags=("behaviour.3",), owner="dev-1")
CLOCK = Clock(
    incident="i1", episode=Severity.CRITICAL, kind=ClockKind.ACKNOWLEDGE, begun=0, due=900_000_000, next=450_000_000
)


def message(word=NEW, incident=INCIDENT):
    body = alert_body(incident, [stored_decision("d1", 1, 2)], [stored_finding()], word)
    return Message(key="k1", channel=PAGER.name, body=body, created=0)


def pager(receiver, key=KEY):
    return PagerDuty(f"{receiver.url}/v2/enqueue", key, lambda: NOW * 1_000_000, timeout_s=5)


def test_an_incident_triggers_with_what_the_api_asks_for(receiver):
    receiver.behave = lambda handler: handler.answer(202, b'{"status":"success"}')
    assert pager(receiver).send(message()).detail == "HTTP 202"
    [event] = receiver.told
    assert (event["routing_key"], event["event_action"]) == (KEY, "trigger")
    assert event["dedup_key"] == dedup_key("i1", "critical")
    assert len(event["dedup_key"]) <= 255
    payload = event["payload"]
    assert (payload["summary"], payload["severity"], payload["source"]) == ("Trouble", "critical", "AppId wx0001")
    assert payload["custom_details"]["incident"]["look"] == "miniwatch incidents show i1"
    assert payload["custom_details"]["why"][0]["title"] == "Something was seen"


@pytest.mark.parametrize(
    ("occasion", "action"),
    [
        (Occasion.OPENED, "trigger"),
        (Occasion.DECIDED, "trigger"),
        (Occasion.ACKNOWLEDGED, "acknowledge"),
        (Occasion.CLOSED, "resolve"),
        (Occasion.SUPERSEDED, "resolve"),
    ],
)
def test_all_that_is_told_of_an_episode_has_one_key(occasion, action):
    event = event_of(message(Word(occasion=occasion, by="ann", said="seen")))
    assert (event["event_action"], event["dedup_key"]) == (action, dedup_key("i1", "critical"))
    assert ("payload" in event) is (action == "trigger")


def test_an_incident_that_becomes_worse_is_another_alert():
    before = event_of(message(Word(occasion=Occasion.SUPERSEDED, episode=Severity.HIGH)))
    assert before["dedup_key"] == dedup_key("i1", "high") != dedup_key("i1", "critical")


def test_a_clock_is_told_in_the_summary():
    (warning,) = clock_alerts(INCIDENT, CLOCK, 75, [PAGER], unanswered=False)
    (breach,) = clock_alerts(INCIDENT, CLOCK, 100, [PAGER], unanswered=False)
    told = [event_of(one)["payload"]["summary"] for one in (warning, breach)]
    assert told == [
        "75 % of the time is over: Trouble is to be acknowledged by 1970-01-01 00:15 UTC",
        "Too late: Trouble was to be acknowledged by 1970-01-01 00:15 UTC",
    ]


def test_a_notice_is_an_alert_of_its_own():
    notice = Notice(what="pack-returned", key="p1", severity=Severity.HIGH, title="T", text="x", time=0, look="l")
    event = event_of(
        Message(key="pagerduty:security:pack-returned:p1", channel=PAGER.name, body=notice.body, created=0)
    )
    assert (event["event_action"], event["payload"]["severity"]) == ("trigger", "error")


def test_every_severity_has_a_word_of_theirs():
    assert {severity.value for severity in Severity} == set(SEVERITIES)
    assert set(SEVERITIES.values()) == {"critical", "error", "warning", "info"}


@pytest.mark.parametrize(("status", "again"), [(400, False), (403, True), (429, True), (500, True), (503, True)])
def test_what_is_invalid_is_not_tried_again_and_what_is_too_much_is(receiver, status, again):
    receiver.behave = lambda handler: handler.answer(status, b"the key was " + KEY.encode(), Retry_After="7")
    with pytest.raises(NotifierError) as caught:
        pager(receiver).send(message())
    assert caught.value.retryable is again
    assert caught.value.retry_after_s == (7.0 if again else None)
    assert KEY not in str(caught.value)


def test_without_a_key_nothing_is_sent_and_all_waits_for_one(receiver):
    with pytest.raises(NotifierError) as caught:
        pager(receiver, None).send(message())
    assert caught.value.retryable
    assert receiver.came == []


def test_messages_of_an_incident_never_overtake_one_another():
    clocks = [CLOCK]
    sent = clock_alerts(INCIDENT, CLOCK, 50, [PAGER], unanswered=False)
    sent += tended_alerts(INCIDENT, Word(occasion=Occasion.CLOSED), clocks, [PAGER], 5)
    assert {one.line for one in sent} == {"i1"}
    assert len({one.key for one in sent}) == 2


def test_a_long_title_is_cut_where_the_api_has_a_bound():
    long = msgspec.structs.replace(INCIDENT, title="x" * 5_000)
    assert len(event_of(message(incident=long))["payload"]["summary"]) <= 1024
    assert json.dumps(event_of(message(incident=long)))
