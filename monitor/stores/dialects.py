"""What SQLite and PostgreSQL say differently, said once."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import Boolean, Column, Connection, Dialect, Table, Text, TypeDecorator
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

POSTGRESQL: Final = "postgresql"

Insert = Any
"""Of either database: both have the same ways to say what happens where a key is there already."""


def insert(connection: Connection, table: Table) -> Insert:
    """An insertion that can say so."""
    return insert_for(connection.dialect.name, table)


def insert_for(dialect: str, table: Table) -> Insert:
    if dialect == POSTGRESQL:
        from sqlalchemy.dialects import postgresql  # noqa: PLC0415 - nothing that the embedded default needs

        return postgresql.insert(table)
    return sqlite.insert(table)


class Words(TypeDecorator[str]):
    """Any text. PostgreSQL refuses the character NUL, which events may hold: there it is kept as another, and comes back as it was.

    Written so, texts are as many, begin alike and stand in the same order as before.
    """

    impl = Text
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any] | None:
        return written if dialect.name == POSTGRESQL else None

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any] | None:  # noqa: ARG002 - SQLAlchemy's
        return _read if dialect.name == POSTGRESQL else None


def written(given: Any) -> Any:
    """A text as PostgreSQL is given it."""
    if given is None:
        return None
    words = str(given)
    if "\x00" not in words and "\x01" not in words:
        return words
    return words.replace("\x01", "\x01\x02").replace("\x00", "\x01\x01")


def _read(words: Any) -> Any:
    if words is None or "\x01" not in words:
        return words
    return _KEPT.sub(lambda found: "\x00" if found[0] == "\x01\x01" else "\x01", words)


_KEPT: Final = re.compile("\x01[\x01\x02]")


class DocumentSays(FunctionElement[bool]):
    """Whether a field of a column of JSON texts is a value, or true."""

    type = Boolean()
    inherit_cache = True

    def __init__(self, document: Column[Any], field: str, value: str) -> None:
        super().__init__(document, field, value)


@compiles(DocumentSays, "sqlite")
def _in_sqlite(element: DocumentSays, compiler: Any, **more: Any) -> str:
    document, field, value = (compiler.process(clause, **more) for clause in element.clauses)
    return f"(CAST(json_extract({document}, '$.' || {field}) AS TEXT) = {value})"


@compiles(DocumentSays, POSTGRESQL)
def _in_postgresql(element: DocumentSays, compiler: Any, **more: Any) -> str:
    document, field, value = (compiler.process(clause, **more) for clause in element.clauses)
    plain = f"replace({document}, '\\u0000', '\\ufffd')"  # reading any field fails where one has a NUL
    return f"(CAST({plain} AS json) ->> CAST({field} AS text) = {value})"
