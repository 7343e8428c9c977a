"""The stock playbooks against what is known of each behaviour: none goes further than practice does."""

import csv
from pathlib import Path

import pytest

from playbooks.decide import decide
from playbooks.decision import Act, DecisionState, Mode, Tier
from playbooks.known import Known
from playbooks.playbook import parse_playbooks
from playbooks.policy import Policy
from playbooks.testing import check_action, finding

LIBRARY = Path(__file__).parents[2] / "playbooks" / "library"
PLAYBOOKS, PROBLEMS = parse_playbooks([(path.name, path.read_text()) for path in sorted(LIBRARY.glob("*.yaml"))])
POLICY = Policy(playbooks=PLAYBOOKS)
BEHAVIOURS = Path(__file__).with_name("behaviours.csv")
ROWS = csv.DictReader(line for line in BEHAVIOURS.read_text().splitlines() if not line.startswith("#"))
HIGHEST = {int(row["number"]): [*Tier][int(row["highest"])] for row in ROWS}
"""The furthest tier that practice knows for each behaviour."""

ABOUT_CALLERS = {10, 22}


def who(behaviour):
    return {"scope": "DeviceId", "value": "0a"} if behaviour in ABOUT_CALLERS else {"app": "wx01"}


def test_every_behaviour_has_one_playbook():
    named = sorted(number for playbook in PLAYBOOKS for number in playbook.match.behaviours)
    assert named == sorted(HIGHEST) == list(range(1, 28))
    assert PROBLEMS == []


def test_no_playbook_goes_beyond_the_tier_of_its_behaviour():
    for playbook in PLAYBOOKS:
        bound = min((HIGHEST[number] for number in playbook.match.behaviours), default=Tier.WARN, key=lambda t: t.rank)
        assert all(step.tier.rank <= bound.rank for step in playbook.steps), playbook.name


@pytest.mark.parametrize("behaviour", [*range(1, 28), None])
def test_two_medium_findings_bring_at_least_a_warning(behaviour):
    findings = [finding(behaviour=behaviour, after_s=60 * n, confidence=0.9, **who(behaviour)) for n in (0, 1)]
    made = decide(findings, Known(), POLICY, now=None).decisions
    assert made
    assert all(one.state is DecisionState.ACTIVE for one in made)


def test_one_strong_storm_of_logins_is_throttled_at_once():
    (word,) = (outcome := decide([finding(behaviour=8, severity="high")], Known(), POLICY, now=None)).considered
    (throttle,) = [made for made in outcome.decisions if made.id == word.decision]
    assert (throttle.type, throttle.target, throttle.mode) == (Act.THROTTLE, "login", Mode.REPLAY)


def test_a_forged_payment_stops_payments_at_once():
    (made,) = decide([finding(behaviour=11, kind="integrity")], Known(), POLICY, now=None).decisions
    assert (made.type, made.target) == (Act.FUNCTION_BAN, "pay")


def test_members_of_a_cluster_are_only_recorded():
    made = decide([finding(behaviour=4, severity="critical", proof=True)], Known(), POLICY, now=1).decisions
    assert {one.mode for one in made} == {Mode.SHADOW}


def test_informational_findings_bring_nothing():
    findings = [finding(behaviour=n, severity="informational", app=f"wx{n}") for n in range(1, 28)]
    assert decide(findings, Known(), POLICY, now=None).decisions == []


@pytest.mark.parametrize("playbook", PLAYBOOKS, ids=lambda playbook: playbook.name)
def test_every_action_of_the_library_keeps_the_laws(playbook):
    for step in playbook.steps:
        for action in step.actions:
            check_action(action)
