"""What is decided, one fact at a time."""

import msgspec
import pytest

from detectors.finding import Entity, Scope
from playbooks.decide import decide
from playbooks.decision import Act, DecisionState, Mode, Reason
from playbooks.known import Known, carry
from playbooks.playbook import parse_playbooks
from playbooks.policy import BudgetConfig, Exceptions, Exemption, Exemptions, Policy, RuleException
from playbooks.risk import MICROSECONDS, RiskConfig
from playbooks.testing import NOON, finding

LADDER = """\
name: ladder
title: Every rung
priority: 1
steps:
  - {tier: warn, when: {risk: 20}, actions: [{type: warn, deadline: 24h}]}
  - {tier: throttle, when: {risk: 45}, actions: [{type: throttle, target: login, limit: 60, per: 1m, for: 3d}]}
  - {tier: throttle, when: {risk: 45, repeats: 2}, actions: [{type: throttle, target: login, limit: 9, per: 1m, for: 7d}]}
  - {tier: remove, when: {risk: 75}, actions: [{type: remove, for: 7d}]}
  - {tier: ban, when: {risk: 95}, actions: [{type: ban, for: 30d}]}
"""
BY_REPEATS = """\
name: climb
title: By repetition only
priority: 1
memory_days: 30
steps:
  - {tier: warn, when: {repeats: 0}, actions: [{type: warn, deadline: 24h}]}
  - {tier: throttle, when: {repeats: 1}, actions: [{type: throttle, limit: 60, per: 1m, for: 24h}]}
  - {tier: throttle, when: {repeats: 2}, actions: [{type: throttle, limit: 30, per: 1m, for: 3d}]}
"""
DAY = 86_400
FAR = NOON + 1_000 * DAY * MICROSECONDS


def policy(text=LADDER, **fields):
    playbooks, problems = parse_playbooks([("test.yaml", text)])
    assert not problems
    return Policy(playbooks=playbooks, **fields)


def acts(findings, rules=None, known=None, now=None):
    outcome = decide(findings, known or Known(), rules or policy(), now=now)
    return [(made.type.value, made.state.value, made.reason.value) for made in outcome.decisions]


def reasons(findings, rules, now=None):
    return [word.reason for word in decide(findings, Known(), rules, now=now).considered]


def test_a_medium_finding_warns():
    assert acts([finding()]) == [("warn", "active", "playbook")]


def test_a_decision_says_what_why_and_until_when():
    (made,) = decide([finding(severity="high", events=3_565)], Known(), policy(), now=None).decisions
    assert (made.type, made.target, made.parameters) == (Act.THROTTLE, "login", {"limit": 60, "per_s": 60})
    assert made.expires == made.time + 3 * DAY * MICROSECONDS
    assert made.explanation == (
        "App wx01: Something happened (rule rule-1), risk 50 of 100; "
        "by playbook ladder: login limited to 60 in 1 minute, for 3 days."
    )


def test_a_decision_names_a_rule_by_its_title_and_the_beginning_of_its_id():
    seen = finding(rule="277df3d1-e2dc-4d0d-9dc0-4d21073e05f9", title="Wide open door")
    (made,) = decide([seen], Known(), policy(), now=None).decisions
    assert "Wide open door (rule 277df3d1), risk" in made.explanation


def test_replay_decides_at_the_findings_own_time_and_live_at_now():
    for now, mode, time in ((None, Mode.REPLAY, NOON), (NOON + 5, Mode.LIVE, NOON + 5)):
        (made,) = decide([finding()], Known(), policy(), now=now).decisions
        assert (made.mode, made.time) == (mode, time)


@pytest.mark.parametrize("now", [None, NOON])
def test_a_shadow_playbook_is_shadow_always(now):
    rules = policy(LADDER.replace("priority: 1", "priority: 1\nmode: shadow"))
    (made,) = decide([finding()], Known(), rules, now=now).decisions
    assert made.mode is Mode.SHADOW


def test_the_same_act_is_decided_once_and_not_prolonged():
    same = [
        finding(after_s=minute * 60, confidence=0.9, severity="high" if minute == 0 else "low") for minute in range(5)
    ]
    assert acts(same) == [("throttle", "active", "playbook")]
    assert reasons(same, policy())[1:] == [Reason.ALREADY_DECIDED] * 4


def test_an_offence_before_the_earlier_act_began_does_not_climb():
    known = carry(Known(), decide([finding()], Known(), policy(BY_REPEATS), now=NOON + 60 * MICROSECONDS))
    assert acts([finding(after_s=30)], policy(BY_REPEATS), known, NOON + 90 * MICROSECONDS) == []
    assert acts([finding(after_s=61)], policy(BY_REPEATS), known, NOON + 90 * MICROSECONDS)[0][0] == "throttle"


