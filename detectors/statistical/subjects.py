"""What subjects met in an hour, what others of their kind meet as a rule, and what they did themselves."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors.statistical import tails
from detectors.statistical.pending import KEY, Pending
from detectors.statistical.relations import (
    ALL,
    APP_PEOPLE,
    DEVICE_PAYERS,
    DEVICE_PEOPLE,
    ID_BITS,
    PERSON_OWNERS,
    REFUSED,
    RELATIONS,
    SMALL,
    UNPAID,
    WITHIN_APPS,
    Array,
    app_keys,
    begins,
    places_within,
    relations_of,
    subjects_of,
)
from detectors.statistical.rows import NOWHERE, Rows
from detectors.statistical.statistic import not_flagged
from detectors.statistical.tails import Numbers

BINS: Final = 48
"""Of amounts, two an octave."""

SMALL_SHARE: Final = 0.1
"""An amount is small where no larger a share of the app's are as small."""

AMOUNTS_MIN: Final = 200
"""Payers of an app before which none of its amounts is small."""

PEOPLE_MIN: Final = 500
"""Subjects of a kind before which none is judged."""

TRUST: Final = 20.0
"""So many subjects of all apps count for one app, where little is known of it."""

SPREAD_LEAST, SPREAD_MOST = 0.5, 4.0
"""Bounds of by how much subjects vary beyond a Poisson's variance: where a few meet hundreds, there is no end to it."""

SEVERAL: Final = 8
"""Added to a relation, the number of the population of those of its subjects who meet more than one: devices of a shop, of an office."""

SEVERAL_MIN: Final = 30
"""Hours of such subjects before they are what others are held against."""

NOTABLE: Final = 3
"""Who meets so many beyond what everybody does is remembered."""

HOURS_FAST: Final = 48
"""Means are over about so many of a subject's own hours."""

KEPT: Final = 1.0 - 1.0 / 168
"""Of what is known of a population so much is left after an hour."""

RELEARN_H: Final = 24
"""After so many hours one after the other that were flagged, what they show is usual for the subject."""

CUT: Final = 4.0
"""Deviations beyond which a count is not believed when it is learned."""

OWN_SPREAD: Final = 0.3

CROWD_KNOWN_H: Final = 24
"""Hours with logins after which it is known how many people log in at an app."""

OWN_H: Final = 6
"""Hours of a subject's own that were not flagged, before what it does is taken for usual: who comes for misdeeds alone has none."""


