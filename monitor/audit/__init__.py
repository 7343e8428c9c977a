"""Who changed what, when and why, in a chain of hashes: an entry altered or taken out later breaks it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Final

import msgspec

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


class Difference(StrEnum):
    """In what an entry differs from the chain that it should be part of."""

    CONTENT = "content"  # it says something else than was written
    HASH = "hash"  # its own hash was altered
    PREVIOUS = "previous"  # it follows another entry than the one before it
    MISSING = "missing"  # entries before it were taken out
    ORDER = "order"  # it stands in another place
    UNREADABLE = "unreadable"  # it is no entry at all


class Breach(msgspec.Struct, frozen=True, kw_only=True):
    """Where a chain does not hold for the first time: `seq` is the number that should have stood there."""

    seq: int
    difference: Difference
    detail: str


class AuditVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What checking a chain found. `head` is the last hash that holds: whether the end was cut off is known by anchors alone."""

    entries: int
    head: str
    breach: Breach | None = None

    @property
    def broken(self) -> int | None:
        """The first number where the chain does not hold."""
        return self.breach.seq if self.breach is not None else None


class UnreadableEntry(Exception):
    """What stands in an entry's place is none."""


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
    """Follow a whole chain from its first entry to the first link that does not hold.

    It cannot see that the newest entries were cut off, or that all was written anew: anchors show that (`monitor.audit.anchors`).
    """
    seq, head = 0, GENESIS
    links = iter(entries)
    try:
        for chained in links:
            if (breach := _breach(seq + 1, head, chained, links)) is not None:
                return AuditVerdict(entries=seq, head=head, breach=breach)
            seq, head = chained.seq, chained.hash
    except UnreadableEntry as error:
        breach = Breach(seq=seq + 1, difference=Difference.UNREADABLE, detail=str(error))
        return AuditVerdict(entries=seq, head=head, breach=breach)
    return AuditVerdict(entries=seq, head=head)


def _breach(seq: int, head: str, chained: ChainedEntry, rest: Iterator[ChainedEntry]) -> Breach | None:
    """How an entry in the place `seq`, after the hash `head`, differs from what belongs there; the next one helps to tell."""
    if chained.seq != seq:
        return _misplaced(seq, chained, next(rest, None))
    expected = entry_hash(head, seq, chained.entry)
    if chained.previous == head and chained.hash == expected:
        return None
    if chained.previous != head:
        if chained.hash == expected:
            return _said(seq, Difference.PREVIOUS, f"the hash of the one before, as entry {seq} has it, was altered")
        if isinstance(chained.previous, str) and chained.hash == entry_hash(chained.previous, seq, chained.entry):
            found = f"entry {seq} was made to follow another entry than the one before it, which was written anew"
            return _said(seq, Difference.PREVIOUS, found)
    following = next(rest, None)
    if following is not None and following.previous == expected:
        return _said(seq, Difference.HASH, f"the hash of entry {seq} was altered, its content was not")
    return _said(
        seq, Difference.CONTENT, f"entry {seq} does not say what was written: its content and its hash disagree"
    )


def _misplaced(seq: int, chained: ChainedEntry, following: ChainedEntry | None) -> Breach:
    found = chained.seq
    if type(found) is not int or found < seq:
        return _said(seq, Difference.ORDER, f"in the place of entry {seq} stands one with the number {found}")
    if following is not None and type(following.seq) is int and seq <= following.seq < found:
        return _said(seq, Difference.ORDER, f"entry {found} stands before entry {following.seq}")
    gone = f"entry {seq} is" if found == seq + 1 else f"entries {seq} to {found - 1} are"
    return _said(seq, Difference.MISSING, f"{gone} missing")


def _said(seq: int, difference: Difference, detail: str) -> Breach:
    return Breach(seq=seq, difference=difference, detail=detail)
