"""What an undo does to what is owed: nothing more is owed to an incident of which nothing is left, and all who were told hear that it is over."""

import json

import pytest
from sqlalchemy import select
from town import Town

from detectors.finding import Severity
from monitor.alerts import Channel
from monitor.keeping_up import ENDED_US
from monitor.responding.clocks_told import ClockWatch
from monitor.responding.tending import acknowledge, close
from monitor.stores import tables
from monitor.stores.clocks import Episodes
from playbooks.clocks import ClockKind, Targets
from playbooks.incident import IncidentState
from playbooks.testing import finding

HOUR_S = 3_600
EVERY = dict.fromkeys(Severity, HOUR_S)
CHANNELS = tuple(Channel(f"{name}:a", Severity.LOW) for name in ("webhook", "pagerduty"))


@pytest.fixture
def town(tmp_path):
    targets = Targets(acknowledge_s=EVERY, respond_s=EVERY, resolve_s=EVERY)
    made = Town(tmp_path, channels=CHANNELS, targets=targets)
    yield made
    made.close()


def told(town, channel="pagerduty:a"):
    """What one channel was told of incidents: occasion and episode."""
    with town.store._database.reading() as connection:
        rows = connection.execute(select(tables.outbox).order_by(tables.outbox.c.place)).mappings()
        bodies = [json.loads(row["body"]) for row in rows if row["channel"] == channel]
    return [(body["occasion"], body["episode"]) for body in bodies]


def opened(town, *findings):
    town.turn(findings)
    (incident,) = town.store.incidents()
    return incident.id


@pytest.mark.parametrize("channel", ["webhook:a", "pagerduty:a"])
def test_an_incident_of_which_nothing_is_left_is_over_for_whoever_was_told(town, channel):
    one = finding(severity="high", rule="bad")
    key = opened(town, one)
    town.now_s += 60
    town.mark([one.id])
    assert town.store.incident(key).state is IncidentState.CLOSED
    assert {(clock.stopped, clock.stopped_by) for clock in town.store.clocks_of([key])} == {(town.now, "operator:bob")}
    assert told(town, channel)[-1] == ("closed", "high")
    before = told(town, channel)
    ClockWatch(town.store, CHANNELS, lambda: town.now + 10 * HOUR_S * 1_000_000).look()
    town.mark([one.id])
    assert told(town, channel) == before


def test_undoing_a_rule_ends_what_only_it_had_opened(town):
    key = opened(town, finding(severity="high", rule="bad"))
    town.undo("bad")
    assert {clock.stopped for clock in town.store.clocks_of([key])} == {town.now}
    ((clock, _),) = town.store.episodes(Episodes(ended_after=town.now - ENDED_US), 10)
    assert clock.stopped == town.now  # so that Alertmanager hears of it again and again, as of one that was closed
    assert told(town)[-1] == ("closed", "high")


def test_what_would_be_undone_ends_nothing(town):
    key = opened(town, finding(severity="high", rule="bad"))
    town.undo("bad", dry_run=True)
    assert {clock.stopped for clock in town.store.clocks_of([key])} == {None}
    assert told(town)[-1] != ("closed", "high")


def test_an_incident_of_which_something_is_left_goes_on_and_is_acknowledged_and_closed_as_what_people_were_told_of(
    town,
):
    worse, other = finding(severity="critical", rule="bad"), finding(severity="medium", rule="good", after_s=1)
    key = opened(town, worse, other)
    town.mark([worse.id])
    assert town.store.incident(key).severity is Severity.MEDIUM
    assert {clock.stopped for clock in town.store.clocks_of([key])} == {None}
    acknowledge(town.store, key, actor="operator:ann", now=town.now, channels=CHANNELS)
    seen = {clock.kind for clock in town.store.clocks_of([key]) if clock.stopped is not None}
    assert seen == {ClockKind.ACKNOWLEDGE}
    assert not acknowledge(town.store, key, actor="operator:ann", now=town.now, channels=CHANNELS).changed
    close(town.store, key, actor="operator:ann", reason="done", now=town.now, channels=CHANNELS)
    assert told(town)[-2:] == [("acknowledged", "critical"), ("closed", "critical")]
