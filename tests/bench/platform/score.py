"""Alarms held against the truth: what was found and when, how many alarms were right, and how many false ones a day brings.

    run = Run(labels=platform.labels, alarms=alarms, apps=platform.apps, begin=platform.quiet_end, end=platform.end)
    print(score([run, …]).markdown())

An alarm belongs to an incident when it names one of its entities, or an app, developer, person, device or session whose events
it consists of, between its start and an hour after its end. Alarms about one entity within 24 hours of the first are one
episode. What is told before `begin`, while detectors learn, counts only where it belongs to an incident.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import median

import msgspec
import numpy as np
from staging import Incident
from traits import DAY_US, HOUR_US

AFTER_US = HOUR_US
EPISODE_US = DAY_US
SURE = 0.95


class Alarm(msgspec.Struct, frozen=True):
    """What a detector says: about whom, and when in the time of the events it became true (microseconds)."""

    scope: str
    value: str
    time: int
    detector: str


class Run(msgspec.Struct, frozen=True):
    """One platform as it was watched; `begin` is where the quiet days end."""

    labels: Sequence[Incident]
    alarms: Sequence[Alarm]
    apps: int
    begin: int
    end: int


class Found(msgspec.Struct, frozen=True):
    """Of one kind and variant: how many there were, how many were found, and the hours until each first alarm."""

    kind: str
    variant: str
    incidents: int
    found: int
    delays_h: list[float]

    @property
    def recall(self) -> float:
        return self.found / self.incidents if self.incidents else math.nan


class Right(msgspec.Struct, frozen=True):
    """Of one detector, or of all together: episodes, those that belong to an incident, and over how many app-days."""

    detector: str
    episodes: int
    right: int
    app_days: float

    @property
    def false(self) -> int:
        return self.episodes - self.right

    @property
    def precision(self) -> float:
        return self.right / self.episodes if self.episodes else math.nan

    @property
    def false_per_1000(self) -> float:
        """False episodes for a thousand apps and a day."""
        return 1_000 * self.false / self.app_days

    @property
    def false_interval(self) -> tuple[float, float]:
        low, high = poisson(self.false)
        return 1_000 * low / self.app_days, 1_000 * high / self.app_days


class Report(msgspec.Struct, frozen=True):
    """What `score` found out."""

    found: list[Found]
    right: list[Right]
    """All detectors together first, then each of them."""

    def recall(self, variant: str) -> Found:
        """All kinds of one variant together."""
        some = [one for one in self.found if one.variant == variant]
        delays = [delay for one in some for delay in one.delays_h]
        return Found("all", variant, sum(one.incidents for one in some), sum(one.found for one in some), delays)

    def markdown(self) -> str:
        """Two tables: of kinds, and of detectors."""
        kinds = [*self.found, *(self.recall(variant) for variant in ("loud", "quiet"))]
        head = ["kind", "variant", "incidents", "found", "recall", "95 %", "delay, median", "delay, p90"]
        rows = [
            [one.kind, one.variant, str(one.incidents), str(one.found), _share(one.recall), _between(wilson(one.found, one.incidents)), _hours(one.delays_h, 50), _hours(one.delays_h, 90)]
            for one in kinds
        ]  # fmt: skip
        told = ["detector", "episodes", "right", "precision", "95 %", "false / 1,000 apps and day", "95 %"]
        more = [
            [one.detector, str(one.episodes), str(one.right), _share(one.precision), _between(wilson(one.right, one.episodes)), f"{one.false_per_1000:.2f}", "{:.2f} to {:.2f}".format(*one.false_interval)]
            for one in self.right
        ]  # fmt: skip
        return table(head, rows) + "\n" + table(told, more)


def score(runs: Iterable[Run]) -> Report:
    """All runs together."""
    counted: dict[tuple[str, str], list[float | None]] = defaultdict(list)
    episodes: dict[str, list[bool]] = defaultdict(list)
    app_days = 0.0
    for run in runs:
        app_days += run.apps * (run.end - run.begin) / DAY_US
        whose = _whose(run)
        first = _first_alarms(run, whose)
        for place, incident in enumerate(run.labels):
            delay = (first[place] - incident.start) / HOUR_US if place in first else None
            counted[incident.kind, incident.variant].append(delay)
        places = list(range(len(run.alarms)))
        episodes["all"] += _episodes(run, whose, places)
        for name in sorted({alarm.detector for alarm in run.alarms}):
            episodes[name] += _episodes(run, whose, [i for i in places if run.alarms[i].detector == name])
    found = []
    for (kind, variant), delays in sorted(counted.items()):
        hours = [delay for delay in delays if delay is not None]
        found.append(Found(kind, variant, len(delays), len(hours), hours))
    right = [Right(name, len(told), sum(told), app_days) for name, told in episodes.items()]
    return Report(found, right)


def _whose(run: Run) -> list[list[int]]:
    """For each alarm the incidents that it belongs to."""
    named: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place, incident in enumerate(run.labels):
        for pair in {*incident.entities, *incident.related}:
            named[pair].append(place)
    return [
        [
            place
            for place in named.get((alarm.scope, alarm.value), [])
            if run.labels[place].start <= alarm.time <= run.labels[place].end + AFTER_US
        ]
        for alarm in run.alarms
    ]


def _first_alarms(run: Run, whose: list[list[int]]) -> dict[int, int]:
    first: dict[int, int] = {}
    for alarm, places in zip(run.alarms, whose, strict=True):
        for place in places:
            first[place] = min(first.get(place, alarm.time), alarm.time)
    return first


def _episodes(run: Run, whose: list[list[int]], places: list[int]) -> list[bool]:
    """Whether each episode belongs to an incident."""
    by_entity: dict[tuple[str, str], list[int]] = defaultdict(list)
    for place in sorted(places, key=lambda place: run.alarms[place].time):
        alarm = run.alarms[place]
        if whose[place] or alarm.time >= run.begin:
            by_entity[alarm.scope, alarm.value].append(place)
    told = []
    for those in by_entity.values():
        begun = None
        for place in those:
            time = run.alarms[place].time
            if begun is None or time > begun + EPISODE_US:
                begun = time
                told.append(False)
            told[-1] |= bool(whose[place])
    return told


def wilson(hits: int, trials: int, z: float = 1.959964) -> tuple[float, float]:
    """Where a share lies, with 95 % certainty."""
    if not trials:
        return 0.0, 1.0
    share = hits / trials
    middle = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    reach = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / (1 + z * z / trials)
    return max(0.0, middle - reach), min(1.0, middle + reach)


def poisson(count: int, sure: float = SURE) -> tuple[float, float]:
    """Between which means so many happenings are not surprising (exact)."""
    tail = (1 - sure) / 2
    high = _mean_where(lambda mean: _at_most(count, mean) - tail, count)
    low = 0.0 if count == 0 else _mean_where(lambda mean: _at_most(count - 1, mean) - (1 - tail), count)
    return low, high


def _mean_where(falling, count: int) -> float:
    """The mean at which a falling function crosses zero."""
    low, high = 0.0, count + 10 * math.sqrt(count + 1) + 10
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
    return (low + high) / 2


def _at_most(count: int, mean: float) -> float:
    """How likely a Poisson variable is `count` or less."""
    if mean <= 0:
        return 1.0
    number = np.arange(count + 1)
    logs = number * math.log(mean) - mean - np.concatenate([[0.0], np.cumsum(np.log(np.maximum(number[1:], 1)))])
    return float(np.exp(logs).sum())


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _share(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"


def _between(interval: tuple[float, float]) -> str:
    return "{:.2f} to {:.2f}".format(*interval)


def _hours(delays: list[float], percentile: int) -> str:
    if not delays:
        return "–"
    value = median(delays) if percentile == 50 else float(np.percentile(delays, percentile))
    return f"{value * 60:.0f} min" if value < 2 else f"{value:.1f} h"
