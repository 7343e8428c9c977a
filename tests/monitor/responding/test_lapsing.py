import pytest
from acting import ALICE, BAN, DAY, HOUR, added, exempted, held, standing, words
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.finding import Severity
from monitor.responding.answering import begun
from monitor.responding.lapsing import ANSWERS_MAX, Settled, settle
from monitor.stores import Turn
from monitor.testing import scratch_store
from playbooks.bounds import BudgetConfig
from playbooks.decide import decide
from playbooks.decision import DecisionState, Tier, Unanswered
from playbooks.known import Known
from playbooks.playbook import parse_playbooks
from playbooks.policy import Exceptions, Exemption, Exemptions, Policy, RuleException
from playbooks.testing import NOON, finding

LADDER = """\
name: ladder
title: Every rung
priority: 1
steps:
  - {tier: warn, when: {risk: 20}, when_unanswered: decide-again, answer_within: 2h, actions: [{type: warn, deadline: 24h}]}
  - {tier: throttle, when: {risk: 40}, when_unanswered: decide-again, actions: [{type: throttle, limit: 9, per: 1m, for: 3d}]}
  - {tier: remove, when: {risk: 60}, actions: [{type: remove, for: 7d}]}
  - {tier: ban, when: {risk: 75}, actions: [{type: ban, for: 30d}]}
"""
PLAYBOOKS, PROBLEMS = parse_playbooks([("ladder", LADDER)])
FULL = Policy(playbooks=PLAYBOOKS, budget=BudgetConfig(warn_per_hour=0, throttle_per_hour=0))
NONE = Policy(
    playbooks=PLAYBOOKS, budget=BudgetConfig(warn_per_hour=0, throttle_per_hour=0, remove_per_hour=0, ban_per_hour=0)
)
ROOMY = Policy(playbooks=PLAYBOOKS)
EXCEPTED = Exceptions([RuleException(rule="rule-1", scope="AppId", value="wx01", expires=NOON + 9 * DAY)])


def decided(store, policy, *findings, now=NOON):
    """What a turn decides about findings, in the record."""
    outcome = decide(findings, Known(), policy, now=now)
    store.commit(
        Turn(
            number=store.last_turn() + 1,
            findings=findings,
            incidents=outcome.incidents,
            decisions=outcome.decisions,
            considered=outcome.considered,
        )
    )
    return outcome.decisions


def settled(store, policy, now):
    return settle(store, lambda: policy, now)


def test_a_step_says_how_long_an_answer_is_awaited_and_else_its_tier_does(store):
    assert PROBLEMS == []
    (warning,) = decided(store, FULL, finding())
    (throttle,) = decided(store, FULL, finding(app="wx2", severity="high"))
    assert (warning.answer_by, warning.unanswered) == (NOON + 2 * HOUR, Unanswered.DECIDE_AGAIN)
    assert throttle.answer_by == NOON + DAY


def test_what_nobody_answers_lapses(store):
    waiting = held(store)
    assert settled(store, ROOMY, NOON + DAY - 1) == Settled()
    assert settled(store, ROOMY, NOON + DAY) == Settled(lapsed=1)
    assert store.decision(waiting.id).state is DecisionState.EXPIRED
    assert words(store) == [("decision.lapse", "system:held")]
    assert settled(store, ROOMY, NOON + 2 * DAY) == Settled()


def test_where_a_playbook_says_so_the_guards_are_asked_again_and_none_objects(store):
    (waiting,) = decided(store, FULL, finding())
    later = NOON + 2 * HOUR
    assert settled(store, ROOMY, later) == Settled(began=1)
    (acting,) = store.decisions_in_force(later)
    assert (acting.id, acting.time, acting.expires) == (waiting.id, later, later + DAY)
    assert acting.explanation.endswith("; nobody answered in time, and no guard objects any more.")
    assert words(store) == [("decision.decide-again", "system:held")]


def test_one_guard_that_objects_is_enough(store):
    decided(store, FULL, finding())
    assert settled(store, FULL, NOON + 2 * HOUR) == Settled(lapsed=1)
    decided(store, FULL, finding(after_s=9_000), now=NOON + 3 * HOUR)
    exempt = Exemptions([Exemption(scope="AppId", value="wx01", expires=NOON + 9 * DAY)])
    policy = Policy(playbooks=PLAYBOOKS, exemptions=exempt)
    assert settled(store, policy, NOON + 5 * HOUR) == Settled(lapsed=1)
    reasons = [chained.entry.reason for chained in store.audit_entries()]
    assert reasons[-1] == "nobody answered in time, and still an exemption protects it"


