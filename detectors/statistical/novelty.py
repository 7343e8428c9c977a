"""What an app shows that it has not shown before: APIs, hosts, pages and ways in, and how much of an hour is taken up by them.

What is first seen when the app is known for three days counts as new for two days, so a slow beginning gains nothing. Judged is how
many events go to what is new, by the share that did before: an app that often has something new is not told for it. A deploy explains
what comes with it; of what comes without, a host counts the less the more other apps use it, and half where it is declared. Which
calls read what is private is in `meaning.py`: a deploy explains those by half, and others using them makes them no more usual. What comes
little by little, a few events a day, is summed over about a day: of private calls and of hosts.

What fools it: who brings what is new with a version of its own; who had it from the first three days on; who keeps to fewer than
`SLOW_MIN` hours a day, and of other things to `EVENTS_MIN` events an hour; pages of the same name with another content (`profile.py` sees
those that change what follows).
Source: the count of an event that was not seen before as evidence follows Good (*The population frequencies of species*, 1953).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from detectors.detector import State
from detectors.statistical import lately, tails
from detectors.statistical.hashes import hashes_of
from detectors.statistical.meaning import CALLS
from detectors.statistical.rows import NOWHERE, Rows
from detectors.statistical.shown import (
    API,
    DECLARED,
    EXPLAINED,
    HOST,
    KINDS,
    LEARNING,
    PAGE,
    SCENE,
    SERVICE,
    SETTLED,
    Hour,
    Shown,
)
from detectors.statistical.statistic import FLAGGED, SHOWN_MIN, STREAK, Suite, not_flagged
from detectors.statistical.tails import Numbers
from detectors.statistical.telling import unusual
from detectors.statistical.windows import WINDOWS_PER_DAY, WINDOWS_PER_HOUR, Window

Array = npt.NDArray[Any]

JUDGED: Final = (API, HOST, PAGE, SCENE, SERVICE)

COMMON, RARE, HOSTS = range(3)
SLOW: Final = (API, API, HOST)
"""What is looked at for a day: private calls that many apps make, those that hardly any makes, and hosts."""

RARE_SHARE: Final = 0.02
"""Calls are rare that no larger a share of apps make."""

PAGES_H: Final = 72
"""Hours in which an app was seen before new pages of it are judged: where few come, some pages are found late."""

EVENTS_MIN: Final = 5
SLOW_MIN: Final = 3
"""Fewer events of what is new in an hour, or fewer hours of late, are not told."""

SPREAD: Final = 0.5
"""By how much what is summed varies beyond a Poisson's variance, as a share of the squared mean."""

KEPT: Final = 1.0 - 1.0 / 336
"""Of what is known of an app's new things so much is left after an hour."""

RELEARN_H: Final = 48
"""After so many hours one after the other that were flagged, what they show is learned."""

SHARE_USUAL: Final = 1e-4
KNOWN_EVENTS: Final = 500.0
"""Of an app of which little is known so large a share of events is taken to be of new things, as if seen in so many events."""

OTHERS: Final = 3.0
"""Apps beside this one that use a value, at which it counts for half."""

SLOW_SHARE: Final = 1e-3
SLOW_HOURS: Final = 100.0
"""Before anything is known so large a share of hours is taken to have something new; what all apps show counts for so many hours of one's own."""

CONTENT_SWITCH: Final = 6

PRIVATE: Final = frozenset({1, 2})
"""Behaviours of calls that read what is private."""


PRIVATE_CALLS: Final = frozenset(
    {
        *(name for name, number in CALLS.items() if number in PRIVATE),
        "getRecorderManager().start",
        "getLocationManager().start",
        "createVKSession().start",
        "getClipboardData",
    }
)


class NoveltyConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much is remembered."""

    apps_max: int = 200_000
    forget_days: int = 60


class Novelty:
    """Looks at what was new in an hour."""

    name = "novelty"

    def __init__(self, shown: Shown, config: NoveltyConfig | None = None) -> None:
        self.config = config or NoveltyConfig()
        self._shown = shown
        self._apps = Rows(
            {
                "new": (np.float32, len(JUDGED)),
                "all": (np.float32, len(JUDGED)),
                **lately.fields(2 * len(SLOW)),  # of each kind what is new, and all
                **STREAK,
            },
            self.config.apps_max,
        )
        self.tests = Suite(self.name, {"novelty": len(JUDGED), "novelty_slow": len(SLOW)})

    @property
    def needs(self) -> frozenset[str]:
        return self._shown.needs

    @property
    def forgotten(self) -> int:
        return self._apps.forgotten + self._apps.refused

    @property
    def bytes(self) -> int:
        """What is remembered takes so much."""
        return self._apps.bytes

    def count(self, rows: pl.DataFrame) -> None:
        """`Shown` counts."""

    def close(self, window: Window) -> Sequence[pl.DataFrame]:
        found = []
        if self._shown.hour is not None:
            found = self._hour(self._shown.hour, window)
        if window.ends_day:
            lately.end_day(self._apps)
            self._apps.forget_unseen(window.index - self.config.forget_days * WINDOWS_PER_DAY)
            self.tests.fade()
        return found

    def _hour(self, hour: Hour, window: Window) -> list[pl.DataFrame]:
        weight, private = self._weights(hour, window)
        place, _ = self._apps.seen(hour.apps, window.index)
        here = place != NOWHERE
        rows = np.where(here, place, 0)
        old = hour.known_for(window, LEARNING) & here
        flagged = np.zeros(len(hour.apps), np.bool_)
        found, sums = [], []
        for number, kind in enumerate(JUDGED):
            mine = np.flatnonzero(hour.kind == kind)
            new, events = _summed(hour, mine, weight)
            sums.append((new, events))
            at = np.flatnonzero(old & (events > 0) & (hour.learned >= (PAGES_H if kind == PAGE else 0)))
            if not len(at):
                continue
            base = self._apps["all"][rows[at], number].astype(np.float64) + KNOWN_EVENTS
            hits = self._apps["new"][rows[at], number].astype(np.float64) + KNOWN_EVENTS * SHARE_USUAL
            scores = tails.share_above(np.where(new[at] >= EVENTS_MIN, new[at], 0.0), events[at], hits, base)
            worth = self.tests["novelty"].worth(scores, number, hour.apps[at])
            flagged[at] |= worth >= FLAGGED
            found.append(
                self._told("novelty", hour, at, worth, mine, weight, events[at] * hits / base, new[at], window)
            )
        others = self._shown.others(hour)
        few = others <= np.maximum(RARE_SHARE * len(self._apps), OTHERS)
        groups = [private & ~few, private & few, (hour.kind == HOST) & (others <= OTHERS)]
        found += self._slowly(
            hour, rows, here, old, [np.where(group, weight, 0.0) for group in groups], flagged, window
        )
        self._learn(rows, here, sums, flagged)
        return [frame for frame in found if frame is not None]

    def _slowly(
        self,
        hour: Hour,
        rows: Array,
        here: Array,
        old: Array,
        weights: Sequence[Numbers],
        flagged: Array,
        window: Window,
    ) -> list[pl.DataFrame | None]:
        """In how many hours there was something new, of private calls and of hosts: others of an app that are seldom used show late as a rule.

        Not how often: a few calls in one hour are one person's.
        """
        of_kind = [np.flatnonzero(hour.kind == kind) for kind in SLOW]
        each = [_summed(hour, mine, weight) for mine, weight in zip(of_kind, weights, strict=True)]
        most = [_most(hour, mine, weight) for mine, weight in zip(of_kind, weights, strict=True)]
        parts = [(np.minimum(new, top), np.minimum(events, 1.0)) for (new, events), top in zip(each, most, strict=True)]
        numbers = np.stack([value for pair in parts for value in pair], axis=1)
        sums = np.zeros((2, *numbers.shape))
        sums[:, here] = lately.add(self._apps, rows[here], numbers[here], window)
        came, before = sums
        of_all = self._apps["before"][self._apps.places].sum(axis=0, dtype=np.float64) + (1.0, 1.0 / SLOW_SHARE) * len(
            SLOW
        )
        found = []
        for number, (new, events) in enumerate(each):
            at = np.flatnonzero(old & (events > 0))
            if not len(at):
                continue
            hits = before[at, 2 * number] + SLOW_HOURS * of_all[2 * number] / of_all[2 * number + 1]
            usual = came[at, 2 * number + 1] * hits / (before[at, 2 * number + 1] + SLOW_HOURS)
            value = came[at, 2 * number]
            some = (value >= SLOW_MIN) & (new[at] > 0)
            scores = tails.many(np.where(some, value, 0.0), usual, SPREAD + 1.0 / (hits + 0.5))
            worth = self.tests["novelty_slow"].worth(scores, number, hour.apps[at])
            flagged[at] |= worth >= FLAGGED
            mine, weight = of_kind[number], weights[number]
            found.append(self._told("novelty_slow", hour, at, worth, mine, weight, usual, value, window))
        learns = here & ~flagged
        lately.learn(self._apps, rows[learns], numbers[learns])
        return found

    def _weights(self, hour: Hour, window: Window) -> tuple[Numbers, Array]:
        """By how much each value is new, and which read what is private."""
        age_of_app = hour.first - hour.since[hour.app]
        new = (age_of_app >= LEARNING) & (window.index - hour.first < SETTLED)
        explained = (hour.flags & EXPLAINED) > 0
        declared = (hour.flags & DECLARED) > 0
        refused = (hour.kind == HOST) & (hour.declared == 0)
        private = np.isin(hour.kind, (API, SERVICE)) & np.isin(hour.value, hashes_of(PRIVATE_CALLS))
        shared = 1.0 / (1.0 + self._shown.others(hour) / OTHERS)
        weight = np.where(private | (hour.kind == PAGE), 1.0, shared)
        weight = np.where(explained & ~refused, np.where(private, 0.5, 0.0), weight)
        weight = np.where((hour.kind == HOST) & declared, weight * 0.5, weight)
        return np.where(new, weight, 0.0), private

    def _learn(self, rows: Array, here: Array, sums: Sequence[tuple[Numbers, Numbers]], flagged: Array) -> None:
        kept = here.copy()
        kept[here] = not_flagged(self._apps, rows[here], flagged[here], RELEARN_H)
        of = rows[kept]
        for number, (new, events) in enumerate(sums):
            for name, value in (("new", new), ("all", events)):
                now = self._apps[name][of, number].astype(np.float64)
                self._apps[name][of, number] = (now * KEPT + value[kept]).astype(np.float32)

    def _told(
        self, test: str, hour: Hour, at: Array, worth: Numbers, mine: Array, weight: Numbers, usual: Numbers, new: Numbers, window: Window
    ) -> pl.DataFrame | None:  # fmt: skip
        """Of each app the value that most of it is about."""
        if not (worth >= SHOWN_MIN).any():
            return None
        order = mine[np.lexsort((mine, -(hour.n[mine] * weight[mine]), hour.app[mine]))]
        first = order[np.searchsorted(hour.app[order], at)]
        what = hour.counted["what"].gather(first).to_list()
        return unusual(
            test,
            window,
            WINDOWS_PER_HOUR if test == "novelty" else WINDOWS_PER_DAY,
            apps=hour.names[at],
            worth=worth,
            about=what,
            measure=[_measure(test, kind) for kind in hour.kind[first].tolist()],
            behaviour=[_behaviour(kind, name) for kind, name in zip(hour.kind[first].tolist(), what, strict=True)],
            value=new,
            usual=usual,
            count=np.rint(new),
            learned=hour.learned[at],
        )

    def snapshot(self) -> State:
        return self._apps.snapshot("novelty.apps") | self.tests.snapshot()

    def restore(self, state: State) -> None:
        self._apps.restore("novelty.apps", state)
        self.tests.restore(state)


def _summed(hour: Hour, mine: Array, weight: Numbers) -> tuple[Numbers, Numbers]:
    """Of each app how much of some of an hour's rows is new, and how much there is; in whole parts, so that it is the same in any order."""
    new = np.bincount(hour.app[mine], np.rint(hour.n[mine] * weight[mine] * 1024), len(hour.apps)) / 1024
    return new, np.bincount(hour.app[mine], hour.n[mine], len(hour.apps)).astype(np.float64)


def _most(hour: Hour, mine: Array, weight: Numbers) -> Numbers:
    """Of each app by how much what is newest of some of an hour's rows is new: many events of what is half explained are no more so."""
    top = np.zeros(len(hour.apps))
    new = mine[weight[mine] > 0]
    np.maximum.at(top, hour.app[new], weight[new])
    return top


def _measure(test: str, kind: int) -> str:
    if test != "novelty":
        return f"hours with new {KINDS[kind]}"
    return "requests" if kind == HOST else f"new {KINDS[kind]}"


def _behaviour(kind: int, what: str) -> int | None:
    """The behaviour that something new speaks of."""
    if kind in {API, SERVICE}:
        return CALLS.get(what.removeprefix("wx.").partition("().")[0], CALLS.get(what))
    return None if kind == SCENE else CONTENT_SWITCH
