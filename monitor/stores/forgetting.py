"""What retention deletes of the record; each within the transaction given, and said in the audit.

What hangs together goes together: a decision stays as long as the finding that brought it about, an incident as long as anything of it. What is open,
in force or not answered stays however old it is.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import ColumnElement, Connection, exists, or_, select

from monitor.stores import changes
from monitor.stores.appeals import OPEN
from monitor.stores.tables import (
    appeals,
    clocks,
    considered,
    decisions,
    finding_marks,
    findings,
    incident_words,
    incidents,
    undone,
    untold,
)
from monitor.stores.turn import append_audit
from playbooks.decision import DecisionState
from playbooks.incident import IncidentState

OVER: Final = frozenset(
    {
        DecisionState.EXPIRED,
        DecisionState.REVOKED,
        DecisionState.REJECTED,
        DecisionState.FAILED,
        DecisionState.SUPERSEDED,
    }
)


def forget_findings(connection: Connection, before: int, now: int) -> int:
    """Delete findings whose last event was before a time, and what became of them; not those of which a mark still counts."""
    counts = select(finding_marks.c.finding).where(finding_marks.c.expires > now)
    is_old = (findings.c.last_event < before) & findings.c.id.not_in(counts)
    old = select(findings.c.id).where(is_old)
    connection.execute(considered.delete().where(considered.c.finding.in_(old)))
    connection.execute(untold.delete().where(untold.c.finding.in_(old)))
    rows = connection.execute(findings.delete().where(is_old)).rowcount
    connection.execute(finding_marks.delete().where(finding_marks.c.finding.not_in(select(findings.c.id))))
    append_audit(connection, changes.deleted("findings", rows, before, now))
    return rows


def forget_decisions(connection: Connection, before: int, now: int) -> int:
    """Delete decisions that were over before a time, with what was undone of them and the appeals against them."""
    is_old = _is_over(before)
    old = select(decisions.c.id).where(is_old)
    connection.execute(undone.delete().where(undone.c.decision.in_(old)))
    appealed = connection.execute(appeals.delete().where(appeals.c.decision.in_(old))).rowcount
    rows = connection.execute(decisions.delete().where(is_old)).rowcount
    append_audit(connection, changes.deleted("appeals", appealed, before, now))
    append_audit(connection, changes.deleted("decisions", rows, before, now))
    return rows


def _is_over(before: int) -> ColumnElement[bool]:
    """Whether a decision ended before a time, its finding is gone, and no appeal against it was at work since."""
    at_work = or_(appeals.c.state.in_([state.value for state in OPEN]), appeals.c.answered >= before)
    return (
        decisions.c.state.in_(sorted(state.value for state in OVER))
        & (decisions.c.time < before)
        & (decisions.c.expires < before)
        & ~exists().where(findings.c.id == decisions.c.finding)
        & ~exists().where(appeals.c.decision == decisions.c.id, at_work)
    )


def forget_incidents(connection: Connection, before: int, now: int) -> int:
    """Delete incidents that were closed before a time and of which nothing else is kept, with their clocks and what people said."""
    stopped_later = or_(clocks.c.stopped.is_(None), clocks.c.stopped >= before)
    is_old = (
        (incidents.c.state == IncidentState.CLOSED.value)
        & (incidents.c.last_finding < before)
        & ~exists().where(considered.c.incident == incidents.c.id)
        & ~exists().where(decisions.c.incident == incidents.c.id)
        & ~exists().where(clocks.c.incident == incidents.c.id, stopped_later)
        & ~exists().where(incident_words.c.incident == incidents.c.id, incident_words.c.time >= before)
    )
    old = select(incidents.c.id).where(is_old)
    connection.execute(clocks.delete().where(clocks.c.incident.in_(old)))
    connection.execute(incident_words.delete().where(incident_words.c.incident.in_(old)))
    rows = connection.execute(incidents.delete().where(is_old)).rowcount
    append_audit(connection, changes.deleted("incidents", rows, before, now))
    return rows