class Populations:
    """What is usual among like subjects: of a kind, or of one app."""

    def __init__(self, rows_max: int) -> None:
        fields: dict[str, tuple[npt.DTypeLike, int]] = {
            "subjects": (np.float64, 1),
            "ids": (np.float64, 1),
            "beyond": (np.float64, 1),
            "squares": (np.float64, 1),
            "refused": (np.float64, 1),
            "small": (np.float64, 1),
        }
        self.rows = Rows(fields, rows_max)
        self.amounts = Rows({"bins": (np.int32, BINS)}, rows_max)

    @property
    def forgotten(self) -> int:
        """How many were given up."""
        rows, amounts = self.rows, self.amounts
        return rows.forgotten + rows.refused + amounts.forgotten + amounts.refused

    @property
    def bytes(self) -> int:
        """What they take."""
        return self.rows.bytes + self.amounts.bytes

    def of(self, name: str, keys: npt.NDArray[np.uint64]) -> Numbers:
        """A number of each; 0 where nothing is known."""
        if not len(self.rows):
            return np.zeros(len(keys))
        at = self.rows.find(keys)
        return np.where(at == NOWHERE, 0.0, self.rows[name][at])

    def are_small(self, apps: npt.NDArray[np.uint64], amounts: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Which amounts are small for their apps."""
        if not len(self.amounts):
            return np.zeros(len(apps), np.bool_)
        at = self.amounts.find(apps)
        bins = self.amounts["bins"][at].astype(np.int64)
        total = bins.sum(axis=1)
        below = np.take_along_axis(np.cumsum(bins, axis=1), _bins(amounts)[:, None], axis=1)[:, 0]
        small: npt.NDArray[np.bool_] = (at != NOWHERE) & (total >= AMOUNTS_MIN) & (below <= SMALL_SHARE * total)
        return small

    def learn(self, hour: Hour, flagged: npt.NDArray[np.bool_], window: int) -> None:
        """Take an hour in, but for who was flagged."""
        rows, kept = self.rows, ~flagged
        if len(rows):
            for name in ("subjects", "ids", "beyond", "squares", "refused", "small"):
                rows[name][rows.places] *= KEPT
        one = np.ones(len(hour.subjects))
        numbers = {
            "subjects": one,
            "ids": hour.counts[ALL],
            "beyond": hour.beyond[ALL],
            "squares": hour.beyond[ALL] ** 2,
            "refused": hour.counts[REFUSED],
            "small": hour.counts[SMALL],
        }
        several = kept & (hour.beyond[ALL] > 0)
        apart = kept & (hour.kind != hour.population)
        for key, mine in ((hour.kind, kept), (hour.population, apart), (hour.kind + np.uint64(SEVERAL), several)):
            keys, of = np.unique(key[mine], return_inverse=True)
            at, _ = rows.seen(keys, window)
            for name, values in numbers.items():
                summed = np.bincount(of, values[mine], minlength=len(keys))  # whole numbers: exact in any order
                rows[name][at[at != NOWHERE]] += summed[at != NOWHERE]
        self._learn_amounts(hour, kept, window)

    def _learn_amounts(self, hour: Hour, kept: npt.NDArray[np.bool_], window: int) -> None:
        paid = (hour.least < UNPAID) & kept[hour.of_pair]
        if not paid.any():
            return
        apps, of = np.unique(hour.app[paid], return_inverse=True)
        at, _ = self.amounts.seen(apps, window)
        here = at[of] != NOWHERE
        np.add.at(self.amounts["bins"], (at[of][here], _bins(hour.least[paid])[here]), 1)

    def end_day(self, before: int) -> None:
        """Forget who was last seen before a window, and old amounts, slowly."""
        self.rows.forget_unseen(before)
        self.amounts.forget_unseen(before)
        self.amounts["bins"][:] -= self.amounts["bins"] // 16

    def parts(self) -> dict[str, Rows | Pending]:
        """For snapshots."""
        return {"fanout.populations": self.rows, "fanout.amounts": self.amounts}


class Hour:
    """What subjects met in an hour: arrays with a value a subject (or, where said, a pair), in the order of keys."""

    def __init__(self, pairs: pl.DataFrame, ids_max: int, populations: Populations) -> None:
        whole = subjects_of(pairs[KEY].to_numpy())
        kept = places_within(begins(whole), len(whole)) < ids_max
        column = {name: pairs[name].to_numpy()[kept] for name in (KEY, "app", "n", "failed", "least", "foreign")}
        self.keys, self.app, self.least = column[KEY], column["app"], column["least"]  # of pairs
        subject = subjects_of(self.keys)
        starts = begins(subject)
        sizes = np.diff(np.append(starts, len(subject)))
        self.subjects = subject[starts]
        self.relation = relations_of(self.subjects)
        self.of_pair = np.repeat(np.arange(len(starts)), sizes)
        self.met = column["foreign"] > 0  # of pairs, as are:
        self.bad = self.met & (2 * column["failed"] >= column["n"])
        small = self.met & (self.least < UNPAID)
        small[small] = populations.are_small(self.app[small], self.least[small])
        self.events = np.add.reduceat(column["n"], starts)
        last = (self.keys[starts + sizes - 1] & np.uint64(2**ID_BITS - 1)).astype(np.float64)
        grown = np.where(sizes < ids_max, 1.0, (ids_max - 1.0) / (last + 1.0) * 2.0**ID_BITS / ids_max)
        sampled = [np.add.reduceat(each.astype(np.int64), starts) for each in (self.met, self.bad, small)]
        self.counts = [np.rint(each * grown) for each in sampled]
        base = np.where(self.relation < PERSON_OWNERS, 1.0, 0.0)  # everybody meets one
        self.beyond = [np.maximum(self.counts[ALL] - base, 0.0), *self.counts[REFUSED:]]
        self.pays = np.array([len(one.measures) > SMALL for one in RELATIONS])[self.relation]
        self.kind = self.relation.astype(np.uint64)
        within = np.isin(self.relation, WITHIN_APPS)
        of_app = self.app[starts] >> np.uint64(3) << np.uint64(3) | self.kind
        self.population = np.where(within, of_app, self.kind)
        self._compare(populations)
        self.refused_usual = self._refused_around(len(starts)) * grown
        self.small_usual = self.counts[ALL] * self.small_share

    def _compare(self, populations: Populations) -> None:
        """What is usual among others."""
        of_kind = {name: populations.of(name, self.kind) for name in ("subjects", "ids", "beyond", "squares", "refused", "small")}  # fmt: skip
        count = np.maximum(of_kind["subjects"], 1.0)
        self.known = of_kind["subjects"] >= PEOPLE_MIN
        ids = np.maximum(of_kind["ids"], 1.0)
        self.refused_share = (of_kind["refused"] + 0.5) / (ids + 1.0)
        self.small_share = (of_kind["small"] + 0.5) / (ids + 1.0)
        mean, squares = of_kind["beyond"] / count, of_kind["squares"] / count
        own = populations.of("subjects", self.population)
        within = self.population != self.kind
        mine = np.where(within, own, 0.0) + TRUST
        usual = (np.where(within, populations.of("beyond", self.population), 0.0) + TRUST * mean) / mine
        squares = (np.where(within, populations.of("squares", self.population), 0.0) + TRUST * squares) / mine
        self.usual = np.maximum(usual, 1e-3)
        self._compare_several(populations)
        self.spread = np.clip((squares - usual * usual - usual) / (self.usual * self.usual), SPREAD_LEAST, SPREAD_MOST)

    def _compare_several(self, populations: Populations) -> None:
        """How many those meet as a rule who meet several; what is usual for all where hardly any do. At tills of which little is known as
        many people pay as log in.
        """
        of_kind = [populations.of(name, self.kind + np.uint64(SEVERAL)) for name in ("subjects", "beyond", "squares")]
        people = [
            populations.of(name, np.array([DEVICE_PEOPLE + SEVERAL], np.uint64))
            for name in ("subjects", "beyond", "squares")
        ]
        lacking = (self.relation == DEVICE_PAYERS) & (of_kind[0] < SEVERAL_MIN)
        of_kind = [np.where(lacking, at_login, own) for at_login, own in zip(people, of_kind, strict=True)]
        count = np.maximum(of_kind[0], 1.0)
        mean, squares = of_kind[1] / count, of_kind[2] / count
        self.several = np.where(of_kind[0] >= SEVERAL_MIN, mean, 0.0)
        varies = (squares - mean * mean - mean) / np.maximum(mean * mean, 1e-6)
        self.several_spread = np.clip(varies, SPREAD_LEAST, SPREAD_MOST)

    def _refused_around(self, subjects: int) -> Numbers:
        """How many refusals were to be expected: the usual share, or that of others at the same apps in this hour, where that is more."""
        subject = self.of_pair
        order = np.lexsort((self.app, subject))
        app, subject = self.app[order], subject[order]
        first = np.flatnonzero(np.concatenate([[True], (subject[1:] != subject[:-1]) | (app[1:] != app[:-1])]))
        met = np.add.reduceat(self.met[order].astype(np.int64), first)
        bad = np.add.reduceat(self.bad[order].astype(np.int64), first)
        who = subject[first]
        key = app[first] >> np.uint64(3) << np.uint64(3) | self.kind[who]
        _, of = np.unique(key, return_inverse=True)
        all_met = np.bincount(of, met)[of]  # whole numbers: exact in any order
        all_bad = np.bincount(of, bad)[of]
        usual = self.refused_share[who]
        share = np.maximum(usual, (all_bad - bad + TRUST * usual) / (all_met - met + TRUST))
        return np.add.reduceat(met * share, np.searchsorted(who, np.arange(subjects)))


def own_score(
    known: Rows,
    place: Array,
    measure: int | Array,
    value: Numbers,
    hours_min: int | Array,
    hours: Numbers | float = 1.0,
    grown: Numbers | float = 1.0,
) -> Numbers:
    """How improbable so many within some hours are by what a subject did before, so many times as much of it being usual now; the most
    where too little is known.
    """
    if not len(known):
        return np.full(len(place), tails.SCORE_MAX)
    learned = np.where(place == NOWHERE, 0, known["hours"][place])
    mean = known["mean"][place, measure].astype(np.float64)
    score = tails.many(value, (mean + 0.5) * hours * grown, OWN_SPREAD + 2.0 / np.maximum(learned, 1))
    return np.where(learned >= hours_min, score, tails.SCORE_MAX)


def crowds(known: Rows, hour: Hour, place: Array) -> Numbers:
    """How many times as many people as usual log in at the apps at which a subject met its ids, itself left out: 1 and more."""
    found = np.ones(len(hour.subjects))
    at = np.flatnonzero((hour.relation == APP_PEOPLE) & (place != NOWHERE))
    at = at[known["hours"][place[at]] >= CROWD_KNOWN_H] if len(at) else at
    if not len(at):
        return found
    wanted = subjects_of(app_keys(hour.app))
    of_app = at[np.minimum(np.searchsorted(hour.subjects[at], wanted), len(at) - 1)]
    here = np.flatnonzero(hour.met & (hour.subjects[of_app] == wanted))
    subject, app = hour.of_pair[here], of_app[here]
    order = np.lexsort((app, subject))
    subject, app = subject[order], app[order]
    first = np.flatnonzero(np.concatenate([[True], (subject[1:] != subject[:-1]) | (app[1:] != app[:-1])]))[: len(here)]
    met = np.diff(np.append(first, len(here)))
    subject, app = subject[first], app[first]
    usual = np.maximum(known["mean"][place[app], ALL].astype(np.float64), 1.0)
    times = np.maximum((hour.counts[ALL][app] - met) / usual, 1.0)
    whole = np.bincount(subject, met, len(found))
    np.divide(np.bincount(subject, met * times, len(found)), whole, out=found, where=whole > 0)
    return found


def remember(known: Rows, hour: Hour, flagged: npt.NDArray[np.bool_], window: int) -> None:
    """Learn what subjects did, of those who ever met many, and of all apps."""
    notable = (hour.beyond[ALL] >= NOTABLE) | (hour.counts[REFUSED] >= NOTABLE) | (hour.relation == APP_PEOPLE)
    wanted = np.flatnonzero(notable | flagged | known.knows(hour.subjects))
    if not len(wanted):
        return
    at, _ = known.seen(hour.subjects[wanted], window)
    wanted, at = wanted[at != NOWHERE], at[at != NOWHERE]
    learns = not_flagged(known, at, flagged[wanted], RELEARN_H)
    hours = known["hours"][at].astype(np.float64)
    step = np.where(learns, 1.0 / np.minimum(hours + 1.0, HOURS_FAST), 0.0)
    people = hour.relation[wanted] == APP_PEOPLE
    _vary(known, at, hour, wanted, np.where(people, step, 0.0))
    for measure in (ALL, REFUSED, SMALL):
        value = np.where(people, hour.counts[measure][wanted], hour.beyond[measure][wanted])
        mean = known["mean"][at, measure].astype(np.float64)
        high = mean + CUT * np.sqrt(mean + 0.5 + OWN_SPREAD * mean * mean) + 1.0
        cut = np.where(hours >= NOTABLE, np.minimum(value, high), value)
        known["mean"][at, measure] = (mean + step * (cut - mean)).astype(np.float32)
    known["hours"][at] += learns


def _vary(known: Rows, at: Array, hour: Hour, wanted: Array, step: Numbers) -> None:
    """By how much an app's refusals vary beyond a Poisson's variance, around what share of its people are refused as a rule."""
    mean = known["mean"][at].astype(np.float64)
    usual = hour.counts[ALL][wanted] * (mean[:, REFUSED] + 0.02) / np.maximum(mean[:, ALL], 1e-3)
    off = np.minimum((hour.counts[REFUSED][wanted] - usual) ** 2, (CUT * CUT) * (usual + usual * usual)) - usual
    for place, value in ((0, off), (1, usual * usual)):
        now = known["vary"][at, place].astype(np.float64)
        known["vary"][at, place] = (now + step * (value - now)).astype(np.float32)


def _bins(amounts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return np.clip(2.0 * np.log2(np.maximum(amounts, 1)), 0, BINS - 1).astype(np.int64)
