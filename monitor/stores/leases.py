"""Who may write in a name (a partition, a role), so that two never both act; within the transaction given, and as a part of the store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, select, update

from monitor.stores import Fence, Fenced, Lease, Turn, tables
from monitor.stores.connection import Database
from monitor.stores.rows import put_new


class Leases:
    """Leases: a part of the store. What their methods promise stands at `Record`."""

    _database: Database

    def take(self, name: str, holder: str, now: int, for_s: float) -> Fence | None:
        with self._database.writing("lease", _line(name), heard=False) as connection:
            found, at = _locked(connection, name), self._database.clock(connection, now)
            holds = found.until > at
            if holds and found.holder != holder:
                return None
            epoch = found.epoch if holds else found.epoch + 1
            return _held(connection, Fence(name, epoch), holder, at, for_s)

    def seize(self, name: str, holder: str, now: int, for_s: float) -> Fence:
        with self._database.writing("lease", _line(name), heard=False) as connection:
            found, at = _locked(connection, name), self._database.clock(connection, now)
            return _held(connection, Fence(name, found.epoch + 1), holder, at, for_s)

    def renew(self, fence: Fence, now: int, for_s: float, *, lapsed: bool = False) -> bool:
        with self._database.writing("lease", _line(fence.name), heard=False) as connection:
            found, at = _locked(connection, fence.name), self._database.clock(connection, now)
            if found.epoch != fence.epoch or not found.holder or (found.until <= at and not lapsed):
                return False
            _held(connection, fence, found.holder, at, for_s)
            return True

    def give_up(self, fence: Fence) -> None:
        columns = tables.leases.c
        mine = (columns.name == fence.name) & (columns.epoch == fence.epoch)
        with self._database.writing("lease", _line(fence.name), heard=False) as connection:
            connection.execute(update(tables.leases).where(mine).values(holder="", until=0))

    def held(self, name: str, now: int) -> Lease | None:
        columns = tables.leases.c
        with self._database.reading() as connection:
            wanted = select(tables.leases).where(
                columns.name == name, columns.until > self._database.clock(connection, now)
            )
            row = connection.execute(wanted).mappings().one_or_none()
            return None if row is None else Lease(**row)

    def agreed_time(self, now: int) -> int:
        with self._database.reading() as connection:
            return self._database.clock(connection, now)

    def leases(self) -> Sequence[Lease]:
        with self._database.reading() as connection:
            rows = connection.execute(select(tables.leases).order_by(tables.leases.c.name)).mappings()
            return [Lease(**row) for row in rows]


def _line(name: str) -> str:
    """The line of writes about one name: they wait for turns that are written in it, and for nothing else."""
    return f"lease:{name}"


def check_fence(connection: Connection, fence: Fence | None, *, keep: bool) -> None:
    """Raise `Fenced` where a fence is not the newest of its name; with `keep`, nobody gets a newer one before this transaction ends."""
    _check(connection, [fence] if fence is not None else [], keep=keep)


def check_fences(connection: Connection, turns: Sequence[Turn], *, keep: bool) -> None:
    """The same of the fences that turns have."""
    _check(connection, [turn.fence for turn in turns if turn.fence is not None], keep=keep)


def _check(connection: Connection, fences: Sequence[Fence], *, keep: bool) -> None:
    if not fences:
        return
    columns = tables.leases.c
    wanted = select(columns.name, columns.epoch).where(columns.name.in_({fence.name for fence in fences}))
    wanted = wanted.order_by(columns.name)  # two that keep several never wait for one another
    rows = connection.execute(wanted.with_for_update(read=True) if keep else wanted)
    newest = {name: int(epoch) for name, epoch in rows}
    for fence in fences:
        if newest.get(fence.name, 0) != fence.epoch:
            raise Fenced(fence, newest.get(fence.name, 0))


def _locked(connection: Connection, name: str) -> Row[Any, Any, Any]:
    """Who holds a name, with what epoch and until when; nobody else changes it before this transaction ends."""
    put_new(connection, tables.leases, [{"name": name, "holder": "", "epoch": 0, "until": 0}])
    columns = tables.leases.c
    wanted = select(columns.holder, columns.epoch, columns.until).where(columns.name == name).with_for_update()
    return connection.execute(wanted).one()


def _held(connection: Connection, fence: Fence, holder: str, at: int, for_s: float) -> Fence:
    until = at + round(for_s * 1_000_000)
    changed = update(tables.leases).where(tables.leases.c.name == fence.name)
    connection.execute(changed.values(holder=holder, epoch=fence.epoch, until=until))
    return fence
