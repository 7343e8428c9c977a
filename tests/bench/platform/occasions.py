"""What happens to honest apps: flash crowds, campaigns, holidays, outages of one app or of a cloud, and releases with a bug."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from population import CELL_US, CLOUDS
from traits import DAY_US, HOUR_US, US, hour_of_day

CROWD_SESSIONS_MAX = 1_500
MINUTE_US = 60 * US


class Extra(NamedTuple):
    """Sessions beyond the daily ones."""

    app: np.ndarray
    begin: np.ndarray
    new: np.ndarray  # whether the person is new to the app
    scene: np.ndarray


class Outage(NamedTuple):
    """A time in which an app's own servers fail, and how its code takes that."""

    app: int
    begin: int
    end: int
    share: float  # of requests that fail
    status: int
    tries: int  # again for each request that fails; 0 where the app does as it always does


class Crowd(NamedTuple):
    app: int
    begin: int
    end: int
    sessions: int
    factor: float


class Occasions:
    """The occasions of one seed."""

    def __init__(self, population, busyness):
        self.population, self.busyness = population, busyness
        rng = population.rng(3)
        self.scale = population.count * population.days / 3_000
        self.holidays = self._holidays(rng)
        self.crowds = []
        self.extras = [self._crowd(rng) for _ in range(max(2, round(45 * self.scale)))]
        self.extras += [self._campaign(rng) for _ in range(max(2, round(80 * self.scale)))]
        self.outages = [*self._outages(rng), *self._cloud_outages(rng), *self._bugs(rng)]

    def _moment(self, rng, latest=0.98):
        return self.population.start + int(rng.uniform(0.0, latest) * self.population.days * DAY_US)

    def _holidays(self, rng):
        """The days on which people buy and eat more, in the evening above all."""
        return {int(day) for day in rng.choice(self.population.days, max(1, self.population.days // 5), replace=False)}

    def lift(self, cells):
        """By how much holidays raise the visits, by app and cell."""
        day = (cells - self.population.start) // DAY_US
        buying = np.isin(self.population.categories, ("shop", "catering", "travel", "social"))
        evening = np.exp(-0.5 * ((hour_of_day(cells) - 20.5) / 1.5) ** 2)
        raised = np.isin(day, list(self.holidays)) * (0.25 + 1.4 * evening)
        return 1 + np.where(buying[:, None], raised, raised * 0.15)

    def pays_more(self, micros):
        """Whether a time lies in an evening on which people pay three times as often."""
        day = (micros - self.population.start) // DAY_US
        hour = hour_of_day(micros)
        return np.isin(day, list(self.holidays)) & (hour > 18.5) & (hour < 23)

    def _rate(self, app, time):
        """Sessions an hour of an app at a time."""
        cell = min((time - self.population.start) // CELL_US, self.busyness.shape[1] - 1)
        return self.busyness[app, cell] * HOUR_US / CELL_US

    def _crowd(self, rng):
        """Everybody opens one app: twenty to fifty times its usual, for ten minutes to an hour."""
        for _ in range(60):
            app, begin = int(rng.integers(self.population.count)), self._moment(rng)
            length_us = int(rng.uniform(10, 60)) * MINUTE_US
            factor = rng.uniform(20, 50)
            expected = self._rate(app, begin) * length_us / HOUR_US * factor
            if 25 <= expected <= CROWD_SESSIONS_MAX:
                break
        count = min(int(rng.poisson(expected)), CROWD_SESSIONS_MAX)
        if rng.random() < 0.5:  # a sudden rise that ebbs away; else a wave
            offset = np.minimum(rng.exponential(length_us / 2.5, count), length_us * 1.3)
        else:
            offset = rng.beta(2, 2.5, count) * length_us
        self.crowds.append(Crowd(app, begin, begin + length_us, count, factor))
        scene = rng.choice([1007, 1011, 1047, 1154, 1036], count, p=[0.35, 0.2, 0.15, 0.15, 0.15])
        return Extra(np.full(count, app), begin + offset.astype(np.int64), rng.random(count) < 0.8, scene)

    def _campaign(self, rng):
        """A message to the people of an app brings them back for an hour or two."""
        app = int(rng.integers(self.population.count))
        day = int(rng.integers(self.population.days))
        hour = rng.choice([9, 10, 12, 18, 20]) + (0.5 if rng.random() < 0.3 else 0.0)
        begin = self.population.start + day * DAY_US + int(hour * HOUR_US)
        count = min(int(rng.poisson(self._rate(app, begin) * rng.uniform(2, 9))), CROWD_SESSIONS_MAX)
        offset = rng.exponential(0.5 * HOUR_US, count).astype(np.int64)
        return Extra(np.full(count, app), begin + offset, rng.random(count) < 0.03, np.full(count, 1014))

    def _outages(self, rng):
        for _ in range(max(1, round(45 * self.scale))):
            begin = self._moment(rng)
            length_us = int(rng.lognormal(np.log(14), 0.8)) * MINUTE_US
            app = int(rng.integers(self.population.count))
            yield Outage(app, begin, begin + length_us, rng.uniform(0.3, 1.0), int(rng.choice([500, 502, 503, 504])), 0)

    def _cloud_outages(self, rng):
        """Many apps fail at once, because their servers stand in one place."""
        for _ in range(max(1, round(4 * self.scale))):
            cloud, begin = int(rng.integers(CLOUDS)), self._moment(rng)
            for app in np.flatnonzero(self.population.cloud == cloud):
                if rng.random() < 0.75:
                    first = begin + int(rng.uniform(0, 4) * MINUTE_US)
                    last = begin + int(rng.uniform(12, 50) * MINUTE_US)
                    yield Outage(int(app), first, last, rng.uniform(0.4, 0.95), 503, 0)

    def _bugs(self, rng):
        """A version whose requests fail and are tried again and again, until somebody mends it hours later."""
        for turn in range(max(2, round(5 * self.scale))):
            app = int(rng.integers(self.population.count))
            begin = self._moment(rng) if turn else self.population.start + int(rng.uniform(0.8, 0.95) * self.population.days * DAY_US)  # fmt: skip
            deploy = int(self.population.deploys[0, app])
            begin = deploy if turn % 2 and deploy < self.population.end else begin
            length_us = int(rng.uniform(2, 9) * HOUR_US)
            yield Outage(app, begin, begin + length_us, rng.uniform(0.4, 0.8), 500, int(rng.integers(3, 7)))

    def sessions(self):
        """All sessions beyond the daily ones."""
        joined = [np.concatenate([extra[field] for extra in self.extras]) for field in range(4)]
        extra = Extra(*joined)
        alive = (
            (extra.begin >= self.population.born[extra.app])
            & (extra.begin < self.population.gone[extra.app])
            & (extra.begin < self.population.end)
        )
        return Extra(*(column[alive] for column in extra))
