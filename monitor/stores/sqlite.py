"""The record in one SQLite file: how it is opened, and its errors told as ours."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from monitor.readonly import reading_uri
from monitor.refusal import refusals_told
from monitor.sealing import Seal
from monitor.stores import LetterBounds, StoreError
from monitor.stores.connection import CONNECTIONS_MAX, Database
from monitor.stores.damage import Damaged, what_told
from monitor.stores.deciding import Tell, nothing
from monitor.stores.places import record_bytes
from monitor.stores.record import TooSlow
from monitor.stores.sql import SqlStore

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import DBAPIConnection

BUSY_TIMEOUT_S: Final = 5.0
"""How long another process's write is waited for."""

STEPS_BETWEEN_LOOKS: Final = 100_000
"""Steps of the database's machine after which a reader with a bound looks at the clock: some milliseconds."""

_RETRYABLE_CODES: Final = {
    sqlite3.SQLITE_BUSY: "the database is locked by another process",
    sqlite3.SQLITE_LOCKED: "the database is locked by another connection",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_IOERR: "the disk does not answer as it should",
    sqlite3.SQLITE_NOMEM: "memory is short",
    sqlite3.SQLITE_CANTOPEN: "the database cannot be opened now",
}
_BROKEN_CODES: Final = {
    sqlite3.SQLITE_NOTADB: "this is not a database",
    sqlite3.SQLITE_READONLY: "the database cannot be written: check its owner and mode",
}

_NO_TEXT: Final = "Could not decode to UTF-8"
"""So Python begins where a text is none, which has no code: we write no such texts."""


def sqlite_store(
    path: Path,
    *,
    seal: Seal,
    busy_timeout_s: float = BUSY_TIMEOUT_S,
    read_only: bool = False,
    letter_bounds: LetterBounds = LetterBounds(),  # noqa: B008 - frozen
    tell: Tell = nothing,
    again_us: int | None = None,
) -> SqlStore:
    """A record in a SQLite file (WAL, fsynced at every commit), for several threads and processes at once.

    Opening makes the file, or brings an older one to the present schema; it raises `StoreError` for a file that is
    not ours, is damaged, or was made by a newer Miniwatch. With `read_only` nothing is made, and every write is refused.
    """
    database = SqliteDatabase(path, busy_timeout_s, read_only=read_only)
    return SqlStore(database, seal=seal, letter_bounds=letter_bounds, tell=tell, again_us=again_us)


class SqliteDatabase(Database):
    """One SQLite file in WAL mode, fsynced at every commit; one writes at a time, whatever its line.

    With `read_only` the file must be there, and every write is refused.
    """

    def __init__(self, path: Path, busy_timeout_s: float, *, read_only: bool = False) -> None:
        self.path: Final = path
        self.read_only = read_only
        if not read_only:
            with self.told():
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # before SQLite does, with its wider mode
        self.engine = _engine(_url(path, read_only=read_only), busy_timeout_s, read_only=read_only)
        self.listeners = []
        self._writes: Final = self.engine.execution_options(sqlite_begin="IMMEDIATE")

    @contextmanager
    def reading(self, seconds_max: float | None = None) -> Iterator[Connection]:
        with self.told(), self.engine.connect() as connection:
            if seconds_max is None:
                yield connection
                return
            with _in_time(connection, seconds_max):
                yield connection

    @contextmanager
    def begun(self, line: str, *, heard: bool) -> Iterator[Connection]:  # noqa: ARG002 - one line, the file's, and nobody hears
        with self._writes.begin() as connection:
            yield connection

    def clock(self, connection: Connection, now: int) -> int:  # noqa: ARG002 - all who write are on one machine
        return now

    def size(self, connection: Connection) -> int:  # noqa: ARG002 - its files say it
        return record_bytes(self.path)

    def examine(self, connection: Connection) -> None:
        """SQLite comes with the program."""

    @contextmanager
    def told(self) -> Iterator[None]:
        try:
            with refusals_told(self.path):
                yield
        except DBAPIError as error:
            raise self._store_error(error.orig) from error
        except sqlite3.Error as error:
            raise self._store_error(error) from error
        except PoolTimeout as error:
            raise StoreError(
                f"{self.path}: {CONNECTIONS_MAX} threads use the database already", retryable=True
            ) from error

    def _store_error(self, error: BaseException | None) -> StoreError:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the upper bits only refine it
        told = what_told(error)
        if code in _RETRYABLE_CODES:
            return StoreError(f"{self.path}: {_RETRYABLE_CODES[code]} ({told})", retryable=True)
        if code == sqlite3.SQLITE_CORRUPT or told.startswith(_NO_TEXT):
            return Damaged(f"{self.path}: the database is damaged: restore a backup ({told})")
        return StoreError(f"{self.path}: {_BROKEN_CODES.get(code, 'the database refuses')} ({told})", retryable=False)


@contextmanager
def _in_time(connection: Connection, seconds_max: float) -> Iterator[None]:
    """Have the database give up what takes longer."""
    until = time.monotonic() + seconds_max
    raw: Any = connection.connection.driver_connection
    raw.set_progress_handler(lambda: time.monotonic() > until, STEPS_BETWEEN_LOOKS)
    try:
        yield
    except DBAPIError as error:
        if getattr(error.orig, "sqlite_errorcode", 0) == sqlite3.SQLITE_INTERRUPT:
            raise TooSlow(seconds_max) from None
        raise
    finally:
        raw.set_progress_handler(None, 0)


def _url(path: Path, *, read_only: bool) -> URL:
    if read_only:
        return URL.create("sqlite", database=reading_uri(path), query={"uri": "true"})
    return URL.create("sqlite", database=str(path))


def _engine(url: URL, busy_timeout_s: float, *, read_only: bool) -> Engine:
    engine = create_engine(
        url,
        connect_args={"timeout": busy_timeout_s},
        pool_size=CONNECTIONS_MAX,
        max_overflow=0,
        pool_timeout=busy_timeout_s,
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: DBAPIConnection, _record: Any) -> None:
        connection.isolation_level = None  # transactions begin where we say, also around DDL
        if read_only:
            return  # a file that was just restored has no log yet, and gets none from who only looks
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA journal_size_limit = 67108864")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get('sqlite_begin', 'DEFERRED')}")

    return engine
