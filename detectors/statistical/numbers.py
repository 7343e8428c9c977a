"""How rare the next number of a series is, for many series at once, each judged by its own past alone.

A point is looked at in four ways (`VIEWS`). How far out it lies in each is read from a histogram of what that series
showed before: the score of a view is −log10 of the share of earlier points that lay as far out. What exceeds a floor is
summed, and what repeats a recent peak is taken off. Method, figures and caveats: docs/streams-of-numbers.md.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors.detector import State

SHORT_POINTS: Final = 24
"""Points of the short means: fewer, and noise looks like a change; more, and a change is seen late. The long means take
four times as many, so that what the short ones have just seen is a quarter of them at most."""

HOUR_POINTS: Final = 40
"""Points of one hour of the day after which its profile has forgotten a third of what it was: three to four days of
five-minute points, so that a new week is learnt within itself."""

FLOOR: Final = 2.5
"""Decades of rarity that are nothing: what happens once in 300 points happens daily in a series of minutes."""

PEAK_POINTS: Final = 50
"""Points in which a peak has faded to a third: two short means long, so that what an event leaves in them is not news."""

BINS_PER_OCTAVE: Final = 3
"""How finely magnitudes are told apart: 26 %. With `BINS` of them, what lies under a 1,600th of the greatest is nothing."""

REACH: Final = 8
"""Bins beyond the greatest so far at which magnitudes end, a quarter of all: one giant value moves the scale by so much
and no further, and so cannot make a series blind to what comes later."""

LONG_POINTS: Final = 4 * SHORT_POINTS

VIEWS: Final = ("size", "shift", "residual", "spread")
"""In order: the value · short mean less long mean of the residual · the residual in terms of what is usual at that hour of
the day · the short mean of how far residuals lie from their short mean. Magnitudes of all; both tails count."""

BINS: Final = 32
HOURS: Final = 24
COUNT_MAX: Final = 65_535
"""Points in a histogram at which all of its counts are halved: the past fades, and counts stay in 16 bits."""

VALUE_MAX: Final = 1e30
"""Values beyond are taken as this one, with their sign."""

HOUR_US: Final = 3_600_000_000
TOP_ZERO: Final = 4_096
"""What a top of octave bin 0 is remembered as; a top of 0 is none yet."""

_LOG10: Final = np.log10(np.arange(1, COUNT_MAX + 3, dtype=np.float64))
"""At ``n`` the logarithm of ``n + 1``."""

_THIRDS: Final = 2.0 ** (np.arange(1, BINS_PER_OCTAVE) / BINS_PER_OCTAVE - 1)
"""Where bins part within an octave, as mantissas."""

Floats = npt.NDArray[np.float64]
Scores = npt.NDArray[np.float32]
Whole = npt.NDArray[np.int64]

FIELDS: Final[dict[str, tuple[npt.DTypeLike, int]]] = {
    "seen": (np.uint8, 1),  # points, up to LONG_POINTS
    "hour_seen": (np.uint8, HOURS),  # points of each hour, up to HOUR_POINTS
    "hour_mean": (np.float32, HOURS),
    "hour_spread": (np.float32, HOURS),  # mean size of the residual
    "all_spread": (np.float32, 1),  # the same of all hours, over LONG_POINTS
    "short_mean": (np.float32, 1),  # of the residual
    "long_mean": (np.float32, 1),
    "short_spread": (np.float32, 1),
    "peak": (np.float32, 1),
    "top": (np.uint16, len(VIEWS)),  # octave bin of each view's highest bin, plus TOP_ZERO
    "counts": (np.uint16, len(VIEWS) * BINS),
}
"""What is remembered of a series: of each field the type, and how many values; all begin as 0."""

BYTES_A_SERIES: Final = sum(np.dtype(kind).itemsize * width for kind, width in FIELDS.values())


class Numbers:
    """Scores of many series of numbers, a row each; causal, deterministic, `BYTES_A_SERIES` bytes a series.

    A series is a row number below `rows`; which series has which row is the caller's to know. Points of a series should
    come at regular steps: means are taken over points, and only the hour of the day is taken from the time. However
    points are cut into calls, and whatever other series are scored beside, a series gets the same scores bit for bit.
    """

    def __init__(self, rows: int) -> None:
        self._fields = _blank(rows)

    @property
    def rows(self) -> int:
        """How many series there is room for."""
        return len(self._fields["seen"])

    def grow(self, rows: int) -> None:
        """Make room for `rows` series in all; raises `ValueError` when there is room for more already."""
        if rows < self.rows:
            raise ValueError(f"there is room for {self.rows} series already, more than {rows}")
        more = _blank(rows - self.rows)
        self._fields = {name: np.concatenate((field, more[name])) for name, field in self._fields.items()}

    def forget(self, rows: npt.ArrayLike) -> None:
        """Let these rows be as if they had never seen a point, for series to come; raises `ValueError` as `score` does."""
        chosen = self._checked(np.asarray(rows))
        for field in self._fields.values():
            field[chosen] = 0

    def score(self, rows: npt.ArrayLike, times_us: npt.ArrayLike, values: npt.ArrayLike) -> Scores:
        """Take points up, and say of each how much rarer it is than what its series showed before.

        All three have one shape, ``(points,)``: row numbers, microseconds since 1970 (UTC), values. Points of one row
        count in the order given, and may have any time. The answer has the same shape: decades beyond the floor, not
        yet shown by a recent peak; 0 is nothing, 1 deserves a look, and none reaches 30.

        A value that is not a number or infinite is passed over: its score is 0 and nothing is learnt of it. Values are
        taken as float32, those beyond ±`VALUE_MAX` as ±`VALUE_MAX`. Raises `ValueError`, and takes nothing, when the
        shapes differ or a row is not one of ours.
        """
        chosen, times, given = np.asarray(rows), np.asarray(times_us), np.asarray(values, dtype=np.float64)
        if not chosen.shape == times.shape == given.shape or given.ndim != 1:
            raise ValueError(f"rows, times and values differ: {chosen.shape}, {times.shape}, {given.shape}")
        if times.dtype.kind not in "iu" and times.size:
            raise ValueError(f"times are whole microseconds, not {times.dtype}")
        chosen = self._checked(chosen)
        hours = times.astype(np.int64) // HOUR_US % HOURS
        taken = np.clip(given, -VALUE_MAX, VALUE_MAX).astype(np.float32).astype(np.float64)
        scores = np.zeros(given.shape, dtype=np.float32)
        for turn in _turns(chosen, np.isfinite(given)):
            scores[turn] = self._score(chosen[turn], hours[turn], taken[turn])
        return scores

    def snapshot(self) -> State:
        """The memory of all rows that have seen a point, and how many there is room for."""
        known = np.flatnonzero(self._fields["seen"])
        columns = [pl.Series("row", known, dtype=pl.Int64)]
        columns += [_column(name, field[known]) for name, field in self._fields.items()]
        return {"series": pl.DataFrame(columns), "room": pl.DataFrame({"rows": [self.rows]})}

    def restore(self, state: State) -> None:
        """Take up a snapshot's memory, and its room; raises `ValueError` when it is not one of ours."""
        try:
            room, series = int(state["room"]["rows"].item()), state["series"]
            fields, chosen = _blank(room), series["row"].to_numpy()
            if series.schema != self.snapshot()["series"].schema:
                raise ValueError(f"its columns are {series.schema}")  # noqa: TRY301 - told as the others are
            for name, field in fields.items() if len(chosen) else ():
                field[chosen] = series[name].to_numpy()
        except (KeyError, IndexError, TypeError, ValueError, pl.exceptions.PolarsError) as error:
            raise ValueError(f"not a snapshot of streams of numbers: {error}") from error
        self._fields = fields

    def _checked(self, rows: npt.NDArray[Any]) -> Whole:
        if rows.size and rows.dtype.kind not in "iu":
            raise ValueError(f"rows are whole numbers, not {rows.dtype}")
        if rows.size and not (rows.min() >= 0 and rows.max() < self.rows):
            raise ValueError(f"rows are 0 to {self.rows - 1}, not {rows.min()} to {rows.max()}")
        return rows.astype(np.int64)

    def _score(self, rows: Whole, hours: Whole, values: Floats) -> Floats:
        """One point of each of several rows, none of them twice."""
        magnitudes = self._look(rows, hours, values)
        excess = np.maximum(self._rarity(rows, magnitudes) - FLOOR, 0.0)
        total = excess[:, 0] + excess[:, 1] + excess[:, 2] + excess[:, 3]  # in one order, whatever stands beside
        peak = self._fields["peak"][rows].astype(np.float64)
        self._fields["peak"][rows] = np.maximum(peak * (1 - 1 / PEAK_POINTS), total)
        return np.maximum(total - peak, 0.0) / (1 + peak)

    def _look(self, rows: Whole, hours: Whole, values: Floats) -> Floats:
        """The magnitude of each view, ``(points, views)``; means and profiles learn."""
        memory = self._fields
        seen, hour_seen = memory["seen"][rows], memory["hour_seen"][rows, hours]
        wide = {name: memory[name][rows].astype(np.float64) for name in _MEANS}
        mean = np.where(hour_seen == 0, values, memory["hour_mean"][rows, hours])
        spread = np.where(hour_seen == 0, wide["all_spread"], memory["hour_spread"][rows, hours])
        residual = values - mean
        size = np.abs(residual)

        # An hour is taken to have seen one part in 24 of what all have: so far all of its points may have been the same.
        usual = spread + wide["all_spread"] / HOURS
        in_usual = np.divide(size, usual, out=np.zeros_like(size), where=usual > 0)

        short = 1 / np.minimum(seen + 1.0, SHORT_POINTS)
        long = 1 / np.minimum(seen + 1.0, LONG_POINTS)
        short_mean = wide["short_mean"] + short * (residual - wide["short_mean"])
        long_mean = wide["long_mean"] + long * (residual - wide["long_mean"])
        short_spread = wide["short_spread"] + short * (np.abs(residual - short_mean) - wide["short_spread"])

        of_hour = 1 / np.minimum(hour_seen + 2.0, HOUR_POINTS)
        memory["hour_mean"][rows, hours] = mean + of_hour * residual
        memory["hour_spread"][rows, hours] = spread + of_hour * (size - spread)
        memory["hour_seen"][rows, hours] = np.minimum(hour_seen + 1, HOUR_POINTS)
        memory["all_spread"][rows] = wide["all_spread"] + long * (size - wide["all_spread"])
        memory["short_mean"][rows] = short_mean
        memory["long_mean"][rows] = long_mean
        memory["short_spread"][rows] = short_spread
        memory["seen"][rows] = np.minimum(seen + 1, LONG_POINTS)
        return np.stack((np.abs(values), np.abs(short_mean - long_mean), in_usual, short_spread), axis=1)

    def _rarity(self, rows: Whole, magnitudes: Floats) -> Floats:
        """−log10 of the rarer tail of each magnitude, ``(points, views)``; the histograms learn.

        The highest bin is that of the greatest magnitude so far, or almost. Beyond, tails go on falling as they do on
        the average between the median and the highest bin in use, twice as far at most as the past has reached: of n points
        nothing is rarer than one in n².
        """
        views = np.arange(len(VIEWS))
        counts = self._fields["counts"][rows].astype(np.int32).reshape(-1, len(VIEWS), BINS)
        octave = _octave_bin(magnitudes)
        top = self._fields["top"][rows].astype(np.int64)
        top = np.where((top == 0) & (magnitudes > 0), octave + TOP_ZERO, top)
        bins = np.where(magnitudes > 0, np.clip(octave + TOP_ZERO - top + BINS - 1, 0, BINS - 1 + REACH), 0)

        at_least = np.cumsum(counts[:, :, ::-1], axis=2, dtype=np.int32)[:, :, ::-1]
        total = at_least[:, :, 0]
        inside = np.minimum(bins, BINS - 1)
        above = np.take_along_axis(at_least, inside[:, :, None], axis=2)[:, :, 0]
        here = np.take_along_axis(counts, inside[:, :, None], axis=2)[:, :, 0]
        beyond = above == 0
        beyond |= bins >= BINS
        upper = _LOG10[total] - _LOG10[np.where(beyond, 0, above)]
        lower = _LOG10[total] - _LOG10[np.where(bins >= BINS, total, total - above + here)]
        which = beyond & (total > 0)
        upper[which] += _further(at_least[which], bins[which])

        moved = np.maximum(bins - (BINS - 1), 0)
        shifted = moved > 0
        counts[shifted] = _shifted(counts[shifted], moved[shifted])
        counts[np.arange(len(rows))[:, None], views, inside] += 1
        full = total + 1 >= COUNT_MAX
        counts[full] //= 2
        self._fields["counts"][rows] = counts.reshape(-1, len(VIEWS) * BINS)
        self._fields["top"][rows] = top + moved
        rarer: Floats = np.maximum(upper, lower)
        return rarer


