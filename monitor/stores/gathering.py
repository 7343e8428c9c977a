"""What hangs together with some findings: their entities and owners, all that was seen and decided there, and what was said of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, Select, Table, and_, func, or_, select

from detectors.finding import Entity, Finding, Scope
from monitor.stores import tables
from monitor.stores.deciding import CHANGE, RULINGS, counter
from monitor.stores.rows import chunks, document, documents, of_entities
from monitor.stores.turn import last_turn
from monitor.stores.undos import FINDINGS_MAX, Fate, FindingMark, Marking, Span, TooMuch, UndoAsked, Verdict
from playbooks.decision import Decision, DecisionState, Mode
from playbooks.incident import Incident
from playbooks.past import Past, Weighed, Word

UNDO_ACTION: Final = "decision.undo"
"""How the audit names what an undo does to a decision."""

_LIFTED: Final = (DecisionState.REVOKED.value, DecisionState.REJECTED.value)
_WEIGHED: Final = tables.findings.join(tables.considered, tables.considered.c.finding == tables.findings.c.id)


class State(msgspec.Struct, frozen=True):
    """How far the record had come: the last turn, change of a decision, and rulings."""

    turn: int
    change: int
    rulings: int


class Gathered(msgspec.Struct, frozen=True, kw_only=True):
    """The past of all that hangs together with the findings of an undo, and which of them do not count before and after it.

    `changing` are those that are left out now, or that count again.
    """

    state: State
    entities: frozenset[Entity]
    owners: frozenset[str]
    past: Past
    incidents: list[Incident]
    changing: frozenset[str]
    before: frozenset[str]

    @property
    def after(self) -> frozenset[str]:
        return self.before ^ self.changing


def state_of(connection: Connection) -> State:
    return State(last_turn(connection), counter(connection, CHANGE), counter(connection, RULINGS))


def gather(connection: Connection, asked: UndoAsked) -> Gathered:
    """All that an undo must look at; raises `TooMuch` where that is beyond the bound."""
    changing = _changing(connection, asked.what)
    entities, owners = _together(connection, changing)
    weighed = _weighed(connection, entities, owners)
    decisions = _decisions(connection, entities, owners)
    marks = marks_of(connection, [one.finding.id for one in weighed])
    past = Past(
        entities=entities,
        weighed=weighed,
        decisions=decisions,
        words=_words(connection, decisions),
        undone=sorted(connection.execute(select(tables.undos.c.time).distinct()).scalars()),
    )
    incidents = {one.incident for one in weighed if one.incident is not None}
    return Gathered(
        state=state_of(connection),
        entities=frozenset(entities),
        owners=frozenset(owners),
        past=past,
        incidents=list(documents(connection, Incident, tables.incidents, incidents)),
        changing=frozenset(changing),
        before=frozenset(mark.finding for mark in marks.values() if not mark.counts),
    )


def is_current(connection: Connection, gathered: Gathered, asked: UndoAsked) -> bool:
    """Whether nothing has come since that concerns what was gathered."""
    state = state_of(connection)
    if state == gathered.state:
        return True
    if state.rulings != gathered.state.rulings or _changing(connection, asked.what) != gathered.changing:
        return False
    findings, decisions = tables.findings.c, tables.decisions.c
    new = select(findings.scope, findings.value, findings.owner).select_from(_WEIGHED)
    changed = select(decisions.scope, decisions.value, decisions.owner).where(decisions.changed > gathered.state.change)
    rows = [
        *connection.execute(new.where(tables.considered.c.turn > gathered.state.turn)),
        *connection.execute(changed),
    ]
    return not any(
        Entity(Scope(scope), value) in gathered.entities or owner in gathered.owners for scope, value, owner in rows
    )


def marks_of(connection: Connection, findings: Collection[str]) -> dict[str, FindingMark]:
    """What was said of these findings, of those of which something was."""
    table = tables.finding_marks
    found = {}
    for chunk in chunks(findings):
        for row in connection.execute(select(table).where(table.c.finding.in_(chunk))).mappings():
            verdict = None if row["verdict"] is None else Verdict(row["verdict"])
            found[row["finding"]] = FindingMark(**{**row, "verdict": verdict})
    return found


def _changing(connection: Connection, what: Span | Marking) -> set[str]:
    """Findings that count and shall not, or the other way. What an exception kept out, or a trial said, never counted."""
    columns, words, marks = tables.findings.c, tables.considered.c, tables.finding_marks.c
    if isinstance(what, Span):
        unmarked = _WEIGHED.outerjoin(tables.finding_marks, marks.finding == columns.id)
        wanted = (
            select(columns.id)
            .select_from(unmarked)
            .where(
                columns.rule == what.rule,
                words.clock >= what.since,
                words.clock < what.until,
                words.incident.is_not(None),
                marks.finding.is_(None),
            )
        )
        found = set(connection.execute(wanted.limit(FINDINGS_MAX + 1)).scalars())
        if len(found) > FINDINGS_MAX:
            raise TooMuch
        return found
    known = marks_of(connection, what.findings)
    flips = set()
    for chunk in chunks(what.findings):
        weighed = select(words.finding).where(words.finding.in_(chunk), words.incident.is_not(None))
        for key in connection.execute(weighed).scalars():
            mark = known.get(key)
            shall = what.verdict is Verdict.TRUE or (what.verdict is None and (mark is None or mark.undo is None))
            if (mark is None or mark.counts) != shall:
                flips.add(str(key))
    return flips


def _together(connection: Connection, changing: Collection[str]) -> tuple[set[Entity], set[str]]:
    """Whom findings are about, and all that shares a developer with them since the first that was ever left out there.

    The acts on all that a developer has are counted together, and risk of an app is risk of its developer.
    """
    columns, words = tables.findings.c, tables.considered.c
    whom = select(columns.scope, columns.value, words.turn).select_from(_WEIGHED)
    about: set[Entity] = set()
    turns: list[int] = []
    for chunk in chunks(changing):
        for scope, value, turn in connection.execute(whom.where(columns.id.in_(chunk))):
            about.add(Entity(Scope(scope), value))
            turns.append(turn)
    since = min(turns, default=0)
    while True:
        entities, owners = _related(connection, about, since)
        first = _first_left_out(connection, entities, owners)
        if first is None or first >= since:
            return entities, owners
        since = first


def _related(connection: Connection, about: Collection[Entity], turn: int) -> tuple[set[Entity], set[str]]:
    """Entities with all that shares a developer with them by what was seen since a turn."""
    columns, since = tables.findings.c, tables.considered.c.turn >= turn
    entities, owners = set(about), set[str]()
    fresh = set(about)
    while fresh:
        named = {one.value for one in fresh if one.scope is Scope.DEVELOPER}
        for condition in of_entities(tables.findings, fresh):
            of_them = select(columns.owner).distinct().select_from(_WEIGHED).where(condition, since)
            named |= {owner for owner in connection.execute(of_them).scalars() if owner is not None}
        named -= owners
        owners |= named
        met = {Entity(Scope.DEVELOPER, owner) for owner in named}
        for chunk in chunks(named):
            theirs = select(columns.scope, columns.value).distinct().select_from(_WEIGHED)
            rows = connection.execute(theirs.where(columns.owner.in_(chunk), since))
            met |= {Entity(Scope(scope), value) for scope, value in rows}
        fresh = met - entities
        entities |= fresh
    return entities, owners


def _first_left_out(connection: Connection, entities: Collection[Entity], owners: Collection[str]) -> int | None:
    """The first turn of all in which something was found there that does not count."""
    marks = tables.finding_marks.c
    marked = _WEIGHED.join(tables.finding_marks, marks.finding == tables.findings.c.id)
    is_out = or_(marks.verdict != Verdict.TRUE.value, and_(marks.verdict.is_(None), marks.undo.is_not(None)))
    turns = []
    for condition in _of(tables.findings, entities, owners):
        first = select(func.min(tables.considered.c.turn)).select_from(marked).where(condition, is_out)
        turns.append(connection.execute(first).scalar())
    return min((turn for turn in turns if turn is not None), default=None)


def _of(table: Table, entities: Collection[Entity], owners: Collection[str]) -> Iterator[ColumnElement[bool]]:
    """Conditions that together name all rows of entities and owners; a row may be named twice."""
    yield from of_entities(table, entities)
    for chunk in chunks(sorted(owners)):
        yield table.c.owner.in_(chunk)


def _weighed(connection: Connection, entities: Collection[Entity], owners: Collection[str]) -> list[Weighed]:
    """All findings of entities and owners that were weighed, in their order."""
    words = tables.considered.c
    wanted = select(
        tables.findings.c.document, words.turn, words.place, words.clock, words.mode, words.incident
    ).select_from(_WEIGHED)
    found: dict[str, Weighed] = {}
    for condition in _of(tables.findings, entities, owners):
        for row in connection.execute(wanted.where(condition).limit(FINDINGS_MAX + 1 - len(found))):
            one = _weighed_row(row)
            if not one.finding.shadow:
                found[one.finding.id] = one
        if len(found) > FINDINGS_MAX:
            raise TooMuch
    return sorted(found.values(), key=lambda one: one.order)


def _weighed_row(row: Any) -> Weighed:
    return Weighed(
        finding=document(Finding, row.document),
        turn=row.turn,
        place=row.place,
        clock=row.clock,
        mode=Mode(row.mode),
        incident=row.incident,
        excepted=row.incident is None,
    )


def _decisions(connection: Connection, entities: Collection[Entity], owners: Collection[str]) -> list[Decision]:
    """All decisions about entities and owners' apps, in the order in which they were first written."""
    columns = tables.decisions.c
    found: dict[int, Decision] = {}
    for condition in _of(tables.decisions, entities, owners):
        for number, text in connection.execute(select(columns.number, columns.document).where(condition)):
            found[number] = document(Decision, text)
    return [found[number] for number in sorted(found)]


def _words(connection: Connection, decisions: Iterable[Decision]) -> dict[str, Word]:
    """When decisions were lifted or refused, and whether by a person or an undo."""
    ended = [one.id for one in decisions if one.state in {DecisionState.REVOKED, DecisionState.REJECTED}]
    audit, undone, undos = tables.audit.c, tables.undone, tables.undos
    words: dict[str, Word] = {}
    for chunk in chunks(ended):
        by_undo: Select[Any] = (
            select(undone.c.decision, undos.c.time)
            .join(undos, undos.c.id == undone.c.undo)
            .where(undone.c.decision.in_(chunk), undone.c.fate.in_([Fate.LIFTED.value, Fate.RELEASED.value]))
        )
        words |= {key: Word(time, of_person=False) for key, time in connection.execute(by_undo)}
        by_person = (
            select(audit.subject, func.max(audit.time))
            .where(audit.subject.in_(chunk), audit.after.in_(_LIFTED), audit.action != UNDO_ACTION)
            .group_by(audit.subject)
        )
        words |= {key: Word(time, of_person=True) for key, time in connection.execute(by_person)}
    return words
