"""When events arrived, when they happened, and how far time has come.

The arrival clock of a partition is the running maximum of ``event.ingested``, which the collector sets, and of ``@timestamp``
where that is missing. An app chooses its ``@timestamp`` itself, so none is believed a leap ahead, by more than
``clock.step_s_max``, on its own word: two events in a row of different apps must ask for it, or `ALONE` in a row of one app. While
a stream has shown one app only, two events in a row are enough: there is nobody else whose windows they could harm. So
a gap in a log is believed, and a forged time is not.

Nor is the beginning taken on one app's word. The clock is provisional until two apps agree to within a step, at most for
`PROVISIONAL_MAX` events: the watermark does not follow it yet, and of two apps that differ the earlier is believed.

Of a stream that is read as it comes, no ``@timestamp`` moves the clock past the present, however many ask: what has not been
cannot have arrived.

Whether the clock moves is one question, what time an event has is another: the first event after a gap has its own, though
the clock waits for the second. Where arrival is told, or the present is known, an event's time is its own unless it is further
than ``clock.skew_s_max`` past that. Else what follows decides (`ahead`).
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import polars as pl

from detectors.event import ARRIVAL, FUTURE, LATE, MICROSECONDS, POSITION, TIME, WATERMARK
from monitor.intake.ahead import confirmed

ALONE: Final = 16
"""Events in a row of one app that are believed without another app's word.

In a log of many apps one seldom speaks so often in a row, and one that goes on alone after a gap is still believed soon.
"""

PROVISIONAL_MAX: Final = 2 * ALONE - 1
"""Events after which the clock is no longer provisional: enough for an app that alone is right to be believed against another."""

CLOCK: Final = "_clock"
"""Int64, microseconds: the partition's arrival clock at this row; `BEGINNING` while it is provisional."""

AHEAD: Final = "_ahead"
"""Boolean: the event's time is its own, though the clock was further behind than the skew when it came."""

OPEN: Final = "_open"
"""Boolean: what follows in the stream may still change when the event happened."""

BEGINNING: Final = -(2**62)
"""A time before every event."""

_APP_CHARACTERS: Final = 64
"""How much of an app's id is compared and stored."""

