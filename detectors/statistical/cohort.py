"""Who is shown what: an app's mix in one region, system or release beside what the others of its people see in the same hour, and day (UTC).

A gate lets some see another content than the rest: those in a country, with a phone of a kind, of the version that is not looked at.
The mix of each cohort is compared with that of the app's other cohorts at the same time, so what all see alike says nothing; how a
cohort differs always is learned as a factor to each bin, and by how much it varies. Of a crowd no more counts than of four usual hours.
For two days after a deploy nothing is told.

What fools it: a share of the people that is drawn by nothing that events say (a hash of the id: each cohort sees the same mix; `profile.py`
and `novelty.py` may see that); a cohort of fewer than `EVENTS_MIN` events an hour, or known for less than a day; all people at once.
Source: homogeneity by the G statistic with a learned overdispersion (`mixes.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from detectors.detector import State
from detectors.statistical import mixes
from detectors.statistical.pending import GROUP, KEY
from detectors.statistical.profile import Bins
from detectors.statistical.rows import NOWHERE, Rows
from detectors.statistical.shown import BINS, DIMENSIONS, SETTLED, Hour, Shown
from detectors.statistical.statistic import FLAGGED, SHOWN_MIN, STREAK, Suite, not_flagged
from detectors.statistical.tails import Numbers
from detectors.statistical.windows import WINDOWS_PER_DAY, WINDOWS_PER_HOUR, Window

Array = npt.NDArray[Any]

BLOCK: Final = 2_048
"""Apps whose cohorts are judged and learned at a time: what bounds the memory of it."""

EVENTS_MIN: Final = 30
"""Fewer events in an hour of a cohort, or of all others, are no mix."""

KNOWN_H: Final = 24
"""Hours before which a cohort is not judged."""

RELEARN_H: Final = 48

TRUST: Final = 20.0
"""Events that a bin must have had before a cohort is taken to differ from the others in it."""


class CohortConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much is remembered."""

    cohorts_max: int = 200_000
    cohorts_per_app: int = 8
    forget_days: int = 21


