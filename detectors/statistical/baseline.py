"""What is usual for a count: by the hour of the day, and by how many people are there; learned hour by hour, from what was not flagged.

Of every key are remembered the mean of each hour of the day, the mean for each visitor (fast, over a few days, and slow, over a
fortnight, by which a slow rise is seen), and by how much counts vary beyond a Poisson's variance: around the hour's mean, around the
visitors', and from window to window within an hour; and what the visitor who did most did, for one more of those is no surprise. Learning is exponential; a count is cut to four deviations before it is learned.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from detectors.statistical.rows import Rows
from detectors.statistical.statistic import STREAK, not_flagged
from detectors.statistical.tails import Numbers
from detectors.statistical.windows import WINDOWS_PER_HOUR

Places = npt.NDArray[np.int64]

FIELDS: Final[dict[str, tuple[npt.DTypeLike, int]]] = {
    "hourly": (np.float32, 24),  # mean count of each hour of the day
    "days": (np.uint8, 24),  # how often it was learned
    "hours": (np.int32, 1),  # learned in all
    "counted": (np.float32, 1),  # fast: events an hour …
    "visited": (np.float32, 1),  # … and visitors an hour
    "counted_slow": (np.float32, 1),
    "visited_slow": (np.float32, 1),
    "vary_hour": (np.float32, 2),  # squared deviations, and means: around the hour's mean
    "vary_visit": (np.float32, 2),  # around what visitors make
    "vary_rest": (np.float32, 4),  # both, upward, without the visitor who did most
    "one": (np.float32, 2),  # what that visitor did, squared, and as it is
    "vary_within": (np.float32, 2),  # of windows within an hour, without them
    "rise": (
        np.float32,
        2,
    ),  # cumulated evidence of a shift from the slow mean, upward, and the most it came to since it was 0
    "fall": (np.float32, 2),  # downward
    **STREAK,
    "count": (np.int32, 1),  # of the hour under way
    "most": (np.int32, 1),  # by one visitor in one of its windows
    "rest": (np.int32, 1),  # of its windows' counts without the visitor who did most …
    "squares": (np.float64, 1),  # … and of those squared; exact below 2^53
}
"""Arrays of `Rows`, each with how many values a row has."""

DAYS_LEARNED: Final = 6
"""An hour of the day is a mean over about so many days."""

HOURS_FAST: Final = 48
HOURS_SLOW: Final = 336
"""The fast and the slow means are over about so many hours."""

CUT: Final = 4.0
"""Deviations beyond which a count is not believed when it is learned."""

NEWCOMERS: Final = 2.0
NEWCOMERS_MAX: Final = 0.5
"""So many times as often as visitors of all apps, and no more often than each second one, newcomers may do something."""

RELEARN_H: Final = 24
"""After so many hours one after the other that were flagged, what they show is taken for the new usual, cut as always."""

CLUSTER_USUAL: Final = 4.0
"""Variance as a multiple of the mean of keys of which little is known: calls come in sessions, several at a time."""

SPREAD_MIN: Final = 0.02
"""No count is believed to vary by less than a seventh beside its Poisson variation."""

SETTLED_H: Final = 12
"""Hours before which a mean is too young to say how much counts vary around it."""

KNOWN_H: Final = 24
"""Hours that a key must have been learned before its counts are judged."""

SHIFT_KNOWN_H: Final = 72
"""And before shifts are looked for."""

SPREAD_HOURS: Final = 24
"""Hours after which a key's own variation counts for as much as what is usual for all."""