def test_repetition_climbs_rung_by_rung_and_is_forgotten():
    days = [0, 2, 4, 40]
    outcome = decide([finding(after_s=day * DAY) for day in days], Known(), policy(BY_REPEATS), now=None)
    rungs = [(made.type.value, made.parameters.get("limit")) for made in outcome.decisions]
    assert rungs == [("warn", None), ("throttle", 60), ("throttle", 30), ("warn", None)]


def test_an_act_with_several_parts_is_one_repetition():
    text = BY_REPEATS.replace(
        "[{type: warn, deadline: 24h}]", "[{type: warn, deadline: 24h}, {type: warn, deadline: 1h}]"
    )
    text = text.replace("tier: warn, when", "tier: throttle, when").replace(
        "{type: warn, deadline: 1h}", "{type: captcha, for: 24h}"
    )
    outcome = decide([finding(after_s=day * DAY * 2) for day in (0, 1)], Known(), policy(text), now=None)
    assert outcome.decisions[-1].parameters["limit"] == 60


def test_repetition_of_an_owner_counts_over_all_apps_when_the_playbook_says_so():
    twice = [finding(app="wx01", owner="dev01"), finding(app="wx02", owner="dev01", after_s=60)]
    assert [act for act, *_ in acts(twice, policy(BY_REPEATS))] == ["warn", "warn"]
    together = policy(BY_REPEATS.replace("priority: 1", "priority: 1\nper_owner: true"))
    assert [act for act, *_ in acts(twice, together)] == ["warn", "throttle"]


def test_the_risk_of_the_owner_rises_with_that_of_the_apps():
    outcome = decide([finding(app=app, owner="dev01") for app in ("wx01", "wx02")], Known(), policy(), now=None)
    scores = {risk.entity.value: risk.score for risk in outcome.risks}
    assert scores == {"wx01": 25, "wx02": 25, "dev01": 23.4375}


def test_a_longer_act_takes_the_place_of_a_shorter():
    findings = [finding(severity="high", kind="statistical"), finding(severity="low", after_s=60)]
    first, second = decide(findings, Known(), policy(), now=None).decisions
    assert (first.state, first.duration_s) == (DecisionState.SUPERSEDED, DAY)
    assert (second.state, second.duration_s) == (DecisionState.ACTIVE, 3 * DAY)


def test_a_lower_act_is_not_added_under_a_higher():
    findings = [finding(severity="high"), finding(after_s=2 * DAY, severity="low", confidence=1.0)]
    rules = policy(LADDER.replace("risk: 20", "risk: 8"))
    assert acts(findings, rules) == [("throttle", "active", "playbook")]


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ({}, "held-evidence"),
        ({"proof": True}, "playbook"),
        ({"kind": "integrity"}, "playbook"),
    ],
)
def test_removal_needs_evidence(extra, reason):
    made = acts([finding(severity="critical", **extra)])
    assert made[0] == ("remove", "held" if reason == "held-evidence" else "active", reason)


def test_while_removal_is_held_the_rung_below_acts():
    assert acts([finding(severity="critical")])[1] == ("throttle", "active", "playbook")


def test_two_kinds_of_detector_are_evidence():
    pair = [finding(), finding(severity="critical", kind="statistical", after_s=1)]
    assert ("remove", "active", "playbook") in acts(pair)


def test_learned_findings_alone_warn_at_most():
    made = acts([finding(severity="critical", kind="learned", proof=True)])
    assert made == [
        ("remove", "held", "held-evidence"),
        ("throttle", "held", "held-evidence"),
        ("warn", "active", "playbook"),
    ]


def test_statistical_findings_alone_throttle_for_a_day_at_most():
    outcome = decide([finding(severity="critical", kind="statistical", proof=True)], Known(), policy(), now=None)
    (acting,) = [made for made in outcome.decisions if made.state is DecisionState.ACTIVE]
    assert (acting.type, acting.duration_s) == (Act.THROTTLE, DAY)


def test_a_ban_waits_for_a_person_and_removal_acts_meanwhile():
    made = acts([finding(severity="critical", proof=True, after_s=second) for second in (0, 1)])
    assert made == [("remove", "active", "playbook"), ("ban", "awaiting-approval", "held-approval")]


def test_an_exempt_entity_is_held_and_the_question_is_not_asked_twice():
    exempt = Exemptions([Exemption(scope=Scope.APP, value="wx01", expires=FAR)])
    twice = [finding(after_s=second) for second in (0, 1)]
    assert acts([finding(), finding(after_s=1, severity="low")], policy(exemptions=exempt)) == [
        ("warn", "held", "held-exempt")
    ]
    assert reasons(twice, policy(exemptions=exempt)) == [Reason.HELD_EXEMPT] * 2