class Cohort:
    """Compares an app's cohorts with each other."""

    name = "cohort"

    def __init__(self, shown: Shown, config: CohortConfig | None = None) -> None:
        self.config = config or CohortConfig()
        self._shown = shown
        self._rows = Rows(
            {
                "mix": (np.float32, BINS),
                "others": (np.float32, BINS),
                "today": (np.float32, BINS),
                "expected": (np.float32, BINS),  # today, by what others showed
                **mixes.LEARNED,
                "hours": (np.int32, 1),
                **STREAK,
            },
            self.config.cohorts_max,
        )
        self._names: dict[int, tuple[str, str | None, str]] = {}  # of cohorts seen today: app, owner, and which it is
        self.tests = Suite(self.name, dict.fromkeys(("cohort", "cohort_day"), mixes.VOLUMES))

    @property
    def needs(self) -> frozenset[str]:
        return self._shown.needs

    @property
    def forgotten(self) -> int:
        return self._rows.forgotten + self._rows.refused

    @property
    def bytes(self) -> int:
        """What is remembered takes so much."""
        return self._rows.bytes

    def count(self, rows: pl.DataFrame) -> None:
        """`Shown` counts."""

    def close(self, window: Window) -> Sequence[pl.DataFrame]:
        hour, cohorts = self._shown.hour, self._shown.cohorts
        found = []
        if hour is not None and cohorts is not None:
            shown = Bins(hour)
            keys, n, names = cohorts
            found += [self._hour(hour, shown, keys, n, part, window) for part in _parts(hour, names)]
        if window.ends_day:
            found.append(self._day(window))
            self._rows.forget_unseen(window.index - self.config.forget_days * WINDOWS_PER_DAY)
            self.tests.fade()
        return [frame for frame in found if frame is not None]

    def _hour(
        self, hour: Hour, shown: Bins, keys: Array, n: Array, names: pl.DataFrame, window: Window
    ) -> pl.DataFrame | None:
        chosen = _chosen(hour, keys, n, names, self.config.cohorts_per_app)
        if chosen is None:
            return None
        key, app, came, others, told = chosen
        place, _ = self._rows.seen(key, window.index)
        here = place != NOWHERE
        key, app, came, others, place, told = key[here], app[here], came[here], others[here], place[here], told.filter(pl.Series(here))  # fmt: skip
        mix, beside = (self._rows[name][place].astype(np.float64) for name in ("mix", "others"))
        share = _expected(others, mix, beside)
        ratio, freedom = mixes.apart(came, share, others.sum(axis=1))
        ratio *= mixes.counts_for(came, mix, self._rows["hours"][place])
        quiet = ~hour.deploys(window, SETTLED)[app]
        judged = (self._rows["hours"][place] >= KNOWN_H) & quiet
        worth = mixes.worth_of(
            self._rows,
            self.tests["cohort"],
            mixes.HOUR,
            place,
            hour.apps[app],
            ratio,
            freedom,
            came.sum(axis=1),
            judged,
        )
        self._learn(place, came, others, ratio, freedom, worth >= FLAGGED, judged)
        expected = share * came.sum(axis=1, keepdims=True)
        for name, value in (("today", came), ("expected", expected)):
            self._rows[name][place] = np.where(quiet[:, None], self._rows[name][place] + value, 0.0).astype(np.float32)
        labels = [f"{DIMENSIONS[number]} {name}" for number, name in told.select("dimension", "name").iter_rows()]
        apps = hour.names[app]
        for one, row, label in zip(key.tolist(), apps.iter_rows(), labels, strict=True):
            self._names[one] = (*row, label)
        if not (worth >= SHOWN_MIN).any():
            return None
        which = mixes.largest(came, expected)
        about = [f"{label}: {what}" for label, what in zip(labels, shown.names(app, which), strict=True)]
        return mixes.told(
            "cohort",
            window,
            WINDOWS_PER_HOUR,
            apps=apps,
            worth=worth,
            about=about,
            which=which,
            came=came,
            expected=expected,
            learned_h=self._rows["hours"][place],
        )

    def _learn(
        self, place: Array, came: Array, others: Array, ratio: Numbers, freedom: Numbers, flagged: Array, judged: Array
    ) -> None:
        kept = not_flagged(self._rows, place, flagged, RELEARN_H)
        of = place[kept]
        scale = came.sum(axis=1, keepdims=True) / np.maximum(others.sum(axis=1, keepdims=True), 1.0)
        for name, value in (("mix", came), ("others", others * scale)):
            now = self._rows[name][of].astype(np.float64)
            self._rows[name][of] = (now * mixes.KEPT + value[kept]).astype(np.float32)
        self._rows["hours"][of] += 1
        mixes.learn_over(self._rows, mixes.HOUR, place, ratio, freedom, judged & ~flagged)

    def _day(self, window: Window) -> pl.DataFrame | None:
        """Judge the day that ends; the next begins."""
        places, keys = self._rows.places, self._rows.keys
        today = self._rows["today"][places].astype(np.float64)
        here = np.flatnonzero(today.sum(axis=1) >= 2 * EVENTS_MIN)
        place, today, key = places[here], today[here], keys[here]
        expected = self._rows["expected"][place].astype(np.float64)
        ratio, freedom = mixes.apart(today, mixes.shares(expected), expected.sum(axis=1))
        judged = self._rows["hours"][place] >= 2 * KNOWN_H
        worth = mixes.worth_of(
            self._rows, self.tests["cohort_day"], mixes.DAY, place, key, ratio, freedom, today.sum(axis=1), judged
        )
        mixes.learn_over(self._rows, mixes.DAY, place, ratio, freedom, judged & (worth < FLAGGED))
        for name in ("today", "expected"):
            self._rows[name][:] = 0
        names, self._names = self._names, {}
        if not (worth >= SHOWN_MIN).any():
            return None
        told = [names.get(one, ("", None, "")) for one in key.tolist()]
        apps = pl.DataFrame([one[:2] for one in told], schema={"app": pl.String(), "owner": pl.String()}, orient="row")
        return mixes.told(
            "cohort_day",
            window,
            WINDOWS_PER_DAY,
            apps=apps,
            worth=np.where(apps["app"] == "", 0.0, worth),
            about=[one[2] for one in told],
            which=mixes.largest(today, expected),
            came=today,
            expected=expected,
            learned_h=self._rows["hours"][place],
        )

    def snapshot(self) -> State:
        names = pl.DataFrame(
            [(key, *name) for key, name in sorted(self._names.items())],
            schema={"key": pl.UInt64(), "app": pl.String(), "owner": pl.String(), "label": pl.String()},
            orient="row",
        )
        frames = {"cohort.names": names, **self._rows.snapshot("cohort.rows")}
        frames |= self.tests.snapshot()
        return frames

    def restore(self, state: State) -> None:
        self._rows.restore("cohort.rows", state)
        if "cohort.names" not in state:
            raise ValueError("there is no cohort.names")
        self._names = {key: (app, owner, label) for key, app, owner, label in state["cohort.names"].iter_rows()}
        self.tests.restore(state)


