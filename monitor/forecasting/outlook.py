"""What is to be expected of everything that can be full or too busy, from what was measured of it: no clock, no record, no words."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from itertools import groupby
from typing import Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from monitor.forecasting.fitting import Slope, daily, hourly, slope
from monitor.moments import DAY_US, HOUR_US, MICROSECONDS
from monitor.stores.measured import SLOT_S, Gauge, Measurement

HISTORY_H_MIN: Final = 6
"""Before so many hours were measured, nothing is said of growth."""

BUSY_DAYS_MIN: Final = 3
"""A pipeline's busiest hours are compared from so many days on."""

BEHIND_H_MIN: Final = 1
"""So long a partition must have been behind before it is said whether that grows."""

FAR: Final = 10
"""Nothing is said of what lies further ahead than so many times the history."""

SOON_DAYS: Final = 7
"""What is full within so many days is a warning."""

BUSY_MAX: Final = 0.8
"""A pipeline that is busier, in its busiest quarter of an hour, has little left to catch up with."""

SPOOL_BYTES_MIN: Final = 1 << 26
"""Of a spool that was read to its end the newest segment is left, and the ids of a day."""

BUSY_FULL: Final = 0.98
"""A pipeline that is busier than that has no time left: even one that never rests waits a little now and then."""

GONE_US: Final = DAY_US
"""What was not measured for so long before the last measurement of all is there no more."""

RETAINED_US: Final = 7 * DAY_US
"""Where retention removes old days already, what was measured before is looked at no more: it may be from when it did not."""


