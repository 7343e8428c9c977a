"""Counts of keys and of distinct visitors as bare arrays, apart for each window until it has ended: what every event takes part in.

What belongs to a key (its names) is written down when it comes for the first time: `Tallies` tells where that is. Pairs are kept as they
come and sorted when a window has ended, which is several times cheaper than grouping them. What is given out does not depend on how the events
were cut into batches.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors import kernel

Keys = npt.NDArray[np.uint64]
Counts = npt.NDArray[np.int64]

LOOSE: Final = 2_000_000
"""Keys that wait before they are counted."""

VISITOR_BITS: Final = 28
"""Of a visitor's key those that tell the visitor; the rest tell whom they visit."""


def distinct_of(keys: Keys) -> Keys:
    """Each key once, in order. Sorted, not hashed: no choice of keys makes it slow."""
    ordered = np.sort(keys)
    once: Keys = ordered[_first(ordered)]
    return once


def _first(ordered: Keys) -> npt.NDArray[np.bool_]:
    """Which of keys in order are the first of their kind."""
    first = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return first


def _counted(ordered: Keys) -> tuple[Keys, Counts]:
    """Of keys in order each once, with how often it comes."""
    begins = np.flatnonzero(_first(ordered))
    return ordered[begins], np.diff(begins, append=len(ordered))


def merged(keys: Keys, counts: Counts, others: Keys, n: Counts) -> tuple[Keys, Counts]:
    """Two lists of keys in order, with counts, as one: several times cheaper than to group them."""
    if kernel.available():
        whole, sums = kernel.module.merged(keys, counts.view(np.uint64), others, n.view(np.uint64))
        return np.frombuffer(whole, np.uint64), np.frombuffer(sums, np.int64)
    at = np.searchsorted(keys, others)
    known = np.zeros(len(others), np.bool_)
    if len(keys):
        known = keys[np.minimum(at, len(keys) - 1)] == others
    counts = counts.copy()
    counts[at[known]] += n[known]
    return np.insert(keys, at[~known], others[~known]), np.insert(counts, at[~known], n[~known])


def grouped(keys: Keys, count: Counts | None = None) -> tuple[Counts, Counts]:
    """Of each different key, in order, a row that has it; and how many have, or what they count together."""
    if not len(keys):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    order = np.argsort(keys)
    ordered = keys[order]
    starts = np.flatnonzero(_first(ordered))
    if count is None:
        return order[starts], np.diff(np.append(starts, len(keys)))
    return order[starts], np.add.reduceat(count[order], starts).astype(np.int64)


class Tally:
    """How much was counted of each key; of more than `keys_max` keys the smallest stay, whenever the others came."""

    def __init__(self, keys_max: int) -> None:
        self._keys_max = keys_max
        self._kernel: Any = kernel.module.Tally(keys_max) if kernel.available() else None
        self._keys, self._counts = np.empty(0, np.uint64), np.empty(0, np.int64)
        self._last = np.uint64(2**64 - 1)  # larger keys are not counted any more
        self._left_out = 0

    @property
    def left_out(self) -> int:
        """How many keys had to go."""
        return self._left_out if self._kernel is None else int(self._kernel.left_out)

    def add(self, keys: Keys, counts: Counts | None = None) -> Counts:
        """Count keys, each once or as often as is said; gives the rows, rising, of those that were not there before."""
        if not len(keys):
            return np.empty(0, np.int64)
        if self._kernel is not None:
            whole = None if counts is None else np.ascontiguousarray(counts)
            return np.frombuffer(self._kernel.add(np.ascontiguousarray(keys), whole), np.int64)
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        begins = np.flatnonzero(_first(ordered))
        n = np.diff(begins, append=len(keys))
        if counts is not None:
            n = np.add.reduceat(np.maximum(counts[order], 1), begins)
        each, first = ordered[begins], order[begins]
        counted = each <= self._last
        each, first, n = each[counted], first[counted], n[counted]
        at = np.searchsorted(self._keys, each)
        known = np.zeros(len(each), np.bool_)
        if len(self._keys):
            known = self._keys[np.minimum(at, len(self._keys) - 1)] == each
        self._counts[at[known]] += n[known]
        self._keys = np.insert(self._keys, at[~known], each[~known])
        self._counts = np.insert(self._counts, at[~known], n[~known])
        if len(self._keys) > 2 * self._keys_max:
            self._bound()
        return np.sort(first[~known])

    def _bound(self) -> None:
        left_out = len(self._keys) - self._keys_max
        if left_out > 0:
            self._keys, self._counts = self._keys[: self._keys_max].copy(), self._counts[: self._keys_max].copy()
            self._last = min(self._last, self._keys[-1])
            self._left_out += left_out

    def counted(self) -> tuple[Keys, Counts]:
        """Keys in order, with their counts."""
        if self._kernel is not None:
            keys, counts = self._kernel.counted()
            return np.frombuffer(keys, np.uint64), np.frombuffer(counts, np.int64)
        self._bound()
        return self._keys, self._counts

    def clear(self) -> None:
        """Forget all keys."""
        if self._kernel is not None:
            self._kernel.clear()
        self._keys, self._counts = np.empty(0, np.uint64), np.empty(0, np.int64)
        self._last, self._left_out = np.uint64(2**64 - 1), 0


