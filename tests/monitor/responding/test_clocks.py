import json

import msgspec
import pytest
from acting import ALICE, BOB, added, held
from earlier import record_of_schema
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from detectors.finding import Severity
from monitor.alerts import Channel
from monitor.responding.answering import reject
from monitor.responding.clocks_told import ClockWatch
from monitor.responding.refusals import ActRefused, No
from monitor.responding.tending import acknowledge, assign, assignee_of, close, note, tended_state
from monitor.stores import StoreError, Turn, tables
from monitor.stores.record import NotFound
from monitor.stores.rows import incident_row
from monitor.testing import scratch_store, stored_incident
from playbooks.clocks import SUPERSEDED, Clock, ClockKind, Targets, begun
from playbooks.testing import NOON

SECOND = 1_000_000
HOURS = 3_600 * SECOND
FIRST = Channel("webhook:oncall", Severity.MEDIUM)
SECOND_ONE = Channel("webhook:boss", Severity.MEDIUM, is_second=True)
PAGER = Channel("pagerduty:security", Severity.MEDIUM)
ALL = (FIRST, SECOND_ONE, PAGER)
EVERY = dict.fromkeys(Severity, 24 * 3_600)
TARGETS = Targets(
    acknowledge_s={**EVERY, Severity.CRITICAL: 900, Severity.HIGH: 3_600},
    respond_s={**EVERY, Severity.CRITICAL: 86_400},
    resolve_s=dict.fromkeys(Severity, 72 * 3600),
)


def opened(store, *, severity=Severity.CRITICAL, key="i1", at=NOON, turn=None):
    """An incident with its clocks, as a turn leaves it."""
    incident = stored_incident(key, severity=severity)
    earlier = store.clocks_of([key])
    clocks = begun(key, severity, earlier, TARGETS, at)
    store.commit(Turn(number=turn or store.last_turn() + 1, time=at, incidents=[incident], clocks=clocks))
    return incident


