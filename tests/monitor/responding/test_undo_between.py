"""Undos with life between them: turns, what people do, and what runs out."""

import msgspec
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from lives import ENTITIES, GAPS_S, PLAYBOOKS, check_same, lived, lives, two, undone
from town import LADDER

from monitor.audit import verify
from monitor.responding.playbooks_then import policies
from monitor.stores.undos import Marking, UndoAsked, Verdict
from playbooks.again import course
from playbooks.decision import DecisionState, Reason
from playbooks.past import key_of
from playbooks.surroundings import Health
from playbooks.testing import finding
from playbooks.waiting import until


@st.composite
def two_lives(draw):
    """One life, and another that begins where the first has ended."""
    gaps = draw(st.sampled_from([(1, 60, 3_600), (1, 60, 3_600), GAPS_S]))
    few = {"turns": 4, "gaps": gaps, "entities": ENTITIES[:2]}
    first, end_s = draw(lives(**few))
    then, last_s = draw(lives(begin_s=end_s, **few))
    fresh = {one.id for _, kind, what in first if kind == "turn" for one in what}
    then = [
        (at, kind, [one for one in what if one.id not in fresh] if kind == "turn" else what) for at, kind, what in then
    ]
    return (first, end_s), (then, last_s)


def silent(life, rule):
    """The same life, in which a rule finds nothing."""
    steps, end_s = life
    heard = [
        (at, kind, [one for one in what if one.rule.id != rule] if kind == "turn" else what) for at, kind, what in steps
    ]
    return heard, end_s


def taken_back(town):
    """What is lifted in a town, and what waits for a person because of an undo."""
    lifted = {key_of(one) for one in town.store.decisions() if one.state is DecisionState.REVOKED}
    return lifted, set(town.waiting(Reason.HELD_UNDO))


def course_of(town):
    """What is in force and what waits by the past as it counts, weighed again from its beginning."""
    town.number += 1
    everything = Marking(findings=tuple(one.id for one in town.store.findings()), verdict=Verdict.FALSE)
    asked = UndoAsked(id="u", what=everything, because="", reason="", actor="", now=town.now)
    gathered = town.store._gathered(asked)
    past = gathered.past
    begin = min((one.order for one in past.weighed), default=(0, 0))
    world = course(past, gathered.before, begin, policies(town.store, town.policy()))
    stands = {key_of(one) for one in world.history.standing() if one.expires > town.now}
    return past.entities, stands, {key_of(one) for one in world.history.asked() if until(one) > town.now}


def check_course(town):
    """The past weighed again as it counts comes to what the record says is in force; gives what waits there, and by the record."""
    entities, stands, waits = course_of(town)
    assert stands == {key for key, one in town.in_force().items() if one.entity in entities}
    return waits, {key for key, one in town.waiting().items() if one.entity in entities}


def test_what_waits_because_of_an_undo_is_not_in_force_when_the_past_is_weighed_again():
    town, other = two("ladder")
    other.close()
    town.turn([finding(rule="bad", severity="critical", app="wx0", proof=True)])
    town.now_s = 10
    town.turn([finding(rule="good", severity="critical", app="wx0", after_s=10)])
    town.now_s = 60
    undone(town)
    weighed, waiting = check_course(town)
    assert weighed == waiting == set(town.waiting(Reason.HELD_UNDO)) != set()
    town.close()


def test_an_act_that_a_rule_had_replaced_and_an_undo_asks_for_is_not_in_force_either():
    town, other = two("stock")
    other.close()
    about = {"app": "wx0", "proof": True}
    town.turn([finding(rule="other", severity="critical", behaviour=8, **about)])
    town.now_s = 3_600
    town.turn([finding(rule="bad", severity="high", behaviour=15, owner="dev1", after_s=3_600, **about)])
    town.now_s = 7_200
    undone(town)
    assert [key[1] for key in town.waiting(Reason.HELD_UNDO)] == ["warn"]
    check_course(town)
    town.close()


def test_what_our_own_health_held_is_held_for_later_findings_too_when_they_are_weighed_again():
    town, other = two("ladder")
    other.close()
    town.playbooks = (msgspec.structs.replace(LADDER[0], steps=LADDER[0].steps[:2]),)
    well = town.policy
    late = Health(input_late_s=10_000.0)
    town.policy = lambda: msgspec.structs.replace(well(), health=late)
    town.turn([finding(rule="good", severity="high", app="wx0")])
    town.now_s = 10
    later = finding(rule="good", severity="low", app="wx0", after_s=10)
    town.turn([later])
    town.policy = well
    held, acts = town.waiting(), town.in_force()
    assert {one.reason for one in held.values()} == {Reason.HELD_HEALTH}
    for verdict in (Verdict.FALSE, None):
        town.now_s += 60
        town.mark([later.id], verdict=verdict)
        assert (town.waiting(), town.in_force()) == (held, acts)
        check_course(town)
    town.close()


@pytest.mark.parametrize("way", ["undo", "mark and take back"])
def test_an_act_that_is_over_and_rested_on_what_was_undone_counts_as_no_earlier_offence(way):
    town, without = two("ladder")
    without.without = frozenset({"bad"} if way == "undo" else ())
    for each in (town, without):
        each.turn([finding(rule="bad", severity="medium", app="wx0")])
        each.now_s = 10
        each.turn([finding(rule="good", severity="low", app="wx0", after_s=10)])
        each.now_s = 4 * 86_400
        each.expire()
    assert {one.rule for one in town.store.decisions()} == {"bad", "good"}
    undone(town)
    if way != "undo":
        town.mark([one.id for one in town.store.findings() if one.rule.id == "bad"], verdict=Verdict.TRUE)
    for each in (town, without):
        each.now_s += 60
        each.turn([finding(rule="good", severity="high", app="wx0", after_s=each.now_s)])
    assert town.in_force().keys() == without.in_force().keys() != set()
    check_course(town)
    town.close()
    without.close()


@settings(max_examples=25, deadline=None)
@given(two_lives(), st.sampled_from(sorted(PLAYBOOKS)))
def test_the_past_weighed_again_is_what_the_record_says_after_an_undo_and_more_life(both, playbooks):
    town, other = two(playbooks)
    other.close()
    first, then = both
    lived(town, first)
    check_course(town)
    undone(town)
    check_course(town)
    lived(town, then)
    check_course(town)
    undone(town, "other")
    check_course(town)
    town.close()


@settings(max_examples=25, deadline=None)
@given(two_lives(), st.sampled_from(["bad", "other"]), st.sampled_from(sorted(PLAYBOOKS)))
def test_an_undo_comes_to_the_same_where_there_was_another_before_it(both, rule, playbooks):
    first, then = both
    town, without = two(playbooks)
    without.without = frozenset()
    words = lived(town, first)
    lived(without, first if rule == "bad" else silent(first, rule), words)
    for each in (town, without):
        undone(each)
    assume(taken_back(town) == taken_back(without))  # what an undo takes back is a word against it, as a person's is
    words = lived(town, then)
    lived(without, silent(then, rule), words)
    before = town.in_force()
    undone(town, rule)
    check_same(town, without)
    assert set(town.in_force()) <= set(before), "an undo put something in force"
    assert undone(town, rule) == []
    assert verify(town.store.audit_entries()).broken is None
    for each in (town, without):
        each.close()
