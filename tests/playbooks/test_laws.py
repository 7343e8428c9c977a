"""What must hold for all findings, under the stock playbooks and a ladder with every rung."""

import itertools
from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.finding import Entity, Scope, Severity
from playbooks.decide import decide, decide_again
from playbooks.decision import Act, DecisionState, Reason, Tier
from playbooks.history import slot
from playbooks.known import Known, carry
from playbooks.ladder import Footing
from playbooks.playbook import parse_playbooks
from playbooks.policy import BudgetConfig, Exceptions, Exemption, Exemptions, Policy, RuleException
from playbooks.risk import MICROSECONDS
from playbooks.testing import NOON, finding

LIBRARY = Path(__file__).parents[2] / "playbooks" / "library"
STOCK = parse_playbooks([(path.name, path.read_text()) for path in sorted(LIBRARY.glob("*.yaml"))])[0]
BANS = """\
name: bans
title: Every rung, by risk, findings and repetition
priority: 1
match: {rules: [rule-1, rule-2], scopes: [AppId, Ip]}
steps:
  - {tier: warn, when: {risk: 10}, actions: [{type: warn, deadline: 24h}]}
  - {tier: throttle, when: {risk: 30}, actions: [{type: throttle, limit: 9, per: 1m, for: 24h}, {type: captcha, for: 2h}]}
  - {tier: throttle, when: {repeats: 1}, actions: [{type: throttle, limit: 3, per: 1m, for: 3d}]}
  - {tier: remove, when: {risk: 50, findings: 2}, actions: [{type: remove, for: 7d}]}
  - {tier: ban, when: {risk: 50, repeats: 1}, actions: [{type: ban, for: 30d}]}
"""
PLAYBOOKS = parse_playbooks([("bans", BANS)])[0] + STOCK
POLICY = Policy(playbooks=PLAYBOOKS)
TIGHT = Policy(playbooks=PLAYBOOKS, budget=BudgetConfig(warn_per_hour=1, throttle_per_hour=2, all_per_hour=3))
FAR = NOON + 10_000 * 86_400 * MICROSECONDS
EXEMPT = (
    Exemption(scope=Scope.APP, value="wx1", expires=FAR),
    Exemption(scope=Scope.RANGE, value="10.0.0.0/31", expires=FAR),
    Exemption(scope=Scope.DEVELOPER, value="dev1", expires=FAR),
)

ENTITIES = [
    *(Entity(Scope.APP, f"wx{n}") for n in range(3)),
    *(Entity(Scope.ADDRESS, f"10.0.0.{n}") for n in range(3)),
    Entity(Scope.DEVELOPER, "dev1"),
    Entity(Scope.HOST, "web-1"),
]


def more(draw, found, time, most):
    """Some findings, none of them found before, and the time they end at."""
    batch = []
    for _ in range(draw(st.integers(0, most))):
        time += draw(st.sampled_from([0, 0, 1, 60, 3_600, 86_400, 3 * 86_400]))
        one = finding(
            entity=draw(st.sampled_from(ENTITIES)),
            rule=draw(st.sampled_from(["rule-1", "rule-2", "rule-3"])),
            after_s=time - draw(st.sampled_from([0, 0, 0, 1, 1_800])),
            severity=draw(st.sampled_from([*Severity, Severity.HIGH, Severity.CRITICAL])),
            confidence=draw(st.sampled_from([0.3, 1.0])),
            kind=draw(st.sampled_from(["rule", "rule", "statistical", "learned", "integrity"])),
            proof=draw(st.booleans()),
            behaviour=draw(st.sampled_from([8, 11, 15, 16, 25, None])),
            owner=draw(st.sampled_from([None, "dev1", "dev2"])),
        )
        if one.id not in found:
            found.add(one.id)
            batch.append(one)
    return batch, time


@st.composite
def streams(draw):
    """Findings of a few entities and rules, more or less in order of time: bursts, pauses of days, and some late."""
    return more(draw, set(), 0, 14)[0]


@st.composite
def batches(draw):
    """Such a stream as it comes in, batch by batch."""
    found, time, parts = set(), 0, []
    for _ in range(draw(st.integers(0, 5))):
        batch, time = more(draw, found, time, 5)
        parts.append(batch)
    return parts


