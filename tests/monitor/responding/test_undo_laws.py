"""Undoing a rule comes to the same as deciding the same findings without it; what it would add waits for a person."""

import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from town import LADDER, Town, alike

from detectors.finding import Entity, Scope, Severity
from monitor.audit import verify
from monitor.responding.undoing import NothingToUndo
from monitor.stores import StandingKind
from monitor.testing import store_state
from playbooks.action import Captcha, Throttle
from playbooks.decision import Reason
from playbooks.playbook import parse_playbooks
from playbooks.risk import MICROSECONDS
from playbooks.testing import decision, finding

SHARED = Path("/dev/shm")  # a record on a disk waits for the disk at every commit
LIBRARY = Path(__file__).parents[3] / "playbooks" / "library"
STOCK = parse_playbooks([(path.name, path.read_text()) for path in sorted(LIBRARY.glob("*.yaml"))])[0]
BY_OWNER = tuple(msgspec.structs.replace(one, per_owner=True) for one in LADDER)
PLAYBOOKS = {"ladder": LADDER, "by owner": BY_OWNER, "stock": STOCK}
ENTITIES = [
    *(Entity(Scope.APP, f"wx{number}") for number in range(3)),
    Entity(Scope.ADDRESS, "10.0.0.1"),
    Entity(Scope.DEVELOPER, "dev1"),
]
ACTS = [Throttle(duration_s=86_400, limit=9, per_s=60), Captcha(duration_s=7_200)]


@st.composite
def found(draw, now_s):
    """Some findings that a turn may have."""
    return [
        finding(
            entity=draw(st.sampled_from(ENTITIES)),
            rule=draw(st.sampled_from(["bad", "bad", "good", "other"])),
            after_s=now_s - draw(st.sampled_from([0, 1, 2, 600])),
            severity=draw(st.sampled_from([Severity.LOW, Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL])),
            kind=draw(st.sampled_from(["rule", "rule", "statistical", "learned"])),
            proof=draw(st.booleans()),
            behaviour=draw(st.sampled_from([8, 11, 15, 16])),
            owner=draw(st.sampled_from([None, "dev1", "dev2"])),
        )
        for _ in range(draw(st.integers(0, 4)))
    ]


@st.composite
def lives(draw, people=True):
    """What happens one after another: turns with findings, and what people do in between."""
    steps, now_s, seen = [], 0, set()
    for _ in range(draw(st.integers(1, 9))):
        now_s += draw(st.sampled_from([1, 60, 3_600, 7_300, 90_000, 3 * 86_400]))
        kind = (
            draw(st.sampled_from(["turn"] * 4 + ["revoke", "stand", "except", "add", "expire"])) if people else "turn"
        )
        if kind == "turn":
            fresh = {one.id: one for one in draw(found(now_s)) if one.id not in seen}
            seen |= set(fresh)
            steps.append((now_s, "turn", list(fresh.values())))
        elif kind in {"revoke", "expire"}:
            steps.append((now_s, kind, draw(st.integers(0, 3))))
        else:
            steps.append((now_s, kind, (draw(st.sampled_from(ENTITIES)), draw(st.sampled_from(ACTS)))))
    return steps, now_s + draw(st.sampled_from([1, 3_600, 100_000]))


def lived(town, life, revoked=None):
    """Let a town live through it; gives what people lifted, by step, for another life in which they say the same."""
    steps, end_s = life
    words = {}
    for now_s, kind, what in steps:
        town.now_s = now_s
        if kind == "turn":
            town.turn(what)
        elif kind == "expire":
            town.expire()
        elif kind == "revoke" and revoked is None:
            acts = sorted(town.in_force().values(), key=lambda one: one.id)
            if acts:
                words[now_s] = acts[what % len(acts)]
                town.revoke(words[now_s])
        elif kind == "revoke":
            if now_s in revoked:
                town.revoke(revoked[now_s])
        elif kind == "stand":
            town.stand(StandingKind.EXEMPTION, what[0])
        elif kind == "except":
            town.stand(StandingKind.EXCEPTION, what[0], rule="good")
        else:
            act = decision(
                what[1],
                id=f"added-{now_s}",
                time=town.now,
                scope=what[0].scope,
                value=what[0].value,
                expires=town.now + what[1].duration_s * MICROSECONDS,
                origin="operator:ann",
                reason=Reason.OPERATOR,
            )
            town.add(act)
    town.now_s = end_s
    return words


def two(playbooks):
    folder = Path(tempfile.mkdtemp(dir=SHARED if SHARED.is_dir() else None))
    (folder / "a").mkdir()
    (folder / "b").mkdir()
    return Town(folder / "a", PLAYBOOKS[playbooks]), Town(folder / "b", PLAYBOOKS[playbooks], without={"bad"})


def undone(town, rule="bad", **more):
    try:
        return town.undo(rule, **more)[1]
    except NothingToUndo:
        return []


def check_same(town, without):
    """What is in force is what would be without the rule, but for what waits because of the undo; all else is the same."""
    here, there = town.in_force(), without.in_force()
    asked = {key: one for key, one in town.waiting().items() if key in there}
    assert set(here) | set(asked) == set(there)
    assert not set(here) & set(asked)
    assert {one.reason for one in asked.values()} <= {Reason.HELD_UNDO, Reason.HELD_LOOP, Reason.HELD_EXEMPT}
    assert [alike(here[key]) for key in here] == [alike(there[key]) for key in here]
    assert {asked[key].expires for key in asked} == {there[key].expires for key in asked}
    assert set(town.waiting()) - set(there) == set(without.waiting())
    assert town.risks(ENTITIES) == without.risks(ENTITIES)
    assert opened(town) == opened(without)


def opened(town):
    return {
        entity: msgspec.structs.replace(one, id="", tier="")
        for entity, one in town.store.open_incidents(ENTITIES).items()
    }


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


def acts(town):
    return set(town.in_force()) | set(town.waiting(Reason.HELD_UNDO))


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