def test_waiting_is_not_lateness(store):
    decided(store, FULL, finding(severity="high"))
    assert settled(store, ROOMY, NOON + DAY) == Settled(began=1)


@pytest.mark.parametrize(
    ("of", "policy", "told"),
    [
        ({"scope": "Ip", "value": "203.0.113.7"}, ROOMY, "nobody can say any more who else it would have met"),
        ({}, Policy(playbooks=PLAYBOOKS, shadowed={"rule-1": "too many"}), "its rule is in shadow"),
        ({}, Policy(playbooks=PLAYBOOKS, exceptions=EXCEPTED), "an exception says that its rule does not apply there"),
    ],
)
def test_what_cannot_be_known_or_is_not_meant_any_more_does_not_begin(store, of, policy, told):
    decided(store, FULL, finding(**of))
    assert settled(store, policy, NOON + 2 * HOUR) == Settled(lapsed=1)
    assert list(store.audit_entries())[-1].entry.reason == f"nobody answered in time, and still {told}"


def test_no_more_begin_at_once_than_the_budget_allows(store):
    decided(store, FULL, *(finding(app=f"wx{n}") for n in range(5)))
    three = Policy(playbooks=PLAYBOOKS, budget=BudgetConfig(warn_per_hour=3))
    assert settled(store, three, NOON + 2 * HOUR) == Settled(lapsed=2, began=3)


def test_what_people_lay_down_at_the_same_moment_comes_first(store):
    decided(store, FULL, finding())

    def overtaken():
        exempted(store)
        return ROOMY

    assert settle(store, overtaken, NOON + 2 * HOUR) == Settled()
    assert standing(store, NOON + 2 * HOUR) == []


def test_what_a_lapsed_decision_was_about_is_asked_again_at_a_new_offence(store):
    decided(store, FULL, finding())
    settled(store, FULL, NOON + 2 * HOUR)
    known = Known(decisions=store.decisions_of([finding().entity]))
    outcome = decide([finding(after_s=7_300)], known, FULL, now=NOON + 3 * HOUR)
    assert [made.state for made in outcome.decisions] == [DecisionState.HELD]


def test_what_a_person_asked_for_lapses_too(store):
    added(store, BAN)
    assert settled(store, ROOMY, NOON + 7 * DAY) == Settled(lapsed=1)
    assert words(store)[-1] == ("decision.lapse", "system:held")


def test_an_approval_that_came_in_time_stays(store):
    waiting = held(store)
    with store.acting() as acting:
        acting.write([begun(waiting, ALICE, "seen", NOON + HOUR)], [])
    assert settled(store, ROOMY, NOON + DAY) == Settled()


def test_a_transaction_settles_no_more_than_its_bound(store, monkeypatch):
    assert ANSWERS_MAX == 1_000
    monkeypatch.setattr("monitor.responding.lapsing.ANSWERS_MAX", 2)
    decided(store, FULL, *(finding(app=f"wx{n}") for n in range(3)))
    assert [settled(store, FULL, NOON + 2 * HOUR).lapsed for _ in range(3)] == [2, 1, 0]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from([*Severity]), st.integers(0, 3 * 86_400)), max_size=8),
    st.sampled_from([FULL, ROOMY, NONE]),
)
def test_nobodys_silence_ever_removes_or_bans(tmp_path_factory, seen, policy):
    store = scratch_store(tmp_path_factory.mktemp("silence"))
    found = {}
    for app, severity, after_s in seen:
        one = finding(app=f"wx{app}", severity=severity, after_s=after_s, proof=True)
        found[one.id] = one
    decided(store, policy, *found.values())
    before = {made.id for made in store.decisions_in_force(NOON)}
    for hours in (2, 24, 72, 24 * 30):
        settled(store, ROOMY, NOON + hours * HOUR)
    begun_since = [made for made in store.decisions() if made.state is DecisionState.ACTIVE and made.id not in before]
    assert all(made.tier.rank <= Tier.THROTTLE.rank for made in begun_since)
    assert store.waiting_decisions(10) == []
    store.close()


@pytest.mark.parametrize("tier", ["remove", "ban"])
def test_a_playbook_cannot_have_silence_remove_or_ban(tier):
    text = LADDER.replace(f"{{tier: {tier},", f"{{tier: {tier}, when_unanswered: decide-again,")
    playbooks, problems = parse_playbooks([("ladder", text)])
    assert playbooks == ()
    assert "Removal and ban need a person" in str(problems[0])
