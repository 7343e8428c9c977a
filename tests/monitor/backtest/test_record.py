"""What a run over the past remembers, and when it hands findings on."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.event import MICROSECONDS
from detectors.finding import Entity, Evidence, Finding, RuleRef, Scope, Severity
from monitor.backtest.record import LATE_S_MAX, PastRecord
from monitor.stores import Mark, StaleTurn, Turn
from monitor.testing import scratch_store, stored_decision


def finding(key, time_s=0, count=1, rule="r"):
    return Finding(
        id=key, time=time_s * MICROSECONDS, first_event=0, last_event=0, detector="sigma", kind="rule",
        rule=RuleRef(rule, "1"), entity=Entity(Scope.APP, "wx1"), severity=Severity.LOW, title="t",
        evidence=Evidence(count=count),
    )  # fmt: skip


def turn(number, *findings, reached_s=0):
    return Turn(number=number, mark=Mark(watermark=reached_s * MICROSECONDS, inputs=""), findings=findings)


def test_parts_of_a_finding_are_handed_on_as_one_at_the_end():
    found = []
    record = PastRecord(found.append)
    record.commit(turn(1, finding("a", count=2)))
    record.commit(turn(2, finding("b"), finding("a", count=3)))
    assert found == []
    record.finish()
    assert [(one.id, one.evidence.count) for one in found] == [("a", 5), ("b", 1)]


def test_a_finding_that_is_long_past_is_handed_on_and_what_comes_later_is_counted():
    found = []
    record = PastRecord(found.append)
    record.commit(turn(1, finding("a")))
    record.commit(turn(2, finding("b", LATE_S_MAX), reached_s=LATE_S_MAX + 1))
    assert [one.id for one in found] == ["a"]
    record.commit(turn(3, finding("a")))
    assert record.known_findings({"a", "b", "c"}) == {"a", "b"}
    assert record.parts_lost == 1


def test_no_more_findings_are_held_than_the_bound():
    found = []
    record = PastRecord(found.append, held_max=2)
    record.commit(turn(1, *(finding(str(number)) for number in range(5))))
    assert [one.id for one in found] == ["0", "1", "2"]


def test_a_windows_finding_is_handed_on_at_once():
    found = []
    record = PastRecord(found.append, whole_at_once={"w"})
    record.commit(turn(1, finding("a"), finding("b", rule="w")))
    assert [one.id for one in found] == ["b"]
    assert record.known_findings({"b"}) == {"b"}


def test_deciding_is_told_the_same_as_by_a_store(tmp_path):
    record, store = PastRecord(), scratch_store(tmp_path)
    decisions = [stored_decision(f"d{n}", n, value=f"wx{n % 3}", owner=f"dev{n % 2}") for n in range(9)]
    for number, decision in enumerate([*decisions, msgspec.structs.replace(decisions[4], explanation="again")], 1):
        for each in (record, store):
            each.commit(Turn(number=number, decisions=[decision]))
    entities = {decision.entity for decision in decisions}
    assert record.decisions_of(entities) == store.decisions_of(entities)
    assert record.decisions_of_owners({"dev0", "dev9"}) == store.decisions_of_owners({"dev0", "dev9"})
    assert record.recent_decisions(3) == store.recent_decisions(3)


def test_a_turn_comes_once():
    record = PastRecord()
    record.commit(turn(1))
    with pytest.raises(StaleTurn):
        record.commit(turn(1))


@settings(max_examples=100, deadline=None)
@given(
    turns=st.lists(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 4)), max_size=4), max_size=8),
    held_max=st.integers(0, 6),
)
def test_what_is_handed_on_is_what_a_store_keeps_less_the_parts_that_came_too_late(turns, held_max, tmp_path_factory):
    found = []
    record, store = PastRecord(found.append, held_max=held_max), scratch_store(tmp_path_factory.mktemp("record"))
    for number, parts in enumerate(turns, start=1):
        one = turn(number, *(finding(f"f{key}", count=count) for key, count in parts))
        before = record.known_findings({f"f{key}" for key in range(6)})
        assert before == store.known_findings({f"f{key}" for key in range(6)})
        record.commit(one)
        store.commit(one)
    record.finish()
    kept = {one.id: one.evidence.count for one in store.findings()}
    told = {one.id: one.evidence.count for one in found}
    assert len(told) == len(found)
    assert told.keys() == kept.keys()
    assert all(told[key] <= kept[key] for key in kept)
    assert (record.parts_lost == 0) is (told == kept)
    if held_max == 6:
        assert told == kept
