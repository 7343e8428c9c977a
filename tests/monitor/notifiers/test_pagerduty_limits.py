"""Whatever strangers wrote, PagerDuty is sent what its Events API v2 takes: what it refuses with 400 is told to nobody.

The schema is of our own hand, by PagerDuty's published one (api-schema, reference/events-v2) and the bounds that its documentation names
(developer-docs, Send an Alert Event; Overview, Size Limits). That a summary and a source that are blank are refused is in neither: its answers say so.
"""

import jsonschema_rs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.finding import Entity, Scope, Severity
from monitor.alerts import Channel, clock_alerts, notices, tended_alerts
from monitor.notifiers.alert import Occasion, Word, alert_body
from monitor.notifiers.notice import Notice
from monitor.notifiers.pagerduty import PagerDuty, event_of
from monitor.stores import Message
from monitor.testing import stored_decision, stored_finding, stored_incident
from playbooks.clocks import SHARES, Clock, ClockKind

KEY = "R" * 32
EVENT_BYTES_MAX = 512_000
TEXT = {"type": "string"}
NOT_BLANK = {"type": "string", "pattern": r"\S"}
EVENT = {
    "type": "object",
    "properties": {
        "routing_key": {"type": "string", "minLength": 32, "maxLength": 32},
        "event_action": {"enum": ["trigger", "acknowledge", "resolve"]},
        "dedup_key": {"type": "string", "minLength": 1, "maxLength": 255},
        "client": TEXT,
        "client_url": {"type": "string", "format": "uri"},
        "payload": {
            "type": "object",
            "properties": {
                "summary": {**NOT_BLANK, "maxLength": 1024},
                "source": NOT_BLANK,
                "severity": {"enum": ["critical", "error", "warning", "info"]},
                "timestamp": {"type": "string", "format": "date-time"},
                "component": TEXT,
                "group": TEXT,
                "class": TEXT,
                "custom_details": {"type": "object"},
            },
            "required": ["summary", "source", "severity"],
            "additionalProperties": False,
        },
        "links": {"type": "array", "items": {"type": "object", "required": ["href"]}},
        "images": {"type": "array", "items": {"type": "object", "required": ["src"]}},
    },
    "required": ["routing_key", "event_action"],
    "additionalProperties": False,
    "if": {"properties": {"event_action": {"const": "trigger"}}},
    "then": {"required": ["payload"]},
    "else": {"required": ["dedup_key"]},
}
TAKES = jsonschema_rs.Draft202012Validator(EVENT, validate_formats=True)
PAGER = Channel("pagerduty:security", Severity.INFORMATIONAL)

lengths = st.sampled_from([1, 255, 256, 999, 1000, 1001, 1024, 1025, 70_000, 600_000])
hostile = st.one_of(
    st.text(max_size=80),
    st.builds(lambda character, length: character * length, st.characters(codec="utf-8"), lengths),
    st.sampled_from(["", " ", "\n\t", "\0", "\u202eevil", '"}],"routing_key":"x', "a\r\nBcc: all"]),
)
times = st.integers(0, 253_402_300_799_000_000)
incidents = st.builds(
    stored_incident,
    st.text("0123456789abcdef", min_size=32, max_size=32),
    times,
    entity=st.builds(Entity, st.sampled_from(Scope), hostile),
    owner=st.none() | hostile,
    severity=st.sampled_from(Severity),
    risk=st.floats(0, 100),
    title=hostile,
    tags=st.lists(hostile, max_size=2).map(tuple),
    rules=st.lists(hostile, max_size=2).map(tuple),
)
decisions = st.lists(
    st.builds(stored_decision, value=hostile, explanation=hostile, target=st.none() | hostile), max_size=30
)
findings = st.lists(
    st.builds(
        stored_finding, title=hostile, response=hostile, false_positives=st.lists(hostile, max_size=2).map(tuple)
    ),
    max_size=30,
)


def takes(messages):
    """What PagerDuty would say of an event for each of these messages."""
    for message in messages:
        event = {"routing_key": KEY, **event_of(message)}
        TAKES.validate(event)
        assert len(msgspec.json.encode(event)) <= EVENT_BYTES_MAX


@given(incidents, decisions, findings, st.sampled_from(Occasion), st.none() | hostile, st.none() | hostile)
def test_an_alert_is_taken_whatever_is_in_it(incident, decided, found, occasion, by, said):
    body = alert_body(incident, decided, found, Word(occasion=occasion, by=by, said=said))
    takes([Message(key="k", channel=PAGER.name, body=body, created=0)])


@given(incidents, st.sampled_from(ClockKind), st.sampled_from(SHARES), hostile, hostile, times)
def test_a_clock_an_act_of_people_and_a_notice_are_taken(incident, kind, share, by, said, at):
    clock = Clock(incident=incident.id, episode=incident.severity, kind=kind, begun=0, due=at, next=None)
    told = [Word(occasion=occasion, by=by, said=said) for occasion in (Occasion.ACKNOWLEDGED, Occasion.CLOSED)]
    takes(clock_alerts(incident, clock, share, [PAGER], unanswered=False))
    takes(one for word in told for one in tended_alerts(incident, word, [clock], [PAGER], at))
    notice = Notice(what="pack-returned", key=by, severity=incident.severity, title=by, text=said, time=at, look=said)
    takes(notices(notice, [PAGER]))


def test_what_is_posted_is_what_is_held_against_the_schema(receiver):
    receiver.behave = lambda handler: handler.answer(202)
    body = alert_body(stored_incident(), [], [], Word(occasion=Occasion.OPENED))
    PagerDuty(receiver.url, KEY, lambda: 0).send(Message(key="k", channel=PAGER.name, body=body, created=0))
    [event] = receiver.told
    TAKES.validate(event)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("summary", "x" * 1025),
        ("summary", " \n"),
        ("source", ""),
        ("severity", "high"),
        ("timestamp", "yesterday"),
        ("custom_details", []),
        ("colour", "red"),
    ],
)
def test_what_it_does_not_take_is_noticed(place, value):
    payload = {"summary": "s", "source": "s", "severity": "info", place: value}
    with pytest.raises(jsonschema_rs.ValidationError):
        TAKES.validate({"routing_key": KEY, "event_action": "trigger", "payload": payload})


@pytest.mark.parametrize("action", ["trigger", "acknowledge", "resolve"])
def test_what_lacks_what_its_action_needs_is_noticed(action):
    with pytest.raises(jsonschema_rs.ValidationError):
        TAKES.validate({"routing_key": KEY, "event_action": action})