_STRETCH: Final = 256
"""Rows that are looked at singly when a leap is met: others may be near, and the rest is not gone through again for each."""

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far times may differ, in seconds."""

    lateness_s_max: float = 2.0
    skew_s_max: float = 300.0
    step_s_max: float = 60.0
    held_bytes_max: int = 16 << 20  # how far behind an event's line the word on its time may stand

    @property
    def lateness(self) -> int:
        return int(self.lateness_s_max * MICROSECONDS)

    @property
    def skew(self) -> int:
        return int(self.skew_s_max * MICROSECONDS)

    @property
    def step(self) -> int:
        return int(self.step_s_max * MICROSECONDS)


class ClockState(msgspec.Struct):
    """The arrival clock of a partition as it moves from event to event; stored with its position. Times are microseconds.

    `stamp` moves a copy: the one that it is given stays as it is.
    """

    clock: int | None = None
    asker: str | None = None  # the app that last asked for a leap; None: none that still counts
    asked: int = 0  # where to
    ahead: int = 0  # its events in a row that asked
    first_app: str | None = None  # the stream's first
    is_shared: bool = False  # whether it has shown another
    provisional: int = 0  # events that the clock has heard while it is provisional; 0: it is not
    keeper: str = ""  # the app whose word the provisional clock is
    reached: int = 0  # the latest time of an event that the provisional clock believed

    @property
    def is_settled(self) -> bool:
        return self.clock is not None and not self.provisional

    def obey(self, time: int) -> int:
        """Hear an event whose arrival the collector tells; the clock after it."""
        if self.clock is None or self.provisional:
            self.clock = self.reached = time
        self.provisional = 0
        return self.go(max(self.clock, time))

    def hear(self, time: int, app: str, bounds: Bounds, *, is_shared: bool) -> int:
        """Hear an event that has only the time its app claims; the clock after it."""
        if self.clock is None:
            self.clock = self.reached = time
            self.keeper, self.provisional = app, 1
        elif self.provisional:
            agreed = self._weigh(self.clock, time, app, bounds, is_shared=is_shared)
            self.provisional = 0 if agreed or self.provisional + 1 >= PROVISIONAL_MAX else self.provisional + 1
        elif time > self.clock + bounds.step:
            self._ask(self.clock, time, app, bounds.step, is_shared=is_shared)
        else:
            self.go(max(self.clock, time))
        return self.clock

    def go(self, clock: int) -> int:
        """Move to a time; nobody asks any more."""
        self.clock, self.asker, self.ahead = clock, None, 0
        return clock

    def _weigh(self, clock: int, time: int, app: str, bounds: Bounds, *, is_shared: bool) -> bool:
        """Hear an event while the clock is provisional; whether two apps agree now."""
        agreed = False
        if time > clock + bounds.step:
            clock, agreed = self._ask(clock, time, app, bounds.step, is_shared=is_shared)
        elif time < clock - bounds.step and (app != self.keeper or self.provisional == 1):
            self.asker, self.asked, self.ahead = self.keeper, clock, 0  # whose word was later has asked, from now on
            self.clock = self.reached = clock = time
            self.keeper = app
        else:
            agreed = app != self.keeper
            self.clock, self.ahead = max(clock, time), 0
            if agreed or not is_shared:  # else its keeper would silence all others by speaking at every turn
                self.asker = None
            clock = self.clock
        self.reached = max(self.reached, time if time <= clock + bounds.skew else clock)
        return agreed

    def _ask(self, clock: int, time: int, app: str, step: int, *, is_shared: bool) -> tuple[int, bool]:
        """Hear an event that is a leap ahead: the clock after it, and whether another app has just asked for about the same.

        Where it is believed, the clock goes to what the last two asked for: to the greater if they lie within a step, else to
        the lesser.
        """
        agreed = False
        row = self.ahead + 1 if app == self.asker else 1
        if self.asker is not None and (app != self.asker or not is_shared or row >= ALONE):
            is_near = abs(time - self.asked) <= step
            agreed = is_near and app != self.asker
            self.keeper = app if time < self.asked else self.asker
            self.clock = clock = max(time, self.asked) if is_near else min(time, self.asked)
        if time > clock + step:
            self.asker, self.asked, self.ahead = app, time, row
        else:
            self.go(clock)
        return clock, agreed


def stamp(
    frame: pl.DataFrame, state: ClockState, bounds: Bounds, now: int | None = None
) -> tuple[pl.DataFrame, ClockState]:
    """Add ``_time``, ``_arrival``, ``_future``, ``_ahead``, ``_open`` and ``_clock`` to the rows of one partition, in their order.

    `now` is the present, in microseconds, of a stream that is read as it comes; None: the stream lives on its own clock. The
    labels are those that hold if nothing follows; only from the first row on that is ``_open`` can what follows change them.
    """
    if not frame.height:
        empty = [pl.lit(None, dtype=pl.Int64).alias(name) for name in (TIME, ARRIVAL, CLOCK)]
        labels = [pl.lit(None, dtype=pl.Boolean).alias(name) for name in (FUTURE, AHEAD, OPEN)]
        return frame.with_columns(*empty, *labels), state
    times = frame["@timestamp"].to_numpy()
    claimed = times if now is None else np.minimum(times, now)
    told = frame["event.ingested"].fill_null(pl.Series(claimed)).to_numpy()
    is_told = frame["event.ingested"].is_not_null().to_numpy()
    run = _Run(told, is_told, frame["miniprogram.app_id"], state, bounds)
    state = run.whole()
    leaps = times > run.believed + bounds.skew
    columns = {TIME: times, ARRIVAL: np.where(is_told | run.is_spared, told, run.believed), CLOCK: run.clock}
    columns |= dict.fromkeys((FUTURE, AHEAD, OPEN), leaps)
    if leaps.any():
        columns |= _judged(frame, times, leaps, run, bounds, now)
    return frame.with_columns(pl.Series(name, values) for name, values in columns.items()), state


def _judged(
    frame: pl.DataFrame, times: Array, leaps: Array, run: _Run, bounds: Bounds, now: int | None
) -> dict[str, Array]:
    """The labels of rows among which some are far ahead of the clock."""
    told, is_told = run.told, run.is_told
    judged = leaps & ~is_told & ~run.is_spared
    is_open = np.zeros(len(times), dtype=bool)
    if now is None:
        own, is_open = confirmed(
            judged,
            is_told | (times <= run.believed + bounds.step),
            times,
            run.believed + bounds.skew,
            frame[POSITION].to_numpy(),
            rows_max=ALONE,
            bytes_max=bounds.held_bytes_max,
        )
        is_present = np.zeros(len(times), dtype=bool)
    else:  # it is known when they came at the latest
        own = judged & (times <= now + bounds.skew)
        is_present = leaps & ~is_told & (times > now + bounds.skew)
    is_future = (leaps & is_told) | (judged & ~own) | is_present
    happened = np.where(is_present, told, np.where(is_future, run.believed, times))
    arrived = np.where(is_told | run.is_spared | own | is_present, told, run.believed)
    ahead = ~is_told & (happened > run.believed + bounds.skew)
    return {TIME: happened, ARRIVAL: arrived, FUTURE: is_future, AHEAD: ahead, OPEN: is_open}


class _Run:
    """A clock's way through some rows: stretches without a leap are one cumulative maximum, and about leaps it goes row by row."""

    def __init__(self, told: Array, is_told: Array, apps: pl.Series, state: ClockState, bounds: Bounds) -> None:
        self.told, self.is_told, self._apps = told, is_told, apps
        self._state = copy(state)
        self._bounds = bounds
        self.clock = np.empty(len(told), dtype=np.int64)
        self.believed = np.empty(len(told), dtype=np.int64)  # the clock, while it is provisional too
        self.is_spared = np.zeros(len(told), dtype=bool)  # measured by its own times, as while nobody is believed

    def whole(self) -> ClockState:
        """Go through all rows; the state after them."""
        shared_from = self._shared_from()
        row, rows, window = 0, len(self.told), len(self.told)
        while row < rows:
            if self._state.is_settled:
                end = min(row + window, rows)
                row = self._calm(row, end)
                window *= 2
                if row == end:
                    continue
            end = min(row + _STRETCH, rows)
            self._singly(row, end, shared_from)
            row, window = end, _STRETCH
        return self._state

    def _shared_from(self) -> int:
        """The first row at which the stream has shown more than one app."""
        if self._state.is_shared:
            return 0
        apps = self._apps.str.head(_APP_CHARACTERS).fill_null("")
        if self._state.first_app is None:
            self._state.first_app = str(apps[0])
        others = np.flatnonzero((apps != self._state.first_app).to_numpy())
        self._state.is_shared = len(others) > 0
        return int(others[0]) if len(others) else len(apps)

    def _calm(self, row: int, end: int) -> int:
        """Go on to the first leap, or to the end; the row come to."""
        running = np.maximum.accumulate(np.concatenate([[self._state.clock], self.told[row:end]]))
        leaps = np.flatnonzero((np.diff(running) > self._bounds.step) & ~self.is_told[row:end])
        calm = int(leaps[0]) if len(leaps) else end - row
        if calm:
            self.clock[row : row + calm] = self.believed[row : row + calm] = running[1 : calm + 1]
            self._state.go(int(running[calm]))
        return row + calm

    def _singly(self, row: int, end: int, shared_from: int) -> None:
        """Go on to the end, row by row."""
        apps = [(app or "")[:_APP_CHARACTERS] for app in self._apps[row:end].to_list()]
        told, is_told = self.told[row:end].tolist(), self.is_told[row:end].tolist()
        for at, (time, is_word, app) in enumerate(zip(told, is_told, apps, strict=True), row):
            if is_word:
                clock = self._state.obey(time)
            else:
                clock = self._state.hear(time, app, self._bounds, is_shared=at >= shared_from)
            is_settled = not self._state.provisional
            self.clock[at] = clock if is_settled else BEGINNING
            self.believed[at] = clock
            self.is_spared[at] = not is_settled and app != self._state.keeper


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
    return frame.hstack(columns), int(marks[-1])
