"""How far the search has been given what is kept, and what it would not take: a part of the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection, func, select

from monitor.stores import Segment, tables
from monitor.stores.connection import Database
from monitor.stores.deciding import counter
from monitor.stores.finding_changes import FINDING_CHANGE, ChangedFinding, finding_changes
from monitor.stores.rows import flat_row, put, put_new

SET_ASIDE_MAX: Final = 10_000
"""Documents that the search refused of which the reason is kept, the newest; all are counted."""


class Indexed(msgspec.Struct, frozen=True, kw_only=True):
    """How far one kind of thing (`what`) of one stream of turns has come.

    All up to `place` is searchable. What lies between it and `sent_until` may have been sent, none of it before the index `since` was
    the one that is written. `time` is when it last came further, by the daemon's clock; `set_aside` counts what was refused for good.
    """

    what: str
    stream: str = ""
    place: int = 0
    since: str = ""
    sent_until: int = 0
    set_aside: int = 0
    time: int = 0


class SetAside(msgspec.Struct, frozen=True, kw_only=True):
    """A document that the search refused for good: the id of the event or finding that it stands for, and why."""

    what: str
    id: str
    reason: str
    detail: str
    time: int


class FollowedBySearch:
    """What the indexer asks of the record, and tells it."""

    _database: Database

    def indexed(self) -> Sequence[Indexed]:
        """How far each kind of thing has come, by kind and stream."""
        with self._database.reading() as connection:
            table = tables.indexed
            return [
                Indexed(**row)
                for row in connection.execute(select(table).order_by(table.c.what, table.c.stream)).mappings()
            ]

    def put_indexed(self, indexed: Indexed, set_aside: Sequence[SetAside] = ()) -> None:
        """Note how far it has come, with what was refused on the way."""
        with self._database.writing("indexed") as connection:
            put(connection, tables.indexed, [flat_row(indexed)])
            _set_aside(connection, set_aside)

    def set_aside(self, limit: int) -> Sequence[SetAside]:
        """What the search refused for good, the newest first."""
        with self._database.reading() as connection:
            table = tables.set_aside
            newest = select(table).order_by(table.c.time.desc(), table.c.id.desc()).limit(limit)
            return [SetAside(**row) for row in connection.execute(newest).mappings()]

    def finding_changes(self, after: int, limit: int) -> Sequence[ChangedFinding]:
        """Findings whose last change lies after a place, in the order of those changes."""
        with self._database.reading() as connection:
            return finding_changes(connection, after, limit)

    def last_finding_change(self) -> int:
        """The place of the last change of any finding; 0 before the first."""
        with self._database.reading() as connection:
            return counter(connection, FINDING_CHANGE)

    def archived_streams(self) -> Sequence[str]:
        """The streams of turns of which there are archived events."""
        with self._database.reading() as connection:
            return list(connection.execute(select(tables.segments.c.stream).distinct()).scalars())

    def segments_after(self, turn: int, stream: str) -> Sequence[Segment]:
        """The archive's files that hold turns of a stream after one."""
        with self._database.reading() as connection:
            table = tables.segments
            wanted = (
                select(table)
                .where(table.c.stream == stream, table.c.turn_last > turn)
                .order_by(table.c.turn_first, table.c.day, table.c.path)
            )
            return [Segment(**row) for row in connection.execute(wanted).mappings()]

    def unindexed(self) -> Mapping[str, int]:
        """Events and findings that are kept and not searchable yet."""
        known = {one.stream: one.place for one in self.indexed() if one.what == "events"}
        places = {stream: known.get(stream, 0) for stream in self.archived_streams()}
        events = sum(
            _rows_after(segment, place)
            for stream, place in places.items()
            for segment in self.segments_after(place, stream)
        )
        with self._database.reading() as connection:
            findings = (
                select(func.count()).select_from(tables.findings).where(tables.findings.c.changed > _last(connection))
            )
            return {"events": events, "findings": int(connection.execute(findings).scalar_one())}


def _last(connection: Connection) -> int:
    """The place up to which changes of findings are searchable."""
    columns = tables.indexed.c
    return int(connection.execute(select(columns.place).where(columns.what == "findings")).scalar() or 0)


def _rows_after(segment: Segment, place: int) -> int:
    """Events of a file behind a place; of one that is joined of many turns, about as many."""
    if segment.turn_first > place:
        return segment.rows
    return max(1, round(segment.rows * (segment.turn_last - place) / (segment.turn_last - segment.turn_first + 1)))


def _set_aside(connection: Connection, refused: Sequence[SetAside]) -> None:
    """Keep why documents were refused; of very many, the newest."""
    if not refused:
        return
    table = tables.set_aside
    put_new(connection, table, [flat_row(one) for one in refused])
    kept = connection.execute(select(func.count()).select_from(table)).scalar_one()
    if kept > SET_ASIDE_MAX:
        oldest = select(table.c.id).order_by(table.c.time, table.c.id).limit(kept - SET_ASIDE_MAX)
        connection.execute(table.delete().where(table.c.id.in_(oldest)))