class Tallies:
    """How much was counted of each key, by window; in a window of `keys_max` keys at most, the smallest: always the same ones."""

    def __init__(self, keys_max: int) -> None:
        self._keys_max = keys_max
        self._windows: dict[int, Tally] = {}
        self._spare: list[Tally] = []  # what one window took as room the next one is given: it is dear to come by
        self.forgotten = 0

    def add(self, window: int, keys: Keys, counts: Counts | None = None) -> Counts:
        """Count keys; gives the rows, rising, of those that come for the first time in the window."""
        if window not in self._windows:
            self._windows[window] = self._spare.pop() if self._spare else Tally(self._keys_max)
        return self._windows[window].add(keys, counts)

    def take(self, window: int) -> tuple[Keys, Counts]:
        """The keys of a window that has ended, in order, with their counts; they are forgotten here."""
        tally = self._windows.pop(window, None)
        if tally is None:
            return np.empty(0, np.uint64), np.empty(0, np.int64)
        counted = tally.counted()
        self.forgotten += tally.left_out
        tally.clear()
        self._spare = [tally]
        return counted

    def snapshot(self, name: str) -> dict[str, pl.DataFrame]:
        """A named frame for a detector's snapshot."""
        frames = [pl.DataFrame(schema=_COUNTED)]
        for window, tally in sorted(self._windows.items()):
            keys, counts = tally.counted()
            columns = {"window": np.full(len(keys), window), "key": keys, "count": counts}
            frames.append(pl.DataFrame(columns, schema=_COUNTED))
        return {name: pl.concat(frames)}

    def restore(self, name: str, state: Mapping[str, pl.DataFrame]) -> None:
        """Take up what `snapshot` gave; raises `ValueError` where it is not of this kind."""
        frame = _frame(name, state, _COUNTED)
        self._windows = {}
        for part in frame.partition_by("window", maintain_order=True):
            self.add(int(part["window"][0]), part["key"].to_numpy(), part["count"].to_numpy())


