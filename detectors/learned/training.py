"""From rows of hours to a model that may be used: what is learned from, what is held back, and how good it is with that.

Rows are parted by app, always in the same way: three fifths are learned from, a fifth is held back to calibrate with, and with a fifth
nobody has seen the model is judged: how many honest rows it would tell, and how many it finds of rows into which misbehaviour is
planted. A new model is as good as the one in force, by the same rows, or it is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from detectors.learned.features import FEATURES, NAMES, Matrix, Rows, Unit
from detectors.learned.hours import HOUR_US, SLOT_US, SLOTS, UNKNOWN
from detectors.learned.model import ROWS_MIN, Model, trained
from detectors.learned.worth import Worth
from detectors.statistical.calibration import LEARNED_MIN
from detectors.statistical.pending import KEY

Numbers = npt.NDArray[np.float64]

ROWS_MAX: Final = 500_000
"""Rows that are learned from and judged with, by default; of more those that a hash chooses, whatever order they come in."""

NAME_MAX: Final = 128
"""Characters of an app's id: rows of longer ones are left out; longer names of categories are none. An array of names has room for the
longest in every row.
"""

HELD, JUDGED, PARTS = 0, 1, 5
"""Fifths of all apps: the first is held back, the second judges, the others are learned from."""

FOUND_LESS_MAX: Final = 0.02
"""Of planted misbehaviour a new model may find so much less than the one in force: what another choice of trees makes."""

TOLD_MORE_MAX: Final = 2.0
TOLD_AFFORDED: Final = 0.02
"""A new model tells of at most so large a share of honest apps, or so many times as many as the one in force. Apps count and not their
hours, for what goes on is told once, and an app that is odd for good is odd every hour.
"""

FOUND_MIN: Final = 0.25
"""A model that finds less of planted misbehaviour has learned nothing."""


class NotEnough(Exception):
    """There are too few rows to learn from; the text says how many there are, and how many it takes."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """Rows to learn from, in the order of hours and keys; hours by when they began, in slots since 1970."""

    categories: npt.NDArray[np.str_]
    apps: npt.NDArray[np.str_]
    hours: npt.NDArray[np.int64]
    matrix: Matrix
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.matrix)

    @property
    def begin(self) -> int:
        """Microseconds; the first instant of the first hour."""
        return int(self.hours.min()) * SLOT_US

    @property
    def end(self) -> int:
        """Microseconds; the end of the last hour."""
        return int(self.hours.max()) * SLOT_US + HOUR_US

    def only(self, which: npt.NDArray[np.bool_]) -> Gathered:
        """Some of the rows."""
        return Gathered(self.categories[which], self.apps[which], self.hours[which], self.matrix[which], self.left_out)


class Reservoir:
    """Takes the rows of hours, without those that may not be learned from; keeps at most `rows_max`."""

    def __init__(
        self, rows_max: int = ROWS_MAX, spoiled: Callable[[str, int, int], bool] = lambda _app, _begin, _end: False
    ) -> None:
        """`spoiled` says of an app, and from when until when (microseconds), whether something was found there."""
        self._rows_max = rows_max
        self._spoiled = spoiled
        self._parts: list[pl.DataFrame] = []
        self._rows = 0
        self.left_out = 0
        self.seen = 0

    def take(self, rows: Rows) -> None:
        self.seen += len(rows)
        apps = rows.frame["app"].to_list()
        begin = rows.index * SLOT_US
        end = begin + HOUR_US
        good = np.array([len(app) <= NAME_MAX and not self._spoiled(app, begin, end) for app in apps], np.bool_)
        self.left_out += int(len(good) - good.sum())
        if not good.any():
            return
        frame = rows.frame.select(
            KEY,
            "app",
            pl.when(pl.col("category").str.len_chars() <= NAME_MAX)
            .then("category")
            .otherwise(pl.lit(UNKNOWN))
            .alias("category"),
            pl.lit(rows.index, pl.Int64).alias("hour"),
            (pl.col(KEY) + rows.index).hash().alias("lot"),
            pl.Series("row", rows.matrix, dtype=pl.Array(pl.Float32, len(NAMES))),
        ).filter(pl.Series(good))
        self._parts.append(frame)
        self._rows += frame.height
        if self._rows > 2 * self._rows_max:
            self._settle()

    def _settle(self) -> None:
        whole = pl.concat(self._parts)
        kept = whole.sort("lot", "hour", KEY).head(self._rows_max) if whole.height > self._rows_max else whole
        self._parts, self._rows = [kept], kept.height

    def gathered(self) -> Gathered:
        """All that were kept."""
        if not self._parts:
            nothing = np.empty(0, np.str_)
            return Gathered(
                nothing, nothing, np.empty(0, np.int64), np.empty((0, len(NAMES)), np.float32), self.left_out
            )
        self._settle()
        whole = self._parts[0].sort("hour", KEY)
        return Gathered(
            whole["category"].to_numpy().astype(np.str_),
            whole["app"].to_numpy().astype(np.str_),
            whole["hour"].to_numpy(),
            np.ascontiguousarray(whole["row"].to_numpy(), np.float32),
            self.left_out,
        )


def parts_of(apps: npt.NDArray[np.str_]) -> npt.NDArray[np.int64]:
    """In which fifth each app is: always the same."""
    names, places = np.unique(apps, return_inverse=True)
    digests = [int.from_bytes(hashlib.sha256(f"part\x1f{name}".encode()).digest()[:6]) for name in names.tolist()]
    found: npt.NDArray[np.int64] = (np.array(digests, np.int64) % PARTS)[places]
    return found


PLANTED: Final[dict[str, dict[str, float]]] = {
    "login storm": {"login": 0.6, "busiest_api": 0.6, "failures": 0.3, "events_per_visitor": 2.0},
    "covert capture": {"privacy": 0.5, "untapped": 0.8, "background": 0.5, "busiest_api": 0.5},
    "carrying off": {"sent_per_visitor": 7.0, "hosts": 1.5, "network": 0.4},
    "carding": {"payment": 0.6, "failures": 0.5, "visitors_per_address": 3.0},
    "machines": {"busiest_visitor": 0.9, "busiest_address": 0.9, "events_per_visitor": 4.0, "events_per_minute": 3.0},
    "forced sharing": {"sharing": 0.4, "untapped": 0.5},
    "clipboard": {"clipboard": 0.3, "untapped": 0.5},
    "jumps elsewhere": {"leaving": 0.4, "untapped": 0.5},
    "guessed resources": {"refused": 0.7, "failures": 0.6, "pages": 1.5},
}
"""Misbehaviour as it changes features: a share is at least so large then, a number so many times twice as large as it was."""


def planted(matrix: Matrix, how: str) -> Matrix:
    """Honest rows with misbehaviour in them."""
    rows = matrix.copy()
    for name, much in PLANTED[how].items():
        place = NAMES.index(name)
        is_share = FEATURES[place].unit is Unit.SHARE
        rows[:, place] = np.maximum(rows[:, place], much) if is_share else rows[:, place] + much
    return rows


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """How good a model is with rows that it has not seen: shares of them."""

    rows: int
    told: float  # of honest rows
    told_apps: float  # of the apps that those are of
    found: float  # of rows with planted misbehaviour
    found_of: dict[str, float]


def judged(model: Model, rows: Gathered, bound: float) -> Figures:
    """A model's figures with some rows, by the worth from which on it tells."""
    worth, names = Worth.of(model), rows.categories.tolist()

    def over(matrix: Matrix) -> npt.NDArray[np.bool_]:
        reached: npt.NDArray[np.bool_] = worth.judged(model.asked(names, matrix)) >= bound
        return reached

    told = over(rows.matrix)
    found = {how: _share(int(over(planted(rows.matrix, how)).sum()), len(rows)) for how in PLANTED}
    return Figures(
        rows=len(rows),
        told=_share(int(told.sum()), len(rows)),
        told_apps=_share(len(np.unique(rows.apps[told])), len(np.unique(rows.apps))),
        found=sum(found.values()) / len(found),
        found_of=found,
    )


