"""How many turns a second the record takes, in SQLite and in PostgreSQL, one writer and several streams beside one another.

    python tests/bench/commits.py [SECONDS]

Starts a PostgreSQL of its own (installed beforehand), which syncs every commit to the same disk as SQLite does. A turn is what a
stream commits: a mark, positions, the archive's file; with `findings`, what the one process commits that also answers.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

sys.path += [str(Path(__file__).parents[1] / place) for place in ("live", "surroundings")]

from postgres import Postgres

from monitor.sealing import Seal
from monitor.stores import Fence, Mark, Progress, Segment, Turn
from monitor.stores.postgresql import PostgresqlAt, PostgresqlDatabase
from monitor.stores.sql import SqlStore
from monitor.stores.sqlite import sqlite_store
from monitor.testing import stored_decision, stored_finding

FINDINGS: Final = 20
HOUR_S: Final = 3600.0


def plain(number: int, stream: str, fence: Fence | None) -> Turn:
    """A turn in which nothing was found."""
    segment = Segment(
        path=f"{stream}/{number}", day="2026-01-01", turn_first=number, turn_last=number, rows=1, bytes=1, time_min=0,
        time_max=1, sha256="0" * 64,
    )  # fmt: skip
    return Turn(
        number=number,
        stream=stream,
        fence=fence,
        time=number,
        mark=Mark(watermark=number, inputs=stream),
        progress=[Progress(partition=stream, end=number)],
        segments=[segment],
    )


def found(number: int, stream: str, fence: Fence | None) -> Turn:
    """One with findings, and a decision."""
    findings = [stored_finding(f"{stream}{number}-{n}", number) for n in range(FINDINGS)]
    return Turn(
        number=number, fence=fence, time=number, findings=findings, decisions=[stored_decision(f"{stream}{number}")]
    )


def measure(store: SqlStore, streams: int, make: Callable[[int, str, Fence | None], Turn], seconds: float) -> float:
    """Turns a second, over all streams."""

    def write(stream: str) -> int:
        own = store.of_stream(stream)
        fence = store.seize(stream, "bench", 0, HOUR_S) if stream else None
        number, ends = own.last_turn(), time.monotonic() + seconds
        begun = number
        while time.monotonic() < ends:
            number += 1
            own.commit(make(number, stream, fence))
        return number - begun

    names = [f"events/{n}" for n in range(streams)] if streams else [""]
    with ThreadPoolExecutor(len(names)) as threads:
        return sum(threads.map(write, names)) / seconds


def main(seconds: float) -> None:
    """Print a line for each."""
    server = Postgres()
    server.start(fsync="on")
    try:
        with tempfile.TemporaryDirectory() as folder:
            stores = {
                "SQLite": sqlite_store(Path(folder) / "miniwatch.db", seal=Seal(bytes(32))),
                "PostgreSQL": SqlStore(PostgresqlDatabase(PostgresqlAt(url=server.database())), seal=Seal(bytes(32))),
            }
            for name, store in stores.items():
                told = {
                    "turns with findings": measure(store, 0, found, seconds),
                    "plain turns, one stream": measure(store, 1, plain, seconds),
                    "plain turns, four streams": measure(store, 4, plain, seconds),
                }
                for what, rate in told.items():
                    print(f"{name:<12}{what:<28}{rate:>8.0f} a second")
                store.close()
    finally:
        server.remove()


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 5.0)
