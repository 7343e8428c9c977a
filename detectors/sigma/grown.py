"""Columns that grow at the end and are cut at the front, at a cost that goes with what is added."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

ROWS_MIN: Final = 1_024
"""Room that is made at first."""


class Grown:
    """One column. Rows are numbered from the first that ever was, whatever has been cut since."""

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self._room = np.empty(ROWS_MIN, dtype=dtype)
        self._begin = self._end = 0
        self.first = 0  # the number of the first row that is there

    @property
    def rows(self) -> Array:
        """What is there; it may be written to."""
        return self._room[self._begin : self._end]

    def between(self, begin: int, end: int) -> Array:
        """The rows from one number to before another; those that were cut are not asked for."""
        return self.rows[begin - self.first : end - self.first]

    def at(self, numbers: npt.NDArray[np.int64]) -> Array:
        """The rows of some numbers."""
        found: Array = self.rows[numbers - self.first]
        return found

    def add(self, values: Array) -> None:
        if self._end + len(values) > len(self._room):
            there = self.rows
            room = np.empty(max(ROWS_MIN, 2 * (len(there) + len(values))), dtype=self._room.dtype)
            room[: len(there)] = there
            self._room, self._begin, self._end = room, 0, len(there)
        self._room[self._end : self._end + len(values)] = values
        self._end += len(values)

    def cut(self, first: int) -> None:
        """Let go of the rows before a number."""
        self._begin += first - self.first
        self.first = first