def _share(some: int, of: int) -> float:
    return some / max(of, 1)


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """What came of training: a model with its figures, those of the model in force by the same rows, and why it is refused, if so."""

    model: Model
    figures: Figures
    before: Figures | None
    refused: str
    rows: int
    held_rows: int


def attempt(rows: Gathered, bound: float, in_force: Model | None = None) -> Attempt:
    """Train a model and judge it beside the one in force; raises `NotEnough`."""
    parts = parts_of(rows.apps)
    mine, held, judging = parts > JUDGED, parts == HELD, parts == JUDGED
    for what, count, least in (("learn from", mine.sum(), ROWS_MIN), ("calibrate with", held.sum(), LEARNED_MIN)):
        if count < least:
            raise NotEnough(
                f"there are {count:,} hours of apps to {what}, and it takes {least:,}: more days, or more apps"
            )
    kept = mine | held
    hours = int(rows.hours.max() - rows.hours.min()) // SLOTS + 1
    model = trained(rows.categories[kept], rows.apps[kept], rows.matrix[kept], held[kept], hours)
    judges = rows.only(judging)
    figures = judged(model, judges, bound)
    before = None if in_force is None else judged(in_force, judges, bound)
    refused = "; ".join(faults(figures, before))
    return Attempt(
        model=model, figures=figures, before=before, refused=refused, rows=len(rows), held_rows=int(held.sum())
    )


def faults(figures: Figures, before: Figures | None) -> Collection[str]:
    """Why a model with these figures may not be used; nothing where it may."""
    found = []
    most = max(TOLD_AFFORDED, TOLD_MORE_MAX * (before.told_apps if before is not None else 0.0))
    if figures.told_apps > most:
        found.append(f"it would tell of {figures.told_apps:.1%} of honest apps, where {most:.1%} are the most")
    least = FOUND_MIN if before is None else max(FOUND_MIN, before.found - FOUND_LESS_MAX)
    if figures.found < least:
        found.append(f"it finds {figures.found:.0%} of planted misbehaviour, where {least:.0%} are the least")
    return found
