"""Whether a PostgreSQL database can keep the record as it is, looked at without changing anything."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, text

from monitor.stores import StoreError, tables
from monitor.stores.postgresql import PostgresqlDatabase
from monitor.stores.schema import LATEST, revision_of

MIB: Final = 1 << 20
_RIGHTS: Final = ("SELECT", "INSERT", "UPDATE", "DELETE")


def standing(database: PostgresqlDatabase) -> str:
    """What is there, in words; raises `StoreError` for whatever would keep a daemon from working with it."""
    revision = revision_of(database)
    with database.reading() as connection:
        lacking = _lacking(connection, has_tables=revision is not None, is_newest=revision == LATEST)
        if lacking:
            role = connection.execute(text("SELECT current_user")).scalar()
            message = f"{database.name}: the role {role} may not {lacking}: give it the rights of docs/stores.md"
            raise StoreError(message, retryable=False)
        version = connection.execute(text("SHOW server_version")).scalar()
        size = connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one()
    schema = f"schema {revision}" if revision is not None else "no tables yet"
    return f"PostgreSQL {version}, {schema}, {size / MIB:.1f} MiB"


def _lacking(connection: Connection, *, has_tables: bool, is_newest: bool) -> str:
    """What the role would have to be allowed; nothing where it may do all."""
    schema = connection.execute(text("SELECT current_schema()")).scalar()
    if schema is None:
        return "use any schema of its search_path"
    if not is_newest:
        may = "SELECT has_schema_privilege(current_schema(), 'CREATE')"
        if not connection.execute(text(may)).scalar():
            return f"make tables in the schema {schema}"
    if has_tables:
        asked = "SELECT has_table_privilege(CAST(:name AS text), :right)"
        there = set(
            connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")).scalars()
        )
        quote = connection.dialect.identifier_preparer.quote
        for name in sorted(there & set(tables.metadata.tables)):
            for right in _RIGHTS:
                if not connection.execute(text(asked), {"name": quote(name), "right": right}).scalar():
                    return f"{right} in the table {name}"
    return ""
