"""Undos written into the record: what a correction changes, with a word on every decision, within the transaction given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection, bindparam, delete, select, update

from monitor.audit import AuditEntry
from monitor.moments import stamp
from monitor.stores import tables
from monitor.stores.deciding import Tell, put_decisions, raise_rulings
from monitor.stores.gathering import UNDO_ACTION, Gathered, marks_of
from monitor.stores.rows import chunks, document, flat_row, incident_row, put, risk_row
from monitor.stores.turn import append_audit
from monitor.stores.undos import Fate, FindingMark, Marking, Span, Undo, UndoAsked, UndoKind, Undone, Verdict
from playbooks.correction import Correction
from playbooks.decision import RELEASED, Decision, Mode, Reason

MARK_ACTION: Final = "finding.mark"
_MARK: Final = FindingMark.__struct_fields__
_ACTS: Final = {Fate.LIFTED, Fate.RELEASED, Fate.WAITS, Fate.HELD, Fate.RESTORED}


def fates(correction: Correction) -> list[Undone]:
    """What becomes of each decision that a correction concerns."""
    return [
        *(
            Undone(decision=one, fate=Fate.RELEASED if RELEASED in one.labels else Fate.LIFTED)
            for one in correction.lifted
        ),
        *(Undone(decision=one, fate=_added(one)) for one in correction.added),
        *(Undone(decision=one, fate=Fate.KEPT) for one in correction.kept),
    ]


def _added(decision: Decision) -> Fate:
    if decision.mode is not Mode.LIVE:
        return Fate.RESTORED
    return Fate.WAITS if decision.reason is Reason.HELD_UNDO else Fate.HELD


def undo_of(asked: UndoAsked, gathered: Gathered, became: Sequence[Undone]) -> Undo:
    """The undo as it is kept, with its counts."""

    def count(*kinds: Fate) -> int:
        return sum(one.fate in kinds for one in became)

    span = asked.what if isinstance(asked.what, Span) else None
    return Undo(
        id=asked.id,
        kind=asked.kind,
        subject=asked.subject,
        reason=asked.reason,
        actor=asked.actor,
        time=asked.now,
        since=span.since if span else None,
        until=span.until if span else None,
        findings=len(gathered.changing),
        lifted=count(Fate.LIFTED),
        released=count(Fate.RELEASED),
        waiting=count(Fate.WAITS, Fate.HELD),
        kept=count(Fate.KEPT),
    )


def write_undo(
    connection: Connection, asked: UndoAsked, gathered: Gathered, correction: Correction, tell: Tell
) -> Undo:
    """Write all of an undo; one of findings of which none counts otherwise only marks them."""
    became = fates(correction)
    undo = undo_of(asked, gathered, became)
    known = marks_of(connection, asked.what.findings) if isinstance(asked.what, Marking) else {}
    _put_marks(connection, asked, gathered, known)
    audit = [*_about_marks(asked, known), _about(undo), *_about_decisions(asked, gathered, became)]
    append_audit(connection, audit)
    if _changes_what_is_allowed(asked, known):
        raise_rulings(connection)
    if not gathered.changing:
        return undo
    put_decisions(connection, [*correction.lifted, *correction.relabelled, *correction.added], tell)
    put(connection, tables.risks, [risk_row(risk) for risk in correction.risks])
    for entity in correction.gone:
        columns = tables.risks.c
        here = (columns.scope == entity.scope.value) & (columns.value == entity.value)
        connection.execute(delete(tables.risks).where(here))
    put(connection, tables.incidents, [incident_row(incident) for incident in correction.incidents])
    _put_words(connection, correction)
    put(connection, tables.undos, [{**flat_row(undo), "kind": undo.kind.value}])
    rows = [{"undo": undo.id, "decision": one.decision.id, "fate": one.fate.value} for one in became]
    put(connection, tables.undone, rows)
    raise_rulings(connection)
    return undo


def _put_words(connection: Connection, correction: Correction) -> None:
    """Say anew what became of findings; when and in which order they were weighed stays."""
    columns = tables.considered.c
    names = ("incident", "decision", "reason", "detail")
    change = (
        update(tables.considered)
        .where(columns.finding == bindparam("key"))
        .values({name: bindparam(f"new_{name}") for name in names})
    )
    rows = [
        {"key": word.finding, **{f"new_{name}": getattr(word, name) for name in names}, "new_reason": word.reason.value}
        for word in correction.considered
    ]
    if rows:
        connection.execute(change, rows)


def _changes_what_is_allowed(asked: UndoAsked, known: Mapping[str, FindingMark]) -> bool:
    """Whether it says or takes back of any finding that it is benign: that is what others like it are measured by."""
    before = any(mark.verdict is Verdict.BENIGN_KNOWN for mark in known.values())
    return isinstance(asked.what, Marking) and (before or asked.what.verdict is Verdict.BENIGN_KNOWN)


def _put_marks(connection: Connection, asked: UndoAsked, gathered: Gathered, known: Mapping[str, FindingMark]) -> None:
    said = {"reason": asked.reason, "actor": asked.actor, "time": asked.now}
    if isinstance(asked.what, Span):
        undone_now = {"verdict": None, "undo": asked.id, "expires": None}
        rows = [{"finding": key, **undone_now, **said} for key in sorted(gathered.changing)]
        put(connection, tables.finding_marks, rows)
        return
    until = asked.what.until(asked.now)
    verdict = None if asked.what.verdict is None else asked.what.verdict.value
    undone = {key: mark.undo for key, mark in known.items()}
    kept = [key for key in asked.what.findings if verdict is not None or undone.get(key) is not None]
    rows = [{"finding": key, "verdict": verdict, "undo": undone.get(key), "expires": until, **said} for key in kept]
    put(connection, tables.finding_marks, rows)
    for chunk in chunks(set(asked.what.findings) - set(kept)):
        connection.execute(delete(tables.finding_marks).where(tables.finding_marks.c.finding.in_(chunk)))


def _entry(asked: UndoAsked, action: str, subject: str, before: str = "", after: str = "") -> AuditEntry:
    return AuditEntry(
        time=asked.now,
        actor=asked.actor,
        action=action,
        subject=subject,
        reason=asked.reason,
        before=before,
        after=after,
    )


def _about_marks(asked: UndoAsked, known: Mapping[str, FindingMark]) -> Iterator[AuditEntry]:
    """An entry for every finding that is marked: what was said of it before, and what is said now until when."""
    if isinstance(asked.what, Marking):
        said = _said(asked.what.verdict, asked.what.until(asked.now))
        for key in asked.what.findings:
            mark = known.get(key)
            before = "" if mark is None else _said(mark.verdict, mark.expires)
            yield _entry(asked, MARK_ACTION, key, before=before, after=said)


def _said(verdict: Verdict | None, until: int | None) -> str:
    if verdict is None:
        return "unmarked"
    return verdict.value if until is None else f"{verdict.value} until {stamp(until)}"


def _about(undo: Undo) -> AuditEntry:
    text = msgspec.json.encode(undo).decode()
    return AuditEntry(
        time=undo.time,
        actor=undo.actor,
        action=f"{undo.kind.value}.undo",
        subject=undo.subject,
        reason=undo.reason,
        after=text,
    )


def _about_decisions(asked: UndoAsked, gathered: Gathered, became: Sequence[Undone]) -> Iterator[AuditEntry]:
    """An entry for every decision that changes or is new."""
    states = {decision.id: decision.state.value for decision in gathered.past.decisions}
    for one in became:
        if one.fate in _ACTS:
            before = states.get(one.decision.id, "")
            yield _entry(asked, UNDO_ACTION, one.decision.id, before, one.decision.state.value)


def undos(connection: Connection, limit: int | None) -> list[Undo]:
    """The undos that were carried out, the last first."""
    table = tables.undos
    wanted = select(table).order_by(table.c.time.desc(), table.c.id.desc()).limit(limit)
    return [Undo(**{**row, "kind": UndoKind(row["kind"])}) for row in connection.execute(wanted).mappings()]


def undo(connection: Connection, key: str) -> Undo | None:
    row = connection.execute(select(tables.undos).where(tables.undos.c.id == key)).mappings().one_or_none()
    return None if row is None else Undo(**{**row, "kind": UndoKind(row["kind"])})


def undone(connection: Connection, key: str) -> list[Undone]:
    """What became of each decision in an undo, in the order of their numbers; each as it stands now."""
    table, decisions = tables.undone, tables.decisions
    wanted = select(table.c.fate, decisions.c.document).join(decisions, decisions.c.id == table.c.decision)
    rows = connection.execute(wanted.where(table.c.undo == key).order_by(decisions.c.number))
    return [Undone(decision=document(Decision, row.document), fate=Fate(row.fate)) for row in rows]
