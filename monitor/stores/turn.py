"""One turn of the pipeline written into the record: everything it changes, within the transaction it is given."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec
from sqlalchemy import Connection, select, update

from monitor.audit import GENESIS, AuditEntry, chain
from monitor.sealing import Seal
from monitor.stores import Control, LetterBounds, Overtaken, StaleTurn, Turn, tables
from monitor.stores.changes import of_turn
from monitor.stores.deciding import RULINGS, Tell, counter, put_decisions
from monitor.stores.finding_parts import put_findings
from monitor.stores.leases import check_fence
from monitor.stores.letters import put_letters
from monitor.stores.outgoing import put_messages
from monitor.stores.rows import (
    Row,
    considered_row,
    flat_row,
    incident_row,
    put,
    risk_row,
)

LAST_TURN: Final = "last_turn"
LAST_TIME: Final = "last_time"
"""When the last turn was taken, by the daemon's clock."""


def last_turn(connection: Connection, stream: str = "") -> int:
    """The number of a stream's last committed turn; 0 before the first."""
    if stream:
        columns = tables.streams.c
        return int(connection.execute(select(columns.turn).where(columns.name == stream)).scalar() or 0)
    value = connection.execute(select(tables.meta.c.value).where(tables.meta.c.key == LAST_TURN)).scalar()
    return int(value or 0)


def is_committed(connection: Connection, turn: Turn) -> bool:
    """Whether the last turn is this one; raises `Fenced` where it may be another owner's of the same number."""
    check_fence(connection, turn.fence, keep=False)
    return last_turn(connection, turn.stream) == turn.number


def line_of(turn: Turn) -> str:
    """The line of a turn's transaction: its own where it writes nothing that depends on what other streams write."""
    counted = (
        turn.controls,
        turn.risks,
        turn.incidents,
        turn.decisions,
        turn.considered,
        turn.messages,
        turn.audit,
        turn.standings,
    )
    return turn.stream if not any(counted) else ""


def write_turn(
    connection: Connection, turn: Turn, seal: Seal, letters: LetterBounds, tell: Tell, again_us: int | None = None
) -> None:
    """Write all of a turn; raises `Fenced`, `StaleTurn` when its number is not above the last, and `Overtaken`.

    With `again_us` a topic is told of findings, and so long after that one has grown it is told of again.
    """
    check_fence(connection, turn.fence, keep=True)
    last = last_turn(connection, turn.stream)
    if turn.number <= last:
        raise StaleTurn(f"turn {turn.number} comes after turn {last}, which is committed")
    if turn.rulings is not None and turn.rulings != counter(connection, RULINGS):
        raise Overtaken
    entries = of_turn(connection, turn)
    put(connection, tables.marks, [{**_of(turn), **flat_row(turn.mark)}] if turn.mark else [])
    put(connection, tables.controls, [_control_row(turn, control) for control in turn.controls])
    put(connection, tables.contents, [{"digest": one.digest, "content": one.content} for one in turn.controls])
    put(connection, tables.progress, [flat_row(progress) for progress in turn.progress])
    put_letters(connection, turn, seal, letters)
    put_findings(connection, turn.findings, None if again_us is None else (turn.time, again_us))
    put(connection, tables.risks, [risk_row(risk) for risk in turn.risks])
    put(connection, tables.incidents, [incident_row(incident) for incident in turn.incidents])
    put_decisions(connection, turn.decisions, tell)
    rows = [considered_row(word, turn.number, place) for place, word in enumerate(turn.considered)]
    put(connection, tables.considered, rows)
    put_messages(connection, turn.messages)
    put(connection, tables.segments, [flat_row(segment) for segment in turn.segments])
    append_audit(connection, [*turn.audit, *entries])
    if turn.stream:
        _leave(connection, turn)
        return
    for stream, number in turn.answered:
        columns = tables.detected.c
        connection.execute(tables.detected.delete().where(columns.stream == stream, columns.turn == number))
    put(
        connection,
        tables.meta,
        [{"key": LAST_TURN, "value": str(turn.number)}, {"key": LAST_TIME, "value": str(turn.time)}],
    )


def _leave(connection: Connection, turn: Turn) -> None:
    """Say how far a stream beside the first has come, and leave what it has found to be answered."""
    told = {"name": turn.stream, "turn": turn.number, "time": turn.time, "reached": turn.reached}
    columns = tables.streams.c
    changed = connection.execute(update(tables.streams).where(columns.name == turn.stream).values(told)).rowcount
    if not changed:
        put(connection, tables.streams, [{**told, "read_out": 0}])
    if turn.told:
        put(connection, tables.told, [{**_of(turn), "reached": turn.reached, "body": turn.told}])
    if turn.detected:
        put(connection, tables.detected, [{**_of(turn), "time": turn.time, "body": turn.detected}])


def _of(turn: Turn) -> Row:
    return {"stream": turn.stream, "turn": turn.number}


def append_audit(connection: Connection, entries: Iterable[AuditEntry]) -> None:
    """Add entries to the end of the chain."""
    if not (wanted := list(entries)):
        return
    seq, head = audit_head(connection)
    rows = [
        {"seq": link.seq, **flat_row(link.entry), "previous": link.previous, "hash": link.hash}
        for link in chain(wanted, seq, head)
    ]
    connection.execute(tables.audit.insert(), rows)


def audit_head(connection: Connection) -> tuple[int, str]:
    """Number and hash of the newest entry."""
    columns = tables.audit.c
    newest = select(columns.seq, columns.hash).order_by(columns.seq.desc()).limit(1)
    row = connection.execute(newest).one_or_none()
    return (int(row.seq), str(row.hash)) if row is not None else (0, GENESIS)


def _control_row(turn: Turn, control: Control) -> Row:
    positions = msgspec.json.encode(control.positions, order="sorted").decode()
    said = {"subject": control.subject, "digest": control.digest, "positions": positions}
    return {**said, **_of(turn), "time": turn.time}
