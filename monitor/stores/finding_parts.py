"""Parts of findings joined to what is stored of them, within the transaction given, also where others write parts of the same beside."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Final, TypeAlias

import msgspec
from sqlalchemy import JSON, Connection, Text, bindparam, cast, column, func, select

from detectors.finding import Finding, merge
from monitor.stores import tables
from monitor.stores.dialects import POSTGRESQL, insert_for, written
from monitor.stores.finding_changes import changes_of
from monitor.stores.rows import Row, chunks, document, finding_row, put
from monitor.stores.untold import put_untold

_encoder: Final = msgspec.json.Encoder()

Told: TypeAlias = tuple[int, int] | None
"""When, and how long after a finding that grows is told of again, both in microseconds; None: no topic has findings."""


def put_findings(connection: Connection, parts: Sequence[Finding], told: Told = None) -> None:
    """Write what was seen of findings in a turn, joined to what there is of the same; `told` puts them in line for a topic."""
    if not parts:
        return
    changed = changes_of(connection, {part.id for part in parts})
    new = _put_new(connection, parts, changed) if connection.dialect.name == POSTGRESQL else frozenset()
    known = [part for part in parts if part.id not in new]
    stored = list(_stored(connection, {part.id for part in known}))
    whole = _in_order(merged(stored, known))
    put(connection, tables.findings, [_row(one, changed) for one in whole])
    if told is not None:
        now, again_us = told
        written = [*whole, *merged((), [part for part in parts if part.id in new])]
        counts = {one.id: one.evidence.count for one in written}
        put_untold(connection, counts, counts.keys() - {one.id for one in stored}, now, again_us)


def merged(stored: Iterable[Finding], parts: Sequence[Finding]) -> list[Finding]:
    """The parts joined to what is stored of the same findings, and to one another, in their order."""
    whole = {finding.id: finding for finding in stored}
    for part in parts:
        earlier = whole.get(part.id)
        whole[part.id] = merge(earlier, part) if earlier else part
    return list(whole.values())


def _row(finding: Finding, changed: Mapping[str, int]) -> Row:
    return {**finding_row(finding), "changed": changed[finding.id]}


def _put_new(connection: Connection, parts: Sequence[Finding], changed: Mapping[str, int]) -> frozenset[str]:
    """Insert what is not there, and say which that was. What another transaction inserts just now is waited for: it is there then."""
    told = [_written(_row(one, changed)) for one in _in_order(merged((), parts))]
    return frozenset(connection.execute(_adding(), {"rows": _encoder.encode(told).decode()}).scalars())


def _written(row: Row) -> Row:
    """A row as it stands in JSON."""
    return {name: written(value) if isinstance(value, str) else value for name, value in row.items()}


@cache
def _adding() -> Any:
    """One statement with one value for any number of findings: to prepare one with a place for each took a quarter of a worker's time."""
    table = tables.findings
    columns = list(table.columns)
    given = func.json_to_recordset(cast(bindparam("rows", type_=Text), JSON)).table_valued(
        *(column(one.name, one.type) for one in columns)
    )
    rows = given.render_derived(with_types=True)
    adding = insert_for(POSTGRESQL, table).from_select([one.name for one in columns], select(rows))
    return adding.on_conflict_do_nothing(index_elements=[table.c.id]).returning(table.c.id)


def _stored(connection: Connection, keys: Collection[str]) -> Iterator[Finding]:
    """What is stored of findings, which nobody else changes before this transaction ends."""
    columns = tables.findings.c
    for chunk in chunks(sorted(keys)):
        wanted = select(columns.document).where(columns.id.in_(chunk)).order_by(columns.id).with_for_update()
        for text in connection.execute(wanted).scalars():
            yield document(Finding, text)


def _in_order(findings: Iterable[Finding]) -> list[Finding]:
    """As everybody writes them: two that write the same never wait for one another."""
    return sorted(findings, key=lambda one: one.id)
