"""The record of one database, whole, in another: how an installation goes from SQLite to PostgreSQL and keeps what is in force.

Rows are copied as they are, numbers and orders of changes included, so that whoever asked the one for decisions goes on asking the other. The
chain of the audit goes on with one entry that says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from sqlalchemy import Connection, Table, func, select, update

from monitor.audit import AuditEntry
from monitor.stores import StoreError, tables
from monitor.stores.connection import Database
from monitor.stores.schema import upgrade
from monitor.stores.turn import append_audit, audit_head
from playbooks.decision import DecisionState, Mode

ROWS_AT_ONCE: Final = 1_000
"""Rows in memory at a time."""

ACTION: Final = "record.move"

Progress = Callable[[int, int], None]
"""Told how many rows are there, and of how many."""


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """What a move came to: rows, decisions in force, and the last turn of the record."""

    rows: int
    in_force: int
    last_turn: int


class NotEmpty(StoreError):
    """The database that a record is to go to has one already."""

    def __init__(self) -> None:
        super().__init__(
            "the database of store.url holds a record already: name an empty database, or drop this one and make it anew",
            retryable=False,
        )


def move_record(source: Database, target: Database, entry: AuditEntry, progress: Progress) -> Moved:
    """Copy everything, in one transaction of the target, which has nothing yet; `entry` is the audit's word of it there.

    Nobody may write the source meanwhile. One that was copied before, and has not changed since, is not copied again. Raises `NotEmpty`, or
    `StoreError` where either database refuses; the target is as it was then.
    """
    upgrade(source)
    upgrade(target)
    with source.reading() as read, target.writing("move") as write:
        if not _is_moved(read, write):
            if any(_rows(write, table) for table in tables.metadata.sorted_tables if table is not tables.meta):
                raise NotEmpty
            _copy(read, write, progress)
            write.execute(update(tables.leases).values(holder="", until=0))  # whoever held them works on the source
            append_audit(write, [entry])
        turn = write.execute(select(tables.meta.c.value).where(tables.meta.c.key == "last_turn")).scalar()
        return Moved(rows=_all_rows(write), in_force=_in_force(write), last_turn=int(turn or 0))


def _is_moved(read: Connection, write: Connection) -> bool:
    """Whether the target's chain is the source's and one entry about the move: an earlier move was whole, and only its end was cut off."""
    newest = select(tables.audit).order_by(tables.audit.c.seq.desc()).limit(1)
    row = write.execute(newest).mappings().one_or_none()
    return row is not None and row["action"] == ACTION and (row["seq"] - 1, row["previous"]) == audit_head(read)


def _copy(read: Connection, write: Connection, progress: Progress) -> None:
    done, total = 0, _all_rows(read)
    write.execute(tables.meta.delete())  # what a new schema begins with
    for table in tables.metadata.sorted_tables:
        for rows in read.execute(select(table).execution_options(yield_per=ROWS_AT_ONCE)).mappings().partitions():
            write.execute(table.insert(), [dict(row) for row in rows])
            done += len(rows)
            progress(done, total)
        if (had := _rows(read, table)) != (has := _rows(write, table)):
            raise StoreError(f"{has} rows of {had} came over in the table {table.name}", retryable=False)


def _all_rows(connection: Connection) -> int:
    return sum(_rows(connection, table) for table in tables.metadata.sorted_tables)


def _rows(connection: Connection, table: Table) -> int:
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def _in_force(connection: Connection) -> int:
    columns = tables.decisions.c
    live = (columns.state == DecisionState.ACTIVE.value) & (columns.mode == Mode.LIVE.value)
    return int(connection.execute(select(func.count()).where(live)).scalar_one())