class KeyCounts:
    """How often each key came, by window."""

    def __init__(self) -> None:
        self._raw: dict[int, list[Keys]] = {}
        self._counted: dict[int, tuple[Keys, Counts]] = {}

    def add(self, window: int, keys: Keys) -> None:
        """Count keys, one an event."""
        if not len(keys):
            return
        raw = self._raw.setdefault(window, [])
        raw.append(keys)
        if sum(map(len, raw)) > LOOSE:
            self._counted[window], self._raw[window] = self._whole(window), []

    def _whole(self, window: int) -> tuple[Keys, Counts]:
        counted = self._counted.get(window)
        raw = self._raw.get(window)
        if not raw:
            return counted if counted is not None else (np.empty(0, np.uint64), np.empty(0, np.int64))
        ordered = np.concatenate(raw)
        ordered.sort()
        keys, counts = _counted(ordered)
        if counted is None:
            return keys, counts
        return merged(*counted, keys, counts)

    def take(self, window: int) -> tuple[Keys, Counts]:
        """The keys of a window that has ended, in order, with their counts; they are forgotten here."""
        whole = self._whole(window)
        self._raw.pop(window, None)
        self._counted.pop(window, None)
        return whole

    def snapshot(self, name: str) -> dict[str, pl.DataFrame]:
        """A named frame for a detector's snapshot."""
        frames = [pl.DataFrame(schema=_COUNTED)]
        for window in sorted(self._raw.keys() | self._counted.keys()):
            keys, counts = self._whole(window)
            frames.append(
                pl.DataFrame({"window": np.full(len(keys), window), "key": keys, "count": counts}, schema=_COUNTED)
            )
        return {name: pl.concat(frames)}

    def restore(self, name: str, state: Mapping[str, pl.DataFrame]) -> None:
        """Take up what `snapshot` gave; raises `ValueError` where it is not of this kind."""
        frame = _frame(name, state, _COUNTED)
        self._raw = {}
        self._counted = {
            int(part["window"][0]): (part["key"].to_numpy().copy(), part["count"].to_numpy().copy())
            for part in frame.partition_by("window", maintain_order=True)
        }


_COUNTED: Final = pl.Schema({"window": pl.Int64(), "key": pl.UInt64(), "count": pl.Int64()})


class Busiest(KeyCounts):
    """Of each key that visitors come with, how often it came with the one who came most, and with how many it came often, by window.

    Keys are as `Visitors.keyed` has them. Beyond `pairs_max` in a window half of those who are visited are looked at (or a quarter …),
    always the same ones: of the others nothing is known.
    """

    def __init__(self, pairs_max: int) -> None:
        super().__init__()
        self._pairs_max = pairs_max
        self._halved: dict[int, int] = {}

    def add(self, window: int, keys: Keys) -> None:
        super().add(window, keys[self._stays(keys, halved)] if (halved := self._halved.get(window, 0)) else keys)

    @staticmethod
    def _stays(keys: Keys, halved: int) -> npt.NDArray[np.bool_]:
        """Those whose visits are looked at where so many times half of them are left out."""
        stays: npt.NDArray[np.bool_] = Visitors.visited(keys) & np.uint64((1 << halved) - 1) == 0
        return stays

    def _whole(self, window: int) -> tuple[Keys, Counts]:
        keys, counts = super()._whole(window)
        halved = self._halved.get(window, 0)
        while True:
            if halved:
                kept = self._stays(keys, halved)
                keys, counts = keys[kept], counts[kept]
            if len(keys) <= self._pairs_max:
                return keys, counts
            halved += 1
            self._halved[window] = halved

    def take_most(self, window: int, visited: Keys, often: int = 1) -> tuple[Counts, Counts, Counts]:
        """Of each of these, as `Visitors.visited` tells them, how often it was with the one who came most, how many came, and how many so often.

        0 where nothing is known. The window is forgotten here.
        """
        keys, counts = self.take(window)
        self._halved.pop(window, None)
        if not len(keys):
            none = np.zeros(len(visited), np.int64)
            return none, none, none
        whom = Visitors.visited(keys)
        begins = np.flatnonzero(_first(whom))
        whom, most = whom[begins], np.maximum.reduceat(counts, begins)
        came = np.diff(np.append(begins, len(counts)))
        came_often = np.add.reduceat((counts >= often).astype(np.int64), begins)
        at = np.minimum(np.searchsorted(whom, visited), len(whom) - 1)
        here = whom[at] == visited
        return np.where(here, most[at], 0), np.where(here, came[at], 0), np.where(here, came_often[at], 0)

    def snapshot(self, name: str) -> dict[str, pl.DataFrame]:
        frames = super().snapshot(name)  # first, for it may halve
        return {**frames, f"{name}.halved": pl.DataFrame(sorted(self._halved.items()), schema=_HALVED, orient="row")}

    def restore(self, name: str, state: Mapping[str, pl.DataFrame]) -> None:
        super().restore(name, state)
        self._halved = dict(_frame(f"{name}.halved", state, _HALVED).iter_rows())


_HALVED: Final = pl.Schema({"window": pl.Int64(), "times": pl.Int64()})


