"""What people have said of findings, asked of the record: which marks are in force, and how many say what of each rule."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, func, select

from detectors.finding import Entity, Finding
from monitor.stores import tables
from monitor.stores.rows import document, documents
from monitor.stores.undos import MarkInForce, Verdict

_MARKED: Final = tables.finding_marks.join(tables.findings, tables.findings.c.id == tables.finding_marks.c.finding)


class Judged(NamedTuple):
    """How many findings of a rule, by a detector of a kind, have a verdict."""

    rule: str
    detector: str
    kind: str
    verdict: Verdict
    findings: int


def in_force(connection: Connection, at: int, verdict: Verdict | None = None) -> list[MarkInForce]:
    """The verdicts that have not expired at a time, those said first before the others."""
    marks = tables.finding_marks.c
    wanted = select(
        marks.finding, marks.verdict, marks.reason, marks.actor, marks.time, marks.expires, tables.findings.c.document
    )
    said = marks.verdict.is_not(None) if verdict is None else marks.verdict == verdict.value
    counting = wanted.select_from(_MARKED).where(said, marks.expires > at)
    return [_mark(row) for row in connection.execute(counting.order_by(marks.time, marks.finding))]


def _mark(row: Any) -> MarkInForce:
    finding = document(Finding, row.document)
    return MarkInForce(
        finding=row.finding,
        verdict=Verdict(row.verdict),
        rule=finding.rule.id,
        detector=finding.detector,
        kind=finding.kind,
        entity=Entity(finding.entity.scope, finding.entity.value),
        owner=finding.owner,
        first_event=finding.first_event,
        last_event=finding.last_event,
        reason=row.reason,
        actor=row.actor,
        time=row.time,
        expires=row.expires,
    )


def judged(connection: Connection) -> list[Judged]:
    """All verdicts in the record, those whose time as input is over included, counted. A rule speaks through one detector."""
    marks, found = tables.finding_marks.c, tables.findings.c
    wanted = select(
        found.rule, found.kind, marks.verdict, func.count().label("marked"), func.min(found.id).label("one")
    )
    groups = (
        wanted.select_from(_MARKED).where(marks.verdict.is_not(None)).group_by(found.rule, found.kind, marks.verdict)
    )
    rows = connection.execute(groups.order_by(found.rule, found.kind, marks.verdict)).all()
    ones = documents(connection, Finding, tables.findings, {row.one for row in rows})
    detectors = {one.id: one.detector for one in ones}
    return [Judged(row.rule, detectors[row.one], row.kind, Verdict(row.verdict), row.marked) for row in rows]
