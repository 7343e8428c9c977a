"""What enforcers are told: live decisions in force or ended, a page at a time, and how far each client has been told."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, and_, delete, func, not_, select

from detectors.finding import Entity, Scope
from monitor.stores import tables
from monitor.stores.record import NumberedDecision, Pull
from monitor.stores.rows import chunks, document, flat_row, of_entities, put
from playbooks.decision import Decision, DecisionState, Mode

PULLS_MAX: Final = 10_000
"""Clients whose place is kept, those that asked last."""

Scopes = Collection[str] | None


def in_force(connection: Connection, now: int, after: int, limit: int, scopes: Scopes = None) -> list[NumberedDecision]:
    """Live decisions in force with numbers after one, in order."""
    return _page(connection, _select(scopes).where(_is_in_force(now)), after, limit)


def ended(
    connection: Connection, now: int, after: int, limit: int, since: tuple[int, int], scopes: Scopes = None
) -> list[NumberedDecision]:
    """Live decisions that are not in force, with numbers after one, in order.

    `since` is a time and a place: given are those that were to last beyond the time, and those that changed after the place.
    """
    columns = tables.decisions.c
    time, place = since
    wanted = _select(None).where(not_(_is_in_force(now)), (columns.expires > time) | (columns.changed > place))
    if scopes is not None:
        wanted = wanted.where(_not_sought_by(columns.scope).in_(sorted(scopes)))
    return _page(connection, wanted, after, limit)


def in_force_of(connection: Connection, entities: Collection[Entity], now: int) -> list[NumberedDecision]:
    """Live decisions in force about any of these."""
    found: list[NumberedDecision] = []
    for condition in of_entities(tables.decisions, entities):
        found += _read(connection, _select(None).where(condition, _is_among_in_force(now)))
    return found


def crowded(connection: Connection, entities: Collection[Entity], now: int) -> list[Entity]:
    """Those of these about which several live decisions are in force."""
    columns = tables.decisions.c
    of_each = select(columns.scope, columns.value).group_by(columns.scope, columns.value).having(func.count() > 1)
    found: list[Entity] = []
    for condition in of_entities(tables.decisions, entities):
        wanted = of_each.where(condition, columns.mode == Mode.LIVE.value, _is_among_in_force(now))
        found += [Entity(Scope(row.scope), row.value) for row in connection.execute(wanted)]
    return found


def newest(
    connection: Connection, before: int, limit: int, since: int, *, active: int | None
) -> list[NumberedDecision]:
    """Live decisions with numbers before one, the newest first, made at or after a time; with `active`, those in force then."""
    columns = tables.decisions.c
    wanted = _select(None).where(columns.number < before, columns.time >= since)
    if active is not None:
        wanted = wanted.where(_is_in_force(active))
    return _read(connection, wanted.order_by(columns.number.desc()).limit(limit))


def numbers_of(connection: Connection, ids: Collection[str]) -> dict[str, int]:
    """The numbers of decisions by id."""
    columns = tables.decisions.c
    found: dict[str, int] = {}
    for chunk in chunks(ids):
        rows = connection.execute(select(columns.id, columns.number).where(columns.id.in_(chunk)))
        found |= {row.id: row.number for row in rows}
    return found


def pull(connection: Connection, client: str) -> Pull | None:
    """How far a client has been told."""
    row = connection.execute(select(tables.pulls).where(tables.pulls.c.client == client)).mappings().one_or_none()
    return None if row is None else Pull(**row)


def pulls(connection: Connection) -> list[Pull]:
    """All clients that are remembered, those that asked last first."""
    columns = tables.pulls.c
    ordered = select(tables.pulls).order_by(columns.time.desc(), columns.client)
    return [Pull(**row) for row in connection.execute(ordered).mappings()]


def put_pulls(connection: Connection, told: Sequence[Pull]) -> None:
    """Note how far clients have been told, and forget those that have not asked for longest where there are too many."""
    put(connection, tables.pulls, [flat_row(one) for one in told])
    columns = tables.pulls.c
    newest = select(columns.client).order_by(columns.time.desc(), columns.client).limit(PULLS_MAX)
    connection.execute(delete(tables.pulls).where(columns.client.not_in(newest)))


def _select(scopes: Scopes) -> Select[Any]:
    columns = tables.decisions.c
    wanted = select(columns.number, columns.changed, columns.document).where(columns.mode == Mode.LIVE.value)
    return wanted if scopes is None else wanted.where(columns.scope.in_(sorted(scopes)))


def _is_in_force(now: int) -> ColumnElement[bool]:
    columns = tables.decisions.c
    return and_(columns.state == DecisionState.ACTIVE.value, columns.expires > now)


def _is_among_in_force(now: int) -> ColumnElement[bool]:
    """The same, where entities are sought: they are few, and what is in force may be much."""
    columns = tables.decisions.c
    return and_(_not_sought_by(columns.state) == DecisionState.ACTIVE.value, columns.expires > now)


def _not_sought_by(column: ColumnElement[str]) -> ColumnElement[str]:
    """The same text, but no reason to take an index that begins with it: each page would read and sort all that has it."""
    return column + ""


def _page(connection: Connection, wanted: Select[Any], after: int, limit: int) -> list[NumberedDecision]:
    number = tables.decisions.c.number
    return _read(connection, wanted.where(number > after).order_by(number).limit(limit))


def _read(connection: Connection, wanted: Select[Any]) -> list[NumberedDecision]:
    rows = connection.execute(wanted)
    return [NumberedDecision(row.number, row.changed, document(Decision, row.document)) for row in rows]