SHIFTS = st.one_of(
    st.sampled_from([seconds * MICROSECONDS for seconds in (-7 * 86_400, -3_600, 60, 86_400, 400 * 86_400)]),
    st.integers(-(10**13), 10**13),
)
CLOCKS = st.sampled_from([None, NOON + 30 * 86_400 * MICROSECONDS])


def folded(parts, policy, now):
    """What is known, and the last state of everything, after deciding the parts one after another."""
    known, incidents, decisions, considered = Known(), {}, {}, []
    for part in parts:
        outcome = decide(part, known, policy, now=now)
        known = carry(known, outcome)
        incidents |= {incident.id: incident for incident in outcome.incidents}
        decisions |= {decision.id: decision for decision in outcome.decisions}
        considered += outcome.considered
    return known.risks, incidents, decisions, considered


@settings(max_examples=120, deadline=None)
@given(batches(), CLOCKS, st.sampled_from(["roomy", "tight"]))
def test_cutting_the_findings_anywhere_changes_nothing(parts, now, budget):
    policy = {"roomy": POLICY, "tight": TIGHT}[budget]
    together = [one for part in parts for one in part]
    assert folded([together], policy, now) == folded(parts, policy, now)
    assert folded([together], policy, now) == folded([[one] for one in together], policy, now)


@settings(max_examples=60, deadline=None)
@given(streams(), CLOCKS)
def test_the_same_findings_give_the_same_outcome(findings, now):
    assert decide(findings, Known(), POLICY, now=now) == decide(findings, Known(), POLICY, now=now)


@settings(max_examples=60, deadline=None)
@given(streams(), SHIFTS)
def test_only_differences_of_time_count(findings, shift):
    moved = [msgspec.structs.replace(one, time=one.time + shift) for one in findings]
    here, there = (decide(stream, Known(), POLICY, now=None) for stream in (findings, moved))
    assert [risk.score for risk in here.risks] == [risk.score for risk in there.risks]
    assert [msgspec.structs.replace(word, clock=word.clock + shift) for word in here.considered] == there.considered
    assert [
        msgspec.structs.replace(made, time=made.time + shift, expires=made.expires + shift) for made in here.decisions
    ] == there.decisions
    assert [incident.due + shift for incident in here.incidents] == [incident.due for incident in there.incidents]


@settings(max_examples=80, deadline=None)
@given(streams(), CLOCKS)
def test_every_finding_has_one_word_and_every_word_its_decision(findings, now):
    outcome = decide(findings, Known(), POLICY, now=now)
    assert [word.finding for word in outcome.considered] == [one.id for one in findings]
    ids = {made.id for made in outcome.decisions}
    nothing = {Reason.RISK_BELOW_STEP, Reason.NO_PLAYBOOK}
    assert all((word.decision is None) == (word.reason in nothing) for word in outcome.considered)
    assert {word.decision for word in outcome.considered} - {None} <= ids
    assert len(ids) == len(outcome.decisions)


@settings(max_examples=80, deadline=None)
@given(streams(), CLOCKS)
def test_one_decision_is_in_force_for_each_place_and_it_ends(findings, now):
    acting = [
        made for made in decide(findings, Known(), POLICY, now=now).decisions if made.state is DecisionState.ACTIVE
    ]
    places = [(made.entity, slot(made)) for made in acting]
    assert len(places) == len(set(places))
    assert all(made.expires == made.time + made.duration_s * MICROSECONDS > made.time for made in acting)


@settings(max_examples=80, deadline=None)
@given(streams(), CLOCKS)
def test_an_incident_knows_the_highest_rung_put_in_force(findings, now):
    outcome = decide(findings, Known(), POLICY, now=now)
    for incident in outcome.incidents:
        made = [one for one in outcome.decisions if one.incident == incident.id and one.reason is Reason.PLAYBOOK]
        assert incident.tier == max((one.tier for one in made), default=Tier.OBSERVE, key=lambda tier: tier.rank)


