"""When events arrived, when they happened, and how far time has come.

The arrival clock of a partition is the running maximum of ``event.ingested``, which the collector sets, and of ``@timestamp``
where that is missing. A lone ``@timestamp`` far ahead does not move it: a step of more than ``clock.step_s_max`` counts only when
`CONFIRMATIONS` events in a row ask for it. So a gap in a log is believed and a single forged time is not. Of a stream that
is read as it comes, no ``@timestamp`` moves it past the present, however many ask: what has not been cannot have arrived.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import polars as pl

from detectors.event import ARRIVAL, FUTURE, LATE, MICROSECONDS, TIME, WATERMARK

CONFIRMATIONS: Final = 2
"""Events in a row that must be ahead before the clock believes them."""

CLOCK: Final = "_clock"
"""Int64, microseconds: the partition's arrival clock at this row."""

Array = np.ndarray[Any, Any]


class ClockState(msgspec.Struct, frozen=True):
    """Where the arrival clock of a partition stands; stored with its position. Microseconds."""

    clock: int | None = None
    ahead: int = 0  # events in a row that were ahead
    ahead_min: int = 0  # the earliest of them


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far times may differ, in seconds."""

    lateness_s_max: float = 2.0
    skew_s_max: float = 300.0
    step_s_max: float = 60.0

    @property
    def lateness(self) -> int:
        return int(self.lateness_s_max * MICROSECONDS)

    @property
    def skew(self) -> int:
        return int(self.skew_s_max * MICROSECONDS)

    @property
    def step(self) -> int:
        return int(self.step_s_max * MICROSECONDS)


def stamp(
    frame: pl.DataFrame, state: ClockState, bounds: Bounds, now: int | None = None
) -> tuple[pl.DataFrame, ClockState]:
    """Add ``_time``, ``_arrival``, ``_future`` and ``_clock`` to the rows of one partition, in their order.

    `now` is the present, in microseconds, of a stream that is read as it comes; None: the stream lives on its own clock.
    """
    if not frame.height:
        empty = [pl.lit(None, dtype=pl.Int64).alias(name) for name in (TIME, ARRIVAL, CLOCK)]
        return frame.with_columns(*empty, pl.lit(None, dtype=pl.Boolean).alias(FUTURE)), state
    times = frame["@timestamp"].to_numpy()
    believed = times if now is None else np.minimum(times, now)
    told = frame["event.ingested"].fill_null(pl.Series(believed)).to_numpy()
    is_told = frame["event.ingested"].is_not_null().to_numpy()
    clock, state = _run(told, is_told, state, bounds.step)
    is_future = times > clock + bounds.skew
    happened = np.where(is_future, clock, times)
    arrived = np.where(is_told, told, clock)
    columns = {TIME: happened, ARRIVAL: arrived, CLOCK: clock, FUTURE: is_future}
    return frame.with_columns(pl.Series(name, values) for name, values in columns.items()), state


def _run(told: Array, is_told: Array, state: ClockState, step: int) -> tuple[Array, ClockState]:
    """The clock at each row. Stretches without a leap are one cumulative maximum; only leaps are looked at singly."""
    clock = state.clock if state.clock is not None else int(told[0])
    ahead, ahead_min = state.ahead, state.ahead_min
    out = np.empty(len(told), dtype=np.int64)
    row = 0
    while row < len(told):
        running = np.maximum.accumulate(np.concatenate([[clock], told[row:]]))
        leaps = np.flatnonzero((running[1:] - running[:-1] > step) & ~is_told[row:])
        calm = int(leaps[0]) if len(leaps) else len(told) - row
        if calm:
            out[row : row + calm] = running[1 : calm + 1]
            clock, ahead = int(running[calm]), 0
            row += calm
        while row < len(told) and told[row] > clock + step and not is_told[row]:
            ahead_min = min(ahead_min, int(told[row])) if ahead else int(told[row])
            ahead += 1
            if ahead >= CONFIRMATIONS:
                clock, ahead = ahead_min, 0
            out[row] = clock
            row += 1
    return out, ClockState(clock, ahead, ahead_min)


def label(frame: pl.DataFrame, watermark: int, others: int | None, bounds: Bounds) -> tuple[pl.DataFrame, int]:
    """Add ``_watermark`` and ``_late`` to rows in processing order; the watermark after them.

    `watermark` is the one before the first row; `others` the least watermark of the other partitions, or None. The
    watermark never goes back; an event at or before the one it met is late.
    """
    own = frame[CLOCK].to_numpy() - bounds.lateness
    reached = np.minimum(own, others) if others is not None else own
    marks = np.maximum.accumulate(np.concatenate([[watermark], reached]))
    late = frame[TIME].to_numpy() <= marks[:-1]
    columns = [pl.Series(WATERMARK, marks[1:], dtype=pl.Int64), pl.Series(LATE, late, dtype=pl.Boolean)]
    return frame.with_columns(columns), int(marks[-1])