def sent(store):
    """What has been told, as (seconds after noon, channel, what)."""
    found = []
    for row in outbox(store):
        body = json.loads(row["body"])
        clock = body["clock"]
        what = f"{clock['kind']} {clock['share']}" if clock else body["occasion"]
        found.append(((row["created"] - NOON) // SECOND, row["channel"], what))
    return found


def outbox(store):
    """All that was ever put into the outbox, in its order."""
    with store._database.reading() as connection:
        return list(connection.execute(select(tables.outbox).order_by(tables.outbox.c.place)).mappings())


def told_to(store, channel):
    return [(at, what) for at, name, what in sent(store) if name == channel.name]


def ticked(store, *times, channels=ALL):
    for now in times:
        ClockWatch(store, channels, lambda now=now: now).look()


def clocks(store, key="i1", episode=Severity.CRITICAL):
    return {clock.kind: clock for clock in store.clocks_of([key]) if clock.episode is episode}


def test_a_critical_incident_that_nobody_answers_warns_escalates_and_breaches_at_the_right_seconds(store):
    opened(store)
    due = {450: "acknowledge 50", 675: "acknowledge 75", 810: "acknowledge 90", 900: "acknowledge 100"}
    due |= {43_200: "respond 50", 64_800: "respond 75", 77_760: "respond 90", 86_400: "respond 100"}
    due |= {129_600: "resolve 50", 194_400: "resolve 75", 233_280: "resolve 90", 259_200: "resolve 100"}
    for at, what in due.items():
        ticked(store, NOON + at * SECOND - 1)
        assert what not in {told for _, told in told_to(store, FIRST)}, what
        ticked(store, NOON + at * SECOND)
        assert told_to(store, FIRST)[-1] == (at, what)
    assert told_to(store, SECOND_ONE) == [(at, what) for at, what in due.items() if at >= 900]
    assert told_to(store, PAGER) == list(due.items())
    assert {kind: clock.breached - NOON for kind, clock in clocks(store).items()} == {
        ClockKind.ACKNOWLEDGE: 900 * SECOND,
        ClockKind.RESPOND: 24 * HOURS,
        ClockKind.RESOLVE: 72 * HOURS,
    }
    breaches = [one.entry for one in store.audit_entries() if one.entry.action == "incident.breach"]
    assert [(entry.before, entry.time - NOON) for entry in breaches] == [
        ("acknowledge", 900 * SECOND),
        ("respond", 24 * HOURS),
        ("resolve", 72 * HOURS),
    ]
    ticked(store, NOON + 1_000 * HOURS)
    assert len(told_to(store, FIRST)) == 12


def test_a_breach_is_noted_once_for_when_it_was_whoever_looks_or_answers_later(store):
    opened(store)
    for now in (NOON + 950 * SECOND, NOON + 960 * SECOND):
        ticked(store, now)
    acknowledge(store, "i1", actor=ALICE, now=NOON + HOURS)
    assert clocks(store)[ClockKind.ACKNOWLEDGE].breached == NOON + 900 * SECOND
    assert [one.entry.time for one in store.audit_entries() if one.entry.action == "incident.breach"] == [
        NOON + 900 * SECOND
    ]


def test_each_share_is_counted_once(store):
    opened(store)
    looks = [ClockWatch(store, ALL, lambda at=at: NOON + at * SECOND).look() for at in (500, 500, 700, 901, 2_000)]
    assert [[told.share for told in look] for look in looks] == [[50], [], [75], [90, 100], []]


@settings(max_examples=12)
@given(st.lists(st.integers(0, 80 * 3_600), max_size=6))
def test_whenever_it_is_looked_and_whatever_is_stopped_between_the_same_is_told(tmp_path_factory, looks):
    store = scratch_store(tmp_path_factory.mktemp("calm"))
    opened(store)
    for at in range(0, 81 * 3_600, 7_200):
        ticked(store, NOON + at * SECOND)
    folder = tmp_path_factory.mktemp("stopped")
    other = scratch_store(folder)
    opened(other)
    for at in [*sorted(looks), 80 * 3_600]:
        other.close()
        other = scratch_store(folder)
        ticked(other, NOON + at * SECOND)
    messages = [{row["key"]: (row["body"], row["created"]) for row in outbox(each)} for each in (store, other)]
    assert messages[0] == messages[1]
    assert store.clocks_of(["i1"]) == other.clocks_of(["i1"])
    for each in (store, other):
        each.close()


def test_a_transaction_that_fails_tells_nothing_and_forgets_nothing(store, monkeypatch):
    opened(store)
    monkeypatch.setattr("monitor.stores.acting.put_messages", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(StoreError, match="full"):
        ticked(store, NOON + 500 * SECOND)
    monkeypatch.undo()
    assert clocks(store)[ClockKind.ACKNOWLEDGE].told == 0
    ticked(store, NOON + 500 * SECOND)
    assert told_to(store, FIRST) == [(450, "acknowledge 50")]


def test_what_is_acknowledged_in_time_calls_nobody_else(store):
    opened(store)
    assert acknowledge(store, "i1", actor=ALICE, now=NOON + 60 * SECOND, channels=ALL).changed
    ticked(store, NOON + 2 * HOURS)
    assert sorted(sent(store)) == [(60, "pagerduty:security", "acknowledged"), (60, "webhook:oncall", "acknowledged")]
    assert clocks(store)[ClockKind.ACKNOWLEDGE].is_met
    ticked(store, NOON + 12 * HOURS)
    assert told_to(store, SECOND_ONE) == []


def test_who_was_to_be_called_since_nobody_acknowledged_in_time_hears_the_rest_too(store):
    opened(store)
    acknowledge(store, "i1", actor=ALICE, now=NOON + 901 * SECOND)
    ticked(store, NOON + 12 * HOURS)
    assert told_to(store, SECOND_ONE) == [(43_200, "respond 50")]


def test_who_acknowledges_again_changes_nothing(store):
    opened(store)
    acknowledge(store, "i1", actor=ALICE, now=NOON + SECOND)
    again = acknowledge(store, "i1", actor=BOB, now=NOON + 2 * SECOND)
    assert (again.changed, len(again.words)) == (False, 1)
    assert clocks(store)[ClockKind.ACKNOWLEDGE].stopped_by == ALICE


def test_who_acknowledges_too_late_has_missed_it_even_where_nobody_looked_meanwhile(store):
    opened(store)
    acknowledge(store, "i1", actor=ALICE, now=NOON + 901 * SECOND)
    clock = clocks(store)[ClockKind.ACKNOWLEDGE]
    assert (clock.breached, clock.is_met) == (NOON + 900 * SECOND, False)
    actions = [one.entry.action for one in store.audit_entries()]
    assert actions == ["incident.ack", "incident.breach"]
    ticked(store, NOON + HOURS)
    assert [what for _, what in told_to(store, FIRST)] == []


def test_a_note_is_an_answer_and_its_name_makes_it_safe_to_send_again(store):
    opened(store)
    first = note(store, "i1", text="It leaks", actor=ALICE, now=NOON + SECOND, name="n1")
    again = note(store, "i1", text="It leaks", actor=ALICE, now=NOON + 2 * SECOND, name="n1")
    assert (first.changed, again.changed, len(again.words)) == (True, False, 1)
    assert [kind for kind, clock in clocks(store).items() if clock.stopped is None] == [ClockKind.RESOLVE]
    with pytest.raises(ActRefused) as refusal:
        note(store, "i1", text="other", actor=ALICE, now=NOON + 3 * SECOND, name="n1")
    assert refusal.value.why is No.OTHER_CONTENT


def test_what_is_assigned_has_one_who_has_it_and_the_audit_knows_who_had_it_before(store):
    opened(store)
    assign(store, "i1", to="bob", actor=ALICE, now=NOON + SECOND)
    assert not assign(store, "i1", to="bob", actor=ALICE, now=NOON + 2 * SECOND).changed
    tended = assign(store, "i1", to="carol", actor=BOB, now=NOON + 3 * SECOND)
    assert assignee_of(tended.words) == "carol"
    entries = [one.entry for one in store.audit_entries()]
    assert [(entry.actor, entry.before, entry.after) for entry in entries] == [
        (ALICE, "", "bob"),
        (BOB, "bob", "carol"),
    ]


def test_closing_stops_all_clocks_and_says_so_to_whoever_was_told(store):
    opened(store)
    ticked(store, NOON + 900 * SECOND)
    closed = close(store, "i1", actor=ALICE, reason="Their own test", now=NOON + 1_000 * SECOND, channels=ALL)
    assert tended_state(closed.incident, closed.clocks, closed.words) == "closed"
    assert [what for _, what in told_to(store, SECOND_ONE)] == ["acknowledge 100", "closed"]
    assert told_to(store, PAGER)[-1] == (1_000, "closed")
    assert not close(store, "i1", actor=BOB, reason="again", now=NOON + 2_000 * SECOND, channels=ALL).changed
    ticked(store, NOON + 500 * HOURS)
    assert told_to(store, FIRST)[-1] == (1_000, "closed")
    assert store.open_incidents([closed.incident.entity]) == {}
    with pytest.raises(ActRefused) as refusal:
        acknowledge(store, "i1", actor=ALICE, now=NOON + 2 * HOURS)
    assert refusal.value.why is No.NOT_WAITING


def test_what_becomes_worse_begins_a_new_episode_that_is_owed_an_answer_again_and_never_later(store):
    opened(store, severity=Severity.HIGH)
    acknowledge(store, "i1", actor=ALICE, now=NOON + SECOND)
    opened(store, severity=Severity.CRITICAL, at=NOON + HOURS)
    old, new = clocks(store, episode=Severity.HIGH), clocks(store)
    assert {clock.stopped_by for clock in old.values()} == {ALICE, SUPERSEDED}
    assert new[ClockKind.ACKNOWLEDGE].due == NOON + HOURS + 900 * SECOND
    assert new[ClockKind.RESPOND].due == old[ClockKind.RESPOND].due
    incident = store.incident("i1")
    assert tended_state(incident, store.clocks_of(["i1"]), store.words_about(["i1"])) == "open"
    ticked(store, NOON + HOURS + 900 * SECOND)
    assert told_to(store, SECOND_ONE) == [(3_600 + 900, "acknowledge 100")]


def test_a_turn_with_the_same_severity_begins_nothing_anew(store):
    opened(store)
    before = store.clocks_of(["i1"])
    opened(store, at=NOON + HOURS)
    assert store.clocks_of(["i1"]) == before


def test_a_decision_of_a_person_is_an_answer(store):
    opened(store)
    waiting = held(store, incident="i1", turn=store.last_turn() + 1)
    reject(store, waiting.id, actor=BOB, reason="not so", now=NOON + HOURS)
    stopped = {kind for kind, clock in clocks(store).items() if clock.stopped_by == BOB}
    assert stopped == {ClockKind.ACKNOWLEDGE, ClockKind.RESPOND}


def test_what_is_not_there_cannot_be_acknowledged(store):
    added(store)
    with pytest.raises(NotFound):
        acknowledge(store, "nothing", actor=ALICE, now=NOON)


def test_clocks_that_nobody_has_stopped_are_counted(store):
    opened(store)
    opened(store, key="i2")
    acknowledge(store, "i1", actor=ALICE, now=NOON + SECOND)
    acknowledge(store, "i2", actor=ALICE, now=NOON + HOURS)
    ticked(store, NOON + 25 * HOURS)
    counted = {(one.kind.value, one.state): one.clocks for one in store.clock_counts()}
    assert counted == {
        ("respond", "overdue"): 2,
        ("resolve", "running"): 2,
    }


def test_what_has_come_of_the_clocks_of_a_day_is_told_with_how_long_people_took(store):
    for key in ("i1", "i2", "i3", "i4"):
        opened(store, key=key)
    acknowledge(store, "i1", actor=ALICE, now=NOON + 100 * SECOND)
    ticked(store, NOON + 900 * SECOND)
    acknowledge(store, "i2", actor=ALICE, now=NOON + HOURS)
    opened(store, key="i5", severity=Severity.HIGH, at=NOON)
    opened(store, key="i5", at=NOON + SECOND)  # what it was owed as a high one has come to nothing

    def settled(since):
        found = {one.kind: one for one in store.settled_clocks(since) if one.severity is Severity.CRITICAL}
        return {kind.value: (one.met, one.missed, one.stopped_s) for kind, one in found.items()}

    assert settled(NOON) == {"acknowledge": (1, 3, (100.0, 3600.0))}
    assert settled(NOON + 100 * SECOND) == {"acknowledge": (0, 3, (3600.0,))}
    assert settled(NOON + 900 * SECOND) == {"acknowledge": (0, 0, (3600.0,))}
    assert [one.severity for one in store.settled_clocks(NOON)] == [Severity.CRITICAL]
    close(store, "i1", actor=ALICE, reason="done", now=NOON + 2 * HOURS)
    assert settled(NOON + HOURS) == {"respond": (1, 0, (7200.0,)), "resolve": (1, 0, (7200.0,))}


def test_a_clock_that_ran_out_before_the_incident_became_worse_was_missed_all_the_same(store):
    opened(store, severity=Severity.HIGH)
    ticked(store, NOON + HOURS)
    opened(store, at=NOON + HOURS)
    counted = {(one.kind.value, one.severity.value, one.state): one.clocks for one in store.clock_counts()}
    assert {severity for _, severity, _ in counted} == {"critical"}
    assert [(one.met, one.missed, one.stopped_s) for one in store.settled_clocks(NOON)] == [(0, 1, ())]


def test_a_record_of_before_has_its_incidents_without_clocks_and_begins_them_with_the_next_finding(tmp_path):
    row = incident_row(stored_incident("i1", severity=Severity.HIGH))
    record_of_schema(tmp_path / "miniwatch.db", "0022", {tables.incidents: [row]})
    store = scratch_store(tmp_path)
    assert store.clocks_of(["i1"]) == []
    assert acknowledge(store, "i1", actor=ALICE, now=NOON).changed
    assert not acknowledge(store, "i1", actor=ALICE, now=NOON).changed
    opened(store, severity=Severity.HIGH, at=NOON + HOURS)
    assert len(store.clocks_of(["i1"])) == 3
    store.close()


def test_a_clock_is_kept_as_it_is(store):
    clock = Clock(incident="i9", episode=Severity.LOW, kind=ClockKind.RESPOND, begun=1, due=101, next=51)
    store.commit(Turn(number=1, time=1, clocks=[clock]))
    assert store.clocks_of(["i9"]) == [clock]
    assert msgspec.structs.asdict(clock)["told"] == 0
