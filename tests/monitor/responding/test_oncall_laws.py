"""Laws of who is told what, over lives of incidents that people and undos meddle with, looked at whenever it may be."""

import json
from collections import defaultdict

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from town import Town

from detectors.finding import Severity
from monitor.alerts import Channel
from monitor.keeping_up import KeptUp
from monitor.notifiers.pagerduty import event_of
from monitor.responding.clocks_told import ClockWatch
from monitor.responding.refusals import ActRefused
from monitor.responding.tending import acknowledge, assign, close, note
from monitor.stores import Message, tables
from playbooks.clocks import Targets
from playbooks.incident import IncidentState
from playbooks.testing import finding

MINUTE_S = 60
ENDS = {"closed", "superseded"}
CHANNELS = (
    Channel("webhook:oncall", Severity.MEDIUM),
    Channel("pagerduty:a", Severity.MEDIUM),
    Channel("pagerduty:second", Severity.MEDIUM, is_second=True),
    Channel("pagerduty:grave", Severity.CRITICAL),
    Channel("alertmanager:main:1", Severity.HIGH),
)
TARGETS = Targets(
    acknowledge_s=dict.fromkeys(Severity, 10 * MINUTE_S),
    respond_s=dict.fromkeys(Severity, 40 * MINUTE_S),
    resolve_s=dict.fromkeys(Severity, 100 * MINUTE_S),
)
step = st.one_of(
    st.tuples(st.just("find"), st.sampled_from(["medium", "high", "critical"]), st.sampled_from(["a", "b"])),
    st.tuples(st.sampled_from(["ack", "assign", "note", "close", "false"]), st.integers(0, 5)),
    st.tuples(st.just("look")),
)
lives = st.lists(st.tuples(st.integers(0, 30), step), min_size=2, max_size=14)


def lived(folder, life):
    """A town after a life, at the end of which it is looked."""
    town = Town(folder, channels=CHANNELS, targets=TARGETS)
    for minutes, (act, *words) in life:
        town.now_s += minutes * MINUTE_S
        if act == "find":
            severity, rule = words
            town.turn([finding(severity=severity, rule=rule, after_s=town.now_s)])
        elif act == "look":
            look(town)
        else:
            meddle(town, act, *words)
    look(town)
    return town


def look(town):
    ClockWatch(town.store, CHANNELS, lambda: town.now).look()


def meddle(town, act, number):
    incidents, found = sorted(one.id for one in town.store.incidents()), sorted(one.id for one in town.store.findings())
    by = {"actor": "operator:ann", "now": town.now, "channels": CHANNELS}
    if not incidents:
        return
    key = incidents[number % len(incidents)]
    try:
        if act == "false":
            town.mark([found[number % len(found)]])
        elif act == "assign":
            assign(town.store, key, to="bob", **by)
        elif act == "note":
            note(town.store, key, text="seen", **by)
        elif act == "close":
            close(town.store, key, reason="done", **by)
        else:
            acknowledge(town.store, key, **by)
    except ActRefused:
        return  # it is closed


def outbox(town):
    with town.store._database.reading() as connection:
        return list(connection.execute(select(tables.outbox).order_by(tables.outbox.c.place)).mappings())


def told(town):
    """What each channel was told of each episode, in order: what happened, and what of a clock."""
    said = defaultdict(list)
    for row in outbox(town):
        body = json.loads(row["body"])
        clock = body["clock"] and (body["clock"]["kind"], body["clock"]["share"])
        said[row["channel"], body["incident"]["id"], body["episode"]].append((body["occasion"], clock))
    return said


def pages(town):
    """What PagerDuty was asked last of each alert, by channel and key."""
    last = {}
    for row in outbox(town):
        if row["channel"].startswith("pagerduty:"):
            event = event_of(Message(key=row["key"], channel=row["channel"], body=row["body"], created=0))
            last[row["channel"], event["dedup_key"]] = event["event_action"]
    return last


def lowered(*more):
    """Lives in which an incident becomes critical, is lowered by a mark, and goes on; either of its findings is the one that is marked."""
    begin = [(0, ("find", "medium", "a")), (5, ("find", "critical", "b"))]
    return [[*begin, (5, ("false", number)), *more] for number in range(2)]


AGAIN = lowered((5, ("find", "medium", "a")))
RISES = lowered((5, ("find", "high", "a")), (5, ("find", "critical", "b")))


@settings(max_examples=60, deadline=None)
@given(lives)
@example(AGAIN[0])
@example(AGAIN[1])
@example(RISES[0])
@example(RISES[1])
def test_what_was_told_is_told_to_be_over_once_it_is_and_nothing_after_that(tmp_path_factory, life):
    town = lived(tmp_path_factory.mktemp("town"), life)
    for incident in town.store.incidents():
        if incident.state is IncidentState.OPEN:
            close(town.store, incident.id, actor="operator:ann", reason="done", now=town.now, channels=CHANNELS)
    for (channel, *episode), words in told(town).items():
        ends = [word for word, _ in words if word in ENDS]
        if not channel.startswith("webhook:"):
            assert len(ends) == 1, (channel, episode, words)
            assert words[-1][0] in ENDS, (channel, episode, words)
        clocks = [clock for _, clock in words if clock is not None]
        assert len(clocks) == len(set(clocks)), (channel, episode, words)
    assert set(pages(town).values()) <= {"resolve"}
    assert {clock.stopped is None for one in town.store.incidents() for clock in town.store.clocks_of([one.id])} <= {
        False
    }
    town.close()


@settings(max_examples=60, deadline=None)
@given(lives)
@example(AGAIN[0])
@example(AGAIN[1])
@example(RISES[0])
@example(RISES[1])
def test_what_is_kept_up_is_what_was_told_and_is_not_over(tmp_path_factory, life):
    town = lived(tmp_path_factory.mktemp("town"), life)
    words = told(town)
    for channel in CHANNELS:
        if channel.keeps_alerts:
            kept = KeptUp(town.store, channel, None, lambda: town.now, None, 60.0)
            standing = {
                (incident.id, clock.episode.value) for clock, incident in kept.standing() if clock.stopped is None
            }
            kept.stop()
            open_ones = {
                (incident, episode)
                for (name, incident, episode), said in words.items()
                if name == channel.name and said[-1][0] not in ENDS
            }
            assert standing == open_ones, channel
    town.close()


@pytest.mark.parametrize(("lives", "severity"), [(AGAIN, "medium"), (RISES, "high")])
def test_laws_are_about_lives_in_which_more_is_told_of_an_incident_that_was_lowered(tmp_path, lives, severity):
    said = set()
    for number, life in enumerate(lives):
        (tmp_path / str(number)).mkdir()
        town = lived(tmp_path / str(number), life)
        bodies = [json.loads(row["body"]) for row in outbox(town)]
        said |= {(body["incident"]["severity"], body["episode"]) for body in bodies}
        town.close()
    assert (severity, "critical") in said


@pytest.mark.parametrize("kind", ["acknowledge", "respond", "resolve"])
def test_laws_are_about_lives_in_which_clocks_run_out(tmp_path, kind):
    town = lived(tmp_path, [(0, ("find", "high", "a")), (200, ("look",))])
    (incident,) = town.store.incidents()
    assert ("breached", (kind, 100)) in told(town)["pagerduty:second", incident.id, "high"]
    town.close()