class Visitors:
    """How many different visitors each had whom they visit, by window.

    A key has whom in its upper 36 bits and the visitor in the lower 28: two of those visited share a number with a probability of one in
    seventy thousand millions a pair, and two visitors of one count as one with one in 270 million. Beyond `visitors_max` in a window half of
    the visitors are looked at (or a quarter …), always the same ones, and stand for all.
    """

    def __init__(self, visitors_max: int) -> None:
        self._visitors_max = visitors_max
        self._parts: dict[int, list[Keys]] = {}
        self._loose: dict[int, int] = {}
        self._halved: dict[int, int] = {}

    @staticmethod
    def keyed(visited: Keys, visitors: Keys) -> Keys:
        """Of hashes of whom and by whom the keys."""
        shift = np.uint64(VISITOR_BITS)
        keys: Keys = (visited >> shift << shift) | (visitors >> np.uint64(64 - VISITOR_BITS))
        return keys

    @staticmethod
    def visited(hashes: Keys) -> Keys:
        """The numbers by which `take` tells whom."""
        numbers: Keys = hashes >> np.uint64(VISITOR_BITS)
        return numbers

    def add(self, window: int, keys: Keys) -> None:
        """Visits, as `keyed` has them, one an event."""
        self._parts.setdefault(window, []).append(keys)
        self._loose[window] = self._loose.get(window, 0) + len(keys)
        if self._loose[window] > LOOSE + 2 * len(self._parts[window][0]):
            self._parts[window], self._loose[window] = [self._bounded(window)], 0

    def _bounded(self, window: int) -> Keys:
        """The visits of a window, each visitor's once and in order; of too many a part."""
        parts = self._parts.get(window, [])
        keys = distinct_of(np.concatenate(parts)) if parts else np.empty(0, np.uint64)
        keys = self._part(keys, self._halved.get(window, 0))
        while len(keys) > self._visitors_max:
            self._halved[window] = self._halved.get(window, 0) + 1
            keys = self._part(keys, self._halved[window])
        return keys

    @staticmethod
    def _part(keys: Keys, halved: int) -> Keys:
        if not halved:
            return keys
        seen = keys & np.uint64((1 << VISITOR_BITS) - 1)
        return keys[seen < np.uint64(1 << (VISITOR_BITS - halved))]

    def take(self, window: int) -> tuple[Keys, Counts]:
        """Those visited in a window that has ended, in order, with how many visitors; forgotten here."""
        keys = self._bounded(window)
        halved = self._halved.pop(window, 0)
        self._parts.pop(window, None)
        self._loose.pop(window, None)
        numbers, counts = _counted(self.visited(keys))
        return numbers, counts << halved

    def snapshot(self, name: str) -> dict[str, pl.DataFrame]:
        """A named frame for a detector's snapshot."""
        frames = [pl.DataFrame(schema=_VISITED)]
        for window in sorted(self._parts):
            keys = self._bounded(window)
            halved = self._halved.get(window, 0)
            columns = {"window": np.full(len(keys), window), "key": keys, "halved": np.full(len(keys), halved)}
            frames.append(pl.DataFrame(columns, schema=_VISITED))
        return {name: pl.concat(frames)}

    def restore(self, name: str, state: Mapping[str, pl.DataFrame]) -> None:
        """Take up what `snapshot` gave; raises `ValueError` where it is not of this kind."""
        frame = _frame(name, state, _VISITED)
        self._parts, self._halved = {}, {}
        for part in frame.partition_by("window", maintain_order=True):
            window = int(part["window"][0])
            self._parts[window] = [part["key"].to_numpy().copy()]
            if halved := int(part["halved"][0]):
                self._halved[window] = halved
        self._loose = dict.fromkeys(self._parts, 0)


_VISITED: Final = pl.Schema({"window": pl.Int64(), "key": pl.UInt64(), "halved": pl.Int64()})


def _frame(name: str, state: Mapping[str, pl.DataFrame], schema: pl.Schema) -> pl.DataFrame:
    if name not in state or state[name].schema != schema:
        raise ValueError(f"there is no {name}")
    return state[name]
