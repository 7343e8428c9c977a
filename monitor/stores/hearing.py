"""Hears of what other processes commit, on a connection of its own; while there is none, it has the listeners look by themselves."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import closing
from typing import Any, Final

from psycopg import Error as PostgresqlError
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

LOOK_S: Final = 1.0
"""How often listeners are called while nothing can be heard, and how long a stop may take."""

PROOF_S: Final = 10.0
"""How often it is asked whether the connection is still one: of a server whose machine is gone nothing is ever heard."""


class Hearing:
    """One thread that listens. `call` is called after each commit that `concerns` by what it is told, and must not take long."""

    CHANNEL: Final = "miniwatch"

    def __init__(self, engine: Engine, call: Callable[[], None], concerns: Callable[[str], bool]) -> None:
        self._engine = engine
        self._call = call
        self._concerns = concerns
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hears of commits", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop, within a second or so."""
        self._stopping.set()
        self._thread.join(2 * LOOK_S)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._hear()
            except (SQLAlchemyError, PostgresqlError, OSError):
                self._call()
                self._stopping.wait(LOOK_S)

    def _hear(self) -> None:
        """Listen until it is to stop; raises what the client library does when the connection is lost."""
        pooled = self._engine.raw_connection()
        connection: Any = pooled.driver_connection
        pooled.detach()  # those of the pool are for work
        with closing(pooled):
            connection.rollback()
            connection.autocommit = True
            connection.execute(f"LISTEN {self.CHANNEL}")
            self._call()  # what was committed before anybody listened
            quiet = 0.0
            while not self._stopping.is_set():
                told = [notice.payload for notice in connection.notifies(timeout=LOOK_S, stop_after=1)]
                if any(self._concerns(payload) for payload in told):
                    self._call()
                quiet = 0.0 if told else quiet + LOOK_S
                if quiet >= PROOF_S:
                    connection.execute("SELECT 1")
                    quiet = 0.0
