"""Standing words of operators in the record, within the transaction given: each change raises the version of what decisions rest on."""

from __future__ import annotations

from typing import Final

import msgspec
from sqlalchemy import Connection, select

from monitor.audit import AuditEntry
from monitor.stores import Standing, StandingKind, tables
from monitor.stores.deciding import raise_rulings
from monitor.stores.record import NotFound
from monitor.stores.rows import flat_row, put, standing
from monitor.stores.turn import append_audit

_ACTIONS: Final = {
    (StandingKind.PAUSE, "add"): "acts.pause",
    (StandingKind.PAUSE, "remove"): "acts.resume",
    (StandingKind.SHADOW, "add"): "rule.shadow",
    (StandingKind.SHADOW, "remove"): "rule.unshadow",
}
"""What the audit calls it, where the kind's own name is not enough."""


def add_standing(connection: Connection, added: Standing) -> None:
    put(connection, tables.standings, [flat_row(added)])
    raise_rulings(connection)
    append_audit(connection, [standing_entry(added, "add", added.actor, added.reason, added.created)])


def remove_standing(connection: Connection, key: str, actor: str, reason: str, now: int) -> Standing:
    table = tables.standings
    row = connection.execute(select(table).where(table.c.id == key)).mappings().one_or_none()
    if row is None:
        raise NotFound("standing word", key)
    removed = standing(row)
    connection.execute(table.delete().where(table.c.id == key))
    raise_rulings(connection)
    append_audit(connection, [standing_entry(removed, "remove", actor, reason, now)])
    return removed


def standing_entry(of: Standing, act: str, actor: str, reason: str, now: int) -> AuditEntry:
    """The entry for a standing word that was added or removed."""
    text = msgspec.json.encode(of).decode()
    return AuditEntry(
        time=now,
        actor=actor,
        action=_ACTIONS.get((of.kind, act), f"{of.kind.value}.{act}"),
        subject=f"{of.scope}:{of.value}" if of.scope else of.rule or "everything",
        reason=reason,
        before=text if act == "remove" else "",
        after=text if act == "add" else "",
    )


def standings(connection: Connection, now: int) -> list[Standing]:
    table = tables.standings
    wanted = select(table).where(table.c.expires > now).order_by(table.c.created, table.c.id)
    return [standing(row) for row in connection.execute(wanted).mappings()]
