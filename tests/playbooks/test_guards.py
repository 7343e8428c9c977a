"""Every guard, one fact at a time: what it holds, and what it lets pass."""

import msgspec
import pytest

from detectors.finding import Entity, Scope
from playbooks.bounds import BudgetConfig, GuardConfig
from playbooks.decide import decide
from playbooks.decision import DecisionState, Mode, Reason, Tier
from playbooks.guards.asking import GUARDS
from playbooks.known import Known, carry
from playbooks.playbook import parse_playbooks
from playbooks.policy import Maintenance, Pause, Policy, Window
from playbooks.risk import MICROSECONDS
from playbooks.surroundings import Active, Behind, Health
from playbooks.testing import NOON, finding

LADDER = """\
name: ladder
title: Every rung
priority: 1
steps:
  - {tier: warn, when: {risk: 20}, actions: [{type: warn, deadline: 24h}]}
  - {tier: throttle, when: {risk: 45}, actions: [{type: throttle, target: login, limit: 60, per: 1m, for: 3d}]}
  - {tier: remove, when: {risk: 75}, actions: [{type: remove, for: 7d}]}
  - {tier: ban, when: {risk: 99}, actions: [{type: ban, for: 30d}]}
"""
PLAYBOOKS = parse_playbooks([("ladder.yaml", LADDER)])[0]
HOUR = 3600 * MICROSECONDS
DAY = 24 * HOUR


def policy(**fields):
    return Policy(playbooks=PLAYBOOKS, **fields)


def strong(**fields):
    """A finding that by itself reaches a throttle, and with proof a removal when it is critical."""
    return finding(**{"severity": "high", **fields})


def apps(count, rule="rule-1", **fields):
    return [strong(app=f"wx{number:05}", rule=rule, **fields) for number in range(count)]


def decided(findings, rules=None, known=None, now=NOON):
    return decide(findings, known or Known(), rules or policy(), now=now)


def told(outcome):
    """What became of each act: its tier, and its reason."""
    return [(made.tier.value, made.reason.value) for made in outcome.decisions]


def test_an_act_of_a_healthy_daemon_is_put_in_force():
    assert told(decided([strong()])) == [("throttle", "playbook")]


def test_each_reason_is_of_one_guard():
    reasons = [reason for reason, _guard in GUARDS]
    assert len(set(reasons)) == len(reasons)
    held = {reason for reason in Reason if reason.value.startswith("held-")}
    assert held - {Reason.HELD_UNDO} == set(reasons), "what an undo holds back is no guard's word"


# Budgets


def test_one_rule_acts_so_often_in_an_hour_and_is_then_in_shadow():
    outcome = decided(apps(6), policy(budget=BudgetConfig(rule_per_hour=3)))
    live = [made for made in outcome.decisions if made.mode is Mode.LIVE]
    assert [made.reason for made in live] == [Reason.PLAYBOOK] * 3 + [Reason.HELD_RULE_BUDGET]
    assert [made.mode for made in outcome.decisions[4:]] == [Mode.SHADOW] * 2
    assert [(trip.rule, trip.reason) for trip in outcome.trips] == [("rule-1", Reason.HELD_RULE_BUDGET)]
    assert [word.reason for word in outcome.considered[4:]] == [Reason.RULE_IN_SHADOW] * 2


def test_other_rules_act_on_while_one_is_in_shadow():
    outcome = decided([*apps(3), strong(app="wx9", rule="rule-2")], policy(budget=BudgetConfig(rule_per_hour=2)))
    assert outcome.decisions[-1].reason is Reason.PLAYBOOK


def test_a_rule_in_shadow_raises_no_risk_and_joins_no_incident():
    outcome = decided([strong()], policy(shadowed={"rule-1": "a person said so"}))
    assert (outcome.risks, outcome.incidents) == ([], [])
    assert [(made.mode, made.incident) for made in outcome.decisions] == [(Mode.SHADOW, None)]
    assert "a person said so" in outcome.considered[0].detail


def test_a_rule_stays_in_shadow_over_the_calls_that_follow():
    rules = policy(budget=BudgetConfig(rule_per_hour=2))
    known = carry(Known(), decided(apps(3), rules))
    later = decided([strong(app="wx7")], rules, known, now=NOON + 2 * HOUR)
    assert [made.mode for made in later.decisions] == [Mode.SHADOW]


def test_in_replay_a_rules_budget_holds_and_moves_no_rule():
    outcome = decided(apps(6), policy(budget=BudgetConfig(rule_per_hour=3)), now=None)
    assert [reason for _tier, reason in told(outcome)] == ["playbook"] * 3 + ["held-rule-budget"] * 3
    assert outcome.trips == []


def shares(**fields):
    none = {"rule_share": 1.0, "tier_share": 1.0, "all_share": 1.0, "apps_min": 100, "people_min": 100}
    return policy(budget=BudgetConfig(**{**none, **fields}))


