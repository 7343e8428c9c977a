"""How large what is measured is: bytes of setData, memory, bodies of requests, amounts paid, by app and hour.

Where fewer than `COUNT_MIN` come in an hour they are gathered until there are as many, for a day at most: what is said of hours below is
said of these stretches then.
Judged are the typical size (the mean of logarithms) by the app's own of a week: its usual, how much that varies between hours, and how much
single ones do; and how many are large, by the shares of sizes of that week. Not by the mean size: of sizes as they are one decides it.
Amounts are looked at downwards too: many small ones are how stolen cards are tried. Bodies are judged apart by what sends them, for uploads
are large as a rule. Sums are of whole numbers (logarithms in fixed point), so that they are the same however the stream is cut.

What fools it: a slow rise, with which the usual goes along; fewer than `LARGE_MIN` large ones an hour; who has fewer than `COUNT_MIN` a
day. Where events carry none of the fields nothing is said. Sources: exponentially weighted means and variances (Roberts, *Control chart
tests based on geometric moving averages*, 1959); the deviance of a Poisson count, with a learned overdispersion (`mixes.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from detectors.detector import State
from detectors.statistical import mixes, tails
from detectors.statistical.hashes import ACTION, APP
from detectors.statistical.pending import GROUP, KEY, WINDOW, Merging, Pending, merged_as
from detectors.statistical.rows import NOWHERE, Rows
from detectors.statistical.statistic import FLAGGED, SHOWN_MIN, STREAK, Suite, not_flagged
from detectors.statistical.tails import Numbers
from detectors.statistical.tallies import Counts, Keys, Tallies
from detectors.statistical.telling import unusual
from detectors.statistical.windows import WINDOWS_PER_DAY, WINDOWS_PER_HOUR, Window

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class _Measure:
    field: str
    about: str
    behaviour: int
    apart: bool = False  # by what is called
    large: bool = True  # large ones tell something: large amounts are a good day
    falls: bool = False  # it is told as well where it is lower than usual


MEASURES: Final = (
    _Measure("miniprogram.set_data.bytes", "setData", 21),
    _Measure("process.memory.bytes", "memory", 21),
    _Measure("http.request.bytes", "request bodies", 3, apart=True),
    _Measure("payment.amount", "amounts", 12, large=False, falls=True),
)

UNIT: Final = 1024
"""Of logarithms to the base of two, in fixed point."""

OCTAVES: Final = 32
"""Sizes are counted by powers of two."""

COUNT_MIN: Final = 5
LARGE_MIN: Final = 3
"""Fewer in an hour, or fewer large ones, are not judged."""

GATHERED_H_MAX: Final = 24
"""Hours for which what is too little is gathered."""

KNOWN_H: Final = 8
"""Hours with as many before which an app is not judged."""

HOURS_MEAN: Final = 168
KEPT: Final = 1.0 - 1.0 / HOURS_MEAN
CUT: Final = 4.0
RELEARN_H: Final = 48

VARY_USUAL: Final = 0.25
VARY_HOURS: Final = 12.0
"""The variance of an hour's logarithm of whom little is known, and for how many hours it counts."""

UNSURE: Final = 4.0
"""Means and variances are known from so few hours that the variance is larger by this part of their number: Student's t, roughly."""

VARY_MIN: Final = 0.01
"""Nothing is believed to vary by less than a tenth of an octave."""

WAITING_MAX: Final = 20_000

NEEDS: Final = frozenset(
    {"event.action", "miniprogram.app_id", "miniprogram.developer_id", *(one.field for one in MEASURES)}
)

_SUMS: Final[dict[str, Merging]] = {
    "n": "sum",
    "logs": "sum",
    "squares": "sum",
    "measure": "first",
    "what": "first",
    "app": "first",
    "owner": "max",
    "gathered": "max",  # hours before this one
}

KEYS_PER_APP: Final = 32
_LOW: Final = np.uint64(2 * OCTAVES - 1)
"""Bits of a key that tell the octave instead."""


class LevelsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much is remembered."""

    keys_max: int = 400_000
    forget_days: int = 21


class Levels:
    """Compares sizes with what they were."""

    name = "levels"

    def __init__(self, config: LevelsConfig | None = None) -> None:
        self.config = config or LevelsConfig()
        self._sums = Pending(_SUMS, group_keys_max=KEYS_PER_APP, keys_max=self.config.keys_max)
        self._octaves = Tallies(OCTAVES * self.config.keys_max)
        self._rows = Rows(
            {
                "mean": (np.float32, 1),
                "vary": (np.float32, 1),
                "within": (np.float32, 1),
                "sizes": (np.float32, OCTAVES),
                "over": (np.float32, 1),
                "looks": (np.int32, 1),
                "hours": (np.int32, 1),
                **STREAK,
            },
            self.config.keys_max,
        )
        self.tests = Suite(self.name, {"level": 1, "level_low": 1, "large": 1})
        self._waiting: list[pl.DataFrame] = []
        self._rows_waiting = 0

    @property
    def needs(self) -> frozenset[str]:
        return NEEDS

    @property
    def forgotten(self) -> int:
        return self._sums.forgotten + self._octaves.forgotten + self._rows.forgotten + self._rows.refused

    @property
    def bytes(self) -> int:
        """What is remembered takes so much."""
        return self._rows.bytes

    # Counting

    def count(self, rows: pl.DataFrame) -> None:
        here = [one.field for one in MEASURES if rows[one.field].null_count() < rows.height]
        if not here:
            return
        some = rows.select(WINDOW, APP, ACTION, *sorted(NEEDS)).filter(pl.any_horizontal(pl.col(here).is_not_null()))
        self._waiting.append(some)
        self._rows_waiting += some.height
        if self._rows_waiting >= WAITING_MAX:
            self._flush()

    def _flush(self) -> None:
        """Count the rows that wait."""
        if not self._waiting:
            return
        some = pl.concat(self._waiting)
        self._waiting, self._rows_waiting = [], 0
        parts = [
            some.select(
                (pl.col(WINDOW) // WINDOWS_PER_HOUR).alias(WINDOW),
                pl.col(APP).alias(GROUP),
                pl.col(ACTION) if one.apart else pl.lit(0, pl.UInt64).alias(ACTION),
                value=pl.col(one.field).cast(pl.Int64),
                measure=pl.lit(number, pl.Int8),
                what=pl.col("event.action") if one.apart else pl.lit(None, pl.String),
                app="miniprogram.app_id",
                owner="miniprogram.developer_id",
            ).filter((pl.col("value") >= 0) & pl.col("app").is_not_null())
            for number, one in enumerate(MEASURES)
        ]
        whole = pl.concat(parts)
        if not whole.height:
            return
        value = np.maximum(whole["value"].to_numpy(), 1).astype(np.float64)
        logs = np.rint(np.log2(value) * UNIT).astype(np.int64)
        measure = whole["measure"].to_numpy().astype(np.uint64)
        mixed = whole[GROUP].to_numpy() * (np.uint64(2) * measure + np.uint64(5)) + whole[ACTION].to_numpy()
        key = mixed & ~_LOW
        told = whole.with_columns(
            pl.Series(KEY, key),
            pl.Series("logs", logs),
            pl.Series("squares", logs * logs),
            n=pl.lit(1, pl.Int64),
            gathered=pl.lit(0, pl.Int64),
        )
        self._sums.add(told.group_by(WINDOW, KEY).agg(pl.col(GROUP).first(), *merged_as(_SUMS)))
        octave = np.minimum(np.log2(value), OCTAVES - 1).astype(np.uint64)
        hours = whole[WINDOW].to_numpy()
        for hour in np.unique(hours).tolist():
            self._octaves.add(hour, (key | octave)[hours == hour])

    # Judging

    def close(self, window: Window) -> Sequence[pl.DataFrame]:
        found: list[pl.DataFrame | None] = []
        if window.ends_hour:
            self._flush()
            sums, octaves = self._sums.take(window.hour), self._octaves.take(window.hour)
            if sums.height:
                found = self._hour(sums, octaves, window)
        if window.ends_day:
            self._rows.forget_unseen(window.index - self.config.forget_days * WINDOWS_PER_DAY)
            self.tests.fade()
        return [frame for frame in found if frame is not None]

    def _enough(
        self, sums: pl.DataFrame, octaves: tuple[Keys, Counts], window: Window
    ) -> tuple[pl.DataFrame, tuple[Keys, Counts]]:
        """Those of which enough has come; of the others it is kept for the next hour."""
        enough = pl.col("n") >= COUNT_MIN
        kept = sums.filter(~enough & (pl.col("gathered") < GATHERED_H_MAX - 1))
        self._sums.add(kept.with_columns(pl.lit(window.hour + 1, pl.Int64).alias(WINDOW), pl.col("gathered") + 1))
        keys, n = octaves
        waits = np.isin(keys & ~_LOW, kept[KEY].to_numpy())
        self._octaves.add(window.hour + 1, keys[waits], n[waits])
        return sums.filter(enough), (keys[~waits], n[~waits])

    def _hour(self, sums: pl.DataFrame, octaves: tuple[Keys, Counts], window: Window) -> list[pl.DataFrame | None]:
        sums, octaves = self._enough(sums, octaves, window)
        place, _ = self._rows.seen(sums[KEY].to_numpy(), window.index)
        sums, place = sums.filter(pl.Series(place != NOWHERE)), place[place != NOWHERE]
        if not sums.height:
            return []
        n, logs, squares = (sums[name].to_numpy().astype(np.float64) for name in ("n", "logs", "squares"))
        value = logs / n / UNIT
        within = np.maximum(squares / n / UNIT**2 - value * value, 0.0)
        hours = self._rows["hours"][place].astype(np.float64)
        measure, group = sums["measure"].to_numpy(), sums[GROUP].to_numpy()
        mean = self._rows["mean"][place].astype(np.float64)
        vary = self._rows["vary"][place].astype(np.float64)
        unsure = 1.0 + UNSURE / np.maximum(hours, 1.0)
        by = np.sqrt((self._variance(vary, hours) + self._rows["within"][place] / n) * unsure)
        falls, larger = (np.array([getattr(one, name) for one in MEASURES])[measure] for name in ("falls", "large"))
        known = hours >= KNOWN_H
        came = _by_octave(sums[KEY].to_numpy(), octaves)
        ratio, many, usual, least = _large(came, self._rows["sizes"][place].astype(np.float64))
        over, looks = self._rows["over"][place].astype(np.float64), self._rows["looks"][place].astype(np.float64)
        off = (value - mean) / by
        flagged = np.zeros(len(place), np.bool_)
        found = []
        for test, judged, score, what, came_to, expected in (
            ("level", known, tails.normal(np.maximum(off, 0.0)), "typical size", np.exp2(value), np.exp2(mean)),
            (
                "level_low",
                known & falls,
                tails.normal(np.maximum(-off, 0.0)),
                "typical size",
                np.exp2(value),
                np.exp2(mean),
            ),
            ("large", known & larger, mixes.score(ratio, np.ones(len(place)), over, looks), "large", many, usual),
        ):
            at = np.flatnonzero(judged)
            worth = np.zeros(len(place))
            if len(at):
                worth[at] = self.tests[test].worth(score[at], who=group[at])
            flagged |= worth >= FLAGGED
            told = [what if test != "large" else f"{1 << one:,} and more" for one in least.tolist()]
            found.append(self._told(test, told, sums, worth, came_to, expected, hours, window))
        kept = not_flagged(self._rows, place, flagged, RELEARN_H)
        self._learn(place, value, mean, vary, by, within, hours, kept)
        self._learn_sizes(place, came, ratio, over, looks, known, kept)
        return found

    @staticmethod
    def _variance(vary: Numbers, hours: Numbers) -> Numbers:
        known = np.minimum(hours, HOURS_MEAN)
        found: Numbers = np.maximum((vary * known + VARY_USUAL * VARY_HOURS) / (known + VARY_HOURS), VARY_MIN)
        return found

    def _learn(
        self, place: Array, value: Numbers, mean: Numbers, vary: Numbers, by: Numbers, within: Numbers, hours: Numbers, kept: Array
    ) -> None:  # fmt: skip
        step = np.where(kept, 1.0 / np.minimum(hours + 1.0, HOURS_MEAN), 0.0)
        cut = np.where(hours >= KNOWN_H, np.clip(value, mean - CUT * by, mean + CUT * by), value)
        squared = np.where(hours > 0, (cut - mean) ** 2, 0.0)
        self._rows["mean"][place] = (mean + step * (cut - mean)).astype(np.float32)
        self._rows["vary"][place] = (vary + step * (squared - vary)).astype(np.float32)
        now = self._rows["within"][place].astype(np.float64)
        self._rows["within"][place] = (now + step * (within - now)).astype(np.float32)
        self._rows["hours"][place] += kept

    def _learn_sizes(
        self, place: Array, came: Numbers, ratio: Numbers, over: Numbers, looks: Numbers, known: Array, kept: Array
    ) -> None:
        now = self._rows["sizes"][place].astype(np.float64)
        self._rows["sizes"][place] = np.where(kept[:, None], now * KEPT + came, now).astype(np.float32)
        kept = kept & known
        self._rows["over"][place[kept]] = mixes.learned(ratio[kept], np.ones(int(kept.sum())), over[kept], looks[kept])
        self._rows["looks"][place] += kept

    @staticmethod
    def _told(test: str, told: Sequence[str], sums: pl.DataFrame, worth: Numbers, value: Numbers, usual: Numbers, hours: Numbers, window: Window) -> pl.DataFrame | None:  # fmt: skip
        if not (worth >= SHOWN_MIN).any():
            return None
        measures = [MEASURES[number] for number in sums["measure"].to_list()]
        what = sums["what"].to_list()
        return unusual(
            test,
            window,
            (sums["gathered"].to_numpy() + 1) * WINDOWS_PER_HOUR,
            apps=sums.select("app", "owner"),
            worth=worth,
            about=[
                one.about if name is None else f"{one.about} ({name})" for one, name in zip(measures, what, strict=True)
            ],
            measure=told,
            behaviour=[one.behaviour for one in measures],
            value=value,
            usual=usual,
            count=sums["n"].to_numpy(),
            learned=hours,
        )

    # Memory

    def snapshot(self) -> State:
        self._flush()
        frames = self._rows.snapshot("levels.rows") | self._sums.snapshot("levels.sums")
        frames |= self._octaves.snapshot("levels.octaves")
        frames |= self.tests.snapshot()
        return frames

    def restore(self, state: State) -> None:
        self._rows.restore("levels.rows", state)
        self._sums.restore("levels.sums", state)
        self._octaves.restore("levels.octaves", state)
        self.tests.restore(state)
        self._waiting, self._rows_waiting = [], 0


def _by_octave(keys: Keys, octaves: tuple[Keys, Counts]) -> Numbers:
    """How many of each key (in order) there were in each octave."""
    counted, n = octaves
    of = np.minimum(np.searchsorted(keys, counted & ~_LOW), len(keys) - 1)
    here = keys[of] == counted & ~_LOW
    flat = of[here] * OCTAVES + (counted[here] & _LOW).astype(np.int64)
    found = np.bincount(flat, n[here], len(keys) * OCTAVES).astype(np.float64)
    return found.reshape(-1, OCTAVES)


def _large(came: Numbers, sizes: Numbers) -> tuple[Numbers, Numbers, Numbers, Array]:
    """The deviance of how many are large, by the shares of sizes before, where that is most.

    Also how many those are, how many are usual, and from which octave on they are counted.
    """
    many, before = (np.cumsum(each[:, ::-1], axis=1)[:, ::-1] for each in (came, sizes))
    total, known = many[:, :1], before[:, :1]
    usual = total * (before + 0.5) / (known + 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = 2.0 * np.where(many > usual, many * np.log(many / usual) - (many - usual), 0.0)
    ratio = np.where(many >= LARGE_MIN, ratio, 0.0) * known / np.maximum(known + total, 1.0)
    best = np.argmax(ratio, axis=1)
    rows = np.arange(len(best))
    return ratio[rows, best], many[rows, best], usual[rows, best], best
