"""One against many: people on one device or address, addresses of one person, payers on one device, owners whose things one person reads.

Counted each hour are the different ids that a subject meets at login, in payment and where the gateway says whose things are read: all
of them, those of which most tries failed, and payers of amounts that are small for the app. A subject is unusual where it comes to more
than others of its kind do *and* than it did itself: an office, a carrier's address, a shop's device and an administrator meet many
every day. A device at which all get in, or pay, is held against those that several people share: a shop has new ones now and then. Where
an app has a crowd its tills have one too: what a subject did before counts for as many times as much. Failures weigh by what share of
them is usual, in this hour too: what nobody gets through is an outage. What is slow is seen within a day (UTC): ids that failed, and
foreign owners. An attack spread over many addresses is seen at the app: more of its people fail than usually do, while as many as usual
get in.

Counts are exact up to `IDS_MAX` ids in an hour; beyond, they are estimated by the smallest hashes (Bar-Yossef and others, *Counting distinct
elements in a data stream*, 2002), with an error of 3 %. Those of a day are of 256 bits (Whang and others, *A linear-time probabilistic
counting algorithm*, 1990): 5 % up to 300, 13 % at 1,000, and 1,420 at most.

What fools it: who was there from the first hours on; who grows by less than what is usual each hour; whose victims' app has a crowd at the
time; who takes a new address for every few tries, and keeps below what the app's failures vary by; ids that are looked for in one's own name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from detectors.detector import State
from detectors.statistical import relations, tails
from detectors.statistical.pending import GROUP, KEY, WINDOW, Pending
from detectors.statistical.relations import (
    ALL,
    APP_PEOPLE,
    DEVICE_PAYERS,
    DEVICE_PEOPLE,
    NAMED,
    PAIRS,
    PERSON_OWNERS,
    REFUSED,
    RELATIONS,
    SHARED,
    SMALL,
    WITHIN_APPS,
    Array,
    begins,
    places_within,
    relations_of,
    subjects_of,
)
from detectors.statistical.rows import NOWHERE, Rows
from detectors.statistical.statistic import FLAGGED, SHOWN_MIN, STREAK, UNUSUAL, Suite
from detectors.statistical.subjects import OWN_H, Hour, Populations, crowds, own_score, remember
from detectors.statistical.tails import Numbers
from detectors.statistical.windows import WINDOW_US, WINDOWS_PER_DAY, WINDOWS_PER_HOUR, Window

IDS_MAX: Final = 1_024
"""Ids of a subject that are remembered within an hour."""

TOLD_MIN: Final = 5
"""Fewer ids are no fan-out."""

TOLD_DAY_MIN: Final = 8

BITS: Final = 256
"""Of a day's ids of a subject."""

FAILING_KNOWN_H: Final = 24
"""Hours with logins after which an app's failures are judged."""

OUTAGE_SHARE: Final = 0.5
"""Where fewer than so large a share of those who usually get in did, it is no attack."""

SPREAD: Final = 0.5
"""By how much counts of failures vary beyond a Poisson's: the squared coefficient of variation."""


class FanoutConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much is remembered."""

    pairs_max: int = 1_000_000
    pairs_per_app_max: int = 200_000
    subjects_max: int = 200_000
    populations_max: int = 100_000
    forget_days: int = 21


class Fanout:
    """Counts of the ids that subjects meet, and how many are usual."""

    name = "fanout"

    def __init__(self, config: FanoutConfig | None = None) -> None:
        self.config = config or FanoutConfig()
        per_app, most, subjects = self.config.pairs_per_app_max, self.config.pairs_max, self.config.subjects_max
        self._window = Pending({**PAIRS, **NAMED}, group_keys_max=per_app, keys_max=most)
        self._pairs = Pending(PAIRS, group_keys_max=per_app, keys_max=most)  # of the hour
        self._names = Pending(NAMED, group_keys_max=subjects, keys_max=subjects)
        self._here = np.empty(0, np.uint64)  # subjects that were seen in this hour, in order
        self._day = self._new_day()
        self._known = Rows(
            {"mean": (np.float32, 3), "vary": (np.float32, 2), "hours": (np.int32, 1), **STREAK},
            self.config.subjects_max,
        )
        self._populations = Populations(self.config.populations_max)
        classes = len(RELATIONS) * (SMALL + 1)
        self.tests = Suite(self.name, dict.fromkeys(("fanout", "drip", "failing"), classes))

    def _new_day(self) -> Rows:
        fields: dict[str, tuple[npt.DTypeLike, int]] = {
            "bits": (np.uint64, BITS // 64),
            "refused": (np.float64, 1),  # how many were to be expected
            "hours": (np.int32, 1),
            "n": (np.int64, 1),
        }
        return Rows(fields, self.config.subjects_max)

    @property
    def needs(self) -> frozenset[str]:
        return relations.NEEDS

    @property
    def forgotten(self) -> int:
        waiting = self._window.forgotten + self._pairs.forgotten + self._names.forgotten
        return waiting + self._day.refused + self._known.forgotten + self._known.refused + self._populations.forgotten

    @property
    def bytes(self) -> int:
        """What is remembered of subjects beyond an hour takes so much."""
        return self._day.bytes + self._known.bytes + self._populations.bytes

    # Counting

    def count(self, rows: pl.DataFrame) -> None:
        found = relations.pairs(rows)
        if found is not None:
            self._window.add(found)

    def close(self, window: Window) -> Sequence[pl.DataFrame]:
        self._gather(window)
        found: list[pl.DataFrame | None] = []
        if window.ends_hour:
            found = self._hour(window)
        if window.ends_day:
            self._end_day(window)
        return [frame for frame in found if frame is not None]

    def _gather(self, window: Window) -> None:
        """Put a window's pairs to the hour's; names only of those who meet several or fail: who meets one is nobody to tell of."""
        pairs = self._window.take(window.index)
        if not pairs.height:
            return
        keys = pairs[KEY].to_numpy()
        subject = subjects_of(keys)
        starts = begins(subject)
        subjects = subject[starts]
        at = np.searchsorted(self._here, subjects)
        known = self._here[np.minimum(at, len(self._here) - 1)] == subjects if len(self._here) else np.zeros(len(at), np.bool_)  # fmt: skip
        self._here = np.insert(self._here, at[~known], subjects[~known])
        several = np.diff(np.append(starts, len(keys))) > 1
        notable = np.add.reduceat(pairs["failed"].to_numpy(), starts) > 0
        notable |= (relations_of(subjects) == PERSON_OWNERS) & (
            np.add.reduceat(pairs["foreign"].to_numpy(), starts) > 0
        )
        named = np.flatnonzero(known | several | notable)
        hour = pl.lit(window.hour, pl.Int64).alias(WINDOW)
        told = pairs[starts[named]].select(hour, pl.Series(KEY, subjects[named]), GROUP, *NAMED)
        self._names.add(told)
        kept = places_within(starts, len(keys)) < IDS_MAX
        self._pairs.add(pairs.filter(pl.Series(kept)).select(hour, KEY, GROUP, *PAIRS))

    # Judging

    def _hour(self, window: Window) -> list[pl.DataFrame | None]:
        pairs, names = self._pairs.take(window.hour), self._names.take(window.hour)
        self._here = np.empty(0, np.uint64)
        if not pairs.height:
            return []
        hour = Hour(pairs, IDS_MAX, self._populations)
        place = self._known.find(hour.subjects)
        found = self._judge(hour, place, names, window)
        flagged = self._flagged.copy()
        found += self._drip(hour, place, names, window)
        found.append(self._failing(hour, place, names, window))
        remember(self._known, hour, flagged | self._flagged, window.index)
        self._populations.learn(hour, flagged, window.index)
        return found

    _flagged: npt.NDArray[np.bool_] = np.empty(0, np.bool_)

    def _judge(self, hour: Hour, place: Array, names: pl.DataFrame, window: Window) -> list[pl.DataFrame | None]:
        """Who meets too many within an hour."""
        found = []
        self._flagged = np.zeros(len(hour.subjects), np.bool_)
        apart = hour.relation != APP_PEOPLE
        crowd = crowds(self._known, hour, place)
        for measure, usual in ((ALL, hour.usual), (REFUSED, hour.refused_usual), (SMALL, hour.small_usual)):
            value = hour.counts[measure]
            spread = hour.spread if measure == ALL else SPREAD
            others = tails.many(hour.beyond[measure], usual, spread)
            if measure == ALL:
                shared = np.isin(hour.relation, (DEVICE_PEOPLE, DEVICE_PAYERS)) & (hour.several > 0)
                among = tails.many(hour.beyond[ALL], hour.several, hour.several_spread)
                others = np.where(shared, np.minimum(others, among), others)
            innocent = (measure == ALL) & ~np.isin(hour.relation, WITHIN_APPS)
            grown = np.where(innocent, crowd, 1.0)
            own = own_score(
                self._known, place, measure, hour.beyond[measure], np.where(innocent, 1, OWN_H), grown=grown
            )
            judged = apart & hour.known
            if measure == SMALL:
                judged &= hour.pays
            elif measure == ALL:
                judged &= ~np.isin(hour.relation, SHARED)
            at = np.flatnonzero(judged)
            classes = hour.relation[at] * (SMALL + 1) + measure
            worth = self._worth("fanout", np.minimum(others, own)[at], others[at], hour.subjects[at], classes)
            worth = np.where(value[at] >= TOLD_MIN, worth, 0.0)
            self._flagged[at] |= worth >= FLAGGED
            found.append(_unusual("fanout", hour, at, worth, measure, value, usual, names, window, self._hours(place)))
        return found

    def _drip(self, hour: Hour, place: Array, names: pl.DataFrame, window: Window) -> list[pl.DataFrame | None]:
        """Who meets too many within a day, slowly."""
        owners = hour.relation == PERSON_OWNERS
        measured = np.where(owners, hour.counts[ALL], hour.counts[REFUSED])
        wanted = (measured > 0) & (hour.relation != APP_PEOPLE)
        wanted |= self._day.knows(hour.subjects)
        which = np.flatnonzero(wanted)
        if not len(which):
            return []
        rows, _ = self._day.seen(hour.subjects[which], window.index)
        which, rows = which[rows != NOWHERE], rows[rows != NOWHERE]
        of = np.full(len(hour.subjects), NOWHERE, np.int64)
        of[which] = rows
        self._day["refused"][rows] += hour.refused_usual[which]
        self._day["n"][rows] += hour.events[which]
        self._day["hours"][rows] += 1
        of_pair = of[hour.of_pair]
        set_ = (of_pair != NOWHERE) & np.where(owners[hour.of_pair], hour.met, hour.bad)
        bit = (hour.keys[set_] % BITS).astype(np.uint64)
        np.bitwise_or.at(self._day["bits"], (of_pair[set_], (bit >> np.uint64(6)).astype(np.int64)), np.uint64(1) << (bit & np.uint64(63)))  # fmt: skip
        empty = BITS - np.bitwise_count(self._day["bits"][rows]).sum(axis=1).astype(np.float64)
        distinct = -BITS * np.log(np.maximum(empty, 1.0) / BITS)
        hours = self._day["hours"][rows].astype(np.float64)
        measure = np.where(owners[which], ALL, REFUSED)
        usual = np.where(owners[which], hour.usual[which] * hours, self._day["refused"][rows])
        others = tails.many(distinct, usual, np.where(owners[which], hour.spread[which], SPREAD))
        own = own_score(self._known, place[which], measure, distinct, OWN_H, hours)
        judged = np.flatnonzero(hour.known[which])
        worth = self._worth("drip", np.minimum(others, own)[judged], others[judged], hour.subjects[which][judged], measure[judged])  # fmt: skip
        worth = np.where(distinct[judged] >= TOLD_DAY_MIN, worth, 0.0)
        at = which[judged]
        self._flagged[at] |= worth >= FLAGGED
        value, expected = np.zeros(len(hour.subjects)), np.zeros(len(hour.subjects))
        value[which], expected[which] = distinct, usual
        found = []
        for one in (ALL, REFUSED):
            mine = measure[judged] == one
            found.append(_unusual("drip", hour, at[mine], worth[mine], one, value, expected, names, window, self._hours(place)))  # fmt: skip
        return found

    def _failing(self, hour: Hour, place: Array, names: pl.DataFrame, window: Window) -> pl.DataFrame | None:
        """Apps at which too many people fail to log in, while as many as usual get in."""
        which = np.flatnonzero((hour.relation == APP_PEOPLE) & (place != NOWHERE))
        rows = place[which]
        which = which[self._known["hours"][rows] >= FAILING_KNOWN_H]
        rows = place[which]
        mean = self._known["mean"][rows].astype(np.float64)
        vary = self._known["vary"][rows].astype(np.float64)
        people, refused = hour.counts[ALL][which], hour.counts[REFUSED][which]
        usual = people * (mean[:, REFUSED] + 0.5 / FAILING_KNOWN_H) / np.maximum(mean[:, ALL], 1e-3)
        spread = np.clip(vary[:, 0] / np.maximum(vary[:, 1], 1e-3), 0.02, 1.0)
        score = tails.many(refused, usual, spread)
        got_in = people - refused >= OUTAGE_SHARE * (mean[:, ALL] - mean[:, REFUSED])
        score = np.where(got_in, score, 0.0)
        worth = np.where(refused >= TOLD_MIN, self._worth("failing", score, score, hour.subjects[which], 0), 0.0)
        self._flagged[which] |= worth >= FLAGGED
        value, expected = np.zeros(len(hour.subjects)), np.zeros(len(hour.subjects))
        value[which], expected[which] = refused, usual
        return _unusual("failing", hour, which, worth, REFUSED, value, expected, names, window, self._hours(place))

    def _worth(self, test: str, scores: Numbers, of_others: Numbers, who: Array, classes: Any) -> Numbers:
        """What scores are worth among those of all who are alike, also of those for whom it is usual."""
        one = self.tests[test]
        worth = one.calibration.worth(scores, classes)
        one.learn(np.where(worth >= FLAGGED, scores, of_others), classes, who)
        return worth

    def _hours(self, place: Array) -> Array:
        """For how many hours subjects are known."""
        if not len(self._known):
            return np.zeros(len(place), np.int64)
        return np.where(place != NOWHERE, self._known["hours"][place], 0).astype(np.int64)

    def _end_day(self, window: Window) -> None:
        day, self._day = self._day, self._new_day()
        self._day.refused = day.refused
        before = window.index - self.config.forget_days * WINDOWS_PER_DAY
        self._known.forget_unseen(before)
        self._populations.end_day(before)
        self.tests.fade()

    # Memory

    def snapshot(self) -> State:
        frames: dict[str, pl.DataFrame] = {"fanout.here": pl.DataFrame({"subject": self._here})}
        for name, part in self._parts().items():
            frames |= part.snapshot(name)
        frames |= self.tests.snapshot()
        return frames

    def restore(self, state: State) -> None:
        for name, part in self._parts().items():
            part.restore(name, state)
        self.tests.restore(state)
        if "fanout.here" not in state:
            raise ValueError("there is no fanout.here")
        self._here = state["fanout.here"]["subject"].to_numpy().copy()

    def _parts(self) -> dict[str, Rows | Pending]:
        return {
            "fanout.window": self._window,
            "fanout.pairs": self._pairs,
            "fanout.names": self._names,
            "fanout.day": self._day,
            "fanout.known": self._known,
            **self._populations.parts(),
        }


def _unusual(
    test: str,
    hour: Hour,
    at: Array,
    worth: Numbers,
    measure: int,
    value: Numbers,
    usual: Numbers,
    names: pl.DataFrame,
    window: Window,
    hours: Array,
) -> pl.DataFrame | None:
    """Those worth telling, of subjects whose names are known."""
    shown = worth >= SHOWN_MIN
    at, worth = at[shown], worth[shown]
    if not len(at) or not names.height:
        return None
    known = names[KEY].to_numpy()
    named = np.minimum(np.searchsorted(known, hour.subjects[at]), len(known) - 1)
    here = known[named] == hour.subjects[at]
    at, worth, named = at[here], worth[here], named[here]
    if not len(at):
        return None
    told = names[named]
    number = hour.relation[at].tolist()
    beside = told["beside"].to_list()
    within = [RELATIONS[one].behaviour == RELATIONS[PERSON_OWNERS].behaviour for one in number]
    begin = window.end - (WINDOWS_PER_HOUR if test != "drip" else window.index % WINDOWS_PER_DAY + 1) * WINDOW_US
    values = {
        "scope": [RELATIONS[one].scope.value for one in number],
        "entity": told["name"].to_list(),
        "owner": [each if one == APP_PEOPLE else None for one, each in zip(number, beside, strict=True)],
        "about": [f"{each or ''}" if is_within else "" for is_within, each in zip(within, beside, strict=True)],
        "test": [test] * len(at),
        "measure": [RELATIONS[one].measures[measure] for one in number],
        "behaviour": [RELATIONS[one].behaviour for one in number],
        "worth": worth,
        "value": value[at],
        "usual": usual[at],
        "count": hour.events[at],
        "begins": [begin] * len(at),
        "learned": hours[at],
    }
    return pl.DataFrame(values, schema=UNUSUAL)
