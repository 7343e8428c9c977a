"""Sums of what came of late, and of what had come before that: what comes little by little shows in the one beside the other.

What came of late is summed with a half-life of hours. What had come before does not hold it: it is put by for a day and more before it
counts as usual, so that who goes on slowly does not become so in the meantime.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from detectors.statistical.rows import Rows
from detectors.statistical.tails import Numbers
from detectors.statistical.windows import WINDOWS_PER_HOUR, Window

Array = npt.NDArray[Any]

HALF_LIFE_H: Final = 12

KEPT_A_DAY: Final = 1.0 - 1.0 / 14
"""Of what had come before so much is left after a day."""


def summed(width: int) -> dict[str, tuple[npt.DTypeLike, int]]:
    """Arrays of `Rows` for sums of so many numbers a row, where what had come before is known otherwise."""
    return {"lately": (np.float32, width), "closed": (np.int32, 1)}


def fields(width: int) -> dict[str, tuple[npt.DTypeLike, int]]:
    """Arrays of `Rows` for so many numbers a row."""
    sums: dict[str, tuple[npt.DTypeLike, int]] = dict.fromkeys(("today", "yesterday", "before"), (np.float32, width))
    return {**summed(width), **sums}


def sum_up(rows: Rows, places: Array, numbers: Numbers, window: Window) -> Numbers:
    """Add an hour's numbers, a row each; gives what came of late, with them."""
    past = np.maximum(window.index - rows["closed"][places].astype(np.float64), 0.0) / WINDOWS_PER_HOUR
    lately: Numbers = rows["lately"][places] * (0.5 ** (past / HALF_LIFE_H))[:, None] + numbers
    rows["lately"][places] = lately
    rows["closed"][places] = window.index
    return lately


def add(rows: Rows, places: Array, numbers: Numbers, window: Window) -> tuple[Numbers, Numbers]:
    """Add an hour's numbers, a row each; gives what came of late, with them, and what had come before."""
    return sum_up(rows, places, numbers, window), rows["before"][places].astype(np.float64)


def learn(rows: Rows, places: Array, numbers: Numbers) -> None:
    """Put an hour's numbers by, of those from whom is learned."""
    rows["today"][places] += numbers


def end_day(rows: Rows) -> None:
    """What was put by until yesterday is usual from now on."""
    rows["before"][:] = rows["before"] * KEPT_A_DAY + rows["yesterday"]
    rows["yesterday"][:] = rows["today"]
    rows["today"][:] = 0
