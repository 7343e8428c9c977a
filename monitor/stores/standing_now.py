"""How the record stands at a moment, for who looks at it every second: what is asked does not grow with what is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from sqlalchemy import ColumnElement, Connection, func, literal, select

from monitor.stores import Segment, outgoing, tables
from monitor.stores.connection import Database
from monitor.stores.deciding import NUMBER, counter
from monitor.stores.reading import waits
from monitor.stores.turn import last_turn

COUNTED_MAX: Final = 10_000
"""Rows that are counted one by one; more are told as more."""

STREAMS_MAX: Final = 64
"""Streams of which the newest archive files are looked for."""


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What came in so far, and what waits. What has a bound (`COUNTED_MAX`) is one above it where there is more."""

    lines: Mapping[str, int]  # received, processed, dead_lettered, late, duplicate, future: of all sources
    turn: int
    findings: int  # considered after the turn that was asked for; bounded
    decisions: int  # ever made
    findings_lately: int  # bounded, as the next two are
    decisions_lately: int
    decisions_waiting: int
    messages: Mapping[str, tuple[int, int]]  # by channel: how many wait, and when the oldest was made


LINES: Final = ("received", "processed", "dead_lettered", "late", "duplicate", "future")


class StandingNow:
    """A part of the store."""

    _database: Database

    def figures(self, after_turn: int, since: int, seconds_max: float) -> Figures:
        """How it stands now; `since` is from when on findings and decisions are counted as lately. Raises `TooSlow`."""
        columns = tables.progress.c
        with self._database.reading(seconds_max) as connection:
            sums = select(*(func.coalesce(func.sum(columns[name]), 0).label(name) for name in LINES))
            lines = connection.execute(sums).mappings().one()
            return Figures(
                lines={name: int(lines[name]) for name in LINES},
                turn=last_turn(connection, ""),
                findings=_counted(connection, tables.considered.c.turn > after_turn),
                decisions=counter(connection, NUMBER),
                findings_lately=_counted(connection, tables.findings.c.time >= since),
                decisions_lately=_counted(connection, tables.decisions.c.time >= since),
                decisions_waiting=_counted(connection, waits()),
                messages=outgoing.messages_waiting(connection),
            )

    def newest_segments(
        self, folder: str, after: Mapping[str, int], limit: int, seconds_max: float
    ) -> Sequence[Segment]:
        """The files of an archive folder with the newest turns of each stream, at most so many of each; none without turns after those given."""
        table = tables.segments
        columns = [table.c[name] for name in Segment.__struct_fields__]
        found: list[Segment] = []
        with self._database.reading(seconds_max) as connection:
            named = select(tables.streams.c.name).order_by(tables.streams.c.time.desc()).limit(STREAMS_MAX)
            for stream in ("", *connection.execute(named).scalars()):
                of_stream = table.c.folder == folder, table.c.stream == stream, table.c.turn_last > after.get(stream, 0)
                newest = select(*columns).where(*of_stream).order_by(table.c.turn_last.desc()).limit(limit)
                found += [Segment(**row) for row in connection.execute(newest).mappings()]
        return found


def _counted(connection: Connection, condition: ColumnElement[bool]) -> int:
    """How many rows there are, up to one more than are counted."""
    few = select(literal(1).label("one")).where(condition).limit(COUNTED_MAX + 1).subquery()
    return int(connection.execute(select(func.count()).select_from(few)).scalar_one())
