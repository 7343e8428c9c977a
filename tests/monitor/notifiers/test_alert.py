"""What an alert says."""

from __future__ import annotations

import json

import msgspec
import pytest

from detectors.finding import Entity, Evidence, Finding, RuleRef, Scope, Severity
from monitor.notifiers.alert import DECISIONS_MAX, alert, alert_body
from monitor.notifiers.wording import paragraphs
from playbooks.decision import Act, Decision, DecisionState, Mode, Reason, Tier
from playbooks.incident import Incident

HOUR = 3_600_000_000
INCIDENT = Incident(
    id="i1",
    entity=Entity(Scope.APP, "wx1"),
    owner="dev1",
    opened=HOUR,
    last_finding=2 * HOUR,
    due=25 * HOUR,
    severity=Severity.HIGH,
    risk=50.04,
    tier="throttle",
    findings=1,
    rules=("login-loop",),
    title="App wx1: logs in all the time",
)
FINDING = Finding(
    id="f1",
    time=HOUR,
    first_event=HOUR,
    last_event=HOUR,
    detector="sigma",
    kind="rule",
    rule=RuleRef("login-loop", "v"),
    entity=INCIDENT.entity,
    severity=Severity.HIGH,
    title="Logs in all the time",
    evidence=Evidence(count=3565),
    response="Ask the developer",
)


def _decision(number: int = 1, state: DecisionState = DecisionState.ACTIVE) -> Decision:
    return Decision(
        id=f"d{number}",
        time=HOUR + number,
        scope=Scope.APP,
        value="wx1",
        type=Act.THROTTLE,
        tier=Tier.THROTTLE,
        target="login",
        duration_s=3600,
        expires=2 * HOUR,
        origin="playbook:login",
        reason=Reason.PLAYBOOK,
        explanation="3,565 logins in five minutes",
        mode=Mode.LIVE,
        state=state,
    )


def test_an_alert_says_who_what_why_until_when_and_how_to_undo():
    said = json.loads(alert_body(INCIDENT, [_decision()], [FINDING]))
    assert said["schema"] == "miniwatch.alert/1"
    assert said["who"] == {"scope": "AppId", "value": "wx1", "owner": "dev1"}
    assert said["incident"]["due"] == "1970-01-02T01:00:00.000000Z"
    assert said["incident"]["severity"] == "high"
    [decision], [why] = said["decisions"], said["why"]
    assert (decision["target"], decision["until"]) == ("login", "1970-01-01T02:00:00.000000Z")
    assert decision["undo"] == "miniwatch decisions revoke d1"
    assert (why["rule"], why["events"], why["response"]) == ("login-loop", 3565, "Ask the developer")


def test_what_is_not_in_force_has_nothing_to_undo():
    [decision] = alert(INCIDENT, [_decision(state=DecisionState.HELD)], [])["decisions"]
    assert decision["undo"] is None


def _waits(reason: Reason) -> Decision:
    return msgspec.structs.replace(_decision(state=DecisionState.HELD), reason=reason, answer_by=3 * HOUR)


def test_of_what_was_held_there_is_the_command_that_approves_it():
    [decision] = alert(INCIDENT, [_waits(Reason.HELD_EVIDENCE)], [])["decisions"]
    assert (decision["approve"], decision["before_approval"]) == ("miniwatch decisions approve d1", None)


@pytest.mark.parametrize("reason", [Reason.HELD_PROTECTED, Reason.HELD_EXEMPT, Reason.HELD_VERSION])
def test_where_an_approval_would_be_refused_there_is_what_has_to_be_done_before(reason):
    told = alert(INCIDENT, [_waits(reason)], [])
    [decision] = told["decisions"]
    assert (decision["approve"], decision["answer_by"]) == (None, "1970-01-01T03:00:00.000000Z")
    assert f"Before it can be approved: {decision['before_approval']}" in paragraphs(told).splitlines()


def test_an_alert_is_bounded_and_says_how_much_it_leaves_out():
    said = alert(INCIDENT, [_decision(number) for number in range(DECISIONS_MAX + 5)], [])
    assert len(said["decisions"]) == DECISIONS_MAX
    assert said["omitted"] == {"decisions": 5, "findings": 0}
