"""How fast something grows: the slope of Theil and Sen, the median over all pairs, of which a few odd measurements move nothing.

What goes up by day and down by night would seem to grow every morning. So as soon as there is enough, only such pairs are looked at as lie
whole days apart, later whole weeks (the seasonal slope of Hirsch and Slack): at the same hour as much as can be is the same.
"""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from monitor.moments import DAY_US, HOUR_US, MICROSECONDS
from monitor.stores.measured import SLOT_S

PERIODS_US: Final = (7 * DAY_US, DAY_US)
"""What is compared with itself so long before; a period counts once there are two of it."""

SIDE: Final = 0.1
"""Of all comparisons this share grew more slowly than the low figure, and as many faster than the high one."""


class Slope(msgspec.Struct, frozen=True, kw_only=True):
    """Growth a day: the middle of all comparisons, and what one in ten falls short of or exceeds. `period` is how far apart, at least, what was
    compared lay, in microseconds; 0: any two.
    """

    middle: float
    low: float
    high: float
    period: int


def hourly(
    times: npt.NDArray[np.int64], values: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Of each hour the greatest, as if it had been measured when the hour began, so that no hour counts for more than another; without the last
    one, if it is not over: its greatest is still to come.
    """
    hours, greatest = _greatest(times - times % HOUR_US, values)
    is_over = len(hours) < 2 or int(times[-1]) % HOUR_US >= HOUR_US - SLOT_S * MICROSECONDS
    return (hours, greatest) if is_over else (hours[:-1], greatest[:-1])


def daily(
    times: npt.NDArray[np.int64], values: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Of each 24 hours, counted back from the last measurement, the greatest; what is left over at the beginning is no day."""
    last = int(times[-1])
    ago = (last - times) // DAY_US
    whole = (last - int(times[0]) + HOUR_US) // DAY_US
    of_whole = ago < max(whole, 1)
    return _greatest(last - ago[of_whole] * DAY_US, values[of_whole])


def _greatest(
    times: npt.NDArray[np.int64], values: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    distinct, place = np.unique(times, return_inverse=True)
    greatest = np.full(len(distinct), -np.inf)
    np.maximum.at(greatest, place, values)
    return distinct, greatest


def slope(times: npt.NDArray[np.int64], values: npt.NDArray[np.float64]) -> Slope | None:
    """How fast values grow a day; None of fewer than two times."""
    order = np.argsort(times, kind="stable")
    at, of = times[order], values[order]
    if len(at) < 2 or at[0] == at[-1]:
        return None
    history = int(at[-1] - at[0])
    period = next((each for each in PERIODS_US if history >= 2 * each), 0)
    first, second = np.triu_indices(len(at), 1)
    apart = at[second] - at[first]
    chosen = (apart > 0) & (apart % period == 0) if period else apart > 0
    if not chosen.any():
        return None
    slopes = (of[second] - of[first])[chosen] / (apart[chosen] / DAY_US)
    low, middle, high = np.quantile(slopes, (SIDE, 0.5, 1 - SIDE))
    return Slope(middle=float(middle), low=float(low), high=float(high), period=period)
