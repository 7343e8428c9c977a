"""What is new in the memories of the surroundings, by the moment at which it came: so that it can be told to others, and asked as of then.

A moment is a second of the watermark. What came in one is taken up as a whole, once nothing more can come in it: an answer is then
that of all events of earlier moments, however the stream is cut, and in whichever of several streams they came.
"""

from __future__ import annotations

import heapq
import zlib
from collections.abc import Iterable, Sequence
from itertools import count
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import polars as pl

from playbooks.risk import MICROSECONDS

MOMENT_US: Final = MICROSECONDS
MARK_BITS: Final = 24
"""A mark says in so many bits which bit of a memory is set, or which of its registers is raised to what."""

MARKS_MAX: Final = 1 << 25
"""In what is told at once: as many as a generation of addresses has."""

_LEVEL: Final = 1
"""Of zlib: higher ones take twice the time for a tenth of the bytes less."""

Array = np.ndarray[Any, Any]


def moment_of(mark: int) -> int:
    """The moment of a watermark; those before 1970 are one."""
    return max(mark // MOMENT_US, 0)


def moments_of(marks: Array) -> Array:
    """The moment of each row, which never goes back."""
    return np.maximum.accumulate(np.maximum(marks // MOMENT_US, 0))


class Groups(NamedTuple):
    """Marks in groups of one moment and one era (a generation, a span), in the order of moments; `ends` says where each group's end."""

    moments: Array
    eras: Array
    ends: Array
    marks: Array

    def before(self, moment: int) -> tuple[Groups, Groups]:
        """Those of earlier moments, and the others."""
        at = int(np.searchsorted(self.moments, moment))
        end = int(self.ends[at - 1]) if at else 0
        first = Groups(self.moments[:at], self.eras[:at], self.ends[:at], self.marks[:end])
        return first, Groups(self.moments[at:], self.eras[at:], self.ends[at:] - end, self.marks[end:])

    def of_groups(self, values: Array) -> Array:
        """A value of each group for each of its marks."""
        return np.repeat(values, np.diff(self.ends, prepend=0))


def grouped(era: int, moments: Array, rows: Array, marks: Array) -> Groups | None:
    """Marks of one era, each at a row of a batch whose moments are given; each is kept once a moment. None where there is nothing."""
    if not len(marks):
        return None
    ranks = np.cumsum(np.diff(moments, prepend=moments[0]) != 0)
    keys = np.unique(ranks[rows].astype(np.uint64) << np.uint64(MARK_BITS) | marks.astype(np.uint64))
    groups, ends = np.unique(keys >> np.uint64(MARK_BITS), return_counts=True)
    at, ends = moments[np.searchsorted(ranks, groups)], np.cumsum(ends)
    kept = (keys & np.uint64((1 << MARK_BITS) - 1)).astype(np.uint32)
    return Groups(at, np.full(len(at), era), ends, kept)


def joined(parts: Sequence[Groups]) -> Groups:
    """All of these, in the order of moments."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        nothing = np.empty(0, np.int64)
        return Groups(nothing, nothing, nothing, np.empty(0, np.uint32))
    moments, eras, marks = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("moments", "eras", "marks")
    )
    sizes = np.concatenate([np.diff(part.ends, prepend=0) for part in parts])
    order = np.argsort(moments, kind="stable")
    begins = (np.cumsum(sizes) - sizes)[order]
    sizes = sizes[order]
    ends = np.cumsum(sizes)
    rows = np.arange(len(marks)) + np.repeat(begins - (ends - sizes), sizes)
    return Groups(moments[order], eras[order], ends, marks[rows])


class Waiting:
    """News whose moment has not passed yet."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Groups]] = []
        self._numbers = count()
        self.marks = 0

    def add(self, groups: Groups | None) -> None:
        """Some more."""
        if groups is not None and len(groups.moments):
            heapq.heappush(self._heap, (int(groups.moments[0]), next(self._numbers), groups))
            self.marks += len(groups.marks)

    def has(self, moment: int | None = None) -> bool:
        """Whether there is something from before a moment, or anything."""
        return bool(self._heap) and (moment is None or self._heap[0][0] < moment)

    def all(self) -> Groups:
        """All that waits; it goes on waiting."""
        return joined([groups for _, _, groups in self._heap])

    def take(self, moment: int | None = None) -> list[Groups]:
        """What is from before a moment, or all: it waits no more."""
        taken = []
        while self.has(moment):
            groups = heapq.heappop(self._heap)[2]
            self.marks -= len(groups.marks)
            if moment is not None:
                groups, rest = groups.before(moment)
                self.add(rest)
            taken.append(groups)
        return taken

    def snapshot(self) -> pl.DataFrame:
        """A row a group."""
        groups = self.all()
        ends = groups.ends.tolist()
        marks = [groups.marks[begin:end].tobytes() for begin, end in zip([0, *ends], ends, strict=False)]
        schema = {"moment": pl.Int64, "era": pl.Int64, "marks": pl.Binary}
        return pl.DataFrame({"moment": groups.moments, "era": groups.eras, "marks": marks}, schema=schema)

    def restore(self, frame: pl.DataFrame) -> None:
        """Take up a snapshot."""
        parts = [np.frombuffer(marks, np.uint32) for marks in frame["marks"]]
        ends = np.cumsum([len(part) for part in parts], dtype=np.int64)
        self._heap, self.marks = [], 0
        if parts:
            self.add(Groups(frame["moment"].to_numpy(), frame["era"].to_numpy(), ends, np.concatenate(parts)))


class Marks(msgspec.Struct, frozen=True):
    """Groups as they are told: the marks in planes of bytes, packed."""

    moments: Sequence[int] = ()
    eras: Sequence[int] = ()
    sizes: Sequence[int] = ()
    packed: bytes = b""


def packed(groups: Groups) -> Marks:
    """Groups for others."""
    planes = groups.marks.astype("<u4").view(np.uint8).reshape(-1, 4)[:, : MARK_BITS // 8]
    sizes = np.diff(groups.ends, prepend=0)
    body = zlib.compress(np.ascontiguousarray(planes.T).tobytes(), _LEVEL)
    return Marks(groups.moments.tolist(), groups.eras.tolist(), sizes.tolist(), body)


def unpacked(told: Marks) -> Groups | None:
    """Groups as others told them; raises `ValueError` where they are none."""
    ends = np.cumsum(np.array(told.sizes, np.int64))
    number = int(ends[-1]) if len(ends) else 0
    if number > MARKS_MAX:
        raise ValueError(f"{number:,} marks at once, at most {MARKS_MAX:,} can be")
    if not len(ends):
        return None
    try:
        data = zlib.decompressobj().decompress(told.packed, MARK_BITS // 8 * number + 1)
    except zlib.error as error:
        raise ValueError(f"marks are spoilt: {error}") from None
    planes = np.zeros((number, 4), np.uint8)
    planes[:, : MARK_BITS // 8] = np.frombuffer(data, np.uint8).reshape(MARK_BITS // 8, number).T
    return Groups(np.array(told.moments, np.int64), np.array(told.eras, np.int64), ends, planes.view("<u4").reshape(-1))


def by_era(parts: Iterable[Groups]) -> Iterable[tuple[int, Array]]:
    """The marks of each era, the earliest first."""
    parts = list(parts)
    if not parts:
        return
    groups = joined(parts)
    eras = groups.of_groups(groups.eras)
    for era in np.unique(groups.eras).tolist():
        yield era, groups.marks[eras == era]