class Usual:
    """What is usual for some rows in an hour of the day; arrays with a value a row."""

    def __init__(
        self,
        rows: Rows,
        places: Places,
        hour_of_day: int,
        visitors: Numbers,
        share: float = 1.0,
        peers: Numbers | None = None,
    ) -> None:
        """`visitors` of the stretch of time that is judged; `share` is what part of an hour that is. `peers` is how often visitors of all
        apps do the same: a crowd of newcomers does what regulars of an app do not.
        """
        hours = rows["hours"][places].astype(np.float64)
        days = rows["days"][places, hour_of_day].astype(np.float64)
        own = rows["hourly"][places, hour_of_day].astype(np.float64)
        overall = rows["counted"][places].astype(np.float64)
        visited = rows["visited"][places].astype(np.float64)
        per_visitor = (rows["counted"][places] + 0.5 / np.maximum(hours, 1.0)) / np.maximum(visited, 1e-3)
        self.known = hours >= KNOWN_H
        self._rows, self._places, self._hour_of_day = rows, places, hour_of_day
        self._days, self._overall, self._share = days, overall, share
        self.hour = ((own * days + overall) / (days + 1.0) + 0.5 / (hours + 1.0)) * share
        if peers is not None:
            per_visitor = np.maximum(per_visitor, np.minimum(NEWCOMERS * peers, NEWCOMERS_MAX))
        self.visits = per_visitor * visitors
        slow = (rows["counted_slow"][places] + 0.5 / np.maximum(hours, 1.0)) / np.maximum(
            rows["visited_slow"][places], 1e-3
        )
        self.slow = slow.astype(np.float64) * visitors
        unsure = 0.1 / (days + 1.0)
        self.spread_hour = spread(rows["vary_hour"][places], hours, self.hour) + unsure
        self.spread_visit = spread(rows["vary_visit"][places], hours, self.visits)
        rest = rows["vary_rest"][places]
        session = rows["one"][places, 0].astype(np.float64) / np.maximum(rows["one"][places, 1], 1e-9)
        self.spread_slow = spread(rows["vary_visit"][places], hours, self.slow, session)
        self.rest_visit = spread(rest[:, :2], hours, self.visits, session)
        self.rest_hour = spread(rest[:, 2:], hours, self.hour, session) + unsure
        within = spread(rows["vary_within"][places], hours, np.maximum(self.hour, self.visits))
        self.spread_within = within if share < 1.0 else np.zeros(len(places))

    def around(self) -> Numbers:
        """What is usual at this hour of the day, or at the one before or after where that is more: nightly work begins some minutes sooner or later."""
        before, after = (self._rows["hourly"][self._places, (self._hour_of_day + step) % 24] for step in (-1, 1))
        beside = np.maximum(before, after).astype(np.float64) * self._days + self._overall
        found: Numbers = np.maximum(self.hour, beside / (self._days + 1.0) * self._share)
        return found

    def without_one(self, visitors: Numbers, most: Numbers) -> Numbers:
        """What visitors make where the one who did most is not counted."""
        found: Numbers = self.visits * np.maximum(visitors - (most > 0), 0.0) / np.maximum(visitors, 1.0)
        return found


def spread(vary: npt.NDArray[np.float32], hours: Numbers, mean: Numbers, least: Numbers | float = 0.0) -> Numbers:
    """Variation beyond Poisson as a share of the squared mean, where so many are usual.

    Counts come in clusters (sessions), so their variance is a multiple of the mean; above the mean that was learned it grows with the
    square, for what makes a busy hour busy does not average out. `least` is how many events one more visitor may bring: where hardly
    anybody comes that was seldom seen.
    """
    squares, means = vary[:, 0].astype(np.float64), vary[:, 1].astype(np.float64)
    known = np.minimum(hours, 8.0 * SPREAD_HOURS)
    own = np.where(means > 0, squares / np.maximum(means, 1e-9), CLUSTER_USUAL)
    cluster = np.maximum((own * known + CLUSTER_USUAL * SPREAD_HOURS) / (known + SPREAD_HOURS), least)
    usual = np.maximum(mean, 1e-9)
    grown = np.maximum(usual / np.maximum(means, 1.0), 1.0)
    found: Numbers = np.maximum((cluster * grown - 1.0) / usual, SPREAD_MIN)
    return found


