"""Which ids of documents were taken lately: a million of them, in columns."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from monitor.spool.aside import Body

IDS_MAX: Final = 1_000_000
"""Ids that are remembered, the newest; each takes 16 bytes in memory, and as many on disk."""

RUN_IDS: Final = 100_000
"""So many ids make a segment of the spool be followed by another: its own are then kept in a sorted run."""

ID_US_MAX: Final = 86_400_000_000
"""How long ids are remembered: a day, counted from the newest of a run."""

ID_BYTES: Final = 16
NAME_BYTES: Final = 8
"""So much of a digest is of the id, with whose it is; the rest is of the document."""

NO_ID: Final = bytes(ID_BYTES)
"""Stands for a document without an id."""

_NO_DOCUMENT: Final = bytes(ID_BYTES - NAME_BYTES)
_DIGESTS: Final = np.dtype([("name", ">u8"), ("document", ">u8")])

Array = npt.NDArray[Any]


def id_prefix(token: str, index: str) -> hashlib.blake2b:
    """What ids of one client and one index begin with, for `id_digest`: whoever guesses another client's ids does it no harm."""
    return hashlib.blake2b(f"{token}\0{index}\0".encode(errors="surrogatepass"), digest_size=NAME_BYTES)


def id_digest(prefix: hashlib.blake2b, name: str, document: Body | None) -> bytes:
    """What is remembered of a document that has an id; without the document, every other one with this id is another."""
    named = prefix.copy()
    named.update(name.encode("utf-8", "surrogatepass"))
    if document is None:
        return named.digest() + _NO_DOCUMENT
    return named.digest() + hashlib.blake2b(document, digest_size=ID_BYTES - NAME_BYTES).digest()


class Run(msgspec.Struct, frozen=True):
    """The ids of one segment, sorted, in a file of their own."""

    path: Path
    newest: int  # when the last of them was taken, microseconds
    names: Array
    documents: Array


class IdWindow:
    """Digests of ids that were taken: those of the newest segment one by one, the others in runs."""

    def __init__(self) -> None:
        self._recent: dict[int, int] = {}  # by name: the document
        self._runs: list[Run] = []
        self._newest = 0

    def __len__(self) -> int:
        return len(self._recent) + sum(len(run.names) for run in self._runs)

    @property
    def is_full(self) -> bool:
        """Whether those of the newest segment are enough for a run."""
        return len(self._recent) >= RUN_IDS

    def find(self, digests: bytes, now: int) -> list[int | None]:
        """For each digest what was remembered of the document that was last taken with its id: `document_of` it, or None."""
        names = np.frombuffer(digests, _DIGESTS)["name"].astype(np.uint64)
        found: list[int | None] = list(map(self._recent.get, names.tolist()))
        order = np.argsort(names)
        names = names[order]  # in order, each is looked for near the last
        for run in reversed(self._runs):
            if now - run.newest >= ID_US_MAX:
                continue
            at = np.minimum(np.searchsorted(run.names, names), len(run.names) - 1)
            same = np.flatnonzero((run.names[at] == names) & (names != 0))
            for place, document in zip(order[same].tolist(), run.documents[at[same]].tolist(), strict=True):
                if found[place] is None:
                    found[place] = document
        return found

    def add(self, digests: bytes, at: int) -> None:
        """Remember ids that were taken."""
        entries = np.frombuffer(digests, _DIGESTS)
        self._recent.update(zip(entries["name"].tolist(), entries["document"].tolist(), strict=True))
        self._recent.pop(0, None)
        self._newest = max(self._newest, at)

    def packed(self) -> tuple[bytes, int]:
        """The ids of the newest segment, to be kept in a file, and when the last of them was taken; nothing where there are none."""
        names = np.fromiter(self._recent, np.uint64, len(self._recent))
        documents = np.fromiter(self._recent.values(), np.uint64, len(self._recent))
        order = np.argsort(names)
        entries = np.empty(len(names), _DIGESTS)
        entries["name"], entries["document"] = names[order], documents[order]
        return entries.tobytes(), self._newest

    def close_run(self, path: Path) -> None:
        """The newest segment has been followed by another; its ids are in a file."""
        content, newest = self.packed()
        self._recent.clear()
        self.recall(path, content, newest)

    def recall(self, path: Path, content: bytes, newest: int) -> None:
        """Remember what a file keeps."""
        entries = np.frombuffer(content, _DIGESTS)
        names, documents = (entries[name].astype(np.uint64) for name in ("name", "document"))
        self._runs = [run for run in self._runs if run.path != path]
        if len(entries):
            self._runs.append(Run(path, newest, names, documents))

    def spare(self, now: int) -> list[Path]:
        """Let go of runs that are too old, and of the oldest ones where there are too many ids; their files."""
        left, count = [], len(self._recent)
        spared = []
        for run in reversed(self._runs):
            count += len(run.names)
            if now - run.newest >= ID_US_MAX or count > IDS_MAX:
                spared.append(run.path)
            else:
                left.append(run)
        self._runs = left[::-1]
        return spared


def names_of(digests: bytes) -> list[int]:
    """The part of each digest that is of its id; 0 where there is none."""
    names: list[int] = np.frombuffer(digests, _DIGESTS)["name"].tolist()
    return names


def documents_of(digests: bytes) -> list[int]:
    """The part of each digest that is of its document."""
    documents: list[int] = np.frombuffer(digests, _DIGESTS)["document"].tolist()
    return documents