def about(findings, **active):
    return Known(active={one.id: Active(**active) for one in findings})


@pytest.mark.parametrize(
    ("share", "reason"),
    [("rule_share", "held-rule-budget"), ("tier_share", "held-share"), ("all_share", "held-share")],
)
def test_acts_reach_no_more_than_a_part_of_the_active_apps(share, reason):
    findings = [strong(app=f"wx{n}", rule="rule-1") for n in range(4)]
    outcome = decided(findings, shares(**{share: 0.02}), about(findings, apps=199))
    live = [made.reason for made in outcome.decisions if made.mode is Mode.LIVE]
    assert live[:4] == [Reason.PLAYBOOK] * 3 + [reason]


def test_a_part_of_few_active_apps_is_no_bound():
    findings = apps(4)
    assert {reason for _, reason in told(decided(findings, shares(tier_share=0.01), about(findings, apps=99)))} == {
        "playbook"
    }


def test_people_are_counted_apart_from_apps_and_by_their_own_number():
    findings = [*apps(2), *(strong(entity=Entity(Scope.USER, f"u{n}")) for n in range(3))]
    outcome = decided(findings, shares(tier_share=0.01), about(findings, apps=200, people=200))
    assert [reason for _, reason in told(outcome)] == ["playbook"] * 4 + ["held-share"]


def test_a_clock_that_is_put_back_gives_no_second_budget():
    rules = policy(budget=BudgetConfig(throttle_per_hour=2))
    known = carry(Known(), decided(apps(2, after_s=86_400), rules, now=NOON + DAY))
    again = decided([strong(app="wx7", rule="rule-2")], rules, known, now=NOON)
    assert told(again) == [("throttle", "held-budget")]


def test_people_are_told_once_of_a_tier_whose_budget_is_spent_and_no_rule_is_moved():
    outcome = decided([*apps(3), *apps(3, rule="rule-2", after_s=1)], policy(budget=BudgetConfig(throttle_per_hour=1)))
    assert [(trip.name, trip.rule) for trip in outcome.trips] == [("throttle", None)]


# Our own health

SICK = [
    (Health(input_late_s=901), "late"),
    (Health(clock_off_s=61), "clock"),
    (Health(store_stalled_s=31), "stalled"),
    (Health(dead_letter_share=0.06), "could not be read"),
]


@pytest.mark.parametrize(("health", "word"), SICK)
def test_who_sees_badly_does_no_more_than_warn(health, word):
    outcome = decided([strong()], policy(health=health))
    assert told(outcome) == [("throttle", "held-health"), ("warn", "playbook")]
    assert word in outcome.decisions[0].explanation


@pytest.mark.parametrize(("health", "_word"), SICK)
def test_in_replay_our_health_now_does_not_matter(health, _word):
    assert told(decided([strong()], policy(health=health), now=None)) == [("throttle", "playbook")]


def test_what_happened_long_ago_leads_to_a_warning_at_most():
    month_old = decided([strong()], now=NOON + 30 * DAY)
    assert told(month_old) == [("throttle", "held-health"), ("warn", "playbook")]
    assert "30 days late" in month_old.decisions[0].explanation


def test_a_new_rule_does_no_more_than_warn_until_it_is_established():
    new = policy(health=Health(new_rules={"rule-1": NOON - HOUR + 1}))
    assert told(decided([strong()], new)) == [("throttle", "held-new-rule"), ("warn", "playbook")]
    assert told(decided([strong(after_s=1)], new, now=NOON + 1)) == [("throttle", "playbook")]
    assert told(decided([strong(rule="rule-2")], new)) == [("throttle", "playbook")]


def test_a_new_rule_that_would_act_often_is_moved_to_shadow():
    new = policy(health=Health(new_rules={"rule-1": NOON}), guards=GuardConfig(new_rule_acts=3))
    outcome = decided(apps(6), new)
    held = [made for made in outcome.decisions if made.reason is Reason.HELD_NEW_RULE]
    assert len(held) == 4
    assert [trip.rule for trip in outcome.trips] == ["rule-1"]
    assert outcome.decisions[-1].mode is Mode.SHADOW


def test_acts_of_a_new_rule_add_up_over_calls():
    new = policy(health=Health(new_rules={"rule-1": NOON}), guards=GuardConfig(new_rule_acts=3))
    known = Known()
    trips = []
    for one in apps(6):
        outcome = decided([one], new, known)
        known, trips = carry(known, outcome), trips + outcome.trips
    assert [trip.rule for trip in trips] == ["rule-1"]


# The effects of our own acts

TWO_KINDS = {"kind": "statistical", "severity": "critical"}


def under_a_throttle(**fields):
    """A throttle of yesterday's in force, and what a finding of another rule leads to now."""
    known = carry(Known(), decided([strong()]))
    return decided([strong(rule="rule-2", after_s=60, **fields)], None, known, now=NOON + 60 * MICROSECONDS)