@settings(max_examples=150, deadline=None)
@given(streams(), CLOCKS)
def test_no_ban_is_in_force_by_itself(findings, now):
    bans = [made for made in decide(findings, Known(), POLICY, now=now).decisions if made.type is Act.BAN]
    assert all(
        made.state in {DecisionState.AWAITING_APPROVAL, DecisionState.HELD, DecisionState.SUPERSEDED} for made in bans
    )
    assert all(made.reason is not Reason.PLAYBOOK for made in bans)


@settings(max_examples=80, deadline=None)
@given(streams(), CLOCKS)
def test_no_exempt_entity_meets_an_act(findings, now):
    policy = msgspec.structs.replace(POLICY, exemptions=Exemptions(EXEMPT))
    outcome = decide(findings, Known(), policy, now=now)
    acting = [made for made in outcome.decisions if made.reason is Reason.PLAYBOOK]
    assert not {made.value for made in acting} & {"wx1", "10.0.0.0", "10.0.0.1", "dev1"}
    assert "dev1" not in {made.owner for made in acting}


@settings(max_examples=80, deadline=None)
@given(streams(), CLOCKS)
def test_learning_and_statistics_never_go_beyond_their_bounds(findings, now):
    for kind, highest in (("learned", Tier.WARN), ("statistical", Tier.THROTTLE)):
        alone = [msgspec.structs.replace(one, kind=kind) for one in findings]
        made = [made for made in decide(alone, Known(), POLICY, now=now).decisions if made.reason is Reason.PLAYBOOK]
        assert all(one.tier.rank <= highest.rank for one in made)
        assert all(one.duration_s <= 86_400 for one in made if one.tier is Tier.THROTTLE)


@settings(max_examples=60, deadline=None)
@given(streams(), CLOCKS)
def test_no_hour_spends_more_than_its_budget(findings, now):
    made = [made for made in decide(findings, Known(), TIGHT, now=now).decisions if made.reason is Reason.PLAYBOOK]
    for last in made:
        hour = [
            one for one in made if last.time - 3_600 * MICROSECONDS < one.time <= last.time and one.mode is last.mode
        ]
        if all(one.time <= other.time for one, other in itertools.pairwise(made)):
            assert len(hour) <= 3
            assert sum(one.tier is Tier.WARN for one in hour) <= 1


FOOTINGS = st.builds(
    Footing,
    risk=st.floats(0, 100),
    findings=st.integers(1, 9),
    repeats=st.integers(0, 5),
    deadlines_missed=st.integers(0, 3),
)


@settings(max_examples=100, deadline=None)
@given(FOOTINGS, FOOTINGS)
def test_the_ladder_only_climbs_as_things_get_worse(one, other):
    worse = Footing(
        risk=max(one.risk, other.risk),
        findings=max(one.findings, other.findings),
        repeats=max(one.repeats, other.repeats),
        deadlines_missed=max(one.deadlines_missed, other.deadlines_missed),
    )
    for playbook in PLAYBOOKS:
        assert set(map(id, playbook.reached(one))) <= set(map(id, playbook.reached(worse)))


@settings(max_examples=80, deadline=None)
@given(streams(), CLOCKS)
def test_leaving_out_a_rule_equals_an_exception_for_it_everywhere(findings, now):
    everywhere = Exceptions(
        RuleException(rule="rule-1", scope=entity.scope, value=entity.value, expires=FAR) for entity in ENTITIES
    )
    undone = decide_again(findings, POLICY, now=now, without_rule="rule-1")
    excepted = decide(findings, Known(), msgspec.structs.replace(POLICY, exceptions=everywhere), now=now)
    assert (undone.risks, undone.incidents, undone.decisions) == (
        excepted.risks,
        excepted.incidents,
        excepted.decisions,
    )
    assert all(made.rule != "rule-1" for made in undone.decisions)


@settings(max_examples=60, deadline=None)
@given(streams(), CLOCKS)
def test_more_findings_never_mean_a_lower_rung(findings, now):
    def highest(stream):
        known = [msgspec.structs.replace(one, entity=ENTITIES[0], rule=finding(rule="rule-1").rule) for one in stream]
        incidents = decide(known, Known(), POLICY, now=now).incidents
        return max((Tier(incident.tier).rank for incident in incidents), default=0)

    assert highest(findings[: len(findings) // 2]) <= highest(findings)
