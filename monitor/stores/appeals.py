"""Appeals against decisions: what one is, and how it is kept; each within the transaction given."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec
from sqlalchemy import Connection, RowMapping, select

from monitor.audit import AuditEntry
from monitor.stores import tables
from monitor.stores.rows import flat_row, put
from monitor.stores.turn import append_audit


class AppealState(StrEnum):
    """How far an appeal has come."""

    FILED = "filed"
    REVIEWING = "reviewing"
    GRANTED = "granted"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"


OPEN: Final = (AppealState.FILED, AppealState.REVIEWING)
"""States in which an appeal is still to be answered."""


class AppealTerms(msgspec.Struct, frozen=True, kw_only=True):
    """Within which time an appeal is to be answered, and how many there may be against one decision."""

    answer_within_s: int = 7 * 86_400
    attempts_max: int = 3


class Appeal(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody's objection to a decision, and what came of it; times are microseconds since 1970 UTC.

    `appellant` is who objects, in words; `actor` is who recorded it. `scope` and `value` are those of the decision.
    """

    id: str
    decision: str
    scope: str
    value: str
    appellant: str
    statement: str
    filed: int
    answer_by: int
    actor: str
    state: AppealState = AppealState.FILED
    reviewer: str | None = None
    answered: int | None = None
    answered_by: str | None = None
    reason: str = ""


def appeal(row: RowMapping) -> Appeal:
    return Appeal(**{**row, "state": AppealState(row["state"])})


def appeal_of(connection: Connection, key: str) -> Appeal | None:
    table = tables.appeals
    row = connection.execute(select(table).where(table.c.id == key)).mappings().one_or_none()
    return None if row is None else appeal(row)


def appeals_against(connection: Connection, decision: str) -> list[Appeal]:
    """All appeals against a decision, the oldest first."""
    table = tables.appeals
    wanted = select(table).where(table.c.decision == decision).order_by(table.c.filed, table.c.id)
    return [appeal(row) for row in connection.execute(wanted).mappings()]


def open_appeals(connection: Connection, limit: int) -> list[Appeal]:
    """Appeals that are still to be answered, the most urgent first."""
    table = tables.appeals
    wanted = select(table).where(table.c.state.in_([state.value for state in OPEN]))
    rows = connection.execute(wanted.order_by(table.c.answer_by, table.c.id).limit(limit)).mappings()
    return [appeal(row) for row in rows]


def put_appeal(connection: Connection, changed: Appeal, entry: AuditEntry) -> None:
    """Write an appeal as it stands now, with the word on it in the audit."""
    put(connection, tables.appeals, [{**flat_row(changed), "state": changed.state.value}])
    append_audit(connection, [entry])
