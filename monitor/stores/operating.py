"""What people and workers change in the record beside the pipeline's turns; each within the transaction it is given."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Select, exists, func, select, update

from monitor.audit import AuditEntry
from monitor.stores import CONTROLS_KEPT, AppRecord, Message, Segment, tables
from monitor.stores.changes import imported, replayed
from monitor.stores.deciding import IMPORTS, Tell, put_decisions, raise_counter, raise_rulings
from monitor.stores.entries import moved
from monitor.stores.outgoing import put_messages
from monitor.stores.record import (
    NOT_ENDED,
    NotFound,
    PackRow,
    PackState,
    Reply,
    Request,
)
from monitor.stores.rows import (
    chunks,
    document,
    flat_row,
    put,
    put_new,
)
from monitor.stores.turn import append_audit
from playbooks.decision import Decision, DecisionState, Mode

PACKS_KEPT: Final = 10
"""Packs whose time is over that are kept, to go back to."""

EXPIRY: str = "system:expiry"
"""The actor of what the passing of time brings about."""


def has_due(connection: Connection, now: int, modes: Collection[Mode]) -> bool:
    """Whether the time of any decision has passed that has not ended."""
    return connection.execute(_due(now, modes).limit(1)).first() is not None


def _due(now: int, modes: Collection[Mode]) -> Select[Any]:
    table = tables.decisions
    is_over = (table.c.expires <= now) & table.c.state.in_([*NOT_ENDED])
    return select(table.c.document).where(is_over, table.c.mode.in_([*modes]))


def expire_decisions(connection: Connection, now: int, modes: Collection[Mode], tell: Tell) -> list[Decision]:
    table = tables.decisions
    before = [
        document(Decision, text)
        for text in connection.execute(_due(now, modes).order_by(table.c.expires, table.c.id)).scalars().all()
    ]
    why = "its time has passed"
    after = [moved("expire", decision, DecisionState.EXPIRED, EXPIRY, why, now) for decision in before]
    if after:
        put_decisions(connection, [decision for decision, _ in after], tell)
        raise_rulings(connection)
    append_audit(connection, [entry for _, entry in after])
    return [decision for decision, _ in after]


def forget_marks(connection: Connection, before_turn: int, stream: str = "") -> None:
    """Delete the marks of a stream's turns before one, the newest of all excepted, and old controls that were no longer in force then."""
    table = tables.marks
    newest = select(func.max(table.c.turn)).where(table.c.stream == stream).scalar_subquery()
    old = (table.c.stream == stream) & (table.c.turn < before_turn) & (table.c.turn < newest)
    connection.execute(table.delete().where(old))
    controls, later = tables.controls, tables.controls.alias()
    of_same = (later.c.stream == controls.c.stream) & (later.c.subject == controls.c.subject)
    superseded = exists().where(of_same, later.c.turn > controls.c.turn, later.c.turn <= before_turn)
    newer = select(func.count()).where(of_same, later.c.turn > controls.c.turn)
    is_old = newer.scalar_subquery() >= CONTROLS_KEPT
    connection.execute(controls.delete().where(controls.c.stream == stream, superseded, is_old))
    contents = tables.contents
    connection.execute(contents.delete().where(contents.c.digest.not_in(select(controls.c.digest))))


def ask(connection: Connection, asked: Request) -> None:
    """Ask the daemon for something, in the audit too."""
    row = {**flat_row(asked), "answered": None, "answer": ""}
    connection.execute(tables.requests.insert(), [row])
    entry = AuditEntry(
        time=asked.created,
        actor=asked.actor,
        action=asked.kind,
        subject=asked.subject,
        reason=asked.reason,
        after=asked.id,
    )
    append_audit(connection, [entry])


def open_requests(connection: Connection, limit: int) -> list[Request]:
    """What the daemon was asked for and has not answered, the oldest first."""
    columns = tables.requests.c
    wanted = select(*(columns[name] for name in Request.__struct_fields__)).where(columns.answered.is_(None))
    ordered = wanted.order_by(columns.created, columns.id).limit(limit)
    return [Request(**row) for row in connection.execute(ordered).mappings()]


