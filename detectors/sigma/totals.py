"""Sums of many stretches of one column at once, which do not depend on what stands before a stretch."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from detectors.sigma.grown import Grown

Integers = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]

PARTS: Final = 1_000_000
"""Into which sums divide one: numbers are added in whole millionths, so that 0.1 + 0.2 is 0.3, and in any order."""

_HALF: Final = 2**26
"""Sums are kept in two halves, each far from what 64 bits hold."""

_EXACT: Final = 2**33
"""Up to here a float holds every millionth."""


class Totals:
    """A column of numbers, none farther from zero than 2**53, that can say what some of its rows add up to.

    It may grow for ever: sums that have become too large for 64 bits still differ by what stands between them.
    """

    def __init__(self, numbers: Numbers) -> None:
        self._sums = [Grown(np.int64) for _ in range(3)]  # each of what stands before a row
        for sums in self._sums:
            sums.add(np.zeros(1, dtype=np.int64))
        self.add(numbers)

    def add(self, numbers: Numbers) -> None:
        whole = np.floor(numbers)
        parts = np.rint((numbers - whole) * PARTS).astype(np.int64)
        units = whole.astype(np.int64)
        for sums, one in zip(self._sums, (units // _HALF, units % _HALF, parts), strict=True):
            sums.add(sums.rows[-1] + np.cumsum(one))

    def cut(self, first: int) -> None:
        """Let go of the rows before one; the others keep their numbers."""
        for sums in self._sums:
            sums.cut(first)

    def between(self, start: Integers, end: Integers) -> Numbers:
        """The sum of the rows from `start` to before `end`."""
        units, parts = self._between(start, end)
        total: Numbers = np.where(np.abs(units) < _EXACT, (units * PARTS + parts) / PARTS, units + parts / PARTS)
        return total

    def average(self, start: Integers, end: Integers) -> Numbers:
        """The sum over how many rows there are; 0 for none."""
        units, parts = self._between(start, end)
        rows = np.maximum(end - start, 1)
        exact = (units * PARTS + parts) / (rows * float(PARTS))
        average: Numbers = np.where(np.abs(units) < _EXACT, exact, (units + parts / PARTS) / rows)
        return average

    def _between(self, start: Integers, end: Integers) -> tuple[Numbers, Numbers]:
        """Whole units, and the millionths beyond them."""
        high, low, parts = (sums.at(end) - sums.at(start) for sums in self._sums)
        low += parts // PARTS
        return high * float(_HALF) + low, (parts % PARTS).astype(np.float64)
