"""Traffic of a whole platform over days, honest at first, with labelled misbehaviour afterwards: what detectors that learn are judged by.

    platform = Platform(seed=1)
    for frame in platform.frames():      # an hour each, sorted by `_time`
        ...
    platform.labels                      # the truth
    platform.registry()                  # the apps, as lines

The same seed gives the same frames. Nothing here knows a detector.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import polars as pl
from machines import Machines
from occasions import Occasions
from pages import Table
from population import Population
from staging import staged
from telling import COLUMNS, told
from traits import DAY_US, HOUR_US
from visits import People, daily, identity, together
from walks import joined, lay_out, walks, with_outages

from detectors.event import TIME
from monitor.simulate.encode import encode
from monitor.simulate.letters import instants


class Platform:
    """One simulated platform: `apps` apps for `days` days, the first `quiet_days` of them without misbehaviour.

    `kinds` stages only some kinds of misbehaviour; `rounds` stages each kind so many times loud and as many times quiet.
    """

    def __init__(self, seed, apps=300, days=10, quiet_days=7, kinds=None, rounds=2):
        if not 0 < quiet_days < days:
            raise ValueError(f"there are no days to test between {quiet_days} and {days}")
        self.seed, self.apps, self.days, self.quiet_days = seed, apps, days, quiet_days
        self.table = Table()
        self.population = Population(seed, apps, days, self.table)
        self.people = People(self.population)
        self.start, self.end = self.population.start, self.population.end
        self.quiet_end = self.start + quiet_days * DAY_US
        cells, busyness = self.population.busyness()
        self.occasions = Occasions(self.population, busyness)
        self._lay_out(cells, busyness)
        self._staged = staged(self, kinds, rounds)

    def _lay_out(self, cells, busyness):
        """All honest events as numbers, in the order of time."""
        visits = daily(self.population, self.people, self.occasions, cells, busyness)
        rng = self.population.rng(6)
        visit, page = walks(self.population, self.table, rng, visits, self.occasions)
        rows = lay_out(self.population, self.table, rng, visits, visit, page, 0)
        rows = with_outages(self.population, self.table, rng, visits, rows, self.occasions.outages)
        machines = Machines(self.population, self.people, self.table)
        of_machines = machines.rows
        of_machines.visit = of_machines.visit + len(visits)
        self.visits = together(visits, machines.visits)
        rows = joined(rows, of_machines)
        rows.time = rows.time // 1_000 * 1_000  # as finely as lines tell it
        rows = rows.take(np.argsort(rows.time, kind="stable"))
        self.rows = rows.take(slice(0, int(np.searchsorted(rows.time, self.end))))

    @property
    def labels(self):
        """The truth: one `Incident` for each happening of misbehaviour."""
        return self._staged.incidents

    @property
    def staged_ids(self):
        """Of every event that an incident added, its id and the incident's place among the labels."""
        return self._staged.frame.select("event.id", "_incident")

    @property
    def removed(self):
        """How many honest events each incident took away, by the incident's place among the labels."""
        return self._staged.removed

    @property
    def honest_events(self):
        """How many honest events the frames hold."""
        return len(self.rows) - int(self._staged.hidden.sum())

    def registry(self):
        """The apps as lines for ``miniwatch apps import``, without line ends."""
        return self.population.registry()

    @cached_property
    def _identities(self):
        return identity(self.population, self.visits)

    def frames(self):
        """The events, an hour a frame, each in the order of time."""
        extra = self._staged.frame.drop("_incident")
        extra_times = extra[TIME].to_numpy()
        for hour in range(self.days * 24):
            begin = self.start + hour * HOUR_US
            first, last = np.searchsorted(self.rows.time, [begin, begin + HOUR_US])
            which = first + np.flatnonzero(~self._staged.hidden[first:last])
            rows = self.rows.take(which)
            honest = told(self.population, self.table, self.visits, self._identities, rows, which)
            low, high = np.searchsorted(extra_times, [begin, begin + HOUR_US])
            yield pl.concat([honest, extra[low:high]]).sort(TIME, maintain_order=True)


def ndjson(frame):
    """A frame as lines for the daemon, each with its end."""
    times = frame[TIME].to_numpy()
    told_times = frame.with_columns(
        instants(times).alias("@timestamp"), instants(times + 40_000).alias("event.ingested")
    )
    return "".join(line + "\n" for line in encode(told_times)).encode() if frame.height else b""


__all__ = ["COLUMNS", "Platform", "ndjson"]
