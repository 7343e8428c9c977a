"""How large what is measured is: bytes of setData, memory, bodies of requests, amounts paid, by app and hour.

Judged are the typical size (the mean of logarithms) and the mean size (which a few very large ones raise), by the app's own of a week:
its usual, how much that varies between hours, and how much single ones do. Amounts are looked at downwards too: many small ones are how
stolen cards are tried. Sums are of whole numbers (logarithms in fixed point), so that they are the same however the stream is cut.

What fools it: a slow rise, with which the usual goes along; one large body among thousands; who has fewer than `COUNT_MIN` an hour.
Where events carry none of the fields nothing is said. Source: exponentially weighted means and variances (Roberts, *Control chart tests
based on geometric moving averages*, 1959).
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
from detectors.statistical import tails
from detectors.statistical.hashes import APP
from detectors.statistical.pending import GROUP, KEY, WINDOW, Merging, Pending, merged_as
from detectors.statistical.rows import NOWHERE, Rows
from detectors.statistical.statistic import FLAGGED, SHOWN_MIN, STREAK, Suite, not_flagged
from detectors.statistical.tails import Numbers
from detectors.statistical.telling import unusual
from detectors.statistical.windows import WINDOWS_PER_DAY, WINDOWS_PER_HOUR, Window

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class _Measure:
    field: str
    about: str
    behaviour: int
    falls: bool = False  # it is told as well where it is lower than usual


MEASURES: Final = (
    _Measure("miniprogram.set_data.bytes", "setData", 21),
    _Measure("process.memory.bytes", "memory", 21),
    _Measure("http.request.bytes", "request bodies", 3),
    _Measure("payment.amount", "amounts", 12, falls=True),
)

TYPICAL, MEAN = 0, 1
KINDS: Final = ("typical size", "mean size")

UNIT: Final = 1024
"""Of logarithms to the base of two, in fixed point."""

COUNT_MIN: Final = 5
KNOWN_H: Final = 24
"""Hours with as many before which an app is not judged."""

HOURS_MEAN: Final = 168
CUT: Final = 4.0
RELEARN_H: Final = 48

VARY_USUAL: Final = 0.25
VARY_HOURS: Final = 12.0
"""The variance of an hour's logarithm of whom little is known, and for how many hours it counts."""

VARY_MIN: Final = 0.01
"""Nothing is believed to vary by less than a tenth of an octave."""

WAITING_MAX: Final = 20_000

NEEDS: Final = frozenset({"miniprogram.app_id", "miniprogram.developer_id", *(one.field for one in MEASURES)})

_SUMS: Final[dict[str, Merging]] = {
    "n": "sum",
    "total": "sum",
    "logs": "sum",
    "squares": "sum",
    "measure": "first",
    "app": "first",
    "owner": "max",
}


class LevelsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much is remembered."""

    keys_max: int = 400_000
    forget_days: int = 21


class Levels:
    """Compares sizes with what they were."""

    name = "levels"

    def __init__(self, config: LevelsConfig | None = None) -> None:
        self.config = config or LevelsConfig()
        self._sums = Pending(_SUMS, group_keys_max=len(MEASURES), keys_max=self.config.keys_max)
        self._rows = Rows(
            {
                "mean": (np.float32, len(KINDS)),
                "vary": (np.float32, len(KINDS)),
                "within": (np.float32, 1),
                "hours": (np.int32, 1),
                **STREAK,
            },
            self.config.keys_max,
        )
        self.tests = Suite(self.name, dict.fromkeys(("level", "level_low"), len(KINDS)))
        self._waiting: list[pl.DataFrame] = []
        self._rows_waiting = 0

    @property
    def needs(self) -> frozenset[str]:
        return NEEDS

    @property
    def forgotten(self) -> int:
        return self._sums.forgotten + self._rows.forgotten + self._rows.refused

    @property
    def bytes(self) -> int:
        """What is remembered takes so much."""
        return self._rows.bytes

    # Counting

    def count(self, rows: pl.DataFrame) -> None:
        here = [one.field for one in MEASURES if rows[one.field].null_count() < rows.height]
        if not here:
            return
        some = rows.select(WINDOW, APP, *sorted(NEEDS)).filter(pl.any_horizontal(pl.col(here).is_not_null()))
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
                value=pl.col(one.field).cast(pl.Int64),
                measure=pl.lit(number, pl.Int8),
                app="miniprogram.app_id",
                owner="miniprogram.developer_id",
            ).filter((pl.col("value") >= 0) & pl.col("app").is_not_null())
            for number, one in enumerate(MEASURES)
        ]
        logs = (pl.max_horizontal(pl.col("value"), 1).log(2.0) * UNIT).round().cast(pl.Int64)
        measure = pl.col("measure").cast(pl.UInt64)
        told = pl.concat(parts).with_columns(
            (pl.col(GROUP) * (2 * measure + 5)).alias(KEY),
            n=pl.lit(1, pl.Int64),
            total=pl.col("value"),
            logs=logs,
            squares=logs * logs,
        )
        if told.height:
            self._sums.add(told.group_by(WINDOW, KEY).agg(pl.col(GROUP).first(), *merged_as(_SUMS)))

    # Judging

    def close(self, window: Window) -> Sequence[pl.DataFrame]:
        found: list[pl.DataFrame | None] = []
        if window.ends_hour:
            self._flush()
            sums = self._sums.take(window.hour)
            if sums.height:
                found = self._hour(sums, window)
        if window.ends_day:
            self._rows.forget_unseen(window.index - self.config.forget_days * WINDOWS_PER_DAY)
            self.tests.fade()
        return [frame for frame in found if frame is not None]

    def _hour(self, sums: pl.DataFrame, window: Window) -> list[pl.DataFrame | None]:
        sums = sums.filter(pl.col("n") >= COUNT_MIN)
        place, _ = self._rows.seen(sums[KEY].to_numpy(), window.index)
        sums, place = sums.filter(pl.Series(place != NOWHERE)), place[place != NOWHERE]
        if not sums.height:
            return []
        n, total, logs, squares = (
            sums[name].to_numpy().astype(np.float64) for name in ("n", "total", "logs", "squares")
        )
        typical = logs / n / UNIT
        came = (typical, np.log2(np.maximum(total / n, 1.0)))
        within = np.maximum(squares / n / UNIT**2 - typical * typical, 0.0)
        hours = self._rows["hours"][place].astype(np.float64)
        measure = sums["measure"].to_numpy()
        falls = np.array([one.falls for one in MEASURES])[measure]
        flagged = np.zeros(len(place), np.bool_)
        found, learned = [], []
        for kind, value in enumerate(came):
            mean = self._rows["mean"][place, kind].astype(np.float64)
            vary = self._rows["vary"][place, kind].astype(np.float64)
            by = np.sqrt(self._variance(vary, hours) + self._rows["within"][place] / n)
            known = hours >= KNOWN_H
            off = (value - mean) / by
            for test, judged, score in (("level", known, off), ("level_low", known & falls & (kind == TYPICAL), -off)):
                at = np.flatnonzero(judged)
                worth = np.zeros(len(place))
                if len(at):
                    worth[at] = self.tests[test].worth(tails.normal(np.maximum(score[at], 0.0)), kind)
                flagged |= worth >= FLAGGED
                found.append(self._told(test, kind, sums, worth, value, mean, hours, window))
            learned.append((kind, value, mean, vary, by))
        self._learn(place, learned, within, hours, flagged)
        return found

    @staticmethod
    def _variance(vary: Numbers, hours: Numbers) -> Numbers:
        known = np.minimum(hours, HOURS_MEAN)
        found: Numbers = np.maximum((vary * known + VARY_USUAL * VARY_HOURS) / (known + VARY_HOURS), VARY_MIN)
        return found

    def _learn(
        self,
        place: Array,
        learned: Sequence[tuple[int, Numbers, Numbers, Numbers, Numbers]],
        within: Numbers,
        hours: Numbers,
        flagged: Array,
    ) -> None:
        kept = not_flagged(self._rows, place, flagged, RELEARN_H)
        step = np.where(kept, 1.0 / np.minimum(hours + 1.0, HOURS_MEAN), 0.0)
        for kind, value, mean, vary, by in learned:
            cut = np.where(hours >= KNOWN_H, np.clip(value, mean - CUT * by, mean + CUT * by), value)
            squared = np.where(hours > 0, (cut - mean) ** 2, 0.0)
            self._rows["mean"][place, kind] = (mean + step * (cut - mean)).astype(np.float32)
            self._rows["vary"][place, kind] = (vary + step * (squared - vary)).astype(np.float32)
        now = self._rows["within"][place].astype(np.float64)
        self._rows["within"][place] = (now + step * (within - now)).astype(np.float32)
        self._rows["hours"][place] += kept

    @staticmethod
    def _told(test: str, kind: int, sums: pl.DataFrame, worth: Numbers, value: Numbers, mean: Numbers, hours: Numbers, window: Window) -> pl.DataFrame | None:  # fmt: skip
        if not (worth >= SHOWN_MIN).any():
            return None
        measures = [MEASURES[number] for number in sums["measure"].to_list()]
        return unusual(
            test,
            window,
            WINDOWS_PER_HOUR,
            apps=sums.select("app", "owner"),
            worth=worth,
            about=[one.about for one in measures],
            measure=[KINDS[kind]] * len(measures),
            behaviour=[one.behaviour for one in measures],
            value=np.exp2(value),
            usual=np.exp2(mean),
            count=sums["n"].to_numpy(),
            learned=hours,
        )

    # Memory

    def snapshot(self) -> State:
        self._flush()
        frames = self._rows.snapshot("levels.rows") | self._sums.snapshot("levels.sums")
        frames |= self.tests.snapshot()
        return frames

    def restore(self, state: State) -> None:
        self._rows.restore("levels.rows", state)
        self._sums.restore("levels.sums", state)
        self.tests.restore(state)
        self._waiting, self._rows_waiting = [], 0
