"""Whole numbers summed for keys as bare arrays, apart for each window until it has ended; what keys are called is written down elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

Array = npt.NDArray[Any]
Keys = npt.NDArray[np.uint64]
Counts = npt.NDArray[np.int64]

LOOSE: Final = 500_000
"""Keys that wait beyond what there was after the last merging before they are merged again."""


def grouped(keys: Keys, count: Array | None = None) -> tuple[Array, Counts]:
    """Of each different key, in order, a row that has it; and how many have, or what they count together."""
    if not len(keys):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    order = np.argsort(keys)
    ordered = keys[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    if count is None:
        return order[starts], np.diff(np.append(starts, len(keys)))
    return order[starts], np.add.reduceat(count[order], starts).astype(np.int64)


class Sums:
    """How much was counted for each key, by window; in a window of `keys_max` keys at most, the smallest: always the same ones."""

    def __init__(self, keys_max: int) -> None:
        self._keys_max = keys_max
        self.forgotten = 0
        self._parts: dict[int, list[tuple[Keys, Counts]]] = {}
        self._loose: dict[int, int] = {}

    def add(self, windows: Counts, keys: Keys, counts: Counts) -> None:
        """Take counts, each with the window that it is of."""
        if not len(keys):
            return
        first, last = int(windows.min()), int(windows.max())
        for window in [first] if first == last else np.unique(windows).tolist():
            mine = windows == window
            parts = self._parts.setdefault(window, [])
            parts.append((keys, counts) if first == last else (keys[mine], counts[mine]))
            self._loose[window] = self._loose.get(window, 0) + len(parts[-1][0])
            if self._loose[window] > LOOSE + 2 * len(parts[0][0]):
                self._parts[window], self._loose[window] = [self._bounded(window)], 0

    def _whole(self, window: int) -> tuple[Keys, Counts]:
        parts = self._parts.get(window, [])
        if not parts:
            return np.empty(0, np.uint64), np.empty(0, np.int64)
        keys = np.concatenate([each for each, _ in parts])
        first, counts = grouped(keys, np.concatenate([each for _, each in parts]))
        return keys[first], counts

    def _bounded(self, window: int) -> tuple[Keys, Counts]:
        """As many as are kept; the others are counted."""
        keys, counts = self._whole(window)
        self.forgotten += max(0, len(keys) - self._keys_max)
        return keys[: self._keys_max], counts[: self._keys_max]

    def take(self, window: int) -> tuple[Keys, Counts]:
        """The keys of a window that has ended, in order, each with its sum; they are forgotten here."""
        whole = self._bounded(window)
        self._parts.pop(window, None)
        self._loose.pop(window, None)
        return whole

    def snapshot(self, name: str) -> dict[str, pl.DataFrame]:
        """A named frame for a detector's snapshot."""
        frames = [pl.DataFrame(schema=_SUMS)]
        for window in sorted(self._parts):
            keys, counts = self._whole(window)
            columns = {"window": np.full(len(keys), window), "key": keys, "count": counts}
            frames.append(pl.DataFrame(columns, schema=_SUMS))
        return {name: pl.concat(frames)}

    def restore(self, name: str, state: Mapping[str, pl.DataFrame]) -> None:
        """Take up what `snapshot` gave; raises `ValueError` where it is not of this kind."""
        if name not in state or state[name].schema != _SUMS:
            raise ValueError(f"there is no {name}")
        self._parts = {
            int(part["window"][0]): [(part["key"].to_numpy().copy(), part["count"].to_numpy().copy())]
            for part in state[name].partition_by("window", maintain_order=True)
        }
        self._loose = dict.fromkeys(self._parts, 0)


_SUMS: Final = pl.Schema({"window": pl.Int64(), "key": pl.UInt64(), "count": pl.Int64()})
