"""Laws of who is told what, over lives of incidents that people and undos meddle with, looked at whenever it may be."""

import json
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from town import Town

from detectors.finding import Severity
from monitor.alerts import Channel
from monitor.keeping_up import KeptUp
from monitor.responding.clocks_told import ClockWatch
from monitor.responding.refusals import ActRefused
from monitor.responding.tending import acknowledge, assign, close, note
from monitor.stores import tables
from playbooks.clocks import Targets
from playbooks.incident import IncidentState
from playbooks.testing import finding

MINUTE_S = 60
ENDS = {"closed", "superseded"}
CHANNELS = (
    Channel("webhook:oncall", Severity.MEDIUM),
    Channel("pagerduty:a", Severity.MEDIUM),
    Channel("pagerduty:second", Severity.MEDIUM, is_second=True),
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


def told(town):
    """What each channel was told of each episode, in order: what happened, and what of a clock."""
    with town.store._database.reading() as connection:
        rows = list(connection.execute(select(tables.outbox).order_by(tables.outbox.c.place)).mappings())
    said = defaultdict(list)
    for row in rows:
        body = json.loads(row["body"])
        clock = body["clock"] and (body["clock"]["kind"], body["clock"]["share"])
        said[row["channel"], body["incident"]["id"], body["episode"]].append((body["occasion"], clock))
    return said


@settings(max_examples=60, deadline=None)
@given(lives)
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
    assert {clock.stopped is None for one in town.store.incidents() for clock in town.store.clocks_of([one.id])} <= {
        False
    }
    town.close()


@settings(max_examples=60, deadline=None)
@given(lives)
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


@pytest.mark.parametrize("kind", ["acknowledge", "respond", "resolve"])
def test_laws_are_about_lives_in_which_clocks_run_out(tmp_path, kind):
    town = lived(tmp_path, [(0, ("find", "high", "a")), (200, ("look",))])
    (incident,) = town.store.incidents()
    assert ("breached", (kind, 100)) in told(town)["pagerduty:second", incident.id, "high"]
    town.close()
