"""A SQLite file opened as the record wants it, with its errors told as ours."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from monitor.durable import boundary
from monitor.readonly import reading_uri
from monitor.refusal import refusals_told
from monitor.stores import StoreError
from monitor.stores.record import TooSlow

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import DBAPIConnection

CONNECTIONS_MAX: Final = 16
"""Threads that can use one store at a time; the next waits `busy_timeout_s`."""

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
    sqlite3.SQLITE_CORRUPT: "the database is damaged: restore a backup",
    sqlite3.SQLITE_NOTADB: "this is not a database",
    sqlite3.SQLITE_READONLY: "the database cannot be written: check its owner and mode",
}


class Database:
    """One SQLite file in WAL mode, fsynced at every commit. Safe to use from several threads and processes.

    With `read_only` the file must be there, and every write is refused.
    """

    def __init__(self, path: Path, busy_timeout_s: float, *, read_only: bool = False) -> None:
        self.path: Final = path
        if not read_only:
            with self._told():
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # before SQLite does, with its wider mode
        self.engine: Final = _engine(_url(path, read_only=read_only), busy_timeout_s)
        self._writes: Final = self.engine.execution_options(sqlite_begin="IMMEDIATE")
        self.listeners: Final[list[Callable[[], None]]] = []

    @contextmanager
    def reading(self, seconds_max: float | None = None) -> Iterator[Connection]:
        """A transaction that sees one committed state; raises `TooSlow` when it takes longer than it may."""
        with self._told(), self.engine.connect() as connection:
            if seconds_max is None:
                yield connection
                return
            with _in_time(connection, seconds_max):
                yield connection

    @contextmanager
    def writing(self, kind: str) -> Iterator[Connection]:
        """A transaction that is committed at the end, or undone by any error; at most one at a time. Listeners hear of commits."""
        with self._told(), self._writes.connect() as connection:
            with connection.begin():
                yield connection
                boundary(f"commit:{kind}")
            boundary(f"commit:{kind}:done")
        for listener in self.listeners:
            listener()

    def clock(self, _connection: Connection, now: int) -> int:
        """The time that all who write agree on: SQLite is on one machine, whose clock the caller has asked."""
        return now

    @contextmanager
    def upgrading(self) -> Iterator[Engine]:
        """The engine whose transactions take the write lock at once, for migrations."""
        with self._told():
            yield self._writes

    def close(self) -> None:
        self.engine.dispose()

    @contextmanager
    def _told(self) -> Iterator[None]:
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
        if code in _RETRYABLE_CODES:
            return StoreError(f"{self.path}: {_RETRYABLE_CODES[code]} ({error})", retryable=True)
        return StoreError(f"{self.path}: {_BROKEN_CODES.get(code, 'the database refuses')} ({error})", retryable=False)


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


def _engine(url: URL, busy_timeout_s: float) -> Engine:
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
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA journal_size_limit = 67108864")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get('sqlite_begin', 'DEFERRED')}")

    return engine
