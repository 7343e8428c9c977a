"""Where the lines of a raw batch stand, when they came as messages: a map in columns from bytes to positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

Offsets = npt.NDArray[np.int64]

MESSAGE_BITS: Final = 20
"""A line's position is its message's offset, shifted by so many bits, and where in its message it begins."""

MESSAGE_BYTES_MAX: Final = 1 << MESSAGE_BITS
"""Positions within a larger message would run into those of the next: it is left out whole, as an oversized line is."""

UNKNOWN: Final = -1
"""In place of an arrival that nobody tells."""

_NONE: Final = np.empty(0, dtype=np.int64)


class Messages(msgspec.Struct, frozen=True):
    """The stretches of a batch's data within which positions run as bytes do: a message each, or what is between two
    lines that were left out of it. In columns, a row for each stretch, in their order.
    """

    begins: Offsets = msgspec.field(default_factory=lambda: _NONE)  # in the data; the first, if there is one, is 0
    positions: Offsets = msgspec.field(default_factory=lambda: _NONE)  # of the lines that begin there
    arrivals: Offsets = msgspec.field(default_factory=lambda: _NONE)  # microseconds; `UNKNOWN` where nobody tells

    def at(self, offsets: Offsets) -> Offsets:
        """The positions of these offsets in the data."""
        stretch = np.searchsorted(self.begins, offsets, side="right") - 1
        found: Offsets = self.positions[stretch] + offsets - self.begins[stretch]
        return found

    def offset(self, position: int, size: int) -> int:
        """Where in the data, which has so many bytes, the line at a position begins, or the first after it."""
        after = int(np.searchsorted(self.positions, position, side="right"))
        if not after:
            return 0
        end = int(self.begins[after]) if after < len(self.begins) else size
        return min(int(self.begins[after - 1]) + position - int(self.positions[after - 1]), end)

    def arrived(self, positions: Offsets) -> Offsets:
        """When the lines at these positions arrived."""
        found: Offsets = self.arrivals[np.searchsorted(self.positions, positions, side="right") - 1]
        return found

    def part(self, begin: int, end: int) -> Messages:
        """The map of the data from one offset to another."""
        if begin >= end:
            return Messages()
        first = int(np.searchsorted(self.begins, begin, side="right")) - 1
        after = int(np.searchsorted(self.begins, end, side="left"))
        begins, positions = self.begins[first:after] - begin, self.positions[first:after].copy()
        positions[0] -= begins[0]
        begins[0] = 0
        return Messages(begins, positions, self.arrivals[first:after])

    def then(self, size: int, following: Messages) -> Messages:
        """The map of this data, of so many bytes, and other data after it."""
        return joined([self, following], [size, 0])


def joined(maps: Sequence[Messages], sizes: Sequence[int]) -> Messages:
    """The map of several pieces of data after one another, of which each has so many bytes."""
    if len(maps) == 1:
        return maps[0]
    if not maps:
        return Messages()
    begun = np.concatenate([[0], np.cumsum(sizes[:-1], dtype=np.int64)]).tolist()
    return Messages(
        np.concatenate([one.begins + at for one, at in zip(maps, begun, strict=True)]),
        np.concatenate([one.positions for one in maps]),
        np.concatenate([one.arrivals for one in maps]),
    )


def position_told(partition: str, position: int) -> str:
    """Where a line begins, for people: its message and where in it, or the byte of what is no topic."""
    if not partition.startswith("kafka:"):
        return f"byte {position:,}"
    within = position % MESSAGE_BYTES_MAX
    return f"offset {position >> MESSAGE_BITS:,}{f', byte {within:,} of the message' if within else ''}"
