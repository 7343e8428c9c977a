"""Audit chains in files: the record of an installation or a copy of it, and what was exported from one.

Nothing here needs the daemon, its keys or its configuration, and the files are only read. An exported chain is a JSON object
a line, as `exported` writes it: `seq`, the fields of the entry (`time` in microseconds since 1970 UTC), `previous` and `hash`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from monitor.audit import AuditEntry, AuditVerdict, ChainedEntry, UnreadableEntry, verify
from monitor.readonly import reading_uri

LINE_BYTES_MAX: Final = 16 << 20
"""Longest line of an exported chain; a longer one is no entry."""

INSTALLATION: Final = "installation"
"""The key under which the record keeps its installation's id."""

_SQLITE: Final = b"SQLite format 3\0"


class _Line(AuditEntry, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An entry with its place in the chain."""

    seq: int
    previous: str
    hash: str


_decoder: Final = msgspec.json.Decoder(_Line)
_encoder: Final = msgspec.json.Encoder()
_FIELDS: Final = AuditEntry.__struct_fields__


def exported(chained: ChainedEntry) -> bytes:
    """An entry as a line of an exported chain."""
    entry = chained.entry
    named: dict[str, Any] = {"seq": chained.seq, **{name: getattr(entry, name) for name in _FIELDS}}
    return _encoder.encode({**named, "previous": chained.previous, "hash": chained.hash}) + b"\n"


def verify_file(path: Path) -> AuditVerdict:
    """Verify the chain in a file, a database or an exported chain.

    Raises `ValueError` when it is neither: a file of something else, or a database without an audit.
    """
    with chain_in(path) as entries:
        return verify(entries)


@contextmanager
def chain_in(path: Path) -> Iterator[Iterator[ChainedEntry]]:
    """The entries of a file in their order; `ValueError` as in `verify_file`."""
    with path.open("rb") as file:
        is_database = file.read(len(_SQLITE)) == _SQLITE
    try:
        if is_database:
            with closing(_opened(path)) as connection:
                yield _stored(connection)
        else:
            yield _told(path)
    except sqlite3.DatabaseError as error:
        raise ValueError(f"{path} has no audit chain that can be read: {error}") from error


def installation_in(path: Path) -> str | None:
    """The id of the installation whose record a file is; None where it does not say so, as in an exported chain."""
    with path.open("rb") as file:
        if file.read(len(_SQLITE)) != _SQLITE:
            return None
    with closing(_opened(path)) as connection:
        row = connection.execute("SELECT value FROM meta WHERE key = ?", [INSTALLATION]).fetchone()
    return str(row[0]) if row is not None else None


def _opened(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(reading_uri(path), uri=True)
    connection.text_factory = lambda raw: raw.decode(
        "utf-8", "replace"
    )  # what is no text is no longer what was written
    return connection


def _stored(connection: sqlite3.Connection) -> Iterator[ChainedEntry]:
    query = f"SELECT seq, {', '.join(_FIELDS)}, previous, hash FROM audit ORDER BY seq"  # noqa: S608 - our own names
    for seq, *values, previous, digest in connection.execute(query):
        yield ChainedEntry(seq, AuditEntry(**dict(zip(_FIELDS, values, strict=True))), previous, digest)


def _told(path: Path) -> Iterator[ChainedEntry]:
    """The entries of an exported chain. A file whose first line is none is a file of something else."""
    with path.open("rb") as file:
        number = 0
        while raw := file.readline(LINE_BYTES_MAX + 1):
            number += 1
            try:
                line = _decoder.decode(raw)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                if number == 1:
                    raise ValueError(f"{path} has no audit chain that can be read: {error}") from None
                raise UnreadableEntry(f"line {number} of {path.name} is no entry: {error}") from None
            entry = AuditEntry(**{name: getattr(line, name) for name in _FIELDS})
            yield ChainedEntry(line.seq, entry, line.previous, line.hash)
