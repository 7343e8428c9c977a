"""Dead letters in the record: sealed rows, an account of them by source and reason, and the bound on what is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Final

import msgspec
from sqlalchemy import BigInteger, ColumnElement, Connection, cast, delete, func, select, true

from monitor.decoders import DeadLetter
from monitor.sealing import Seal
from monitor.stores import LetterBounds, Turn, tables
from monitor.stores.dialects import insert
from monitor.stores.record import LetterAccount
from monitor.stores.rows import Row, put

ROW_BYTES: Final = 200
"""What a dead letter takes on disk beside its sealed bytes, about."""


STREAM_DIGITS: Final = 12
"""So much of a stream's digest tells its dead letters from those of others."""


def dead_letter_id(turn: int, ordinal: int, stream: str = "") -> str:
    """The id of a dead letter: its turn, its place there, and its stream; of one stream, ids sort as the letters came."""
    key = f"{turn:09d}-{ordinal:05d}"
    return f"{key}-{sha256(stream.encode()).hexdigest()[:STREAM_DIGITS]}" if stream else key


def dead_letter_context(key: str) -> str:
    """What a dead letter's bytes are sealed as."""
    return f"dead-letter:{key}"


def put_letters(connection: Connection, turn: Turn, seal: Seal, bounds: LetterBounds) -> None:
    """Write a turn's dead letters, and let the oldest of their sources go where there are more than may be kept."""
    if not turn.dead_letters:
        return
    rows = [_row(turn, ordinal, letter, seal) for ordinal, letter in enumerate(turn.dead_letters)]
    put(connection, tables.dead_letters, rows)
    added: dict[tuple[str, str], LetterAccount] = {}
    for row in rows:
        key = (row["partition"], row["reason"])
        account = added.get(key) or LetterAccount(partition=key[0], reason=key[1])
        added[key] = account.grown(row["lines"], letter_bytes(len(row["sealed"])))
    _add(connection, list(added.values()))
    for partition in sorted({partition for partition, _ in added}):
        _bound(connection, partition, bounds)


def letter_bytes(sealed: int) -> int:
    """What a dead letter counts for, in bytes on disk."""
    return sealed + ROW_BYTES


def accounts(connection: Connection) -> list[LetterAccount]:
    """All accounts, by source and reason."""
    return _accounts(connection, true())


def _accounts(connection: Connection, wanted: ColumnElement[bool]) -> list[LetterAccount]:
    table = tables.dead_letter_accounts
    rows = connection.execute(select(table).where(wanted).order_by(table.c.partition, table.c.reason)).mappings()
    return [LetterAccount(**row) for row in rows]


def forget(connection: Connection, before: int) -> int:
    """Delete dead letters older than a time; how many."""
    letters = tables.dead_letters
    old = letters.c.time < before
    found = connection.execute(
        select(letters.c.partition, letters.c.reason, *_SUMS).where(old).group_by(letters.c.partition, letters.c.reason)
    ).all()
    for partition, reason, rows, lines, size in found:
        _add(connection, [LetterAccount(partition=partition, reason=reason, rows=-rows, kept=-lines, bytes=-size)])
    return connection.execute(delete(letters).where(old)).rowcount


_SUMS: Final = (
    func.count(),
    cast(func.coalesce(func.sum(tables.dead_letters.c.lines), 0), BigInteger),
    cast(func.coalesce(func.sum(func.length(tables.dead_letters.c.sealed) + ROW_BYTES), 0), BigInteger),
)


def _row(turn: Turn, ordinal: int, letter: DeadLetter, seal: Seal) -> Row:
    key = dead_letter_id(turn.number, ordinal, turn.stream)
    return {
        "id": key,
        "turn": turn.number,
        "time": turn.time,
        "partition": letter.partition,
        "position": letter.position,
        "reason": letter.reason.value,
        "detail": letter.detail,
        "sealed": seal.seal(letter.raw, dead_letter_context(key)),
        "length": letter.length,
        "lines": letter.lines,
        "format": letter.format,
        "replayed": None,
    }


def _add(connection: Connection, added: Sequence[LetterAccount]) -> None:
    table = tables.dead_letter_accounts
    statement = insert(connection, table)
    sums = {column.name: column + statement.excluded[column.name] for column in table.columns if not column.primary_key}
    connection.execute(
        statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=sums),
        [msgspec.structs.asdict(account) for account in added],
    )


def _bound(connection: Connection, partition: str, bounds: LetterBounds) -> None:
    for unit, most in bounds.units:
        held = _accounts(connection, tables.dead_letter_accounts.c.partition == partition)
        for reason, over in excess({account.reason: getattr(account, unit) for account in held}, most).items():
            _drop(connection, partition, reason, unit, over)


def _drop(connection: Connection, partition: str, reason: str, unit: str, over: int) -> None:
    """Delete the oldest letters of a reason, so many of them or of their bytes."""
    table = tables.dead_letters
    alike = (table.c.partition == partition) & (table.c.reason == reason)
    size = func.length(table.c.sealed).label("size")
    oldest = connection.execute(select(table.c.id, table.c.lines, size).where(alike).order_by(table.c.id))
    gone = LetterAccount(partition=partition, reason=reason)
    last = ""
    while -getattr(gone, unit) < over and (row := oldest.fetchone()) is not None:
        gone, last = gone.without(row.lines, letter_bytes(row.size)), row.id
    oldest.close()
    connection.execute(delete(table).where(alike & (table.c.id <= last)))
    _add(connection, [gone])


def excess(sizes: Mapping[str, int], most: int) -> dict[str, int]:
    """How much of each must go so that no more than `most` is left: of the largest first, down to one level.

    So a flood of one kind takes the place of no other.
    """
    left = most
    for place, size in enumerate(sorted(sizes.values())):
        level = left // (len(sizes) - place)
        if size > level:
            return {name: size - level for name, size in sizes.items() if size > level}
        left -= size
    return {}
