"""Percentiles of many stretches of one column at once, exact, without sorting each stretch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]


class Ranks:
    """A column of numbers that can say which is the k-th smallest between two rows.

    A wavelet matrix: the numbers' ranks are parted bit by bit from the highest; each level keeps how many zeros stand
    before each row, which leads a question down in as many steps as a rank has bits, all questions side by side.
    """

    def __init__(self, numbers: Numbers) -> None:
        self._numbers, codes = np.unique(numbers, return_inverse=True)
        codes = codes.astype(np.int64)
        self._levels: list[tuple[int, Integers]] = []
        for bit in range(max(len(self._numbers) - 1, 0).bit_length() - 1, -1, -1):
            is_one = (codes >> bit & 1).astype(np.bool_)
            self._levels.append((bit, np.concatenate([[0], np.cumsum(~is_one)])))
            codes = np.concatenate([codes[~is_one], codes[is_one]])

    def smallest(self, start: Integers, end: Integers, place: Integers) -> Numbers:
        """The number at `place`, from 0, among those of the rows from `start` to before `end`, in rising order."""
        code = np.zeros(len(place), dtype=np.int64)
        for bit, zeros in self._levels:
            low, high = zeros[start], zeros[end]
            is_zero = place < high - low
            place = np.where(is_zero, place, place - (high - low))
            start = np.where(is_zero, low, zeros[-1] + start - low)
            end = np.where(is_zero, high, zeros[-1] + end - high)
            code |= np.where(is_zero, 0, 1 << bit)
        return self._numbers[code]

    def percentile(self, start: Integers, end: Integers, percentile: float) -> Numbers:
        """The percentile of the rows from `start` to before `end`, by linear interpolation between the two nearest.

        Of n numbers in rising order, counted from 0, it is the one at percentile × (n - 1) / 100. A stretch must not be empty.
        """
        at = percentile * (end - start - 1) / 100
        below = np.floor(at).astype(np.int64)
        above = np.ceil(at).astype(np.int64)
        low, high = self.smallest(start, end, below), self.smallest(start, end, above)
        return low + (at - below) * (high - low)
