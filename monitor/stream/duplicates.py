"""Deliveries of the same event again: known by app, event id and content, within a bounded memory.

Two generations of an open-addressing table in NumPy: when the young one is full it becomes the old one, and what was old
is forgotten. So at least the last ``window_events / 2`` distinct ids are known, and memory never grows.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import polars as pl

from detectors.event import DUPLICATE, HASH

CONFLICT: Final = "_conflict"
"""Boolean: an event with an id that was seen with other content."""

Array = np.ndarray[Any, Any]


class _Table:
    """Keys to values, both 64 bits; never more than half full."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.count = 0
        self._mask = np.uint64(2 ** int(2 * capacity).bit_length() - 1)
        self._keys = np.zeros(int(self._mask) + 1, np.uint64)  # 0: nothing there
        self._values = np.zeros(int(self._mask) + 1, np.uint64)

    def find(self, keys: Array) -> tuple[Array, Array]:
        """Which keys are there, and their values."""
        found = np.zeros(len(keys), dtype=bool)
        values = np.zeros(len(keys), np.uint64)
        rows = np.arange(len(keys) if self.count else 0)
        slots = keys & self._mask
        while len(rows):
            there = self._keys[slots]
            same = there == keys[rows]
            found[rows[same]] = True
            values[rows[same]] = self._values[slots[same]]
            more = ~same & (there != 0)
            rows, slots = rows[more], (slots[more] + np.uint64(1)) & self._mask
        return found, values

    def add(self, keys: Array, values: Array) -> None:
        """Distinct keys that are not there yet."""
        rows = np.arange(len(keys))
        slots = keys & self._mask
        while len(rows):
            free = self._keys[slots] == 0
            self._keys[slots[free]] = keys[rows[free]]  # of several for one slot the last stays
            won = free & (self._keys[slots] == keys[rows])
            self._values[slots[won]] = values[rows[won]]
            rows, slots = rows[~won], (slots[~won] + np.uint64(1)) & self._mask
        self.count += len(keys)

    def items(self) -> tuple[Array, Array]:
        used = self._keys != 0
        return self._keys[used], self._values[used]


def _distinct(keys: Array) -> tuple[Array, Array, Array]:
    """Distinct keys, the first row of each, and the place of each row's among them. Mostly no key comes twice, which is cheaper told."""
    ordered = np.sort(keys)
    if (ordered[1:] == ordered[:-1]).any():
        return np.unique(keys, return_index=True, return_inverse=True)
    rows = np.arange(len(keys))
    return keys, rows, rows


class Duplicates:
    """Remembers which events have been seen; with a window of 0, none."""

    def __init__(self, window_events: int = 1_000_000) -> None:
        self._off = window_events == 0
        self._capacity = max(window_events // 2, 1)
        self._young = _Table(self._capacity)
        self._old = _Table(self._capacity)

    def mark(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Add ``_duplicate`` and ``_conflict`` to rows in processing order, and remember them.

        Rows without an ``event.id`` are neither. The answer does not depend on how the stream is cut.
        """
        duplicate = np.zeros(frame.height, dtype=bool)
        conflict = np.zeros(frame.height, dtype=bool)
        named = np.flatnonzero(frame["event.id"].is_not_null().to_numpy() & (not self._off))
        if len(named):
            keyed = frame.select(pl.struct("miniprogram.app_id", "event.id").hash(7).alias("key"), HASH).gather(named)
            keys = np.maximum(keyed["key"].to_numpy(), np.uint64(1))
            content = keyed[HASH].to_numpy()
            for first in range(0, len(named), max(self._capacity, 1)):
                piece = slice(first, first + self._capacity)
                self._mark(keys[piece], content[piece], named[piece], duplicate, conflict)
        return frame.hstack([pl.Series(DUPLICATE, duplicate), pl.Series(CONFLICT, conflict)])

    def _mark(self, keys: Array, content: Array, rows: Array, duplicate: Array, conflict: Array) -> None:
        while len(keys):
            room = max(self._capacity - self._young.count, 0)
            now, then = slice(0, room), slice(room, None)
            self._look(keys[now], content[now], rows[now], duplicate, conflict)
            keys, content, rows = keys[then], content[then], rows[then]
            if self._young.count >= self._capacity:
                self._old, self._young = self._young, _Table(self._capacity)

    def _look(self, keys: Array, content: Array, rows: Array, duplicate: Array, conflict: Array) -> None:
        """At most as many rows as the young table has room for."""
        distinct, first, back = _distinct(keys)
        known, said = self._young.find(distinct)
        known_old, said_old = self._old.find(distinct)
        said = np.where(known, said, np.where(known_old, said_old, content[first]))
        known |= known_old
        again = known[back] | (np.arange(len(keys)) != first[back])
        same = content == said[back]
        duplicate[rows] = again & same
        conflict[rows] = again & ~same
        fresh = np.sort(first[~known])
        self._young.add(keys[fresh], content[fresh])

    def snapshot(self) -> dict[str, pl.DataFrame]:
        frames = {}
        for name, table in (("young", self._young), ("old", self._old)):
            keys, values = table.items()
            frames[name] = pl.DataFrame({"key": keys, "value": values})
        return frames

    def restore(self, state: dict[str, pl.DataFrame]) -> None:
        """Take up a snapshot; what a larger memory remembered is known until as much as this one remembers has come."""
        tables = []
        for name in ("young", "old"):
            frame = state[name]
            table = _Table(max(self._capacity, frame.height))
            table.add(frame["key"].to_numpy(), frame["value"].to_numpy())
            tables.append(table)
        self._young, self._old = tables
