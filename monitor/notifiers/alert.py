"""What an alert says: one stable JSON object that tells a person who, what, why, until when, and how to undo it.

Receivers may rely on these keys: later versions add keys and change none. Times are RFC 3339 in UTC. ``title``, ``explanation``, ``said`` and ``by`` are for people,
and one line each; ``value``, ``owner`` and ``target`` are as they came, for programs.

- ``schema``: ``"miniwatch.alert/1"``
- ``incident``: id, title, severity, risk (0 to 100), tier, state, opened, last_finding, due, findings (their number),
  rules, tags; ``look`` is the command that shows it
- ``who``: scope, value, owner (the app's developer, or null)
- ``decisions``: id, type, tier, scope, value, target, parameters, mode, state, reason, explanation, begun, until;
  ``undo``, the command that lifts it (null where nothing is in force); ``answer_by``, until when a person can answer one
  that waits, and ``approve``, the command that does (both null where nothing waits); ``before_approval``, what has to be done
  before that would be taken, and then there is no ``approve`` (null where a person's word is enough)
- ``why``: the findings: id, title, rule, severity, events (how many), first, last, false_positives, response
- ``omitted``: how many decisions and findings beyond the bounds are not shown
- ``occasion``: why it is told: ``opened``, ``decided``, ``warned`` and ``breached`` (of a clock), ``acknowledged``, ``closed``, or
  ``superseded``: this episode is over because the incident has become more severe
- ``episode``: the severity by which the episode is known; one incident and episode is one alert for those who keep alerts
- ``clock``: kind (acknowledge, respond, resolve), share (percent of its time that is over) and due; null unless it is about a clock
- ``by``, ``said``: who acknowledged or closed it, and what they said; both null otherwise
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

import msgspec

from detectors.finding import Finding, Severity
from monitor.one_line import one_line
from playbooks.clocks import Clock
from playbooks.decision import Decision, DecisionState
from playbooks.incident import Incident
from playbooks.waiting import before_approval

DECISIONS_MAX: Final = 20
FINDINGS_MAX: Final = 20
TEXT_CHARACTERS_MAX: Final = 1000


class Occasion(StrEnum):
    """Why people are told of an incident."""

    OPENED = "opened"
    DECIDED = "decided"
    WARNED = "warned"
    BREACHED = "breached"
    ACKNOWLEDGED = "acknowledged"
    CLOSED = "closed"
    SUPERSEDED = "superseded"


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """What an alert is about beside the incident itself: a clock and the share of its time that is over, or what somebody did.

    `episode` is that of the incident's own severity unless it says otherwise.
    """

    occasion: Occasion
    episode: Severity | None = None
    clock: Clock | None = None
    share: int = 0
    by: str | None = None
    said: str | None = None


NEW: Final = Word(occasion=Occasion.OPENED)


def alert(
    incident: Incident, decisions: Sequence[Decision], findings: Sequence[Finding], word: Word = NEW
) -> dict[str, Any]:
    """The alert about an incident, its decisions and its findings; the latest of each where there are many."""
    latest = sorted(decisions, key=lambda decision: (decision.time, decision.id))[-DECISIONS_MAX:]
    newest = sorted(findings, key=lambda finding: (finding.time, finding.id))[-FINDINGS_MAX:]
    return {
        "schema": "miniwatch.alert/1",
        "incident": _incident(incident),
        "who": {
            "scope": incident.entity.scope,
            "value": told_text(incident.entity.value),
            "owner": None if incident.owner is None else told_text(incident.owner),
        },
        "decisions": [_decision(decision) for decision in latest],
        "why": [_finding(finding) for finding in newest],
        "omitted": {"decisions": len(decisions) - len(latest), "findings": len(findings) - len(newest)},
        "occasion": word.occasion,
        "episode": word.episode or incident.severity,
        "clock": None if word.clock is None else _clock(word.clock, word.share),
        "by": None if word.by is None else told_line(word.by),
        "said": None if word.said is None else told_line(word.said),
    }


def alert_body(
    incident: Incident, decisions: Sequence[Decision], findings: Sequence[Finding], word: Word = NEW
) -> bytes:
    """The alert as the bytes of a message: the same alert is the same bytes."""
    return msgspec.json.encode(alert(incident, decisions, findings, word))


def _clock(clock: Clock, share: int) -> dict[str, Any]:
    return {"kind": clock.kind, "share": share, "due": told_time(clock.due)}


def _incident(incident: Incident) -> dict[str, Any]:
    return {
        "id": incident.id,
        "title": told_line(incident.title),
        "severity": incident.severity,
        "risk": round(incident.risk, 1),
        "tier": incident.tier,
        "state": incident.state,
        "opened": told_time(incident.opened),
        "last_finding": told_time(incident.last_finding),
        "due": told_time(incident.due),
        "findings": incident.findings,
        "rules": list(incident.rules),
        "tags": list(incident.tags),
        "look": f"miniwatch incidents show {incident.id}",
    }


def _decision(decision: Decision) -> dict[str, Any]:
    in_force = decision.state is DecisionState.ACTIVE
    first = before_approval(decision)
    can_approve = decision.answer_by is not None and first is None
    return {
        "id": decision.id,
        "type": decision.type,
        "tier": decision.tier,
        "scope": decision.scope,
        "value": told_text(decision.value),
        "target": decision.target,
        "parameters": decision.parameters,
        "mode": decision.mode,
        "state": decision.state,
        "reason": decision.reason,
        "explanation": told_line(decision.explanation),
        "begun": told_time(decision.time),
        "until": told_time(decision.expires),
        "undo": f"miniwatch decisions revoke {decision.id}" if in_force else None,
        "answer_by": None if decision.answer_by is None else told_time(decision.answer_by),
        "approve": f"miniwatch decisions approve {decision.id}" if can_approve else None,
        "before_approval": first,
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "id": finding.id,
        "title": told_line(finding.title),
        "rule": finding.rule.id,
        "severity": finding.severity,
        "events": finding.evidence.count,
        "first": told_time(finding.first_event),
        "last": told_time(finding.last_event),
        "false_positives": [told_text(text) for text in finding.false_positives],
        "response": told_text(finding.response),
    }


def told_time(microseconds: int) -> str:
    """A time as alerts have it."""
    seconds, rest = divmod(microseconds, 1_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC).isoformat()[:19]}.{rest:06d}Z"


def told_text(text: str) -> str:
    """A text, cut where it is longer than alerts have them."""
    return text if len(text) <= TEXT_CHARACTERS_MAX else text[: TEXT_CHARACTERS_MAX - 1] + "…"


def told_line(text: str) -> str:
    """A text for people, who read it beside words of ours: one line, and cut likewise."""
    return told_text(one_line(text))
