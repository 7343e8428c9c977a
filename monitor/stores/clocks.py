"""The clocks of incidents and the words that people say about them, in the record; each within the transaction given."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Connection, RowMapping, and_, case, exists, func, or_, select, union_all

from detectors.finding import Severity
from monitor.stores import tables
from monitor.stores.rows import Row, chunks, flat_row, put, put_new
from playbooks.clocks import SUPERSEDED, Clock, ClockKind, stopped
from playbooks.risk import MICROSECONDS

BY_RANK: Final = {severity.rank: severity for severity in Severity}


class IncidentAct(StrEnum):
    """What people do to an incident."""

    ACKNOWLEDGE = "ack"
    ASSIGN = "assign"
    NOTE = "note"
    CLOSE = "close"


class IncidentWord(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody did to an incident, and what they said; `assignee` is whom it was given to."""

    id: str
    incident: str
    time: int
    actor: str
    act: IncidentAct
    text: str
    assignee: str = ""


class Episodes(msgspec.Struct, frozen=True, kw_only=True):
    """Episodes that are open, or ended after a time, of a severity and above; `unanswered`: that nobody acknowledged in time."""

    ended_after: int
    at_least: Severity = Severity.INFORMATIONAL
    unanswered: bool = False


class ClockCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many clocks of a kind and severity nobody has stopped: running, or overdue."""

    kind: ClockKind
    severity: Severity
    state: str
    clocks: int


class ClocksSettled(msgspec.Struct, frozen=True, kw_only=True):
    """What clocks of a kind and severity have come to in a time: stopped before they ran out, run out, and how many seconds each
    took that somebody stopped, the shortest first.
    """

    kind: ClockKind
    severity: Severity
    met: int
    missed: int
    stopped_s: tuple[float, ...]


SETTLED_MAX: Final = 20_000
"""Clocks that are reckoned with at once, the latest."""


def clock_row(clock: Clock) -> Row:
    return {**flat_row(clock), "episode": clock.episode.rank, "kind": clock.kind.value}


def clock(row: RowMapping) -> Clock:
    return Clock(**{**row, "episode": BY_RANK[row["episode"]], "kind": ClockKind(row["kind"])})


def begin_clocks(connection: Connection, clocks: Sequence[Clock]) -> list[Clock]:
    """Write the clocks of episodes that begin, and stop those of the episodes before them; gives those that had run out and nobody had noted it."""
    put_new(connection, tables.clocks, [clock_row(one) for one in clocks])
    late: list[Clock] = []
    for incident, episode, begun in sorted({(each.incident, each.episode, each.begun) for each in clocks}):
        earlier = [each for each in clocks_of(connection, [incident]) if each.episode is not episode]
        running = [each for each in earlier if each.stopped is None]
        ended = [stopped(each, begun, SUPERSEDED) for each in running]
        put_clocks(connection, ended)
        late += [
            now for was, now in zip(running, ended, strict=True) if was.breached is None and now.breached is not None
        ]
    return late


def put_clocks(connection: Connection, clocks: Sequence[Clock]) -> None:
    """Write clocks as they stand now."""
    put(connection, tables.clocks, [clock_row(one) for one in clocks])


def clocks_of(connection: Connection, incidents: Collection[str]) -> list[Clock]:
    """The clocks of incidents, those of the first episode first."""
    table = tables.clocks
    found: list[Clock] = []
    for chunk in chunks(sorted(incidents)):
        wanted = select(table).where(table.c.incident.in_(chunk))
        found += [
            clock(row)
            for row in connection.execute(wanted.order_by(table.c.incident, table.c.episode, table.c.kind)).mappings()
        ]
    return found


def due_clocks(connection: Connection, now: int, limit: int) -> list[Clock]:
    """Clocks of which something is to be told, the longest due first."""
    table = tables.clocks
    wanted = select(table).where(table.c.next <= now)
    rows = connection.execute(wanted.order_by(table.c.next, table.c.incident, table.c.kind).limit(limit)).mappings()
    return [clock(row) for row in rows]


def episodes(connection: Connection, of: Episodes, limit: int) -> list[Clock]:
    """Episodes by the clock that runs until the end: the most severe first, of these the newest."""
    table = tables.clocks
    wanted = select(table).where(_is_one(of)).order_by(table.c.episode.desc(), table.c.begun.desc(), table.c.incident)
    return [clock(row) for row in connection.execute(wanted.limit(limit)).mappings()]


def count_episodes(connection: Connection, of: Episodes) -> int:
    """How many such episodes there are."""
    return connection.execute(select(func.count()).select_from(tables.clocks).where(_is_one(of))).scalar_one()


def _is_one(of: Episodes) -> ColumnElement[bool]:
    table, answer = tables.clocks, tables.clocks.alias()
    is_there = table.c.stopped.is_(None) | (table.c.stopped > of.ended_after)
    found = and_(table.c.kind == ClockKind.RESOLVE.value, is_there, table.c.episode >= of.at_least.rank)
    if not of.unanswered:
        return found
    late = exists().where(
        answer.c.incident == table.c.incident,
        answer.c.episode == table.c.episode,
        answer.c.kind == ClockKind.ACKNOWLEDGE.value,
        answer.c.breached.is_not(None),
    )
    return and_(found, late)


def stop_clocks(
    connection: Connection, incidents: Collection[str], kinds: Collection[ClockKind], now: int, by: str
) -> list[Clock]:
    """Stop those clocks of incidents that run; gives them as they stand then."""
    running = [one for one in clocks_of(connection, incidents) if one.stopped is None and one.kind in kinds]
    ended = [stopped(one, now, by) for one in running]
    put_clocks(connection, ended)
    return ended


def count_clocks(connection: Connection) -> list[ClockCount]:
    """How many clocks of each kind and severity run, in time or overdue; it takes as long as these are many, not as the record keeps."""
    columns = tables.clocks.c
    state = case((columns.breached.is_(None), "running"), else_="overdue").label("state")
    wanted = (
        select(columns.kind, columns.episode, state, func.count().label("clocks"))
        .where(_ANY_KIND, columns.stopped.is_(None))
        .group_by(columns.kind, columns.episode, state)
        .order_by(columns.kind, columns.episode, state)
    )
    return [
        ClockCount(kind=ClockKind(kind), severity=BY_RANK[rank], state=said, clocks=int(count))
        for kind, rank, said, count in connection.execute(wanted)
    ]


_ANY_KIND: Final = tables.clocks.c.kind.in_([kind.value for kind in ClockKind])
"""Says nothing, and leads to the index."""


def settled_clocks(connection: Connection, since: int) -> list[ClocksSettled]:
    """What has come of clocks after a time; those that a worse episode ended have come to nothing, unless they ran out."""
    columns = tables.clocks.c
    wanted = select(columns.kind, columns.episode, columns.begun, columns.stopped, columns.stopped_by, columns.breached)
    came_to_something = or_(columns.stopped_by != SUPERSEDED, columns.breached > since)
    ended = union_all(
        wanted.where(_ANY_KIND, columns.stopped > since, came_to_something),
        wanted.where(_ANY_KIND, columns.stopped.is_(None), columns.breached > since),
    ).subquery()
    latest = func.coalesce(ended.c.stopped, ended.c.breached).desc()
    found = defaultdict[tuple[str, int], list[RowMapping]](list)
    for row in connection.execute(select(ended).order_by(latest).limit(SETTLED_MAX)).mappings():
        found[row["kind"], row["episode"]].append(row)
    return [_settled(ClockKind(kind), BY_RANK[rank], rows, since) for (kind, rank), rows in sorted(found.items())]


def _settled(kind: ClockKind, severity: Severity, rows: Sequence[RowMapping], since: int) -> ClocksSettled:
    answered = [
        row for row in rows if row["stopped"] is not None and row["stopped"] > since and row["stopped_by"] != SUPERSEDED
    ]
    return ClocksSettled(
        kind=kind,
        severity=severity,
        met=sum(row["breached"] is None for row in answered),
        missed=sum(row["breached"] is not None and row["breached"] > since for row in rows),
        stopped_s=tuple(sorted((row["stopped"] - row["begun"]) / MICROSECONDS for row in answered)),
    )


def add_word(connection: Connection, said: IncidentWord) -> None:
    put_new(connection, tables.incident_words, [{**flat_row(said), "act": said.act.value}])


def word_of(connection: Connection, key: str) -> IncidentWord | None:
    table = tables.incident_words
    row = connection.execute(select(table).where(table.c.id == key)).mappings().one_or_none()
    return None if row is None else _word(row)


def words_about(connection: Connection, incidents: Collection[str]) -> list[IncidentWord]:
    """What people have said about incidents, the oldest first."""
    table = tables.incident_words
    found: list[IncidentWord] = []
    for chunk in chunks(sorted(incidents)):
        wanted = select(table).where(table.c.incident.in_(chunk)).order_by(table.c.time, table.c.id)
        found += [_word(row) for row in connection.execute(wanted).mappings()]
    return found


def _word(row: RowMapping | Any) -> IncidentWord:
    return IncidentWord(**{**row, "act": IncidentAct(row["act"])})
