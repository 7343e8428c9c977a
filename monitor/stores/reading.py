"""What lists and look-ups read from the record, a page at a time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from typing import Any, Final, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Connection, RowMapping, Select, Table, and_, func, or_, select, tuple_

from detectors.finding import Entity, Finding, Severity
from monitor.audit import AuditEntry, ChainedEntry
from monitor.decoders import DeadLetterReason
from monitor.stores import AppRecord, Controlled, Mark, Marked, models, tables
from monitor.stores.record import (
    DECISIONS_PER_ENTITY_MAX,
    NOT_ENDED,
    RECENT_DECISIONS_MAX,
    Counts,
    DeadLetterRow,
    Query,
    UnknownFilter,
)
from monitor.stores.rows import chunks, document, of_entities
from playbooks.decision import Decision, DecisionState, Mode, Reason
from playbooks.incident import Incident, IncidentState
from playbooks.risk import Risk
from playbooks.waiting import WAITING

LAST: Final = "\U0010ffff"
"""Comes after every character that an id may have."""

PAGE_ROWS: Final = 500
"""Rows of a list in memory at a time."""

CLOCKS: Final = {
    tables.findings: tables.findings.c.time,
    tables.incidents: tables.incidents.c.opened,
    tables.decisions: tables.decisions.c.time,
    tables.dead_letters: tables.dead_letters.c.time,
    tables.appeals: tables.appeals.c.filed,
}
"""The time that orders each list; it never changes while the list is read."""

_EQUAL: Final = ("scope", "value", "rule", "state", "mode", "incident", "decision", "partition", "reason")

Reading = Callable[..., AbstractContextManager[Connection]]
"""A transaction to read in; given a number of seconds, it raises `TooSlow` when it takes longer."""
_Item = TypeVar("_Item")
_Document = TypeVar("_Document", Finding, Incident, Decision)

COUNTED: Final = (Reason.PLAYBOOK.value, Reason.OPERATOR.value, Reason.HELD_NEW_RULE.value)
"""Reasons of decisions that budgets count: a storm of others, held ones, must not push these out of sight."""


def listed(reading: Reading, table: Table, query: Query, read: Callable[[RowMapping], _Item]) -> Iterator[_Item]:
    """The rows that a query wants, newest first."""
    clock, key = CLOCKS[table], table.c.id
    wanted = select(table).where(*_conditions(table, query)).order_by(clock.desc(), key.desc())
    left = query.limit
    after: tuple[Any, Any] | None = query.after
    while left is None or left > 0:
        size = PAGE_ROWS if left is None else min(left, PAGE_ROWS)
        page = wanted.limit(size)
        if after is not None:
            page = page.where(tuple_(clock, key) < after)
        with reading(query.seconds_max) as connection:
            rows = connection.execute(page).mappings().all()
        for row in rows:
            yield read(row)
        if len(rows) < size:
            return
        after = (rows[-1][clock.name], rows[-1]["id"])
        left = None if left is None else left - len(rows)


def _conditions(table: Table, query: Query) -> Iterator[ColumnElement[bool]]:
    clock = CLOCKS[table]
    if query.since is not None:
        yield clock >= query.since
    if query.until is not None:
        yield clock < query.until
    if query.severity_min is not None:
        yield _column(table, "severity") >= Severity(query.severity_min).rank
    for name in _EQUAL:
        if (value := getattr(query, name)) is None:
            continue
        if name == "incident" and table is tables.findings:
            yield table.c.id.in_(select(tables.considered.c.finding).where(tables.considered.c.incident == value))
        else:
            yield _column(table, name) == str(value)


def _column(table: Table, name: str) -> ColumnElement[Any]:
    if name not in table.c:
        raise UnknownFilter(table.name, name)
    return table.c[name]


def dead_letter(row: RowMapping) -> DeadLetterRow:
    return DeadLetterRow(**{**row, "reason": DeadLetterReason(row["reason"])})


def one(connection: Connection, table: Table, key: str) -> RowMapping | None:
    """The row with this id."""
    return connection.execute(select(table).where(table.c.id == key)).mappings().one_or_none()


def one_document(connection: Connection, kind: type[_Document], table: Table, key: str) -> _Document | None:
    row = one(connection, table, key)
    return None if row is None else document(kind, row["document"])


def starting(connection: Connection, table: Table, column: str, prefix: str, limit: int) -> list[str]:
    """The first few different values of a text column that begin like that."""
    of = table.c[column]
    within = (of >= prefix, of <= prefix + LAST)  # of an index only what begins so is looked at
    wanted = select(of).distinct().where(of.startswith(prefix, autoescape=True), *within).order_by(of).limit(limit)
    return list(connection.execute(wanted).scalars())


def known(connection: Connection, table: Table, keys: Collection[str]) -> set[str]:
    """Which of these ids there are."""
    found: set[str] = set()
    for chunk in chunks(keys):
        found.update(connection.execute(select(table.c.id).where(table.c.id.in_(chunk))).scalars())
    return found


def risks(connection: Connection, entities: Collection[Entity]) -> dict[Entity, Risk]:
    found = {}
    for condition in of_entities(tables.risks, entities):
        for row in connection.execute(select(tables.risks).where(condition)).mappings():
            entity = msgspec.convert(row, Entity)
            found[entity] = Risk(entity=entity, score=row["score"], at=row["at"])
    return found


def open_incidents(connection: Connection, entities: Collection[Entity]) -> dict[Entity, Incident]:
    table = tables.incidents
    found = {}
    for condition in of_entities(table, entities):
        wanted = select(table.c.document).where(condition, table.c.state == IncidentState.OPEN.value)
        for text in connection.execute(wanted.order_by(table.c.opened, table.c.id)).scalars():
            incident = document(Incident, text)
            found[incident.entity] = incident
    return found


def decisions_of(connection: Connection, entities: Collection[Entity]) -> dict[Entity, list[Decision]]:
    """Newest first: all that have not ended, and of the others the newest `DECISIONS_PER_ENTITY_MAX` of each entity."""
    found: dict[Entity, list[Decision]] = {entity: [] for entity in entities}
    columns = tables.decisions.c
    for condition in of_entities(tables.decisions, entities):
        for decision in _remembered(connection, condition, columns.scope, columns.value):
            found[decision.entity].append(decision)
    return found


def decisions_of_owners(connection: Connection, owners: Collection[str]) -> dict[str, list[Decision]]:
    """The same for all apps of a developer together."""
    found: dict[str, list[Decision]] = {owner: [] for owner in owners}
    for chunk in chunks(found):
        column = tables.decisions.c.owner
        for decision in _remembered(connection, column.in_(chunk), column):
            found[decision.owner or ""].append(decision)
    return found


def _remembered(connection: Connection, condition: ColumnElement[bool], *of: ColumnElement[Any]) -> Iterator[Decision]:
    """Decisions that count for judging repetition, of each of what `of` tells apart."""
    table = tables.decisions
    order = (table.c.time.desc(), table.c.id.desc())
    place = func.row_number().over(partition_by=of, order_by=order).label("place")
    ranked = select(table, place).where(condition).subquery()
    kept = or_(ranked.c.place <= DECISIONS_PER_ENTITY_MAX, ranked.c.state.in_([*NOT_ENDED]))
    wanted = select(ranked.c.document).where(kept).order_by(ranked.c.time.desc(), ranked.c.id.desc())
    for text in connection.execute(wanted).scalars():
        yield document(Decision, text)


def last_mark(connection: Connection, stream: str = "") -> Mark | None:
    table = tables.marks
    columns = (table.c[name] for name in Mark.__struct_fields__)
    newest = select(*columns).where(table.c.stream == stream).order_by(table.c.turn.desc()).limit(1)
    row = connection.execute(newest).mappings().one_or_none()
    return None if row is None else Mark(**row)


def marks(connection: Connection, after_turn: int, stream: str = "") -> list[Marked]:
    table = tables.marks
    wanted = select(table.c.turn, table.c.watermark, table.c.position)
    later = wanted.where(table.c.stream == stream, table.c.turn > after_turn).order_by(table.c.turn)
    return [Marked(*row) for row in connection.execute(later)]


def controls(connection: Connection, subject: str, stream: str = "") -> list[Controlled]:
    table = tables.controls
    columns = (table.c[name] for name in Controlled.__struct_fields__)
    wanted = select(*columns).where(table.c.stream == stream, table.c.subject == subject).order_by(table.c.turn)
    return [
        Controlled(**{**row, "positions": msgspec.json.decode(row["positions"], type=dict[str, int])})
        for row in connection.execute(wanted).mappings()
    ]


def content(connection: Connection, digest: str) -> bytes | None:
    table = tables.contents
    found: bytes | None = connection.execute(select(table.c.content).where(table.c.digest == digest)).scalar()
    return found if found is not None else models.file_of(connection, digest)


def recent_decisions(connection: Connection, since: int) -> list[Decision]:
    """What budgets are counted from, newest first."""
    table = tables.decisions
    lately = select(table.c.document).where(table.c.time >= since, table.c.reason.in_(COUNTED))
    wanted = lately.order_by(table.c.time.desc(), table.c.id.desc())
    newest = connection.execute(wanted.limit(RECENT_DECISIONS_MAX)).scalars()
    return [document(Decision, text) for text in newest]


def decisions_in_force(connection: Connection, now: int, modes: Collection[Mode]) -> list[Decision]:
    """Newest first."""
    table = tables.decisions
    wanted = select(table.c.document).where(
        table.c.state == DecisionState.ACTIVE.value, table.c.expires > now, table.c.mode.in_([*modes])
    )
    newest = wanted.order_by(table.c.time.desc(), table.c.id.desc())
    return [document(Decision, text) for text in connection.execute(newest).scalars()]


def waits() -> ColumnElement[bool]:
    """Which decisions are live ones that wait for a person."""
    columns = tables.decisions.c
    return and_(columns.state.in_([state.value for state in WAITING]), columns.mode == Mode.LIVE.value)


def count_waiting(connection: Connection) -> int:
    """How many live decisions wait for a person."""
    return int(connection.execute(select(func.count()).select_from(tables.decisions).where(waits())).scalar_one())


def waiting_decisions(connection: Connection, limit: int, after: tuple[int, str] | None) -> list[Decision]:
    """Live ones that wait for a person, what ends first before the others."""
    table = tables.decisions
    wanted = select(table.c.document).where(waits())
    if after is not None:
        wanted = wanted.where(tuple_(table.c.answer_by, table.c.id) > after)
    rows = connection.execute(wanted.order_by(table.c.answer_by, table.c.id).limit(limit)).scalars()
    return [document(Decision, text) for text in rows]


def apps(reading: Reading, after: str | None = None) -> Iterator[AppRecord]:
    """All registry lines, by app and time; with `after`, those of the apps behind that one."""
    table = tables.apps
    wanted = select(table).order_by(table.c.app_id, table.c.as_of).limit(PAGE_ROWS)
    if after is not None:
        wanted = wanted.where(table.c.app_id > after)
    page: Select[Any] = wanted
    while True:
        with reading() as connection:
            rows = connection.execute(page).mappings().all()
        for row in rows:
            yield AppRecord(**row)
        if len(rows) < PAGE_ROWS:
            return
        page = wanted.where(tuple_(table.c.app_id, table.c.as_of) > (rows[-1]["app_id"], rows[-1]["as_of"]))


def app_lines(connection: Connection, app_id: str) -> list[AppRecord]:
    """The registry lines of one app, the oldest first."""
    table = tables.apps
    wanted = select(table).where(table.c.app_id == app_id).order_by(table.c.as_of)
    return [AppRecord(**row) for row in connection.execute(wanted).mappings()]


def audit_entries(reading: Reading, after_seq: int) -> Iterator[ChainedEntry]:
    """The chain from the entry after `after_seq` on."""
    table = tables.audit
    names = AuditEntry.__struct_fields__
    while True:
        with reading() as connection:
            wanted = select(table).where(table.c.seq > after_seq).order_by(table.c.seq).limit(PAGE_ROWS)
            rows = connection.execute(wanted).mappings().all()
        for row in rows:
            entry = AuditEntry(**{name: row[name] for name in names})
            yield ChainedEntry(row["seq"], entry, row["previous"], row["hash"])
            after_seq = row["seq"]
        if len(rows) < PAGE_ROWS:
            return


def audit_about(connection: Connection, subject: str, limit: int) -> list[ChainedEntry]:
    """The newest entries about something, in their order."""
    table = tables.audit
    wanted = select(table).where(table.c.subject == subject).order_by(table.c.seq.desc()).limit(limit)
    rows = connection.execute(wanted).mappings().all()
    names = AuditEntry.__struct_fields__
    return [
        ChainedEntry(row["seq"], AuditEntry(**{name: row[name] for name in names}), row["previous"], row["hash"])
        for row in reversed(rows)
    ]


def counts(connection: Connection) -> Counts:
    """Figures for a summary."""
    sizes = {
        table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
        for table in tables.metadata.sorted_tables
    }
    severities = [severity.value for severity in Severity]
    archived = select(
        func.coalesce(func.sum(tables.segments.c.rows), 0), func.coalesce(func.sum(tables.segments.c.bytes), 0)
    )
    events, size = connection.execute(archived).one()
    return Counts(
        tables=sizes,
        findings_by_severity={severities[int(r)]: n for r, n in _by(connection, tables.findings, "severity").items()},
        findings_by_rule=_by(connection, tables.findings, "rule"),
        incidents_by_state=_by(connection, tables.incidents, "state"),
        decisions_by_type=_by(connection, tables.decisions, "type"),
        decisions_by_state=_by(connection, tables.decisions, "state"),
        dead_letters_by_reason=_letters_by_reason(connection),
        messages_by_state=_by(connection, tables.outbox, "state"),
        archived_events=int(events),
        archived_bytes=int(size),
    )


def _letters_by_reason(connection: Connection) -> dict[str, int]:
    """Lines that ever became dead letters, also those of which nothing is kept."""
    columns = tables.dead_letter_accounts.c
    lines = func.sum(columns.lines)
    wanted = select(columns.reason, lines).group_by(columns.reason).order_by(lines.desc(), columns.reason)
    return {str(reason): int(count) for reason, count in connection.execute(wanted)}


def _by(connection: Connection, table: Table, name: str) -> dict[str, int]:
    column = table.c[name]
    wanted = select(column, func.count()).group_by(column).order_by(func.count().desc(), column)
    return {str(value): count for value, count in connection.execute(wanted)}
