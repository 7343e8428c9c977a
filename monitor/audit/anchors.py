"""Anchors: what the head of the audit was at a time, kept where whoever alters the record does not reach.

An anchor is one JSON object a line, in a file or in the body of a message. Later versions add keys and change none.

- ``schema``: ``"miniwatch.anchor/1"``
- ``seq``, ``hash``: number and hash of the newest entry then; 0 and 64 zeros where there was none
- ``time``: when, RFC 3339 in UTC; ``installation``: whose record it is
- ``key``, ``signature``: with a signing key, its public half and the ed25519 signature, in hexadecimal, of all the other
  keys as JSON without blanks, in the order of their names; else empty
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from monitor.audit import GENESIS, AuditVerdict, ChainedEntry, UnreadableEntry, verify
from monitor.durable import boundary, sync_folder
from monitor.signing import KeyRefused, SigningKey, is_signed

SCHEMA: Final = "miniwatch.anchor/1"
LINE_BYTES_MAX: Final = 4096
"""Longest line of a file with anchors."""


class Anchor(msgspec.Struct, frozen=True, kw_only=True):
    """The head of an audit at a time."""

    schema: str = SCHEMA
    seq: int
    hash: str
    time: str
    installation: str
    key: str = ""
    signature: str = ""

    @property
    def signed_text(self) -> bytes:
        """What the signature is of."""
        named = msgspec.structs.asdict(self)
        del named["signature"]
        return msgspec.json.encode(named, order="sorted")

    @property
    def line(self) -> bytes:
        """The anchor as a line of a file, without its newline, and as the body of a message."""
        return msgspec.json.encode(self)

    def signed(self, key: SigningKey) -> Anchor:
        """The anchor with a signature."""
        named = msgspec.structs.replace(self, key=key.public)
        return msgspec.structs.replace(named, signature=key.sign(named.signed_text).hex())

    def is_signed_by(self, public: str) -> bool:
        """Whether the owner of a public key has signed it."""
        try:
            signature = bytes.fromhex(self.signature)
        except ValueError:
            return False
        return self.key == public and is_signed(self.signed_text, signature, public)


class AnchorVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """What anchors say of a chain: how many hold, the last that does, and everything that is wrong, in their order."""

    chain: AuditVerdict
    held: int
    last: Anchor | None
    problems: tuple[str, ...]
    unreadable: int


def append_anchor(path: Path, anchor: Anchor) -> None:
    """Add an anchor at the end of a file, durably; nothing that stands in it is touched, so it may be append-only.

    A line that was cut off by a power cut is left as it is, and the anchor begins a new one.
    """
    boundary("write:anchor")
    is_new = not path.exists()
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        begin = b"" if _ends_a_line(path) else b"\n"
        os.write(descriptor, begin + anchor.line + b"\n")
        boundary("fsync:anchor")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if is_new:
        sync_folder(path.parent)
    boundary("fsync:anchor:done")


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - 1, 0))
        return file.read(1) in {b"", b"\n"}


def read_anchors(path: Path) -> Iterator[Anchor | None]:
    """The anchors of a file in their order; None for a line that is none."""
    with path.open("rb") as file:
        while raw := file.readline(LINE_BYTES_MAX):
            if not raw.strip():
                continue
            try:
                anchor = msgspec.json.decode(raw, type=Anchor)
            except (msgspec.DecodeError, UnicodeDecodeError):
                yield None
            else:
                yield anchor if anchor.schema == SCHEMA else None


def verify_anchored(
    entries: Iterable[ChainedEntry],
    anchors: Iterable[Anchor | None],
    *,
    public: str | None = None,
    installation: str | None = None,
) -> AnchorVerdict:
    """Follow a chain, and ask of every anchor whether the chain holds its head.

    With `public`, an anchor must be signed by that key; with `installation`, it must be of that one.
    """
    read = list(anchors)
    known = [anchor for anchor in read if anchor is not None]
    hashes = {0: GENESIS}
    wanted = {anchor.seq for anchor in known}
    rest = _remembering(entries, wanted, hashes)
    chain = verify(rest)
    _exhaust(rest)
    problems, held, last = [], 0, None
    for anchor in known:
        problem = _foreign(anchor, public, installation) or _untrue(anchor, hashes, chain)
        if problem is None:
            held, last = held + 1, anchor
        else:
            problems.append(problem)
    return AnchorVerdict(chain=chain, held=held, last=last, problems=tuple(problems), unreadable=len(read) - len(known))


def _remembering(entries: Iterable[ChainedEntry], wanted: set[int], hashes: dict[int, str]) -> Iterator[ChainedEntry]:
    for chained in entries:
        if chained.seq in wanted:
            hashes[chained.seq] = chained.hash
        yield chained


def _exhaust(entries: Iterator[ChainedEntry]) -> None:
    """Behind a breach there are anchored entries too."""
    try:
        for _ in entries:
            pass
    except UnreadableEntry:
        return


def _foreign(anchor: Anchor, public: str | None, installation: str | None) -> str | None:
    if installation is not None and anchor.installation != installation:
        return f"{_named(anchor)} is of installation {anchor.installation}; this record is of {installation}"
    try:
        if public is not None and not anchor.is_signed_by(public):
            return f"{_named(anchor)} is not signed by {public}"
    except KeyRefused as error:
        return f"{_named(anchor)}: {error}"
    return None


def _untrue(anchor: Anchor, hashes: Mapping[int, str], chain: AuditVerdict) -> str | None:
    found = hashes.get(anchor.seq)
    if found == anchor.hash:
        return None
    if found is not None:
        return f"{_named(anchor)} had another hash: it, or an entry before it, was written anew"
    end = f"the chain ends with entry {chain.entries}" if chain.breach is None else f"entry {anchor.seq} is not there"
    return f"{_named(anchor)} is gone: {end}"


def _named(anchor: Anchor) -> str:
    return f"entry {anchor.seq}, anchored at {anchor.time},"


def names_of(problems: Sequence[str], most: int) -> list[str]:
    """The first problems, and how many more there are."""
    more = len(problems) - most
    return [*problems[:most], *([f"and {more} more"] if more > 0 else [])]
