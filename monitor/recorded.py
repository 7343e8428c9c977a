"""The record of an installation, wherever its configuration says that it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from monitor.config import Config
from monitor.durable import sync_folder
from monitor.refusal import refusals_told
from monitor.sealing import Seal, key_at
from monitor.stores import LetterBounds, anchored
from monitor.stores.anchored import KnownKeys
from monitor.stores.connection import Database
from monitor.stores.deciding import Tell, nothing
from monitor.stores.places import Places
from monitor.stores.schema import revision_of
from monitor.stores.sql import SqlStore
from monitor.stores.sqlite import BUSY_TIMEOUT_S, SqliteDatabase

if TYPE_CHECKING:
    from monitor.audit import AuditEntry
    from monitor.stores.moving import Moved, Progress
    from monitor.stores.postgresql import PostgresqlDatabase


MICROSECONDS: Final = 1_000_000


def may_have_record(config: Config) -> bool:
    """Whether there is a record, as far as one can tell without asking a server."""
    return bool(config.store.url) or Places(config.data_dir).database.is_file()


def open_record(
    config: Config, *, read_only: bool = False, tell: Tell = nothing, findings_leave: bool = True
) -> SqlStore:
    """Open the record, or make it; raises `StoreError` or `SealError`. Whoever may change decisions gives `tell`, as `tell_of` makes it.

    Without `findings_leave` no topic is told of what turns find.
    """
    letters = config.dead_letters
    return SqlStore(
        _database(config, read_only=read_only),
        seal=Seal(key_at(Places(config.data_dir).seal_key)),
        letter_bounds=LetterBounds(rows_max=letters.rows_max, source_bytes_max=letters.source_bytes_max),
        tell=tell,
        again_us=again_us_of(config) if findings_leave else None,
    )


def again_us_of(config: Config) -> int | None:
    """How soon a finding that grows is told of again, in microseconds; None where no topic has findings."""
    return next((int(keys.again_s * MICROSECONDS) for keys in config.topics if keys.of == "findings"), None)


def refuse_foreign_file(config: Config) -> None:
    """Raise `StoreError` where the record in the data folder is none that this version can open; changes nothing."""
    path = Places(config.data_dir).database
    if path.is_file() and path.stat().st_size:
        database = SqliteDatabase(path, BUSY_TIMEOUT_S, read_only=True)
        try:
            revision_of(database)
        finally:
            database.close()


def known_keys(config: Config) -> KnownKeys | None:
    """What the record knows of keys; None where there is no record. Changes nothing; raises `StoreError`."""
    if not may_have_record(config):
        return None
    database = _database(config, read_only=True)
    try:
        if revision_of(database) is None:
            return None
        with database.reading() as connection:
            return anchored.known_keys(connection)
    finally:
        database.close()


def standing_of(config: Config) -> str:
    """What the server that keeps the record has of it; raises `StoreError` where a daemon could not work with it. Changes nothing."""
    from monitor.stores.postgresql_standing import standing  # noqa: PLC0415 - SQLite needs none of it

    database = _postgresql(config, read_only=False)
    try:
        return standing(database)
    finally:
        database.close()


def move_to_server(config: Config, entry: AuditEntry, progress: Progress) -> tuple[Moved, Path]:
    """Have the record of the data folder in the database of `store.url`, and the file of before under another name, which is given back.

    Nobody may work in the data folder. Raises `StoreError`.
    """
    from monitor.stores.moving import move_record  # noqa: PLC0415 - once in the life of an installation

    database = Places(config.data_dir).database
    source, target = SqliteDatabase(database, BUSY_TIMEOUT_S), _postgresql(config, read_only=False)
    try:
        moved = move_record(source, target, entry, progress)
    finally:
        source.close()
        target.close()
    kept = database.with_name(f"{database.name}.moved")
    with refusals_told(database):
        for suffix in (
            "-wal",
            "-shm",
            "",
        ):  # the file itself last: as long as it is there, the command can be given again
            part = database.with_name(database.name + suffix)
            if part.exists():
                part.rename(kept.with_name(kept.name + suffix))
        sync_folder(config.data_dir)
    return moved, kept


def _database(config: Config, *, read_only: bool) -> Database:
    if config.store.url:
        return _postgresql(config, read_only=read_only)
    return SqliteDatabase(Places(config.data_dir).database, BUSY_TIMEOUT_S, read_only=read_only)


def _postgresql(config: Config, *, read_only: bool) -> PostgresqlDatabase:
    from monitor.stores.postgresql import PostgresqlAt, PostgresqlDatabase  # noqa: PLC0415 - SQLite needs none of it

    keys = config.store
    at = PostgresqlAt(
        url=keys.url,
        password=keys.password.get_secret_value() if keys.password is not None else "",
        connections_max=keys.connections_max,
        connect_s_max=keys.connect_s_max,
        lock_s_max=keys.lock_s_max,
        statement_s_max=keys.statement_s_max,
    )
    return PostgresqlDatabase(at, read_only=read_only)
