"""Changes of findings in one order, within the transaction given."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

from sqlalchemy import Connection, select

from detectors.finding import Finding
from monitor.stores import tables
from monitor.stores.rows import document, put

FINDING_CHANGE: Final = "finding_change"


class ChangedFinding(NamedTuple):
    """A finding, and the place of its last change; places are in the order in which changes were committed."""

    changed: int
    finding: Finding


def changes_of(connection: Connection, ids: Collection[str]) -> dict[str, int]:
    """Places in the order of all changes for these findings; who asks next waits for the end of this transaction."""
    columns = tables.meta.c
    locked = select(columns.value).where(columns.key == FINDING_CHANGE).with_for_update()
    last = int(connection.execute(locked).scalar() or 0)
    put(connection, tables.meta, [{"key": FINDING_CHANGE, "value": str(last + len(ids))}])
    return {key: place for place, key in enumerate(sorted(ids), last + 1)}


def finding_changes(connection: Connection, after: int, limit: int) -> list[ChangedFinding]:
    """Findings whose last change lies after a place, in the order of those changes."""
    table = tables.findings
    wanted = select(table.c.changed, table.c.document).where(table.c.changed > after)
    rows = connection.execute(wanted.order_by(table.c.changed).limit(limit))
    return [ChangedFinding(row.changed, document(Finding, row.document)) for row in rows]
