"""The windows of event time in which statistics count: five minutes, of which twelve are an hour, and the moments at which they end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from detectors.event import MICROSECONDS, WATERMARK, Batch

WINDOW_S: Final = 300
WINDOW_US: Final = WINDOW_S * MICROSECONDS
WINDOWS_PER_HOUR: Final = 3_600 // WINDOW_S
WINDOWS_PER_DAY: Final = 24 * WINDOWS_PER_HOUR


@dataclass(frozen=True, slots=True)
class Window:
    """One window, by its number since 1970."""

    index: int

    @property
    def start(self) -> int:
        """Microseconds; its first instant."""
        return self.index * WINDOW_US

    @property
    def end(self) -> int:
        """Microseconds; the first instant after it."""
        return (self.index + 1) * WINDOW_US

    @property
    def hour(self) -> int:
        """The hour since 1970 that it is part of."""
        return self.index // WINDOWS_PER_HOUR

    @property
    def hour_of_day(self) -> int:
        """0 to 23, UTC."""
        return self.hour % 24

    @property
    def ends_hour(self) -> bool:
        return (self.index + 1) % WINDOWS_PER_HOUR == 0

    @property
    def ends_day(self) -> bool:
        """Days are of UTC."""
        return (self.index + 1) % WINDOWS_PER_DAY == 0


def window_at(time: int) -> int:
    """The number of the window in which a moment (microseconds) lies."""
    return time // WINDOW_US


def ended_by(watermark: int) -> int:
    """The first window that has not ended: an event of it may still come."""
    return (watermark + 1) // WINDOW_US


def endings(batch: Batch, after: int) -> list[tuple[int, int]]:
    """The windows, numbered up to but not with the second, that end during a batch, with the row that ends them.

    Pairs of (row, first window that has not ended), rising; `after` is the first that had not ended before the batch.
    """
    marks: npt.NDArray[np.int64] = (
        (batch.frame[WATERMARK].to_numpy() + 1) // WINDOW_US if batch.frame.height else np.empty(0, np.int64)
    )
    found = []
    reached = after
    while len(marks):
        row = int(np.searchsorted(marks, reached, side="right"))
        if row == len(marks):
            break
        reached = int(marks[row])
        found.append((row, reached))
    last = ended_by(batch.watermark)
    if last > reached:
        found.append((max(0, len(marks) - 1), last))
    return found