_MEANS: Final = ("all_spread", "short_mean", "long_mean", "short_spread")


def _blank(rows: int) -> dict[str, npt.NDArray[Any]]:
    return {name: np.zeros(rows if width == 1 else (rows, width), kind) for name, (kind, width) in FIELDS.items()}


def _column(name: str, values: npt.NDArray[Any]) -> pl.Series:
    if values.ndim == 1:
        return pl.Series(name, values)
    return pl.Series(name, values, dtype=pl.Array(pl.Series(values[:0].ravel()).dtype, values.shape[1]))


def _turns(rows: Whole, usable: npt.NDArray[np.bool_]) -> list[Whole]:
    """Places of the usable points, in groups that hold no row twice: first points of every row, second ones, and so on."""
    places = np.flatnonzero(usable)
    places = places[np.argsort(rows[places], kind="stable")]
    ordered = rows[places]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    turn = np.arange(len(places)) - np.repeat(starts, np.diff(starts, append=len(places)))
    by_turn = np.argsort(turn, kind="stable")
    return np.split(places[by_turn], np.flatnonzero(np.diff(turn[by_turn])) + 1) if len(places) else []


def _octave_bin(magnitudes: Floats) -> Whole:
    """``floor(BINS_PER_OCTAVE × log2)`` by comparisons alone, which every machine answers alike; any number for 0."""
    mantissa, exponent = np.frexp(magnitudes)
    bins = exponent.astype(np.int64) * BINS_PER_OCTAVE
    for edge in _THIRDS:
        bins += mantissa >= edge
    return bins


def _further(at_least: npt.NDArray[np.int32], bins: Whole) -> Floats:
    """Decades by which a bin beyond all in use is rarer than the highest of these, ``(points,)``."""
    total = at_least[:, 0]
    highest = np.count_nonzero(at_least, axis=1) - 1
    median = np.count_nonzero(2 * at_least >= total[:, None], axis=1) - 1
    decades = np.log10(np.maximum(total / 2, 1.0)) / np.maximum(highest - median, 1)
    result: Floats = np.minimum((bins - highest) * decades, _LOG10[total])
    return result


def _shifted(counts: npt.NDArray[np.int32], moved: Whole) -> npt.NDArray[np.int32]:
    """Histograms whose lowest bin has come to stand for as many more octave bins as are said."""
    source = np.arange(BINS) + moved[:, None]
    result = np.where(source < BINS, np.take_along_axis(counts, np.minimum(source, BINS - 1), axis=1), 0)
    result[:, 0] = np.where(np.arange(BINS) <= moved[:, None], counts, 0).sum(axis=1)
    return result.astype(np.int32)
