"""Streams of turns beside the first: how far each has come, what each has left to be answered, and where its memory lies."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, Self

from sqlalchemy import Connection, RowMapping, Table, func, select, union_all, update

from monitor.stores import Detected, Fence, SnapshotPlace, StreamState, ToldRow, Turn, tables
from monitor.stores.connection import Database
from monitor.stores.leases import check_fence
from monitor.stores.rows import chunks, flat_row, put

SNAPSHOTS_KEPT: Final = 2
"""Of each stream: the newest, and one to fall back to."""


STREAMS_AT_ONCE: Final = 50
"""Asked about in one statement: databases take statements of a few hundred parts at most."""

_READ_OUT: Final = "streams:read-out"
"""Before the first of the streams, the line of writes that say how far logs have been read."""


class Streams:
    """Streams: a part of the store. What their methods promise stands at `Record`."""

    _database: Database
    _stream: str = ""
    _uncertain: Sequence[Turn]

    def of_stream(self, stream: str) -> Self:
        other = copy.copy(self)
        vars(other).update(_stream=stream, _uncertain=())
        return other

    def streams(self) -> Sequence[StreamState]:
        with self._database.reading() as connection:
            rows = connection.execute(select(tables.streams).order_by(tables.streams.c.name)).mappings()
            return [StreamState(**row) for row in rows]

    def read_out(self, streams: Mapping[str, int]) -> None:
        columns = tables.streams.c
        with self._database.writing("streams", f"{_READ_OUT}:{min(streams, default='')}") as connection:
            for name, at in sorted(streams.items()):
                later = (columns.name == name) & (columns.read_out < at)
                connection.execute(update(tables.streams).where(later).values(read_out=at))

    def detected(self, after: Mapping[str, int], limit: int) -> Sequence[Detected]:
        with self._database.reading() as connection:
            return list(_detected(connection, after, limit))

    def unanswered(self) -> tuple[int, int | None]:
        columns = tables.detected.c
        with self._database.reading() as connection:
            turns, first = connection.execute(
                select(func.count(), func.min(columns.time)).select_from(tables.detected)
            ).one()
        return int(turns), None if first is None else int(first)

    def told(self, after: Mapping[str, int], streams: Sequence[StreamState], limit: int) -> Sequence[ToldRow]:
        wanted = {one.name: after.get(one.name, 0) for one in streams if one.turn > after.get(one.name, 0)}
        with self._database.reading() as connection:
            return [ToldRow(**row) for row in _of_turns(connection, tables.told, wanted, limit)]

    def gathered(self) -> bytes | None:
        with self._database.reading() as connection:
            body = connection.execute(select(tables.gathered.c.body)).scalar()
        return None if body is None else bytes(body)

    def keep_gathered(self, body: bytes, turns: Mapping[str, int], now: int, fence: Fence) -> None:
        columns = tables.told.c
        with self._database.writing("gathered", fence.name, heard=False) as connection:
            check_fence(connection, fence, keep=True)
            put(connection, tables.gathered, [{"name": fence.name, "time": now, "body": body}])
            for stream, turn in turns.items():
                connection.execute(tables.told.delete().where(columns.stream == stream, columns.turn <= turn))

    def answered(self, findings: Collection[str]) -> set[str]:
        table = tables.considered
        found: set[str] = set()
        with self._database.reading() as connection:
            for chunk in chunks(findings):
                found.update(connection.execute(select(table.c.finding).where(table.c.finding.in_(chunk))).scalars())
        return found

    def snapshot_places(self) -> Sequence[SnapshotPlace]:
        table = tables.snapshots
        wanted = select(table).where(table.c.stream == self._stream).order_by(table.c.turn.desc())
        with self._database.reading() as connection:
            return [SnapshotPlace(**row) for row in connection.execute(wanted).mappings()]

    def add_snapshot(self, place: SnapshotPlace, fence: Fence) -> Sequence[SnapshotPlace]:
        table = tables.snapshots
        of_stream = select(table).where(table.c.stream == place.stream).order_by(table.c.turn.desc())
        with self._database.writing("snapshot") as connection:
            check_fence(connection, fence, keep=True)
            put(connection, table, [flat_row(place)])
            rows = [SnapshotPlace(**row) for row in connection.execute(of_stream).mappings()]
            for old in rows[SNAPSHOTS_KEPT:]:
                is_it = (table.c.stream == old.stream) & (table.c.turn == old.turn)
                connection.execute(table.delete().where(is_it))
        return rows[SNAPSHOTS_KEPT:]


def _detected(connection: Connection, after: Mapping[str, int], limit: int) -> Iterator[Detected]:
    """What streams have left after the turns given, each stream's in order."""
    newest = connection.execute(select(tables.streams.c.name, tables.streams.c.turn)).all()
    wanted = {stream: after.get(stream, 0) for stream, turn in newest if turn > after.get(stream, 0)}
    yield from (Detected(**row) for row in _of_turns(connection, tables.detected, wanted, limit))


def _of_turns(connection: Connection, table: Table, after: Mapping[str, int], limit: int) -> Iterator[RowMapping]:
    """Rows of the turns after those given, at most so many of each stream, and each stream's in order; many streams are asked about at once."""
    for streams in chunks(after, STREAMS_AT_ONCE):
        parts = []
        for stream in streams:
            rows = select(table).where(table.c.stream == stream, table.c.turn > after[stream])
            parts.append(select(rows.order_by(table.c.turn).limit(limit).subquery()))
        found = connection.execute(union_all(*parts)).mappings().all()
        yield from sorted(found, key=lambda row: (row["stream"], row["turn"]))
