"""How far the search has been given what is kept, by whom, and what it would not take: a part of the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from sqlalchemy import Connection, func, select

from monitor.stores import Fence, Segment, tables
from monitor.stores.connection import Database
from monitor.stores.deciding import counter
from monitor.stores.finding_changes import FINDING_CHANGE, ChangedFinding, finding_changes
from monitor.stores.leases import check_fence
from monitor.stores.rows import flat_row, put, put_new

SET_ASIDE_MAX: Final = 10_000
"""Documents that the search refused of which the reason is kept, the newest; all are counted."""


class Indexed(msgspec.Struct, frozen=True, kw_only=True):
    """How far one kind of thing (`what`) has come: of events, those of one stream of turns in one archive folder.

    All up to `place` is searchable. What lies between it and `sent_until` may have been sent, none of it before the index `since` was
    the one that is written. `time` is when it last came further, by the daemon's clock; `set_aside` counts what was refused for good.
    """

    what: str
    stream: str = ""
    folder: str = ""
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


class Unattended(msgspec.Struct, frozen=True, kw_only=True):
    """Events of an archive folder that are not searchable yet, and that nobody brings there: for how long at least, in microseconds.

    `host` and `path` are where the folder was last seen; empty where nobody has ever said that it is his.
    """

    folder: str
    host: str
    path: str
    events: int
    since_us: int


def folder_lease(folder: str) -> str:
    """The lease of whoever brings events of an archive folder to the search."""
    return f"search:{folder}"


FINDINGS_LEASE: Final = "search:findings"
"""The lease of whoever brings findings there."""


class FollowedBySearch:
    """What the indexer asks of the record, and tells it."""

    _database: Database

    def indexed(self) -> Sequence[Indexed]:
        """How far each kind of thing has come, by kind, stream and folder."""
        with self._database.reading() as connection:
            table = tables.indexed
            wanted = select(table).order_by(table.c.what, table.c.stream, table.c.folder)
            return [Indexed(**row) for row in connection.execute(wanted).mappings()]

    def put_indexed(self, indexed: Indexed, set_aside: Sequence[SetAside] = (), fence: Fence | None = None) -> None:
        """Note how far it has come, with what was refused on the way; raises `Fenced`."""
        with self._database.writing("indexed") as connection:
            check_fence(connection, fence, keep=True)
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

    def archived_streams(self, folder: str | None = None) -> Mapping[str, int]:
        """The last turn of each stream of which there are archived events, in a folder or anywhere."""
        columns = tables.segments.c
        wanted = select(columns.stream, func.max(columns.turn_last)).group_by(columns.stream)
        if folder is not None:
            wanted = wanted.where(columns.folder == folder)
        with self._database.reading() as connection:
            return {stream: int(turn) for stream, turn in connection.execute(wanted)}

    def segments_after(self, turn: int, stream: str, folder: str) -> Sequence[Segment]:
        """The archive's files in a folder that hold turns of a stream after one."""
        with self._database.reading() as connection:
            table = tables.segments
            wanted = (
                select(table)
                .where(table.c.folder == folder, table.c.stream == stream, table.c.turn_last > turn)
                .order_by(table.c.turn_first, table.c.day, table.c.path)
            )
            return [Segment(**row) for row in connection.execute(wanted).mappings()]

    def unindexed_events(self) -> Mapping[str, int]:
        """Events that are kept and not searchable yet, by archive folder; folders that have none are not named."""
        with self._database.reading() as connection:
            return _unindexed(connection)

    def unindexed_findings(self) -> int:
        """Findings that are kept and not searchable yet."""
        columns = tables.findings.c
        with self._database.reading() as connection:
            wanted = select(func.count()).select_from(tables.findings).where(columns.changed > _last(connection))
            return int(connection.execute(wanted).scalar_one())

    def unattended(self, now: int) -> Sequence[Unattended]:
        """What lies in archive folders that nobody brings to the search at present, by folder."""
        with self._database.reading() as connection:
            at = self._database.clock(connection, now)
            left = _unindexed(connection)
            leases = {row.name: row.until for row in connection.execute(select(tables.leases))}
            known = {row.name: row for row in connection.execute(select(tables.folders))}
            further = dict(_further(connection))
        found = []
        for folder, events in sorted(left.items()):
            lease, place = leases.get(folder_lease(folder), 0), known.get(folder)
            if lease > at:
                continue
            begun = place.time if place is not None else 0
            last = max(lease, further.get(folder, begun))
            host, path = (place.host, place.path) if place is not None else ("", "")
            found.append(Unattended(folder=folder, host=host, path=path, events=events, since_us=max(at - last, 0)))
        return found


def _unindexed(connection: Connection) -> dict[str, int]:
    """Events by folder that lie behind the place that is noted for their stream and folder."""
    columns, reached = tables.segments.c, tables.indexed.c
    same = (reached.what == "events") & (reached.stream == columns.stream) & (reached.folder == columns.folder)
    place = func.coalesce(reached.place, 0)
    wanted = (
        select(columns.folder, columns.rows, columns.turn_first, columns.turn_last, place)
        .select_from(tables.segments.outerjoin(tables.indexed, same))
        .where(columns.turn_last > place)
    )
    found: dict[str, int] = {}
    for folder, rows, first, last, at in connection.execute(wanted):
        found[folder] = found.get(folder, 0) + _rows_after(rows, first, last, at)
    return found


def _further(connection: Connection) -> Sequence[tuple[str, int]]:
    """When the search last came further in each folder."""
    columns = tables.indexed.c
    wanted = select(columns.folder, func.max(columns.time)).where(columns.what == "events").group_by(columns.folder)
    return [(folder, int(time)) for folder, time in connection.execute(wanted)]


def _last(connection: Connection) -> int:
    """The place up to which changes of findings are searchable."""
    columns = tables.indexed.c
    return int(connection.execute(select(columns.place).where(columns.what == "findings")).scalar() or 0)


def _rows_after(rows: int, turn_first: int, turn_last: int, place: int) -> int:
    """Events of a file behind a place; of one that is joined of many turns, about as many."""
    if turn_first > place:
        return rows
    return max(1, round(rows * (turn_last - place) / (turn_last - turn_first + 1)))


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
