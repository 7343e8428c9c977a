"""Which archive folders there are, and what of the archive lies in which: a part of the store."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec
from sqlalchemy import select, update

from monitor.stores import Segment, tables
from monitor.stores.connection import Database
from monitor.stores.rows import chunks, flat_row, put


class ArchiveFolder(msgspec.Struct, frozen=True, kw_only=True):
    """An archive folder, known by its name; on which host it was last seen, under which path, and when it was first seen there."""

    name: str
    host: str
    path: str
    time: int


class Folders:
    """What the record knows of archive folders."""

    _database: Database

    def folders(self) -> Sequence[ArchiveFolder]:
        """All that were ever seen, by name."""
        with self._database.reading() as connection:
            rows = connection.execute(select(tables.folders).order_by(tables.folders.c.name)).mappings()
            return [ArchiveFolder(**row) for row in rows]

    def unclaimed(self) -> Sequence[Segment]:
        """Files of the archive from before folders had names: nobody has said yet that they lie with him."""
        table = tables.segments
        with self._database.reading() as connection:
            rows = connection.execute(select(table).where(table.c.folder == "").order_by(table.c.path)).mappings()
            return [Segment(**row) for row in rows]

    def put_folder(self, folder: ArchiveFolder, claimed: Collection[str] = ()) -> None:
        """Note where a folder is, and that these files, of those that nobody had claimed, lie in it.

        How far the search had come with them holds for the folder.
        """
        table, reached = tables.segments, tables.indexed
        with self._database.writing("folder") as connection:
            put(connection, tables.folders, [flat_row(folder)])
            streams: set[str] = set()
            for chunk in chunks(claimed):
                mine = table.c.path.in_(chunk) & (table.c.folder == "")
                streams.update(connection.execute(select(table.c.stream).where(mine).distinct()).scalars())
                connection.execute(update(table).where(mine).values(folder=folder.name))
            for chunk in chunks(streams):
                was = (reached.c.what == "events") & (reached.c.folder == "") & reached.c.stream.in_(chunk)
                there = select(reached.c.stream).where(reached.c.what == "events", reached.c.folder == folder.name)
                moved = update(reached).where(was, reached.c.stream.not_in(there))
                connection.execute(moved.values(folder=folder.name))
