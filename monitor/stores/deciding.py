"""Decisions written into the record: numbered, their changes in one order, and told to enforcers, within the transaction given.

Also the version of what operators have laid down, by which a turn knows whether its decisions still rest on what is true.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final, TypeAlias

from sqlalchemy import Connection, select, update

from detectors.finding import Entity
from monitor.stores import Message, tables
from monitor.stores.outgoing import put_messages
from monitor.stores.record import NumberedDecision
from monitor.stores.rows import chunks, decision_row, document, of_entities, put
from playbooks.decision import Decision, DecisionState, Mode

InForce: TypeAlias = Callable[[Collection[Entity]], Collection[Decision]]
"""The live decisions that are active about entities, as they are written by now."""

Tell: TypeAlias = Callable[[Sequence[Decision], InForce], Sequence[Message]]
"""Says what must leave because live decisions have changed to what they are now."""

NUMBER: Final = "decision_number"
CHANGE: Final = "decision_change"
FLOOR: Final = "decision_floor"
RULINGS: Final = "rulings"
IMPORTS: Final = "apps_imports"


def nothing(_decisions: Sequence[Decision], _in_force: InForce) -> Sequence[Message]:
    """Where nobody has to be told."""
    return ()


def put_decisions(connection: Connection, decisions: Sequence[Decision], tell: Tell) -> None:
    """Write decisions, new and changed ones, in the order given.

    A new one gets the next number, which stays; every one gets the next place in the order of all changes. Whoever has
    seen all up to a place misses nothing by asking for what lies after it, since a transaction that comes later gets later ones.
    """
    if not decisions:
        return
    numbers = _numbers(connection, {decision.id for decision in decisions})
    number, change = counter(connection, NUMBER), counter(connection, CHANGE)
    rows = []
    for decision in decisions:
        if decision.id not in numbers:
            number += 1
            numbers[decision.id] = number
        change += 1
        rows.append({**decision_row(decision), "number": numbers[decision.id], "changed": change})
    put(connection, tables.decisions, rows)
    put(connection, tables.meta, [{"key": NUMBER, "value": str(number)}, {"key": CHANGE, "value": str(change)}])
    live = [decision for decision in decisions if decision.mode is Mode.LIVE]
    put_messages(connection, tell(live, in_force(connection)) if live else ())


def in_force(connection: Connection) -> InForce:
    """Who asks is told of what this transaction has written too."""

    def found(entities: Collection[Entity]) -> list[Decision]:
        table, decisions = tables.decisions, []
        for condition in of_entities(table, entities):
            active = select(table.c.document).where(
                condition, table.c.mode == Mode.LIVE.value, table.c.state == DecisionState.ACTIVE.value
            )
            decisions += [document(Decision, text) for text in connection.execute(active).scalars()]
        return decisions

    return found


def counter(connection: Connection, name: str) -> int:
    """A count that only grows: `NUMBER`, `CHANGE`, `FLOOR`, `RULINGS` or `IMPORTS`; 0 before the first."""
    return int(connection.execute(select(tables.meta.c.value).where(tables.meta.c.key == name)).scalar() or 0)


def raise_rulings(connection: Connection) -> None:
    """Say that what decisions rest on has changed otherwise than by a turn: a turn decided before must be decided again."""
    raise_counter(connection, RULINGS)


def raise_counter(connection: Connection, name: str) -> None:
    """Count one more."""
    put(connection, tables.meta, [{"key": name, "value": str(counter(connection, name) + 1)}])


def begin_anew(connection: Connection, now: int) -> None:
    """After an older copy was put back: have all changes lie, and all epochs be, after any that the lost record may have had."""
    floor = max(now, counter(connection, CHANGE))
    changed = tables.decisions.c.changed
    connection.execute(update(tables.decisions).values(changed=changed + floor))
    values = {CHANGE: floor + counter(connection, CHANGE), FLOOR: floor}
    put(connection, tables.meta, [{"key": name, "value": str(value)} for name, value in values.items()])
    connection.execute(update(tables.leases).values(holder="", epoch=floor, until=0))


def decision_changes(connection: Connection, after: int, limit: int, modes: Collection[Mode]) -> list[NumberedDecision]:
    """Decisions whose last change lies after a place, in the order of those changes."""
    table = tables.decisions
    wanted = select(table.c.number, table.c.changed, table.c.document).where(
        table.c.changed > after, table.c.mode.in_([mode.value for mode in modes])
    )
    rows = connection.execute(wanted.order_by(table.c.changed).limit(limit))
    return [NumberedDecision(row.number, row.changed, document(Decision, row.document)) for row in rows]


def numbered_decision(connection: Connection, number: int) -> NumberedDecision | None:
    """The decision with a number."""
    columns = tables.decisions.c
    wanted = select(columns.number, columns.changed, columns.document).where(columns.number == number)
    row = connection.execute(wanted).one_or_none()
    return None if row is None else NumberedDecision(row.number, row.changed, document(Decision, row.document))


def _numbers(connection: Connection, ids: Collection[str]) -> dict[str, int]:
    columns = tables.decisions.c
    found: dict[str, int] = {}
    for chunk in chunks(ids):
        rows = connection.execute(select(columns.id, columns.number).where(columns.id.in_(chunk)))
        found |= {str(row.id): int(row.number) for row in rows}
    return found
