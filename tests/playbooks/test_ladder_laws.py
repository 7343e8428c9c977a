"""Laws of the ladder under the stock playbooks: bounded, climbing only as things get worse, and coming down with time."""

import csv
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.finding import Severity
from playbooks.decide import decide
from playbooks.decision import Act, DecisionState, Mode, Tier
from playbooks.duration import DURATION_S_MAX
from playbooks.known import Known
from playbooks.playbook import parse_playbooks
from playbooks.policy import Policy
from playbooks.risk import SCORE_MAX
from playbooks.testing import NOON, finding

LIBRARY = Path(__file__).parents[2] / "playbooks" / "library"
PLAYBOOKS = parse_playbooks([(path.name, path.read_text()) for path in sorted(LIBRARY.glob("*.yaml"))])[0]
POLICY = Policy(playbooks=PLAYBOOKS, released=lambda _app, _at: "2.1.0")
LINES = Path(__file__).with_name("behaviours.csv").read_text().splitlines()
HIGHEST = {
    int(row["number"]): int(row["highest"]) for row in csv.DictReader(one for one in LINES if not one.startswith("#"))
}
MAY_SKIP = {11, 16}
"""Payment forgery and sandbox escape: the rungs below may be skipped."""

DAY = 86_400
RISK_ONLY = """\
name: risk-only
title: By risk alone
priority: 1
steps:
  - {tier: warn, when: {risk: 10}, actions: [{type: warn, deadline: 1h}]}
  - {tier: throttle, when: {risk: 40}, actions: [{type: throttle, limit: 9, per: 1m, for: 1h}]}
  - {tier: remove, when: {risk: 70}, actions: [{type: remove, for: 1h}]}
"""
BY_RISK = Policy(playbooks=parse_playbooks([("risk-only", RISK_ONLY)])[0])


def about(behaviour):
    return {"scope": "DeviceId", "value": "0a"} if behaviour in {10, 22} else {"app": "wx01"}


@st.composite
def offences(draw, most=10, behaviour=None):
    """Findings of one behaviour about one entity, each a new one, as proof or not, of every kind, over days."""
    chosen = draw(st.integers(1, 27)) if behaviour is None else behaviour
    time, found = 0, {}
    for _ in range(draw(st.integers(1, most))):
        time += draw(st.sampled_from([60, 3_600, DAY, 4 * DAY, 20 * DAY]))
        one = finding(
            rule=draw(st.sampled_from(["rule-1", "rule-2"])),
            behaviour=chosen,
            after_s=time,
            severity=draw(st.sampled_from([*Severity, Severity.HIGH, Severity.CRITICAL])),
            kind=draw(st.sampled_from(["rule", "statistical", "integrity", "learned"])),
            proof=draw(st.booleans()),
            owner=draw(st.sampled_from([None, "dev1"])),
            **about(chosen),
        )
        found[one.id] = one
    return chosen, [*found.values()]


def rungs(decisions):
    """The rungs of what was put in force, at any time."""
    return [made.tier.rank for made in decisions if not made.reason.startswith("held")]


@settings(max_examples=300, deadline=None)
@given(offences(), st.sampled_from([None, NOON + 400 * DAY * 1_000_000]))
def test_nothing_is_even_proposed_above_the_tier_that_practice_knows(offence, now):
    behaviour, findings = offence
    made = decide(findings, Known(), POLICY, now=now).decisions
    assert all(one.tier.rank <= HIGHEST[behaviour] for one in made)


@settings(max_examples=150, deadline=None)
@given(offences())
def test_everything_is_bounded(offence):
    _, findings = offence
    outcome = decide(findings, Known(), POLICY, now=None)
    assert all(0 <= risk.score <= SCORE_MAX for risk in outcome.risks)
    assert all(0 <= incident.risk <= SCORE_MAX for incident in outcome.incidents)
    for made in outcome.decisions:
        assert 0 < made.duration_s <= DURATION_S_MAX
        assert made.expires == made.time + made.duration_s * 1_000_000
        assert made.type is not Act.BAN or made.state is not DecisionState.ACTIVE


