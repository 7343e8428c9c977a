"""Honest machines and honest routine: health checks, nightly batches, panels on walls, testing robots, and clerks at their lists."""

from __future__ import annotations

import numpy as np
from traits import DAY_US, HOUR_US, US, chance, weekday
from visits import KIND, NOBODY, SERVER, Visits
from walks import FINE, FORBIDDEN, MISSING, Rows, joined

IDS = 2**36
"""Visits and pages of machines are numbered from here."""


class Machines:
    """All that machines and clerks of honest apps do in a run: visits, and events of pages made for them."""

    def __init__(self, population, people, table):
        self.population, self.people, self.table = population, people, table
        self.rng = population.rng(5)
        self._visits, self._rows, self._count, self._pages = [], [], 0, IDS
        apps = self.rng.permutation(population.count)
        share = population.count
        for app in apps[: max(1, share // 9)]:
            self._health(int(app))
        for app in self.rng.permutation(population.count)[: max(1, share // 10)]:
            self._batch(int(app))
        for app in self.rng.permutation(population.count)[: max(1, share // 16)]:
            self._panel(int(app))
        desks = np.flatnonzero(np.isin(population.categories, ("shop", "medical", "government", "office", "finance")))
        for app in self.rng.permutation(desks)[: max(1, share // 12)]:
            self._clerks(int(app))

    @property
    def visits(self):
        return Visits(*(np.array(column, dtype=np.int64) for column in zip(*self._visits, strict=True)))

    @property
    def rows(self):
        return joined(*self._rows)

    def _visit(self, app, person, address, begin, device=0, region=0):
        turn = int(self.people.turn(np.array([app]), np.array([max(person, 0)]), np.array([begin]))[0])
        self._visits.append((app, person, 0, device, address, region, begin, 1001, 0, turn, IDS + self._count))
        self._count += 1
        return self._count - 1

    def _tell(self, visit, page, times, fates=None):
        """The steps of a page at each of the times, a tenth of a second apart."""
        app = self._visits[visit][0]
        times = times[
            (times >= self.population.born[app]) & (times < min(self.population.gone[app], self.population.end))
        ]
        place = self.table.page_named(page)
        length = self.table.lengths[place]
        step = np.tile(self.table.begins[place] + np.arange(length), len(times))
        fate = np.full(len(step), FINE, dtype=np.int8) if fates is None else fates[: len(step)]
        pages = self._pages + np.repeat(np.arange(len(times)), length)
        self._pages += len(times)
        at = np.repeat(times, length) + np.tile(np.arange(length) * US // 10, len(times))
        self._rows.append(Rows(np.full(len(step), visit), step, at, pages, fate))

    def _health(self, app):
        """A check every few minutes from the day that the app was there."""
        period = int(self.rng.choice([300, 600, 900])) * US
        begin = self.population.start + int(self.rng.integers(period))
        times = np.arange(begin, self.population.end, period)
        jitter = (self.rng.random(len(times)) * 30_000).astype(np.int64)
        self._tell(self._visit(app, NOBODY, SERVER * KIND + app % 200, begin), "health", times + jitter)

    def _batch(self, app):
        """Messages to subscribers at three in the night, every day, at the speed of a machine."""
        visit = self._visit(app, NOBODY, SERVER * KIND + app % 200, self.population.start)
        at = int(self.rng.normal(0, 4) * 60 * US) + 3 * HOUR_US
        daily = self.rng.lognormal(np.log(60 + self.population.per_day[app]), 0.4)
        for day in range(self.population.days):
            count = self.rng.poisson(min(daily, 800) * self.rng.lognormal(0, 0.15))
            begin = self.population.start + day * DAY_US + at + int(self.rng.normal(0, 20) * US)
            self._tell(
                visit, "batch", begin + np.cumsum(self.rng.lognormal(np.log(180_000), 0.3, count)).astype(np.int64)
            )

    def _panel(self, app):
        """A screen on a wall, or a robot of the app's own testers: the same page again and again, day and night."""
        period = int(self.rng.choice([600, 1_200, 1_800])) * US
        person = self.people.count + app
        begin = self.population.start + int(self.rng.integers(period))
        times = np.arange(begin, self.population.end, period)
        times = times + (self.rng.random(len(times)) * self.rng.choice([20_000, 4_000_000])).astype(np.int64)
        device = person * 2
        address = int(self.people.address(np.array([app]), np.array([person]), np.array([begin]), np.array([1]))[0])
        for day in range(self.population.days):
            first = self.population.start + day * DAY_US
            self._tell(
                self._visit(app, person, address, first, device),
                "panel",
                times[(times >= first) & (times < first + DAY_US)],
            )

    def _clerks(self, app):
        """People whose work is to read other people's orders, one after another, every day at work."""
        for clerk in range(int(self.rng.integers(1, 3))):
            person = self.people.count + 2 * self.population.count + app * 4 + clerk
            pace_s, hours = self.rng.uniform(20, 90), self.rng.uniform(1, 4)
            for day in range(self.population.days):
                begin = self.population.start + day * DAY_US + int(self.rng.normal(9.3, 0.4) * HOUR_US)
                if weekday(begin) >= 5 and self.rng.random() < 0.8:
                    continue
                count = self.rng.poisson(hours * 3_600 / pace_s * 0.6)
                gaps = self.rng.lognormal(np.log(pace_s), 0.9, count) + (self.rng.random(count) < 0.03) * 1_500
                address = int(
                    self.people.address(np.array([app]), np.array([person]), np.array([begin]), np.array([day]))[0]
                )
                times = begin + (np.cumsum(gaps) * US).astype(np.int64)
                odd = chance(np.arange(count) + app * 1_000 + day * 77, 61)
                fates = np.select([odd < 0.008, odd < 0.02], [FORBIDDEN, MISSING], FINE).astype(np.int8)
                self._tell(self._visit(app, person, address, begin, person * 2), "clerk", times, fates)
