"""What the audit has of what the program changes by itself: acts that begin by playbook, rules that come into force, what is deleted.

Decisions that guards hold have no entry: they change nothing that is in force, are kept with their reason, and have no budget
that would bound their number.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec
from sqlalchemy import Connection, func, select

from monitor.audit import AuditEntry
from monitor.counting import counted
from monitor.stores import AppRecord, Control, Turn, tables
from monitor.stores.rows import put
from playbooks.decision import Decision, DecisionState, Mode

DAEMON: Final = "system:daemon"
RETENTION: Final = "system:retention"
CONFIGURATION: Final = "configuration"
"""The key under which the record keeps the configuration of the last daemon; secrets are not in it."""


def of_turn(connection: Connection, turn: Turn) -> list[AuditEntry]:
    """What a turn changes for everybody; asked before it is written."""
    return [
        *(_control(connection, turn, control) for control in turn.controls),
        *(entry for decision in turn.decisions for entry in _decided(decision, turn.time)),
    ]


def _control(connection: Connection, turn: Turn, control: Control) -> AuditEntry:
    columns = tables.controls.c
    of_same = (columns.stream == turn.stream) & (columns.subject == control.subject)
    newest = select(columns.digest).where(of_same).order_by(columns.turn.desc()).limit(1)
    where = f" of {turn.stream}" if turn.stream else ""
    return AuditEntry(
        time=turn.time,
        actor=DAEMON,
        action=f"{control.subject}.in-force",
        subject=control.subject,
        reason=f"others are in force from this turn{where} on; `miniwatch rules history` tells where in the stream",
        before=str(connection.execute(newest).scalar() or ""),
        after=control.digest,
    )


def _decided(decision: Decision, now: int) -> Iterator[AuditEntry]:
    if decision.mode is not Mode.LIVE:
        return
    actor = "system:" + decision.origin.replace(":", " ", 1)
    if decision.state is DecisionState.ACTIVE:
        yield AuditEntry(
            time=now,
            actor=actor,
            action="decision.begin",
            subject=decision.id,
            reason=decision.explanation,
            after=_told(decision),
        )
    elif decision.state is DecisionState.SUPERSEDED:
        reason = "another act takes its place"
        yield AuditEntry(
            time=now,
            actor=actor,
            action="decision.supersede",
            subject=decision.id,
            reason=reason,
            before=_told(decision),
            after=decision.state.value,
        )


def _told(decision: Decision) -> str:
    """What an act is, to whom, and until when."""
    told = {
        "type": decision.type,
        "target": decision.target,
        "scope": decision.scope,
        "value": decision.value,
        "parameters": decision.parameters,
        "expires": decision.expires,
    }
    return msgspec.json.encode(told).decode()


def deleted(what: str, rows: int, before: int, now: int) -> list[AuditEntry]:
    """What retention has deleted, of what kept things are called by; nothing where there was nothing."""
    if not rows:
        return []
    until = datetime.fromtimestamp(before // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    entry = AuditEntry(
        time=now,
        actor=RETENTION,
        action=f"{what}.delete",
        subject=f"{what} until {until}",
        reason="kept as long as the configuration says",
        before=str(rows),
        after="0",
    )
    return [entry]


def replayed(keys: Collection[str], rows: int, actor: str, now: int) -> list[AuditEntry]:
    """Dead letters that were read anew."""
    if not rows:
        return []
    entry = AuditEntry(
        time=now,
        actor=actor,
        action="dead-letter.replay",
        subject=f"{min(keys)} to {max(keys)}",
        reason="read anew",
        after=f"{counted(rows, 'dead letter')} replayed",
    )
    return [entry]


def configured(connection: Connection, settings: dict[str, str], now: int) -> list[AuditEntry]:
    """What differs in the configuration since the last daemon; it is kept for the next."""
    columns = tables.meta.c
    text = connection.execute(select(columns.value).where(columns.key == CONFIGURATION)).scalar()
    known: dict[str, str] = msgspec.json.decode(text, type=dict[str, str]) if text is not None else {}
    if known == settings:
        return []
    put(connection, tables.meta, [{"key": CONFIGURATION, "value": _json(settings)}])
    keys = sorted(key for key in known | settings if known.get(key) != settings.get(key))
    entry = AuditEntry(
        time=now,
        actor=DAEMON,
        action="configuration.change",
        subject="configuration",
        reason=f"the daemon was started with {counted(len(keys), 'setting')} that the one before had not",
        before=_json({key: known[key] for key in keys if key in known}),
        after=_json({key: settings[key] for key in keys if key in settings}),
    )
    return [entry]


def imported(connection: Connection, records: Sequence[AppRecord], actor: str, now: int) -> AuditEntry:
    """Registry lines that are taken up; asked before they are written."""
    known = connection.execute(select(func.count()).select_from(tables.apps)).scalar_one()
    digest = hashlib.sha256()
    for record in records:
        digest.update(f"{record.app_id}\x1f{record.as_of}\x1f{record.document}\n".encode())
    return AuditEntry(
        time=now,
        actor=actor,
        action="apps.import",
        subject="registry",
        reason=f"{counted(len(records), 'line')} imported",
        before=counted(int(known), "line"),
        after=f"sha256 of what came: {digest.hexdigest()}",
    )


def _json(settings: dict[str, str]) -> str:
    return msgspec.json.encode(settings, order="sorted").decode()