@settings(max_examples=150, deadline=None)
@given(offences(), st.data())
def test_graver_findings_never_mean_less_risk(offence, data):
    _, findings = offence
    graver = [
        msgspec.structs.replace(one, severity=[*Severity][data.draw(st.integers(one.severity.rank, 4))])
        for one in findings
    ]
    for mild, grave in zip(
        *(decide(each, Known(), POLICY, now=None).risks for each in (findings, graver)), strict=True
    ):
        assert grave.score >= mild.score - 1e-9


@settings(max_examples=200, deadline=None)
@given(offences(), st.data())
def test_one_finding_more_never_means_a_lower_rung_by_risk(offence, data):
    _, findings = offence
    proven = [msgspec.structs.replace(one, proof=True, kind="integrity") for one in findings]
    fewer = [one for one in proven if data.draw(st.booleans())]
    with_all, with_fewer = (rungs(decide(each, Known(), BY_RISK, now=None).decisions) for each in (proven, fewer))
    assert max(with_fewer, default=0) <= max(with_all, default=0)


@settings(max_examples=150, deadline=None)
@given(offences(), st.sampled_from([*Severity]), st.integers(400, 5_000))
def test_after_a_long_time_of_good_behaviour_an_entity_begins_anew(offence, severity, days):
    behaviour, findings = offence
    last = max(one.time for one in findings)
    once = finding(behaviour=behaviour, time=last + days * DAY * 1_000_000, severity=severity, **about(behaviour))
    after, fresh = (decide(each, Known(), POLICY, now=None) for each in ([*findings, once], [once]))
    assert after.considered[-1] == fresh.considered[-1]
    assert [made for made in after.decisions if made.finding == once.id] == fresh.decisions


@settings(max_examples=150, deadline=None)
@given(offences(), st.sampled_from([*Severity]), st.integers(1, 60), st.integers(1, 60))
def test_the_longer_somebody_behaves_the_lower_the_next_rung(offence, severity, hours, more):
    behaviour, findings = offence
    proven = [msgspec.structs.replace(one, proof=True) for one in findings]
    last = max(one.time for one in proven)

    def rung(after_h):
        once = finding(
            behaviour=behaviour, time=last + after_h * 3_600_000_000, severity=severity, proof=True, **about(behaviour)
        )
        outcome = decide([*proven, once], Known(), BY_RISK, now=None)
        decided = {made.id: made for made in outcome.decisions}.get(outcome.considered[-1].decision)
        return 0 if decided is None else decided.tier.rank

    assert rung(hours + more) <= rung(hours)


@pytest.mark.parametrize("behaviour", sorted(MAY_SKIP))
def test_payment_forgery_and_sandbox_escape_may_be_removed_at_the_first_proof(behaviour):
    seen = finding(behaviour=behaviour, severity="critical", proof=True, **about(behaviour))
    made = decide([seen], Known(), POLICY, now=NOON).decisions
    assert {one.tier for one in made if one.state is DecisionState.ACTIVE} >= {Tier.REMOVE}


@pytest.mark.parametrize("behaviour", sorted(set(range(1, 28)) - MAY_SKIP))
def test_of_everything_else_a_first_medium_finding_brings_a_warning_at_most(behaviour):
    made = decide([finding(behaviour=behaviour, **about(behaviour))], Known(), POLICY, now=NOON).decisions
    assert all(one.tier is Tier.WARN for one in made)
    assert all(one.mode in {Mode.LIVE, Mode.SHADOW} for one in made)


REPEATED = """\
name: repeated
title: By repetition alone
priority: 1
steps:
  - {tier: warn, when: {repeats: 0}, actions: [{type: warn, deadline: 1h}]}
  - {tier: throttle, when: {repeats: 1}, actions: [{type: throttle, limit: 9, per: 1m, for: 1h}]}
"""
BY_REPETITION = Policy(playbooks=parse_playbooks([("repeated", REPEATED)])[0])


@pytest.mark.parametrize(("after_s", "climbs"), [(-1_800, False), (0, False), (1, True), (7_200, True)])
def test_repetition_climbs_only_for_an_offence_after_the_earlier_act_began(after_s, climbs):
    seen = [finding(), finding(rule="rule-2", after_s=after_s)]
    made = decide(seen, Known(), BY_REPETITION, now=None).decisions
    assert any(one.type is Act.THROTTLE for one in made) is climbs