class Outlook(StrEnum):
    """What is to be expected."""

    FULL = "full"  # it is
    OVER = "over its limit"  # more comes than is read: what waits grows
    BEHIND = "behind"  # what waits neither grows nor shrinks
    CATCHING_UP = "catching up"
    FILLS = "fills"  # at a time that can be told
    BEYOND = "grows slowly"  # when it is full lies further ahead than the history allows to look
    STAYS = "stays under"  # it grows until old days are removed, and is not full then
    GROWS = "grows"  # and how much there may be is not known
    STILL = "does not grow"
    UNKNOWN = "not enough history yet"


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be expected of one thing; times in microseconds, growth a day. `now` is as of the last measurement, of a pipeline the busiest of the
    last day.

    `history` is how much was compared, of the `needed` where that is not enough. `most` is what it comes to where old days are removed from
    `retained` on. `earliest` and `latest` are as the high and the low growth have it; None: not as far as can be seen.
    """

    what: Gauge
    host: str
    place: str
    outlook: Outlook
    measured: int
    now: float
    bound: float | None
    history: int
    needed: int = 0
    growth: Slope | None = None
    full: int | None = None
    earliest: int | None = None
    latest: int | None = None
    most: float | None = None
    retained: int | None = None

    @property
    def is_soon(self) -> bool:
        return self.full is not None and self.full - self.measured <= SOON_DAYS * DAY_US

    @property
    def state(self) -> Literal["ok", "warning", "problem"]:
        """As `doctor` has it: ok, warning or problem."""
        if self.outlook in {Outlook.FULL, Outlook.OVER} and self.what is not Gauge.BUSY:
            return "problem"  # a pipeline that is busy and not behind still does its work
        too_busy = self.what is Gauge.BUSY and self.now > BUSY_MAX
        return "warning" if self.is_soon or too_busy or self.outlook is Outlook.BEHIND else "ok"


class _Series(msgspec.Struct, frozen=True, kw_only=True):
    """All measurements of one thing, in the order of time."""

    what: Gauge
    host: str
    place: str
    times: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    bound: float | None

    @property
    def last(self) -> int:
        return int(self.times[-1])

    @property
    def now(self) -> float:
        return float(self.values[-1])

    @property
    def history(self) -> int:
        """From when the first was measured until the last."""
        return self.last - int(self.times[0])

    def since(self, begin: int) -> _Series:
        """Those from a time on; the last is among them."""
        keep = self.times >= min(begin, self.last)
        return msgspec.structs.replace(self, times=self.times[keep], values=self.values[keep])

    def forecast(self, outlook: Outlook, **more: object) -> Forecast:
        given: dict[str, object] = {"now": self.now, "history": self.history, **more}
        return Forecast(
            what=self.what, host=self.host, place=self.place, outlook=outlook, measured=self.last, bound=self.bound,
            **given,  # type: ignore[arg-type]
        )  # fmt: skip


def forecasts(
    measured: Sequence[Measurement],
    *,
    retention_days: int,
    first_days: Mapping[tuple[str, str], str],
    turn_bytes: int,
) -> list[Forecast]:
    """What is to be expected of all that was measured (each thing's in the order of time), in the order in which it comes.

    `first_days` are the first days of arrival that archives hold, by host and data folder; `retention_days` later they go.
    A partition of which no more waits than one turn takes (`turn_bytes`) is not behind.
    """
    found = list(_series(measured))
    newest = max((one.last for one in found), default=0)
    there = [one for one in found if newest - one.last < GONE_US]
    archives = {(one.host, one.place): one for one in there if one.what is Gauge.ARCHIVE}
    told = []
    for one in there:
        at = (one.host, one.place)
        match one.what:
            case Gauge.BUSY:
                told.append(_busy(one))
            case Gauge.LAG:
                told.append(_waiting(one, turn_bytes))
            case Gauge.SPOOL:
                told.append(_waiting(one, SPOOL_BYTES_MIN))
            case Gauge.DISK | Gauge.ARCHIVE:
                told.append(_kept(one, archives.get(at), _retained(first_days.get(at, ""), retention_days)))
            case Gauge.RECORD:
                told.append(_kept(one, None, None))
    return sorted(told, key=_order)


def _order(one: Forecast) -> tuple[object, ...]:
    """What is full already, then what is full first, then what is over its limit, behind or grows, the fullest first."""
    rank = [Outlook.FULL, Outlook.OVER, Outlook.BEHIND, Outlook.FILLS, Outlook.BEYOND]
    place = rank.index(one.outlook) if one.outlook in rank else len(rank)
    share = one.now / one.bound if one.bound else 0.0
    return one.state != "problem", one.state != "warning", place, one.full or 0, -share, one.what, one.host, one.place


def _series(measured: Iterable[Measurement]) -> Iterable[_Series]:
    for (what, host, place), group in groupby(measured, key=lambda one: (one.what, one.host, one.place)):
        rows = list(group)
        times = np.array([one.time for one in rows], np.int64)
        values = np.array([one.value for one in rows], np.float64)
        yield _Series(what=what, host=host, place=place, times=times, values=values, bound=rows[-1].bound)


def _retained(first_day: str, retention_days: int) -> int | None:
    """When the first day of an archive is removed; None where it holds none."""
    if not first_day:
        return None
    first = dt.datetime.fromisoformat(first_day).replace(tzinfo=dt.UTC)
    return int(first.timestamp()) * 1_000_000 + (retention_days + 1) * DAY_US


# What is kept


def _kept(series: _Series, archive: _Series | None, retained: int | None) -> Forecast:
    """Of what grows with what is kept. Of a disk that an archive lies on, as much stops growing as the archive grows, once its first days go."""
    if series.bound is not None and series.now >= series.bound:
        return series.forecast(Outlook.FULL, full=series.last)
    if retained is not None and retained <= series.last:
        begin = series.last - RETAINED_US
        series, archive, retained = series.since(begin), archive and archive.since(begin), None
    if series.history < HISTORY_H_MIN * HOUR_US:
        return series.forecast(Outlook.UNKNOWN, needed=HISTORY_H_MIN * HOUR_US)
    growth = slope(*hourly(series.times, series.values))
    if growth is None or growth.middle <= 0:
        return series.forecast(Outlook.STILL, growth=growth)
    share = _share(growth, archive) if retained is not None else 0.0
    until = (retained - series.last) / DAY_US if retained is not None and share else np.inf
    most = series.now + growth.middle * until if share == 1.0 else None
    if series.bound is None:
        outlook = Outlook.STAYS if most is not None else Outlook.GROWS
        return series.forecast(outlook, growth=growth, most=most, retained=retained if most is not None else None)
    room = series.bound - series.now
    days = {each: _days(room, each, share, until) for each in (growth.low, growth.middle, growth.high)}
    if days[growth.middle] == np.inf:
        return series.forecast(Outlook.STAYS, growth=growth, most=most, retained=retained)
    return _filling(series, growth, days[growth.high], days[growth.middle], days[growth.low])


def _share(growth: Slope, archive: _Series | None) -> float:
    """How much of the growth of a disk is that of the archive on it."""
    found = slope(*hourly(archive.times, archive.values)) if archive is not None else None
    return 0.0 if found is None else min(max(found.middle / growth.middle, 0.0), 1.0)


def _days(room: float, a_day: float, share: float, until: float) -> float:
    """In how many days so much room is gone, if from some day on a share of the growth ends."""
    if a_day <= 0:
        return np.inf
    if room <= a_day * until:
        return room / a_day
    left = a_day * (1 - share)
    return until + (room - a_day * until) / left if left > 0 else np.inf


def _filling(series: _Series, growth: Slope, soonest: float, days: float, last: float) -> Forecast:
    """Of what is full in so many days, as far as one can see."""
    far = FAR * series.history / DAY_US
    full, earliest, latest = (
        series.last + round(each * DAY_US) if each <= far else None for each in (days, soonest, last)
    )
    outlook = Outlook.BEYOND if full is None else Outlook.FILLS
    return series.forecast(outlook, growth=growth, full=full, earliest=earliest, latest=latest)


# What waits


def _waiting(series: _Series, usual: int) -> Forecast:
    """Of what waits to be read: it is looked at since there was last no more of it than is usual, for until then all was well."""
    few = np.flatnonzero(series.values <= usual)
    if len(few) and few[-1] == len(series.values) - 1:
        return series.forecast(Outlook.STILL)
    since = series.since(int(series.times[few[-1]])) if len(few) else series
    if series.bound is not None and series.now >= series.bound and series.what is Gauge.SPOOL:
        return since.forecast(Outlook.FULL, full=series.last)
    if since.history < BEHIND_H_MIN * HOUR_US:
        return since.forecast(Outlook.UNKNOWN, needed=BEHIND_H_MIN * HOUR_US)
    growth = slope(since.times, since.values)
    if growth is None or (growth.low <= 0 <= growth.high):
        return since.forecast(Outlook.BEHIND, growth=growth)
    if growth.high < 0:
        return since.forecast(Outlook.CATCHING_UP, growth=growth)
    if series.bound is None or series.now >= series.bound:
        return since.forecast(Outlook.OVER, growth=growth)
    room = series.bound - series.now
    found = _filling(since, growth, room / growth.high, room / growth.middle, room / growth.low)
    return msgspec.structs.replace(found, outlook=Outlook.OVER)


# Who works


def _busy(series: _Series) -> Forecast:
    """Of a pipeline: what its busiest quarter of an hour of each day comes to."""
    at, of = daily(series.times, series.values)
    peak, needed = float(of[-1]), BUSY_DAYS_MIN * DAY_US
    if peak >= BUSY_FULL:
        return series.forecast(Outlook.FULL, now=peak, full=series.last)
    compared = len(at) * DAY_US if series.history >= DAY_US - SLOT_S * MICROSECONDS else series.history
    if len(at) < BUSY_DAYS_MIN:
        return series.forecast(Outlook.UNKNOWN, now=peak, history=compared, needed=needed)
    growth = slope(at, of)
    if growth is None or growth.middle <= 0:
        return series.forecast(Outlook.STILL, now=peak, growth=growth)
    room = 1.0 - peak
    low = room / growth.low if growth.low > 0 else np.inf
    found = _filling(series, growth, room / growth.high, room / growth.middle, low)
    return msgspec.structs.replace(found, now=peak)