def test_what_is_only_seen_under_an_act_lifts_nobody_to_a_higher_rung():
    outcome = under_a_throttle(**TWO_KINDS)
    assert told(outcome)[0] == ("remove", "held-loop")
    assert outcome.incidents[0].under_act == ("rule-2",)


def test_proof_is_no_effect_of_an_act():
    assert told(under_a_throttle(severity="critical", proof=True))[0] == ("remove", "playbook")


def test_a_rule_that_spoke_before_the_act_may_climb():
    known = carry(Known(), decided([finding(rule="rule-2", **{**TWO_KINDS, "severity": "low"}), strong(after_s=1)]))
    outcome = decided([finding(rule="rule-2", after_s=120, **TWO_KINDS)], None, known, now=NOON + 120 * MICROSECONDS)
    assert ("remove", "playbook") in told(outcome)


def test_a_rule_that_speaks_when_the_act_is_over_may_climb_from_then_on():
    known = carry(Known(), decided([strong()]))
    known = carry(known, under_a_throttle(**TWO_KINDS))
    later = NOON + 4 * DAY
    outcome = decided([strong(rule="rule-2", time=later, **TWO_KINDS)], None, known, now=later)
    assert all(made.reason is not Reason.HELD_LOOP for made in outcome.decisions if made.time == later)


# What people lay down


def test_while_paused_every_act_is_held():
    rules = policy(paused=Pause(begins=NOON, expires=NOON + HOUR, actor="operator:ann", reason="Something is off."))
    outcome = decided([finding(), strong(app="wx2")], rules)
    assert told(outcome) == [("warn", "held-paused"), ("throttle", "held-paused")]
    assert "operator:ann has stopped all acts: Something is off" in outcome.decisions[0].explanation
    assert told(decided([strong(after_s=3_600)], rules, now=NOON + HOUR)) == [("throttle", "playbook")]


def test_a_window_of_maintenance_holds_all_that_it_is_about_and_only_then():
    window = Window(begins=NOON, expires=NOON + HOUR, reason="A new gateway", scope=Scope.DEVELOPER, value="dev1")
    rules = policy(maintenance=Maintenance([window]))
    assert told(decided([strong(owner="dev1")], rules)) == [("throttle", "held-maintenance")]
    assert told(decided([strong(owner="dev2")], rules)) == [("throttle", "playbook")]
    assert told(decided([strong(owner="dev1")], rules, now=NOON - 1)) == [("throttle", "playbook")]
    everything = policy(maintenance=Maintenance([msgspec.structs.replace(window, scope=None, value="")]))
    assert told(decided([strong(owner="dev2")], everything)) == [("throttle", "held-maintenance")]


# How long, and on how many


def test_a_machine_decides_for_a_bounded_time():
    outcome = decided([strong(severity="critical", proof=True)], policy(guards=GuardConfig(duration_s=3 * 86_400)))
    assert told(outcome) == [("remove", "held-duration"), ("throttle", "playbook")]


def behind(people, apps, act, tier, lasting, scope="Ip", value="203.0.113.7"):
    text = LADDER.replace("{type: throttle, target: login, limit: 60, per: 1m, for: 3d}", f"{{{act}, for: {lasting}}}")
    playbooks, problems = parse_playbooks([("ladder.yaml", text.replace("tier: throttle", f"tier: {tier}"))])
    assert not problems
    seen = strong(scope=scope, value=value, proof=True)
    known = Known(behind={seen.id: Behind(people=people, apps=apps)})
    return decided([seen], Policy(playbooks=playbooks), known).decisions[0].reason.value


THROTTLE = "type: throttle, limit: 60, per: 1m"


@pytest.mark.parametrize(
    ("people", "apps", "act", "tier", "lasting", "reason"),
    [
        (10, 0, "type: remove", "remove", "1h", "held-shared"),
        (0, 20, "type: remove", "remove", "1h", "held-shared"),
        (9, 19, "type: remove", "remove", "1h", "playbook"),
        (10, 0, THROTTLE, "throttle", "25h", "held-shared"),
        (10, 0, THROTTLE, "throttle", "24h", "playbook"),
        (10, 0, "type: function-ban, target: login", "throttle", "1h", "held-shared"),
    ],
)
def test_whom_many_share_is_only_throttled_and_not_for_long(people, apps, act, tier, lasting, reason):
    assert behind(people, apps, act, tier, lasting) == reason
    assert behind(people, apps, act, tier, lasting, scope="AppId", value="wx01") == "playbook"


def test_a_held_act_is_in_no_force():
    outcome = decided([strong()], policy(health=Health(clock_off_s=86_400)))
    assert {made.state for made in outcome.decisions if made.tier is not Tier.WARN} == {DecisionState.HELD}
