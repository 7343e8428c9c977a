"""A record with rows in every table, whatever tables there are: what must survive being copied."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Double, Integer, LargeBinary, SmallInteger, Table, select

from monitor.stores import tables
from monitor.stores.connection import Database

ROWS = 3
TEXTS = ("plain", "Zürich 昆明 🦉", "nul \x00 and one \x01 and both \x01\x00\x01")


def fill(database: Database) -> None:
    """Write rows into every table, with texts, bytes and numbers as odd as columns allow."""
    with database.writing("fill") as connection:
        for table in tables.metadata.sorted_tables:
            connection.execute(table.insert(), [_row(table, number) for number in range(ROWS)])


def _row(table: Table, number: int) -> dict[str, Any]:
    return {column.name: _value(column, number) for column in table.columns}


def _value(column: Any, number: int) -> Any:
    if column.nullable and number == 1:
        return None
    match column.type:
        case LargeBinary():
            return bytes([0, 1, 255, number])
        case Double():
            return 0.1 + number
        case SmallInteger() | Integer() if not isinstance(column.type, BigInteger):
            return number
        case BigInteger():
            return (1 << 62) + number
    return f"{TEXTS[number]} {number}"


def contents(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table."""
    with database.reading() as connection:
        return {
            table.name: sorted((tuple(row) for row in connection.execute(select(table))), key=repr)
            for table in tables.metadata.sorted_tables
        }
