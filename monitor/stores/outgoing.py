"""What must leave the machine, in the record: put in line, due, settled, and sent again; within the transaction given.

Messages of one channel and line never overtake one another: a later one is due only when no earlier one is pending. What was
given up holds nobody up.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from sqlalchemy import Connection, and_, bindparam, exists, func, or_, select, update

from monitor.stores import TOPIC, Message, tables
from monitor.stores.record import Delivery, DeliveryState, EnforcerState, NotFound
from monitor.stores.rows import chunks, delivery, message_row, put_new
from playbooks.decision import DecisionState

PENDING: Final = DeliveryState.PENDING.value
DEAD: Final = DeliveryState.DEAD.value
SENT: Final = DeliveryState.SENT.value


def put_messages(connection: Connection, messages: Sequence[Message]) -> None:
    """Put messages at the end, in the order given; one whose key is there already is not put again."""
    if not messages:
        return
    last = connection.execute(select(func.max(tables.outbox.c.place))).scalar() or 0
    put_new(connection, tables.outbox, [message_row(each, last + number) for number, each in enumerate(messages, 1)])


def due_messages(connection: Connection, now: int, limit: int, channel: str = "") -> list[Delivery]:
    """What may be sent now, of each channel and line the first at most: of one channel, or of all but topics.

    Of several channels the first of each comes before the second of any, so that many messages for one crowd out no other's.
    """
    table, earlier = tables.outbox, tables.outbox.alias()
    waits = exists().where(
        earlier.c.channel == table.c.channel,
        earlier.c.line == table.c.line,
        earlier.c.state == PENDING,
        earlier.c.place < table.c.place,
    )
    is_due = and_(table.c.state == PENDING, table.c.next_attempt <= now, or_(table.c.line == "", ~waits))
    if channel:
        wanted = select(table).where(is_due, table.c.channel == channel)
        rows = connection.execute(wanted.order_by(table.c.next_attempt, table.c.place).limit(limit))
        return [delivery(row) for row in rows.mappings()]
    rank = func.row_number().over(partition_by=table.c.channel, order_by=(table.c.next_attempt, table.c.place))
    numbered = select(table.c.key, table.c.next_attempt, table.c.place, rank.label("rank"))
    every = numbered.where(is_due, ~table.c.channel.startswith(f"{TOPIC}:")).subquery()
    in_turn = (every.c.rank, every.c.next_attempt, every.c.place)
    first = select(every).order_by(*in_turn).limit(limit).subquery()
    chosen = select(table).join(first, first.c.key == table.c.key)
    rows = connection.execute(chosen.order_by(first.c.rank, first.c.next_attempt, first.c.place))
    return [delivery(row) for row in rows.mappings()]


def settle_messages(connection: Connection, receipts: Mapping[str, str], now: int) -> None:
    """Note of messages that they were taken; of one that is gone there is nothing to note."""
    table = tables.outbox
    taken = (
        update(table)
        .where(table.c.key == bindparam("of"))
        .values(attempts=table.c.attempts + 1, state=SENT, receipt=bindparam("said"), sent=now, last_error="")
    )
    if receipts:
        connection.execute(taken, [{"of": key, "said": said} for key, said in receipts.items()])


def lines_taken(connection: Connection, channel: str, lines: Collection[str]) -> tuple[set[str], set[str]]:
    """Of some lines of a channel, those in which something waits; and what messages are about that were given up in any of them."""
    columns, waiting, given_up = tables.outbox.c, set(), set()
    for part in chunks(lines):
        wanted = select(columns.line, columns.state, columns.about).where(
            columns.channel == channel, columns.line.in_(part), columns.state.in_([PENDING, DEAD])
        )
        for row in connection.execute(wanted):
            if row.state == PENDING:
                waiting.add(row.line)
            else:
                given_up.add(row.about)
    return waiting, given_up


def forget_dead(connection: Connection, channel: str) -> int:
    """Delete what was given up of a channel; how many."""
    columns = tables.outbox.c
    return connection.execute(tables.outbox.delete().where(columns.channel == channel, columns.state == DEAD)).rowcount


def change_message(connection: Connection, key: str, **values: str | int) -> None:
    """Note another attempt at a message and what came of it."""
    table = tables.outbox
    changed = connection.execute(
        update(table).where(table.c.key == key).values(attempts=table.c.attempts + 1, **values)
    ).rowcount
    if not changed:
        raise NotFound("message", key)


def deliveries_about(connection: Connection, decision: str) -> list[Delivery]:
    """How far the messages about a decision have come, in their order."""
    table = tables.outbox
    wanted = select(table).where(table.c.about == decision).order_by(table.c.place)
    return [delivery(row) for row in connection.execute(wanted).mappings()]


def retry_dead(connection: Connection, channel: str, now: int) -> int:
    """Have what was given up sent again, from the first attempt on; how many messages.

    Of each decision only the latest word, and of alerts that must not overtake one another only what none has overtaken that was taken: what
    came after has been said, and must not be taken back.
    """
    table, later = tables.outbox, tables.outbox.alias()
    outdated = exists().where(
        later.c.channel == table.c.channel, later.c.about == table.c.about, later.c.place > table.c.place
    )
    overtaken = exists().where(
        later.c.channel == table.c.channel,
        later.c.line == table.c.line,
        later.c.state == SENT,
        later.c.place > table.c.place,
    )
    is_said = or_(and_(table.c.about != "", outdated), and_(table.c.about == "", table.c.line != "", overtaken))
    dead = and_(table.c.channel == channel, table.c.state == DEAD, ~is_said)
    again = {"state": PENDING, "attempts": 0, "next_attempt": now}
    return connection.execute(update(table).where(dead).values(**again)).rowcount


def forget_messages(connection: Connection, before: int) -> int:
    """Delete messages that were sent, or given up, before a time; how many. What is about an act in force stays, and so does what waits."""
    table, decisions = tables.outbox, tables.decisions
    in_force = select(decisions.c.id).where(decisions.c.state == DecisionState.ACTIVE.value)
    given_up = and_(table.c.state == DEAD, table.c.next_attempt < before)
    old = and_(or_(table.c.sent < before, given_up), table.c.about.not_in(in_force))
    return connection.execute(table.delete().where(old)).rowcount


def messages_waiting(connection: Connection) -> dict[str, tuple[int, int]]:
    """How many messages wait for each channel, and when the oldest of them was made; channels for which none waits are left out."""
    columns = tables.outbox.c
    wanted = select(columns.channel, func.count(), func.min(columns.created)).where(columns.state == PENDING)
    rows = connection.execute(wanted.group_by(columns.channel).order_by(columns.channel))
    return {str(channel): (int(count), int(oldest)) for channel, count, oldest in rows}


def messages_given_up(connection: Connection) -> dict[str, int]:
    """How many messages were given up for each channel and are there still; channels of which there are none are left out."""
    columns = tables.outbox.c
    wanted = select(columns.channel, func.count()).where(columns.state == DEAD).group_by(columns.channel)
    return {str(channel): int(count) for channel, count in connection.execute(wanted.order_by(columns.channel))}


def enforcer_states(connection: Connection, prefix: str) -> list[EnforcerState]:
    """How the channels that begin like that stand, by name."""
    columns = tables.outbox.c
    of_state = {state: func.count().filter(columns.state == state.value) for state in DeliveryState}
    wanted = (
        select(columns.channel, *(of_state[state] for state in DeliveryState), func.max(columns.sent))
        .where(columns.channel.startswith(prefix, autoescape=True))
        .group_by(columns.channel)
        .order_by(columns.channel)
    )
    pending = select(columns.channel, func.min(columns.created)).where(columns.state == PENDING)
    oldest = {channel: since for channel, since in connection.execute(pending.group_by(columns.channel))}  # noqa: C416 - rows
    return [
        EnforcerState(
            channel=str(channel),
            pending=int(pending),
            sent=int(sent),
            dead=int(dead),
            last_sent=last,
            waiting_since=oldest.get(channel),
        )
        for channel, pending, sent, dead, last in connection.execute(wanted)
    ]
