"""Where each value of a growing column was seen last."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
Integers = npt.NDArray[np.int64]

NOWHERE: Final = -1
"""The row of a value that was not seen."""

_SPARE: Final = 1_024
"""Entries that may be out of date before they are cleared, beside as many as are not."""


class LastRows:
    """Rows by the hash of their value, in sorted runs, of which two are joined when the newer has half the size of the older.

    So an entry is moved as many times as the number of entries has bits, and a question looks through as many runs.
    """

    def __init__(self) -> None:
        self._runs: list[tuple[Hashes, Integers]] = []

    def of(self, hashes: Hashes) -> Integers:
        """The last row of each hash."""
        found = np.full(len(hashes), NOWHERE, dtype=np.int64)
        for known, rows in self._runs:
            at = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
            is_there = known[at] == hashes
            found[is_there] = rows[at[is_there]]
        return found

    def add(self, hashes: Hashes, rows: Integers) -> None:
        """These are the last rows of some hashes now, each there once and in rising order."""
        self._runs.append((hashes, rows))
        while len(self._runs) > 1 and len(self._runs[-2][0]) <= 2 * len(self._runs[-1][0]):
            newer, older = self._runs.pop(), self._runs.pop()
            self._runs.append(_joined(older, newer))

    def cut(self, first: int, live: int) -> None:
        """Rows before one are gone, and so many are left: entries of those that are gone are cleared when there are too many."""
        if sum(len(hashes) for hashes, _ in self._runs) > 2 * live + _SPARE:
            runs = [(hashes[rows >= first], rows[rows >= first]) for hashes, rows in self._runs]
            self._runs = [run for run in runs if len(run[0])]


def _joined(older: tuple[Hashes, Integers], newer: tuple[Hashes, Integers]) -> tuple[Hashes, Integers]:
    hashes, rows = (np.concatenate(parts) for parts in zip(older, newer, strict=True))
    order = np.argsort(hashes, kind="stable")
    hashes, rows = hashes[order], rows[order]
    is_last = np.append(hashes[1:] != hashes[:-1], True)
    return hashes[is_last], rows[is_last]
