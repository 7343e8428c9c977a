"""Which alerts a turn brings: for every incident in which something was decided or that is new, to every channel it concerns.

Beside incidents there are notices: what people on call should know of the installation itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from detectors.finding import Finding, Severity
from monitor.notifiers.alert import alert_body
from monitor.notifiers.notice import Notice
from monitor.stores import Message
from playbooks.decision import Decision
from playbooks.known import Outcome


@dataclass(frozen=True, slots=True)
class Channel:
    """Who is told of incidents from some severity on: an outbox channel."""

    name: str
    min_severity: Severity


def alerts(outcome: Outcome, fresh: Sequence[Finding], channels: Sequence[Channel], created: int) -> list[Message]:
    """The messages of a turn; `fresh` are its new findings, `created` is when, in microseconds."""
    decisions = _by_incident(outcome.decisions)
    by_id = {finding.id: finding for finding in fresh}
    findings: dict[str, list[Finding]] = {}
    for word in outcome.considered:
        if word.incident is not None:
            findings.setdefault(word.incident, []).append(by_id[word.finding])
    messages = []
    for incident in outcome.incidents:
        decided = decisions.get(incident.id, [])
        is_new = incident.findings == len(findings.get(incident.id, ()))
        if not (decided or is_new):
            continue
        body = alert_body(incident, decided, findings.get(incident.id, ()))
        occasion = decided[-1].id if decided else "opened"
        messages += [
            Message(key=f"{channel.name}:{incident.id}:{occasion}", channel=channel.name, body=body, created=created)
            for channel in channels
            if incident.severity.rank >= channel.min_severity.rank
        ]
    return messages


def notices(notice: Notice, channels: Sequence[Channel]) -> list[Message]:
    """The messages of a notice, to every channel that it concerns."""
    return [
        Message(
            key=f"{channel.name}:{notice.what}:{notice.key}",
            channel=channel.name,
            body=notice.body,
            created=notice.time,
        )
        for channel in channels
        if notice.severity.rank >= channel.min_severity.rank
    ]


def _by_incident(decisions: Sequence[Decision]) -> dict[str, list[Decision]]:
    grouped: dict[str, list[Decision]] = {}
    for decision in decisions:
        if decision.incident is not None:
            grouped.setdefault(decision.incident, []).append(decision)
    return grouped
