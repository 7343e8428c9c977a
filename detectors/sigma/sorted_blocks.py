"""Very many numbers in rising order, to which some are added and from which some are taken at a time."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

BLOCK: Final = 2_048
"""Numbers in a block when it is made; one of twice as many is halved."""


class SortedBlocks:
    """Numbers in rising order, cut into blocks, so that a change moves only those of its block."""

    def __init__(self, numbers: Numbers) -> None:
        self._blocks = _blocks(numbers)

    def __len__(self) -> int:
        return sum(map(len, self._blocks))

    def between(self, begin: int, end: int) -> Numbers:
        """The numbers from one place to before another, in order."""
        ends = np.cumsum([len(block) for block in self._blocks])
        parts = []
        for place in range(int(np.searchsorted(ends, begin, side="right")), len(self._blocks)):
            first = int(ends[place]) - len(self._blocks[place])
            if first >= end:
                break
            parts.append(self._blocks[place][max(begin - first, 0) : end - first])
        return np.concatenate(parts) if parts else np.empty(0)

    def add(self, numbers: Numbers) -> None:
        if not self._blocks:
            self._blocks = _blocks(numbers)
            return
        ordered = np.sort(numbers)
        places = np.minimum(np.searchsorted(self._greatest, ordered), len(self._blocks) - 1)
        for place in np.unique(places)[::-1].tolist():  # from behind: those before it keep their places
            block, more = self._blocks[place], ordered[places == place]
            joined = np.insert(block, np.searchsorted(block, more), more)
            halves = -(-len(joined) // BLOCK) if len(joined) > 2 * BLOCK else 1
            self._blocks[place : place + 1] = np.array_split(joined, halves)

    def take(self, numbers: Numbers) -> None:
        """Take away numbers that are there, each once."""
        ordered = np.sort(numbers)
        places = np.searchsorted(self._greatest, ordered)
        while len(ordered):
            left: list[tuple[Numbers, npt.NDArray[np.intp]]] = []
            for place in np.unique(places).tolist():
                some = ordered[places == place]
                gone, rest = _without(self._blocks[place], some)
                self._blocks[place] = gone
                left.append((rest, np.full(len(rest), place + 1)))  # equal numbers stand in the next block, too
            ordered, places = (np.concatenate(parts) for parts in zip(*left, strict=True))
        self._blocks = [block for block in self._blocks if len(block)]

    @property
    def _greatest(self) -> Numbers:
        return np.array([block[-1] for block in self._blocks])


def _blocks(numbers: Numbers) -> list[Numbers]:
    ordered = np.sort(numbers)
    return [ordered[at : at + BLOCK] for at in range(0, len(ordered), BLOCK)]


def _without(block: Numbers, numbers: Numbers) -> tuple[Numbers, Numbers]:
    """A block without some numbers in rising order, and those of them that it has not so often."""
    again = np.arange(len(numbers)) - np.searchsorted(numbers, numbers)  # how many equal ones come before it
    at = np.searchsorted(block, numbers) + again
    is_there = at < len(block)
    is_there[is_there] = block[at[is_there]] == numbers[is_there]
    return np.delete(block, at[is_there]), numbers[~is_there]