_LOW: Final = np.uint64(BINS - 1)


def _parts(hour: Hour, names: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The cohorts of so many apps at a time."""
    group = names[GROUP].to_numpy()
    for first in range(0, len(hour.apps), BLOCK):
        mine = group >= hour.apps[first]
        if first + BLOCK < len(hour.apps):
            mine &= group < hour.apps[first + BLOCK]
        if mine.any():
            yield names.filter(pl.Series(mine))


def _chosen(
    hour: Hour, keys: Array, n: Array, names: pl.DataFrame, per_app: int
) -> tuple[Array, Array, Numbers, Numbers, pl.DataFrame] | None:
    """The largest cohorts of each app, in the order of keys: key, row of the app, its mix, that of the others, and what it is called."""
    names = names.sort(KEY)
    cohorts, group = names[KEY].to_numpy(), names[GROUP].to_numpy()
    of = np.minimum(np.searchsorted(cohorts, keys & ~_LOW), len(cohorts) - 1)
    known = cohorts[of] == keys & ~_LOW
    flat = of[known] * BINS + (keys[known] & _LOW).astype(np.int64)
    came = np.bincount(flat, n[known], len(cohorts) * BINS).astype(np.float64).reshape(-1, BINS)
    apps = np.minimum(np.searchsorted(hour.apps, group), len(hour.apps) - 1)
    here = hour.apps[apps] == group
    _, side = np.unique(apps * len(DIMENSIONS) + names["dimension"].to_numpy(), return_inverse=True)
    whole = np.zeros((int(side.max()) + 1, BINS))
    np.add.at(whole, side, came)  # whole numbers: exact in any order
    others = whole[side] - came
    total = came.sum(axis=1)
    fit = np.flatnonzero(here & (total >= EVENTS_MIN) & (others.sum(axis=1) >= EVENTS_MIN))
    if not len(fit):
        return None
    order = fit[np.lexsort((fit, -total[fit], apps[fit]))]
    starts = np.searchsorted(apps[order], apps[order])
    at = np.sort(order[np.arange(len(order)) - starts < per_app])
    return cohorts[at], apps[at], came[at], others[at], names[at]


def _expected(others: Numbers, mix: Numbers, beside: Numbers) -> Numbers:
    """The shares of a cohort by what others show now, and by how it differs from them as a rule."""
    found = np.maximum(mixes.shares(others) * (mix + TRUST) / (beside + TRUST), mixes.SHARE_LEAST / 2)
    whole: Numbers = found / found.sum(axis=1, keepdims=True)
    return whole
