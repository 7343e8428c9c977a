"""Times that are far ahead of the arrival clock: whether they are their events' own is told by what follows them.

After a gap in a log the first event is as far ahead as a forged one. What comes next tells the two apart: the log goes on
from there, so that the clock comes up to the event, or it goes on as if nothing had been, and then the event arrived
among the others whatever it claims. A row that itself asks for a leap tells nothing yet.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]


def confirmed(
    ahead: Array, calm: Array, times: Array, clock: Array, positions: Array, *, rows_max: int, bytes_max: int
) -> tuple[Array, Array]:
    """Which rows of a partition are believed, and of which of them what comes after the last row may still change that.

    `ahead` are the rows in question; `calm` those that ask for no leap; a time is confirmed when the clock is at or past
    it (`clock`: how late a time each row's clock allows), at the next calm row or `rows_max` rows on. What nothing follows
    that could tell, and not within `bytes_max`, is believed.
    """
    believed, is_open = ahead.copy(), np.zeros(len(ahead), dtype=bool)
    rows = np.flatnonzero(ahead)
    if not len(rows):
        return believed, is_open
    last = len(ahead) - 1
    calm_rows = np.append(np.flatnonzero(calm), last + 1)
    decisive = np.minimum(calm_rows[np.searchsorted(calm_rows[:-1], rows, side="right")], rows + rows_max)
    is_told = decisive <= last
    telling = np.minimum(decisive, last)
    is_near = positions[telling] - positions[rows] < bytes_max
    believed[rows] = ~is_told | ~is_near | (times[rows] <= clock[telling])
    is_open[rows] = ~is_told
    return believed, is_open