def inherit(rows: Rows, places: Places, hours: npt.NDArray[np.int32], visits: npt.NDArray[np.float32]) -> None:
    """What is new with an app that is known for some hours, and has so many visitors an hour, has come not once in all of these."""
    known = np.minimum(hours, HOURS_SLOW)
    rows["hours"][places] = known
    rows["days"][places] = np.minimum(known // 24, 255).astype(np.uint8)[:, None]
    rows["visited"][places] = visits
    rows["visited_slow"][places] = visits


def deviation(mean: Numbers, spreads: Numbers) -> Numbers:
    """The standard deviation of a count."""
    found: Numbers = np.sqrt(np.maximum(mean, 1e-9) + spreads * mean * mean)
    return found


def learn(
    rows: Rows, places: Places, hour_of_day: int, visitors: Numbers, flagged: npt.NDArray[np.bool_]
) -> dict[str, tuple[Places, Numbers]]:
    """Take an hour's counts in, but for what is flagged; then the next hour begins. Gives what ended (see `_follow`)."""
    usual = Usual(rows, places, hour_of_day, visitors)
    count = rows["count"][places].astype(np.float64)
    hours = rows["hours"][places].astype(np.float64)
    ended = _follow(rows, places, usual, count)
    keep = not_flagged(rows, places, flagged, RELEARN_H)
    by_hour = deviation(usual.hour, usual.spread_hour)
    by_visits = deviation(usual.visits, usual.spread_visit)
    sure = hours >= KNOWN_H
    high = np.maximum(usual.hour + CUT * by_hour, usual.visits + CUT * by_visits)
    cut = np.where(sure, np.minimum(count, high + 1.0), count)
    days = rows["days"][places, hour_of_day].astype(np.float64)
    step = 1.0 / np.minimum(days + 1.0, DAYS_LEARNED)
    _towards(rows["hourly"], (places, hour_of_day), cut, np.where(keep, step, 0.0))
    rows["days"][places, hour_of_day] = np.minimum(days + keep, 255).astype(np.uint8)
    fast = np.where(keep, 1.0 / np.minimum(hours + 1.0, HOURS_FAST), 0.0)
    slow = np.where(keep, 1.0 / np.minimum(hours + 1.0, HOURS_SLOW), 0.0)
    for name, value, rate in (
        ("counted", cut, fast),
        ("visited", visitors, fast),
        ("counted_slow", cut, slow),
        ("visited_slow", visitors, slow),
    ):
        _towards(rows[name], places, value, rate)
    learned = hours - SETTLED_H
    steady = np.where(keep & (learned >= 0), 1.0 / np.clip(learned + 6.0, 1.0, HOURS_FAST), 0.0)
    _vary(rows["vary_hour"], places, cut, usual.hour, by_hour, steady)
    _vary(rows["vary_visit"], places, cut, usual.visits, by_visits, steady)
    most = rows["most"][places].astype(np.float64)
    for at, mean, by in ((0, usual.without_one(visitors, most), by_visits), (2, usual.hour, by_hour)):
        above = np.maximum(np.maximum(cut - most, 0.0) - mean, 0.0)
        _towards(rows["vary_rest"], (places, at), np.minimum(2.0 * above**2, (CUT * by) ** 2), steady)
        _towards(rows["vary_rest"], (places, at + 1), mean, steady)
    one = np.minimum(most, cut)
    _towards(rows["one"], (places, 0), one**2, steady)
    _towards(rows["one"], (places, 1), one, steady)
    rest = rows["rest"][places].astype(np.float64)
    mean = rest / WINDOWS_PER_HOUR
    between = (rows["squares"][places] - rest * mean) / (WINDOWS_PER_HOUR - 1)
    within = rows["vary_within"]
    _towards(within, (places, 0), np.minimum(between, (CUT * CUT) * (CLUSTER_USUAL * mean + mean * mean)), steady)
    _towards(within, (places, 1), mean, steady)
    rows["hours"][places] += keep
    for name in ("count", "most", "rest", "squares"):
        rows[name][places] = 0
    return ended


def excuse(rows: Rows, places: Places, *, ends: bool) -> None:
    """What apps do less than before, which came out in a new version lately, is meant, and no fall. Where that time `ends`, it is usual from now on."""
    rows["fall"][places] = 0.0
    if ends:
        now = rows["counted"][places] * rows["visited_slow"][places]
        before = rows["counted_slow"][places] * rows["visited"][places]
        less = places[now < before]
        for name in ("counted", "visited"):
            rows[f"{name}_slow"][less] = rows[name][less]


def _vary(array: Any, places: Places, count: Numbers, mean: Numbers, by: Numbers, rate: Numbers) -> None:
    _towards(array, (places, 0), np.minimum((count - mean) ** 2, (CUT * by) ** 2), rate)
    _towards(array, (places, 1), mean, rate)


def _towards(array: Any, at: Any, value: Numbers, rate: Numbers) -> None:
    now = array[at].astype(np.float64)
    array[at] = (now + rate * (value - now)).astype(np.float32)


SHIFT: Final = 3.0
SHIFT_LEAST, SHIFT_MOST = 1.5, 10.0
"""A shift to look for is one that a day shows by so many deviations, but at least by so large a factor, and at most."""

STEP_MAX: Final = 2.5
"""So much (natural logarithm) one hour adds at most: more in an hour is a burst, and no shift."""


def _follow(rows: Rows, places: Places, usual: Usual, count: Numbers) -> dict[str, tuple[Places, Numbers]]:
    """Page's cumulated sums (*Continuous Inspection Schemes*, 1954) of how much likelier an hour's count is after a shift than by the slow mean.

    Of likelihoods, and not of deviations: those of a count that is seldom more than zero are so skewed that chance alone adds them up.
    What a sum came to between two times that it was zero is one happening: of those that ended it gives which rows they are of, and
    how much that was.
    """
    size = 1.0 / usual.spread_slow
    seen = np.maximum(rows["counted_slow"][places].astype(np.float64), 1e-3)
    factor = np.clip(1.0 + SHIFT * np.sqrt((1.0 / seen + usual.spread_slow) / 24.0), SHIFT_LEAST, SHIFT_MOST)
    known = rows["hours"][places] >= SHIFT_KNOWN_H
    ended = {}
    least = np.minimum(usual.slow, usual.hour)
    for name, by, of in (("rise", factor, usual.slow), ("fall", 1.0 / factor, least)):
        mean = np.maximum(of, 1e-9)
        grown = (size + by * mean) / (size + mean)
        gain = np.where(known, np.minimum(count * np.log(by / grown) - size * np.log(grown), STEP_MAX), 0.0)
        now = np.maximum(rows[name][places, 0] + gain, 0.0)
        most = rows[name][places, 1].astype(np.float64)
        over = np.flatnonzero((now == 0) & (most > 0))
        ended[name] = over, most[over]
        rows[name][places, 0] = now
        rows[name][places, 1] = np.where(now > 0, np.maximum(most, now), 0.0)
    return ended
