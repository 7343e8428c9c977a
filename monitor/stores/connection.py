"""What every database of the record does for it: transactions to read and to write in, its errors told as ours, one clock."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from sqlalchemy import Connection, Engine

from monitor.durable import boundary

CONNECTIONS_MAX: Final = 16
"""Threads that can use one store at a time; the next waits."""


class Database(ABC):
    """A database of the record. Safe to use from several threads and processes.

    Whatever it is asked either succeeds whole or raises `StoreError`; none waits longer than its bound.
    """

    engine: Engine
    read_only: bool = False
    listeners: list[Callable[[], None]]
    may_write: Callable[[Connection], None] = staticmethod(lambda _connection: None)
    """Asked at the beginning of every transaction to write in; raises `StoreError` where we may not, or not any more."""

    @abstractmethod
    def reading(self, seconds_max: float | None = None) -> AbstractContextManager[Connection]:
        """A transaction that sees one committed state; raises `TooSlow` when it takes longer than it may."""

    @contextmanager
    def writing(self, kind: str, line: str = "", *, heard: bool = True) -> Iterator[Connection]:
        """A transaction that is committed at the end, or undone by any error. Listeners hear of commits, those of other processes if `heard`.

        Of one `line` at most one is under way, and each sees what those before it have committed. Where the database can,
        those of other lines go on beside: what they write must not depend on one another. Decisions, the audit and all
        that is counted in one order are of the line without a name.
        """
        with self.told():
            with self.begun(line, heard=heard) as connection:
                self.may_write(connection)
                yield connection
                boundary(f"commit:{kind}")
            boundary(f"commit:{kind}:done")
        for listener in self.listeners:
            listener()

    @abstractmethod
    def begun(self, line: str, *, heard: bool) -> AbstractContextManager[Connection]:
        """A transaction to write in that has the line for itself, committed at the end; listeners of other processes hear of it if `heard`."""

    @abstractmethod
    def told(self) -> AbstractContextManager[None]:
        """Turn the errors of whatever happens here into `StoreError`, in words for people."""

    @abstractmethod
    def clock(self, connection: Connection, now: int) -> int:
        """The time that all who write agree on, in microseconds since 1970 UTC; `now` is the caller's."""

    @abstractmethod
    def size(self, connection: Connection) -> int:
        """Bytes that the database takes on its disk, with all that is in it."""

    def listen(self, listener: Callable[[], None]) -> None:
        """Have a listener called after every commit."""
        self.listeners.append(listener)

    def upgrading(self) -> AbstractContextManager[Connection]:
        """A transaction to change the schema in, which has all lines for itself."""
        return self.writing("schema")

    @abstractmethod
    def examine(self, connection: Connection) -> None:
        """Raise `StoreError` where the server cannot keep a record."""

    def close(self) -> None:
        self.engine.dispose()
