"""Which base rules were hit in the window of each event, and in which order."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Sequence

Integers = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

Known = tuple[int, ...]
"""What is known: when a rule was hit last, or when, at the latest, so much of an order began that has been found."""

NOTHING: Final[Mapping[Known, int]] = MappingProxyType({})


class Hits:
    """What the windows of some events hold of the hits of base rules.

    `place` orders all events as `Events` does, `first` is the least place that each window asked about reaches; `masks`
    have a bit for each rule that an event hit. What is known after a row stands one place further on in each array, so that row 0 has a "just before". Places rise
    from group to group: what was hit in an earlier group stands before the beginning of every window of a later one.
    Of one group, `before` is what was known after the events before these; `known` is what is, once it was asked.
    """

    def __init__(
        self, place: Integers, first: Integers, masks: Integers, bases: int, before: Mapping[Known, int] = NOTHING
    ) -> None:
        self._place = place
        self._first = first
        self._before = before
        self.known: dict[Known, int] = {}
        self._last = [self._latest((base,), masks >> base & 1 == 1, place) for base in range(bases)]

    def inside(self, base: int, rows: Integers) -> Flags:
        """Whether a rule was hit in the window, as of some rows of the arrays."""
        found: Flags = self._last[base][rows] >= self._first
        return found

    def count(self, rows: Integers) -> Numbers:
        """How many of the rules were hit."""
        found: Numbers = np.sum([self.inside(base, rows) for base in range(len(self._last))], axis=0, dtype=np.float64)
        return found

    def in_order(self, steps: Sequence[int], rows: Integers) -> Flags:
        """Whether all steps were hit one after the other; those of one instant come in any order."""
        begun = self._place
        latest = begun
        for length, step in enumerate(steps):
            latest = self._latest((*steps, -1, length), self._is_at(step), begun)
            begun = latest[1:]
        found: Flags = latest[rows] >= self._first
        return found

    def longest(self, steps: Sequence[int], rows: Integers) -> Numbers:
        """How many of the steps were hit one after the other, some left out."""
        found = np.zeros(len(rows), dtype=np.float64)
        # For each step: where, at the latest, so many steps that end before it began.
        begun = [self._place] * (len(steps) + 1)
        for length in range(1, len(steps) + 1):
            ended = np.full(len(self._place) + 1, -1, dtype=np.int64)
            following = [ended[1:]]
            for place, step in enumerate(steps):
                ended = np.maximum(ended, self._latest((-1, length, place), self._is_at(step), begun[place]))
                following.append(ended[1:])
            begun = following
            found[ended[rows] >= self._first] = length
        return found

    def _is_at(self, step: int) -> Flags:
        """Whether a rule was hit at the instant of a row, up to that row."""
        found: Flags = self._last[step][1:] == self._place
        return found

    def _latest(self, what: Known, told: Flags, places: Integers) -> Integers:
        """The greatest of the told places up to each row, and before the first."""
        before = self._before.get(what, -1)
        latest: Integers = np.maximum.accumulate(np.concatenate([[before], np.where(told, places, -1)]))
        self.known[what] = int(latest[-1])
        return latest
