"""Who changed what, when and why, in a chain of hashes: an entry altered or taken out later breaks it."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from monitor.readonly import reading_uri

GENESIS: Final = "0" * 64
"""What stands for the hash before the first entry."""


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Who or what changed something, when and why. The store chains entries by hash."""

    time: int
    actor: str
    action: str
    subject: str
    reason: str
    before: str = ""
    after: str = ""


class ChainedEntry(msgspec.Struct, frozen=True):
    """An entry in its place: `seq` counts from 1 without a gap, `previous` is the hash of the entry before."""

    seq: int
    entry: AuditEntry
    previous: str
    hash: str


class AuditVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What checking a chain found. `head` is the last hash: a copy of it kept elsewhere shows whether the end was cut off."""

    entries: int
    head: str
    broken: int | None


def entry_hash(previous: str, seq: int, entry: AuditEntry) -> str:
    """SHA-256 over the hash before, the number and the entry as JSON with sorted keys."""
    canonical = msgspec.json.encode({"seq": seq, **msgspec.structs.asdict(entry)}, order="sorted")
    return hashlib.sha256(previous.encode() + b"\n" + canonical).hexdigest()


def chain(entries: Iterable[AuditEntry], last_seq: int = 0, last_hash: str = GENESIS) -> Iterator[ChainedEntry]:
    """Give entries their places after the last one of the chain."""
    for seq, entry in enumerate(entries, start=last_seq + 1):
        chained = ChainedEntry(seq, entry, last_hash, entry_hash(last_hash, seq, entry))
        last_hash = chained.hash
        yield chained


def verify(entries: Iterable[ChainedEntry]) -> AuditVerdict:
    """Follow a whole chain from its first entry; `broken` is the first number where it does not hold, or None.

    It cannot see that the newest entries were cut off and nothing was added since: compare `head` with a copy.
    """
    seq, head = 0, GENESIS
    for chained in entries:
        seq += 1
        expected = entry_hash(head, seq, chained.entry)
        if (chained.seq, chained.previous, chained.hash) != (seq, head, expected):
            return AuditVerdict(entries=seq - 1, head=head, broken=seq)
        head = chained.hash
    return AuditVerdict(entries=seq, head=head, broken=None)


def verify_file(path: Path) -> AuditVerdict:
    """Verify the chain in a database file without the daemon, its keys or its configuration; the file is only read.

    Raises `ValueError` when the file is not a database with an audit table.
    """
    connection = sqlite3.connect(reading_uri(path), uri=True)
    try:
        return verify(_stored(connection))
    except sqlite3.DatabaseError as error:
        raise ValueError(f"{path} has no audit chain that can be read: {error}") from error
    finally:
        connection.close()


def _stored(connection: sqlite3.Connection) -> Iterator[ChainedEntry]:
    query = "SELECT seq, time, actor, action, subject, reason, before, after, previous, hash FROM audit ORDER BY seq"
    for seq, time, actor, action, subject, reason, before, after, previous, digest in connection.execute(query):
        entry = AuditEntry(
            time=time, actor=actor, action=action, subject=subject, reason=reason, before=before, after=after
        )
        yield ChainedEntry(seq, entry, previous, digest)
