"""The schema of the record's database: made and brought up to date by Alembic's migrations, which ship in the package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, inspect, text

from monitor.stores import StoreError
from monitor.stores.connection import Database

if TYPE_CHECKING:
    from alembic.config import Config

LATEST: Final = "0024"
"""The newest migration. A database that is there already is opened without loading Alembic."""


def upgrade(database: Database) -> None:
    """Bring a database to the newest schema, in one transaction; make it where there is nothing yet.

    Raises `StoreError` (not retryable) when the database is another program's or was made by a newer Miniwatch; both are
    left as they are.
    """
    with database.reading() as connection:  # looking needs no lock
        database.examine(connection)
        if (there := _revision(connection)) == LATEST:
            return
    if database.read_only:
        raise _newer(there) if there is not None and there > LATEST else _not_ours_yet(there)
    with database.upgrading() as connection:
        found = _revision(connection)  # asked again: another process may have been first
        if found != LATEST:
            _migrate(connection, found)


_FOUND: Final = text("SELECT version_num FROM alembic_version")


def refuse_newer(connection: Connection) -> None:
    """Raise `StoreError` (not retryable) where a newer Miniwatch has changed the schema since: what we write would be a part of what it wants."""
    found = connection.execute(_FOUND).scalar()
    if found is not None and found > LATEST:
        raise _newer(found)


def revision_of(database: Database) -> str | None:
    """The schema's version, None where there are no tables yet; raises `StoreError` where `upgrade` would refuse."""
    with database.reading() as connection:
        database.examine(connection)
        found = _revision(connection)
    if found is not None and found > LATEST:
        raise _newer(found)
    return found


def _newer(found: str) -> StoreError:
    return StoreError(
        f"this database has schema {found}, made by a newer Miniwatch; this one knows schemas up to {LATEST}. "
        "Install the newer version, or restore a backup made with this one",
        retryable=False,
    )


def _not_ours_yet(found: str | None) -> StoreError:
    return StoreError(
        f"this database has {f'schema {found}' if found else 'no tables yet'}, and is only looked at: a daemon of this version brings it to schema "
        f"{LATEST} when it starts. While an older one runs, look with the version that it has",
        retryable=False,
    )


def _revision(connection: Connection) -> str | None:
    """The schema's version; None when the database is empty."""
    names = inspect(connection).get_table_names()
    if not names:
        return None
    if "alembic_version" not in names:
        raise StoreError(
            f"this database belongs to another program: it has the tables {', '.join(sorted(names)[:5])} and no version of ours",
            retryable=False,
        )
    return connection.execute(_FOUND).scalar()


def _migrate(connection: Connection, found: str | None) -> None:
    from alembic import command  # noqa: PLC0415 - a fifth of a second that only a new or old database costs
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    configuration = migrations()
    known = {script.revision for script in ScriptDirectory.from_config(configuration).walk_revisions()}
    if found is not None and found not in known:
        raise _newer(found)
    configuration.attributes["connection"] = connection
    command.upgrade(configuration, "head")


def migrations() -> Config:
    """Alembic's view of the migrations in this package."""
    from alembic.config import Config  # noqa: PLC0415 - as above

    configuration = Config()
    configuration.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    return configuration
