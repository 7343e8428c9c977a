"""Findings that a topic has still to be told of, within the transaction given.

A finding stands here from the turn on that made it, and again from the turn on in which its evidence grew; it goes once it is told.
So nothing depends on an order in which turns are committed, and however often a finding grows meanwhile, it stands here once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, bindparam, func, select, update

from detectors.finding import Finding
from monitor.stores import tables
from monitor.stores.dialects import insert
from monitor.stores.rows import document


def put_untold(connection: Connection, counts: Mapping[str, int], new: set[str], now: int, again_us: int) -> None:
    """Put findings in line, by id with their count of events: new ones are due at once, those that grew some time later.

    One that stands in line already stays due when it was.
    """
    if not counts:
        return
    table = tables.untold
    adding = insert(connection, table)
    grown = adding.on_conflict_do_update(index_elements=[table.c.finding], set_={"count": adding.excluded.count})
    rows = [
        {"finding": key, "count": count, "due": now if key in new else now + again_us}
        for key, count in sorted(counts.items())
    ]
    connection.execute(grown, rows)


def untold(connection: Connection, now: int, limit: int) -> Sequence[Finding]:
    """Findings that are due, as they stand now, those first that are due longest."""
    table = tables.untold
    wanted = (
        select(tables.findings.c.document)
        .join(table, table.c.finding == tables.findings.c.id)
        .where(table.c.due <= now)
        .order_by(table.c.due, table.c.finding)
        .limit(limit)
    )
    return [document(Finding, text) for text in connection.execute(wanted).scalars()]


def settle_told(connection: Connection, counts: Mapping[str, int], now: int, again_us: int) -> None:
    """Findings were told, with so many events; one that has grown meanwhile is told of again some time later."""
    if not counts:
        return
    table = tables.untold
    is_it = table.c.finding == bindparam("of")
    told = [{"of": key, "told": count} for key, count in sorted(counts.items())]
    connection.execute(table.delete().where(is_it, table.c.count <= bindparam("told")), told)
    grown = [{"of": key, "later": now + again_us} for key in sorted(counts)]
    connection.execute(update(table).where(is_it).values(due=bindparam("later")), grown)


def untold_since(connection: Connection) -> tuple[int, int | None]:
    """How many findings stand in line, and since when the first is due."""
    number, first = connection.execute(select(func.count(), func.min(tables.untold.c.due))).one()
    return int(number), first
