"""How full and how busy everything was, kept for a while: a part of the store. One look says nothing of growth."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import msgspec
from sqlalchemy import func, select

from monitor.moments import DAY_US, HOUR_US, MICROSECONDS
from monitor.stores import tables
from monitor.stores.connection import Database
from monitor.stores.rows import flat_row, put_growing

SLOT_S: Final = 900
"""Of each thing at most one measurement is kept of so many seconds."""

WHOLE_DAYS: Final = 2
"""For so many days all of them are kept; of each hour before, the greatest."""

KEPT_DAYS: Final = 35
"""So many days are kept: five weeks, so that whole weeks can be compared."""

ROWS_MAX: Final = 200_000
"""So many measurements are kept; of more, the oldest go."""


class Gauge(StrEnum):
    """What is measured: bytes taken on the disk of a data folder, by the archive, by the record, by the spool of HTTP; bytes of a partition not
    read yet; and the share of its time in which a pipeline had something to do.
    """

    DISK = "disk"
    ARCHIVE = "archive"
    RECORD = "record"
    SPOOL = "spool"
    LAG = "lag"
    BUSY = "busy"


class Measurement(msgspec.Struct, frozen=True, kw_only=True):
    """How much of something there was at a time, and how much there may be; None where that is not known.

    `host` and `place` (a folder, a partition) say of what; a partition is on no host, since it moves.
    """

    what: Gauge
    host: str = ""
    place: str = ""
    time: int
    value: float
    bound: float | None = None


class Measured:
    """Measurements: a part of the store."""

    _database: Database

    def measure(self, found: Sequence[Measurement]) -> None:
        """Keep what was measured, whoever else measures the same: of one time (`SLOT_S`) the greatest stays."""
        slot_us = SLOT_S * MICROSECONDS
        rows = [{**flat_row(one), "what": one.what.value, "time": one.time - one.time % slot_us} for one in found]
        with self._database.writing("measurements", "measurements", heard=False) as connection:
            put_growing(connection, tables.measurements, rows, "value")

    def measurements(self) -> Sequence[Measurement]:
        """All that are kept, each thing's in the order of time."""
        columns = tables.measurements.c
        wanted = select(tables.measurements).order_by(columns.what, columns.host, columns.place, columns.time)
        with self._database.reading() as connection:
            rows = connection.execute(wanted).mappings()
            return [Measurement(**{**row, "what": Gauge(row["what"])}) for row in rows]

    def forget_measurements(self, now: int) -> int:
        """Keep of old ones fewer, and of very old ones none; how many went."""
        table = tables.measurements
        columns, other = table.c, tables.measurements.alias()
        whole = now - WHOLE_DAYS * DAY_US
        hour = columns.time - columns.time % HOUR_US
        same = (other.c.what == columns.what) & (other.c.host == columns.host) & (other.c.place == columns.place)
        within = (other.c.time >= hour) & (other.c.time < hour + HOUR_US)
        is_later = (other.c.value == columns.value) & (other.c.time > columns.time)
        greater = select(other.c.time).where(same, within, (other.c.value > columns.value) | is_later).exists()
        with self._database.writing("measurements", "measurements", heard=False) as connection:
            gone = connection.execute(table.delete().where(columns.time < now - KEPT_DAYS * DAY_US)).rowcount
            gone += connection.execute(table.delete().where(columns.time < whole - whole % HOUR_US, greater)).rowcount
            beyond = select(columns.time).order_by(columns.time.desc()).offset(ROWS_MAX).limit(1)
            if (last := connection.execute(beyond).scalar()) is not None:
                gone += connection.execute(table.delete().where(columns.time <= last)).rowcount
        return gone

    def archived_in(self, folder: str) -> tuple[int, str]:
        """What an archive folder holds, by its name: bytes, and the first day of arrival; none where it is empty."""
        columns = tables.segments.c
        wanted = select(func.coalesce(func.sum(columns.bytes), 0), func.coalesce(func.min(columns.day), ""))
        with self._database.reading() as connection:
            held, day = connection.execute(wanted.where(columns.folder == folder)).one()
        return int(held), str(day)

    def record_bytes(self) -> int:
        """What the record takes on its disk, wherever that is."""
        with self._database.reading() as connection:
            return self._database.size(connection)
