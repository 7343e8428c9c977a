"""Turns of the pipeline written into the record: everything they change, within the transaction that is given."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection, select

from monitor.audit import GENESIS, AuditEntry, chain
from monitor.sealing import Seal
from monitor.stores import Control, LetterBounds, Overtaken, StaleTurn, Turn, tables
from monitor.stores.changes import of_turn
from monitor.stores.clocks import begin_clocks
from monitor.stores.deciding import RULINGS, Tell, counter, put_decisions
from monitor.stores.entries import breached
from monitor.stores.finding_parts import put_findings
from monitor.stores.leases import check_fences
from monitor.stores.letters import put_letters
from monitor.stores.outgoing import put_messages
from monitor.stores.rows import (
    Row,
    considered_row,
    flat_row,
    incident_row,
    put,
    put_growing,
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


def last_turns(connection: Connection, turns: Sequence[Turn]) -> list[int]:
    """The number of the last committed turn of each one's stream."""
    columns = tables.streams.c
    names = {turn.stream for turn in turns} - {""}
    wanted = select(columns.name, columns.turn).where(columns.name.in_(names))
    known = {name: int(number) for name, number in connection.execute(wanted)} if names else {}
    return [known.get(turn.stream, 0) if turn.stream else last_turn(connection) for turn in turns]


def are_committed(connection: Connection, turns: Sequence[Turn]) -> bool:
    """Whether the last turns are these, of one transaction; raises `Fenced` where they may be another owner's of the same numbers."""
    check_fences(connection, turns, keep=False)
    return last_turns(connection, turns) == [turn.number for turn in turns]


def line_of(turns: Sequence[Turn]) -> str:
    """The line of a transaction of turns: that of the first one's stream where they write nothing that depends on what other streams write.

    Nobody else writes turns of the others meanwhile: their fences are kept.
    """
    return turns[0].stream if not any(_is_counted(turn) for turn in turns) else ""


def _is_counted(turn: Turn) -> bool:
    counted = (
        turn.controls,
        turn.risks,
        turn.incidents,
        turn.clocks,
        turn.decisions,
        turn.considered,
        turn.messages,
        turn.audit,
        turn.standings,
    )
    return any(counted)


def write_turns(
    connection: Connection,
    turns: Sequence[Turn],
    seal: Seal,
    letters: LetterBounds,
    tell: Tell,
    again_us: int | None = None,
) -> None:
    """Write all of turns, each of another stream; raises `Fenced`, `StaleTurn` when a number is not above the last, and `Overtaken`.

    With `again_us` a topic is told of findings, and so long after that one has grown it is told of again.
    """
    check_fences(connection, turns, keep=True)
    for turn, last in zip(turns, last_turns(connection, turns), strict=True):
        if turn.number <= last:
            raise StaleTurn(f"turn {turn.number} comes after turn {last}, which is committed")
        if turn.rulings is not None and turn.rulings != counter(connection, RULINGS):
            raise Overtaken
    entries = [entry for turn in turns for entry in (*turn.audit, *of_turn(connection, turn))]
    controls = [(turn, control) for turn in turns for control in turn.controls]
    put(connection, tables.marks, [{**_of(turn), **flat_row(turn.mark)} for turn in turns if turn.mark])
    put(connection, tables.controls, [_control_row(turn, control) for turn, control in controls])
    put(connection, tables.contents, [{"digest": one.digest, "content": one.content} for _, one in controls])
    put(connection, tables.progress, [flat_row(progress) for turn in turns for progress in turn.progress])
    for turn in turns:
        put_letters(connection, turn, seal, letters)
    now = max(turn.time for turn in turns)
    findings = [finding for turn in turns for finding in turn.findings]
    put_findings(connection, findings, None if again_us is None else (now, again_us))
    put(connection, tables.segments, [flat_row(segment) for turn in turns for segment in turn.segments])
    for turn in turns:
        entries += _put_decided(connection, turn, tell)
    append_audit(connection, entries)
    _leave(connection, sorted((turn for turn in turns if turn.stream), key=lambda turn: turn.stream))


def _put_decided(connection: Connection, turn: Turn, tell: Tell) -> list[AuditEntry]:
    """What follows from findings: only the first stream's turns have that, and how far it has come. Gives what is to be said of it."""
    if turn.stream:
        return []
    put(connection, tables.risks, [risk_row(risk) for risk in turn.risks])
    put(connection, tables.incidents, [incident_row(incident) for incident in turn.incidents])
    late = begin_clocks(connection, turn.clocks)
    put_decisions(connection, turn.decisions, tell)
    rows = [considered_row(word, turn.number, place) for place, word in enumerate(turn.considered)]
    put(connection, tables.considered, rows)
    put_messages(connection, turn.messages)
    for stream, number in turn.answered:
        columns = tables.detected.c
        connection.execute(tables.detected.delete().where(columns.stream == stream, columns.turn == number))
    put(
        connection,
        tables.meta,
        [{"key": LAST_TURN, "value": str(turn.number)}, {"key": LAST_TIME, "value": str(turn.time)}],
    )
    return [breached(clock) for clock in late]


def _leave(connection: Connection, turns: Sequence[Turn]) -> None:
    """Say how far streams beside the first have come, and leave what they have found to be answered; in order, so that two never wait for
    one another.
    """
    states = [
        {
            "name": turn.stream,
            "turn": turn.number,
            "time": turn.time,
            "reached": turn.reached,
            "read_out": turn.read_out,
        }
        for turn in turns
    ]
    put_growing(connection, tables.streams, states, "read_out")
    told = [{**_of(turn), "reached": turn.reached, "body": turn.told} for turn in turns if turn.told]
    put(connection, tables.told, told)
    left = [{**_of(turn), "time": turn.time, "body": turn.detected} for turn in turns if turn.detected]
    put(connection, tables.detected, left)


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