def test_an_exemption_that_is_over_protects_nobody():
    exempt = Exemptions([Exemption(scope=Scope.APP, value="wx01", expires=NOON)])
    assert acts([finding()], policy(exemptions=exempt)) == [("warn", "active", "playbook")]


@pytest.mark.parametrize("who", [Entity(Scope.APP, "wx01"), Entity(Scope.DEVELOPER, "dev01")])
def test_a_protected_app_is_held(who):
    assert acts([finding(owner="dev01")], policy(protected={who})) == [("warn", "held", "held-protected")]


def test_an_act_beyond_the_budget_is_held_and_an_hour_later_is_not():
    rules = policy(budget=BudgetConfig(warn_per_hour=2))
    apps = [finding(app=f"wx{n}", after_s=n) for n in range(3)]
    assert [state for _, state, _ in acts(apps, rules)] == ["active", "active", "held"]
    later = decide([*apps, finding(app="wx2", after_s=3_601)], Known(), rules, now=None).decisions
    assert [made.state for made in later[2:]] == [DecisionState.SUPERSEDED, DecisionState.ACTIVE]


def test_the_budget_in_all_counts_every_tier_and_earlier_calls():
    rules = policy(budget=BudgetConfig(all_per_hour=2))
    first = [finding(app="wx1"), finding(app="wx2", severity="high")]
    known = carry(Known(), decide(first, Known(), rules, now=NOON))
    assert acts([finding(app="wx3")], rules, Known(recent=known.recent), NOON) == [("warn", "held", "held-budget")]


def test_an_excepted_rule_leaves_no_trace_but_its_reason():
    excepted = Exceptions([RuleException(rule="rule-1", scope=Scope.APP, value="wx01", expires=FAR)])
    outcome = decide([finding(owner="dev01")], Known(), policy(exceptions=excepted), now=None)
    assert (outcome.risks, outcome.incidents, outcome.decisions) == ([], [], [])
    assert outcome.considered[0].reason is Reason.RULE_EXCEPTED


def test_what_a_person_took_back_does_not_return_at_once():
    outcome = decide([finding()], Known(), policy(), now=NOON)
    revoked = msgspec.structs.replace(outcome.decisions[0], state=DecisionState.REVOKED)
    known = carry(carry(Known(), outcome), msgspec.structs.replace(outcome, decisions=[revoked]))
    assert acts([finding(after_s=1, severity="low")], known=known, now=NOON + MICROSECONDS) == []
    other = finding(after_s=1, severity="low", rule="rule-2")
    assert acts([other], known=known, now=NOON + MICROSECONDS) == [("warn", "active", "playbook")]


@pytest.mark.parametrize(
    ("about", "reason"),
    [
        ({"severity": "low"}, Reason.RISK_BELOW_STEP),
        ({"scope": "Host", "value": "web-1"}, Reason.NO_PLAYBOOK),
    ],
)
def test_doing_nothing_has_a_reason_and_a_sentence(about, reason):
    (word,) = decide([finding(**about)], Known(), policy(), now=None).considered
    assert word.reason is reason
    assert word.detail.endswith(".")
    assert word.incident


def test_the_first_playbook_by_priority_is_used():
    texts = [("a", LADDER), ("b", BY_REPEATS.replace("priority: 1", "priority: 0"))]
    (made,) = decide([finding()], Known(), Policy(playbooks=parse_playbooks(texts)[0]), now=None).decisions
    assert made.origin == "playbook:climb"


def test_an_incident_knows_the_highest_rung_in_force():
    outcome = decide([finding(), finding(severity="high", after_s=60)], Known(), policy(), now=None)
    (incident,) = outcome.incidents
    assert (incident.tier, incident.findings, incident.severity) == ("throttle", 2, "high")


def test_after_a_silence_there_is_a_new_incident():
    outcome = decide([finding(), finding(after_s=DAY + 1)], Known(), policy(), now=None)
    assert len(outcome.incidents) == 2


def test_a_finding_from_long_before_has_an_incident_of_its_own_and_leaves_the_open_one():
    rules = policy(risk=RiskConfig(half_life_s=1_000 * DAY))
    known = carry(Known(), decide([finding()], Known(), rules, now=None))
    outcome = decide([finding(after_s=-3 * DAY, severity="high"), finding(after_s=1)], known, rules, now=None)
    old, current = outcome.incidents
    assert (old.findings, old.tier) == (1, "throttle")
    assert (current.id, current.findings) == (known.incidents[current.entity].id, 2)
