"""Records as earlier versions left them: made by the migrations up to one, not taken back by hand from what there is today."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from alembic import command
from sqlalchemy import Table, create_engine

from monitor.stores.schema import migrations


def record_of_schema(
    path: Path, revision: str, rows: Mapping[Table, Sequence[Mapping[str, Any]]] | None = None
) -> None:
    """Make a record with the schema of that revision, and write rows into tables that are today what they were then."""
    engine, configuration = create_engine(f"sqlite:///{path}"), migrations()
    with engine.begin() as connection:
        configuration.attributes["connection"] = connection
        command.upgrade(configuration, revision)
        for table, written in (rows or {}).items():
            connection.execute(table.insert(), [dict(row) for row in written])
    engine.dispose()
