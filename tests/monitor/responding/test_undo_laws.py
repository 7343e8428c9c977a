"""Undoing a rule comes to the same as deciding the same findings without it; what it would add waits for a person."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lives import ACTS, ENTITIES, PLAYBOOKS, acts, check_same, lived, lives, opened, two, undone

from monitor.audit import verify
from monitor.testing import store_state
from playbooks.decision import Reason
from playbooks.testing import finding


@settings(max_examples=100, deadline=None)
@given(lives(), st.sampled_from(sorted(PLAYBOOKS)))
def test_undo_equals_deciding_again_without_the_rule(life, playbooks):
    town, without = two(playbooks)
    words = lived(town, life)
    lived(without, life, words)
    before = town.in_force()
    undone(town)
    check_same(town, without)
    assert set(town.in_force()) <= set(before), "an undo put something in force"
    persons = {key for key, one in before.items() if one.reason is Reason.OPERATOR}
    assert persons <= set(town.in_force()), "an undo lifted what a person had decided"
    assert verify(town.store.audit_entries()).broken is None
    for each in (town, without):
        each.close()


@settings(max_examples=25, deadline=None)
@given(lives(), st.sampled_from(sorted(PLAYBOOKS)))
def test_undoing_twice_changes_nothing(life, playbooks):
    town, other = two(playbooks)
    other.close()
    lived(town, life)
    undone(town)
    before = store_state(town.store)
    assert undone(town) == []
    assert store_state(town.store) == before
    town.close()


@settings(max_examples=25, deadline=None)
@given(lives(), st.integers(0, 300_000), st.sampled_from(sorted(PLAYBOOKS)))
def test_undoing_two_spans_is_undoing_both_at_once(life, cut_s, playbooks):
    town, once = two(playbooks)
    once.without = frozenset()
    words = lived(town, life)
    lived(once, life, words)
    undone(town, until_s=cut_s)
    undone(town, since_s=cut_s)
    undone(once)
    assert acts(town) == acts(once)
    assert set(town.in_force()) <= set(once.in_force())
    assert town.risks(ENTITIES) == once.risks(ENTITIES)
    assert opened(town) == opened(once)
    town.close()
    once.close()


@settings(max_examples=25, deadline=None)
@given(lives(), st.sampled_from(sorted(PLAYBOOKS)))
def test_marking_all_findings_of_a_rule_as_false_is_undoing_it(life, playbooks):
    town, undo = two(playbooks)
    undo.without = frozenset()
    words = lived(town, life)
    lived(undo, life, words)
    false = [one.id for one in town.store.findings() if one.rule.id == "bad"]
    if false:
        town.mark(false)
    undone(undo)
    assert set(town.in_force()) == set(undo.in_force())
    assert set(town.waiting()) == set(undo.waiting())
    assert town.risks(ENTITIES) == undo.risks(ENTITIES)
    town.close()
    undo.close()


@settings(max_examples=25, deadline=None)
@given(lives(), st.sampled_from(sorted(PLAYBOOKS)))
def test_a_mark_taken_back_asks_for_what_it_had_lifted(life, playbooks):
    town, other = two(playbooks)
    other.close()
    lived(town, life)
    before, risks = town.in_force(), town.risks(ENTITIES)
    false = [one.id for one in town.store.findings() if one.rule.id == "bad"]
    if false:
        town.mark(false)
        town.mark(false, verdict=None)
    assert set(town.in_force()) <= set(before) <= set(town.in_force()) | set(town.waiting())
    assert town.risks(ENTITIES) == risks
    assert town.store.finding_marks(false) == {}
    town.close()


@pytest.mark.parametrize("way", ["undo", "mark", "mark and take back"])
def test_an_act_that_was_over_when_its_rule_was_undone_counts_as_no_earlier_offence(way):
    town, without = two("ladder")
    for each in (town, without):
        each.turn([finding(rule="bad", severity="high", app="wx0")])
        each.now_s = 30 * 3_600
        each.expire()
    if way == "undo":
        undone(town)
    else:
        false = [one.id for one in town.store.findings()]
        town.mark(false)
        if way == "mark and take back":
            town.mark(false, verdict=None)
            without.without = frozenset()
            without.now_s = 0
            without.turn([finding(rule="bad", severity="high", app="wx0")])
            without.now_s = 30 * 3_600
            without.expire()
    for each in (town, without):
        each.now_s += 60
        each.turn([finding(rule="good", severity="high", app="wx0", after_s=each.now_s)])
    assert town.in_force().keys() == without.in_force().keys()
    town.close()
    without.close()


def test_a_persons_act_that_a_rule_had_replaced_is_asked_for_once():
    town, without = two("ladder")
    address = ENTITIES[3]
    for each in (town, without):
        lived(each, ([(1, "add", (address, ACTS[0]))], 60))
        each.turn([finding(rule="bad", severity="critical", entity=address, after_s=60)])
        each.now_s = 120
        each.turn([finding(rule="bad", severity="critical", entity=address, after_s=120)])
        each.now_s = 180
    assert "added-1" not in {key[0] for key in town.in_force()}
    undone(town)
    assert [key[0] for key in town.waiting(Reason.HELD_UNDO)] == ["added-1"]
    check_same(town, without)
    assert undone(town) == []
    town.close()
    without.close()
