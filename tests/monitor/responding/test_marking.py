"""Marks: what they do to what was decided, how long they count, and that taking one back leaves nothing of it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lives import ENTITIES, PLAYBOOKS, acts, lived, lives, opened, two
from town import Town

from monitor.audit import verify
from monitor.moments import DAY_US
from monitor.stores.undos import MARK_DAYS_DEFAULT, Marking, UndoAsked, Verdict
from playbooks.decision import Reason
from playbooks.testing import NOON, finding

DAY_S = 86_400


@pytest.fixture
def town(tmp_path):
    made = Town(tmp_path)
    yield made
    made.close()


def stands(town):
    return acts(town), town.risks(ENTITIES), opened(town), set(town.waiting())


def benign(town, one, **more):
    town.turn([one])
    town.now_s += 60
    town.mark([one.id], Verdict.BENIGN_KNOWN, **more)


def became(town, **more):
    """What becomes of a finding about the same app a second later."""
    town.now_s += 1
    one = finding(severity="high", after_s=town.now_s, **more)
    town.turn([one])
    return town.store.considered(one.id)


@settings(max_examples=25, deadline=None)
@given(lives(), st.sampled_from(sorted(PLAYBOOKS)), st.randoms(use_true_random=False))
def test_a_benign_known_mark_takes_back_what_a_false_one_does(life, playbooks, chance):
    town, other = two(playbooks)
    other.without = frozenset()
    words = lived(town, life)
    lived(other, life, words)
    found = sorted(one.id for one in town.store.findings())
    for out in (True, True, False):
        marked = chance.sample(found, len(found) // 3)
        if marked:
            town.mark(marked, Verdict.BENIGN_KNOWN if out else None)
            other.mark(marked, Verdict.FALSE if out else None)
        assert stands(town) == stands(other)
    assert verify(town.store.audit_entries()).broken is None
    town.close()
    other.close()


@settings(max_examples=25, deadline=None)
@given(lives(), st.sampled_from([Verdict.FALSE, Verdict.BENIGN_KNOWN, Verdict.TRUE]))
def test_of_a_mark_that_was_taken_back_nothing_is_input_of_anything_and_all_counts_again(life, verdict):
    town, other = two("ladder")
    other.close()
    lived(town, life)
    found = [one.id for one in town.store.findings()]
    before = town.risks(ENTITIES), opened(town)
    if found:
        town.mark(found, verdict)
        assert {one.finding for one in town.store.marks_in_force(town.now)} == set(found)
        town.mark(found, None)
    assert (town.risks(ENTITIES), opened(town)) == before
    assert town.store.marks_in_force(0) == []
    assert town.store.judged() == []
    town.close()


def test_until_a_benign_known_mark_expires_the_same_about_the_same_is_not_acted_on(town):
    benign(town, finding(severity="high"), for_s=DAY_S)
    word = became(town)
    assert (word.reason, word.incident) == (Reason.RULE_EXCEPTED, None)
    assert "was marked so by operator:bob, until 2026-06-02 12:01:00 UTC (looked at)" in word.detail
    assert became(town, rule="other").reason is Reason.PLAYBOOK
    assert became(town, app="wx2").reason is Reason.PLAYBOOK
    town.now_s += DAY_S
    assert became(town).reason is Reason.PLAYBOOK


@pytest.mark.parametrize("kind", ["rule", "statistical", "learned", "integrity"])
def test_what_is_allowed_is_what_one_rule_says_whatever_kind_of_detector_it_is_of(town, kind):
    seen = {"kind": kind, "detector": "the detector"}
    benign(town, finding(severity="high", rule="one", **seen))
    assert became(town, rule="one", **seen).reason is Reason.RULE_EXCEPTED
    assert became(town, rule="another", **seen).reason is not Reason.RULE_EXCEPTED


@pytest.mark.parametrize("verdict", [Verdict.FALSE, Verdict.BENIGN_KNOWN])
def test_a_later_mark_looks_back_to_the_first_finding_that_does_not_count(town, verdict):
    one = finding(app="wx0", owner="dev1")
    town.turn([one])
    town.mark([one.id], verdict)
    town.now_s = 60
    other = finding(app="wx1", owner="dev1", after_s=60)
    town.turn([other])
    asked = UndoAsked(
        id="u", what=Marking(findings=(other.id,), verdict=verdict), because="", reason="", actor="", now=town.now
    )
    assert one.entity in town.store._gathered(asked).entities


def test_what_is_false_is_only_about_the_finding(town):
    one = finding(severity="high")
    town.turn([one])
    town.now_s += 60
    town.mark([one.id])
    assert became(town).reason is not Reason.RULE_EXCEPTED


def test_a_benign_known_mark_that_is_taken_back_or_said_otherwise_allows_nothing_any_more(town):
    one = finding(severity="high")
    benign(town, one)
    town.mark([one.id], Verdict.FALSE)
    assert became(town).reason is not Reason.RULE_EXCEPTED
    town.mark([one.id], Verdict.BENIGN_KNOWN)
    assert became(town).reason is Reason.RULE_EXCEPTED
    town.mark([one.id], None)
    assert became(town).reason is not Reason.RULE_EXCEPTED


def test_a_mark_tells_who_and_when_and_whether_its_window_is_normal(town):
    found = {word: finding(app=f"wx{n}", owner="dev1") for n, word in enumerate(Verdict)}
    town.turn(list(found.values()))
    for word, one in found.items():
        town.mark([one.id], word)
    marks = {one.verdict: one for one in town.store.marks_in_force(town.now)}
    assert {word for word, one in marks.items() if one.is_normal} == {Verdict.FALSE, Verdict.BENIGN_KNOWN}
    mark, one = marks[Verdict.TRUE], found[Verdict.TRUE]
    assert (mark.finding, mark.entity, mark.owner, mark.rule) == (one.id, one.entity, "dev1", "rule-1")
    assert (mark.detector, mark.kind, mark.first_event, mark.last_event) == ("sigma", "rule", NOON, NOON)
    assert (mark.time, mark.expires) == (town.now, town.now + MARK_DAYS_DEFAULT * DAY_US)
    assert len(town.store.marks_in_force(mark.expires - 1)) == 3
    assert town.store.marks_in_force(mark.expires) == []


def test_the_audit_tells_what_was_said_before_and_now_until_when(town):
    one = finding()
    town.turn([one])
    town.mark([one.id], Verdict.TRUE, for_s=DAY_S)
    town.mark([one.id], None)
    said = [link.entry for link in town.store.audit_entries() if link.entry.action == "finding.mark"]
    assert [(entry.before, entry.after) for entry in said] == [
        ("", "true until 2026-06-02T12:00:00.000000Z"),
        ("true until 2026-06-02T12:00:00.000000Z", "unmarked"),
    ]