def answer_request(connection: Connection, reply: Reply) -> None:
    """Say what came of a request, once."""
    table = tables.requests
    is_open = (table.c.id == reply.request) & table.c.answered.is_(None)
    values = {"answered": reply.time, "answer": reply.answer}
    if not connection.execute(update(table).where(is_open).values(values)).rowcount:
        raise NotFound("open request", reply.request)
    append_audit(connection, [reply.entry])


def answer_of(connection: Connection, key: str) -> str | None:
    """What came of a request; None while it is open."""
    columns = tables.requests.c
    row = connection.execute(select(columns.answered, columns.answer).where(columns.id == key)).one_or_none()
    return str(row.answer) if row is not None and row.answered is not None else None


def packs(connection: Connection) -> list[PackRow]:
    """All packs, those that came to their state last first."""
    columns = tables.packs.c
    wanted = select(*(columns[name] for name in PackRow.__struct_fields__))
    ordered = wanted.order_by(columns.since.desc(), columns.version.desc())
    return [PackRow(**{**row, "state": PackState(row["state"])}) for row in connection.execute(ordered).mappings()]


def add_pack(connection: Connection, added: PackRow, content: bytes, entry: AuditEntry) -> None:
    """Keep a pack; one that has been taken already stays as it is. Of those that were only offered, the latest is kept."""
    table = tables.packs
    connection.execute(table.delete().where(table.c.state == PackState.OFFERED.value))
    put_new(connection, tables.packs, [{**flat_row(added), "state": added.state.value, "content": content}])
    append_audit(connection, [entry])


def change_packs(
    connection: Connection,
    changed: Sequence[PackRow],
    entry: AuditEntry,
    messages: Sequence[Message] = (),
    reply: Reply | None = None,
) -> None:
    """Let packs change their states together, and tell of it; of those whose time is over, the latest are kept."""
    table = tables.packs
    for row in changed:
        values = {"state": row.state.value, "stage": row.stage, "since": row.since}
        if not connection.execute(update(table).where(table.c.digest == row.digest).values(values)).rowcount:
            raise NotFound("pack", row.digest)
    over = [row.digest for row in packs(connection) if row.state in {PackState.RETIRED, PackState.WITHDRAWN}]
    connection.execute(table.delete().where(table.c.digest.in_(over[PACKS_KEPT:])))
    put_messages(connection, messages)
    append_audit(connection, [entry])
    if reply is not None:
        answer_request(connection, reply)


def forget_requests(connection: Connection, before: int) -> None:
    connection.execute(tables.requests.delete().where(tables.requests.c.created < before))


def import_apps(connection: Connection, records: Sequence[AppRecord], actor: str, now: int) -> None:
    entry = imported(connection, records, actor, now)
    put(connection, tables.apps, [flat_row(record) for record in records])
    raise_counter(connection, IMPORTS)
    raise_rulings(connection)
    append_audit(connection, [entry])


def mark_replayed(connection: Connection, keys: Collection[str], actor: str, now: int) -> int:
    table = tables.dead_letters
    changed = 0
    for chunk in chunks(keys):
        changed += connection.execute(update(table).where(table.c.id.in_(chunk)).values(replayed=now)).rowcount
    append_audit(connection, replayed(keys, changed, actor, now))
    return changed


def segments(connection: Connection, day: str | None) -> list[Segment]:
    table = tables.segments
    wanted = select(table).order_by(table.c.turn_first, table.c.day, table.c.path)
    if day is not None:
        wanted = wanted.where(table.c.day == day)
    return [Segment(**row) for row in connection.execute(wanted).mappings()]


def archived(connection: Connection) -> tuple[int, int]:
    """Bytes and rows of all segments."""
    columns = tables.segments.c
    sums = [func.coalesce(func.sum(column), 0) for column in (columns.bytes, columns.rows)]
    held, rows = connection.execute(select(*sums)).one()
    return int(held), int(rows)


def replace_segments(
    connection: Connection, old: Sequence[Segment], new: Sequence[Segment], audit: AuditEntry | None
) -> None:
    """Swap rows of the manifest; `NotFound` when one of the old is not there any more."""
    table = tables.segments
    for chunk in chunks(segment.path for segment in old):
        removed = connection.execute(table.delete().where(table.c.path.in_(chunk))).rowcount
        if removed != len(chunk):
            raise NotFound("segment", f"(one of {', '.join(chunk[:3])} …)")
    put(connection, table, [flat_row(segment) for segment in new])
    append_audit(connection, [audit] if audit else [])
