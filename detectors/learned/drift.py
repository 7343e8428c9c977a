"""How far features have moved since a model was trained: the population stability index of each.

Values are parted at the tenths of what was seen in training; the index is the sum over the parts of (now − then) × ln(now / then), of
shares. By custom less than 0.1 is no change, and more than 0.25 one that asks for a new model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors.learned.features import NAMES
from detectors.learned.hours import SLOTS, SLOTS_A_DAY

Matrix = npt.NDArray[np.float32]
Counts = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]

PARTS: Final = 10
LEAST: Final = 1e-3
"""A share that is smaller, or none, counts as this."""

CHANGED: Final = 0.25

ROWS_MIN: Final = 200
"""Rows of fewer apps and hours say nothing of how features have moved: with ten parts, chance alone gives 0.05 then."""

HOURS_MIN: Final = 20
"""A day of which fewer hours were seen is none: many features go by the hour."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How features were spread: `edges[feature]` part the values, `shares[feature]` say how many lay in each part."""

    edges: Matrix
    shares: Matrix

    @staticmethod
    def of(matrix: Matrix) -> Spread:
        edges = np.quantile(matrix, np.arange(1, PARTS) / PARTS, axis=0, method="higher").T.astype(np.float32)
        return Spread(edges, _shares(_counted(edges, matrix)))

    def counted(self, matrix: Matrix) -> Counts:
        """How many of some rows lie in each part, a row a feature."""
        return _counted(self.edges, matrix)

    def moved(self, counts: Counts) -> Numbers:
        """Of each feature the index of counts against those of training; nothing has moved where there are none."""
        if not counts.any():
            return np.zeros(len(self.edges))
        then = np.maximum(self.shares.astype(np.float64), LEAST)
        now = np.maximum(_shares(counts).astype(np.float64), LEAST)
        index: Numbers = ((now - then) * np.log(now / then)).sum(axis=1)
        return index


class Drift:
    """How features have moved, day by day: `moved` is of the last day that had enough rows, empty before the first."""

    def __init__(self, spread: Spread) -> None:
        self._spread = spread
        self._counts = np.zeros((len(NAMES), PARTS), np.int64)
        self._day: int | None = None
        self._seen = 0  # hours of the day, a bit each
        self.moved: Mapping[str, float] = {}

    def take(self, index: int, matrix: Matrix) -> None:
        """Rows of an hour, by when it began (in slots since 1970)."""
        day, slot = divmod(index, SLOTS_A_DAY)
        if self._day is not None and day != self._day:
            if self._seen.bit_count() >= HOURS_MIN and self._counts[0].sum() >= ROWS_MIN:
                self.moved = dict(zip(NAMES, self._spread.moved(self._counts).round(4).tolist(), strict=True))
            self._counts[:], self._seen = 0, 0
        self._day = day
        self._seen |= 1 << slot // SLOTS
        self._counts += self._spread.counted(matrix)

    def snapshot(self, name: str) -> dict[str, pl.DataFrame]:
        """Named frames for a detector's snapshot."""
        parts = [pl.Series(f"part_{place}", self._counts[:, place]) for place in range(PARTS)]
        moved = pl.Series("moved", [self.moved.get(feature) for feature in NAMES], pl.Float64())
        day = pl.Series("day", [self._day] * len(NAMES), pl.Int64())
        seen = pl.Series("seen", [self._seen] * len(NAMES), pl.Int64())
        return {f"{name}.drift": pl.DataFrame([pl.Series("feature", NAMES), day, seen, moved, *parts])}

    def restore(self, name: str, state: Mapping[str, pl.DataFrame]) -> None:
        """Take up what `snapshot` gave; raises `ValueError` where it is not there."""
        frame = state.get(f"{name}.drift")
        if frame is None or frame["feature"].to_list() != list(NAMES):
            raise ValueError(f"there is no {name}.drift")
        self._counts = frame.select(f"part_{place}" for place in range(PARTS)).to_numpy().astype(np.int64)
        self._day, self._seen = frame["day"][0], frame["seen"][0]
        known = frame.drop_nulls("moved")
        self.moved = dict(zip(known["feature"].to_list(), known["moved"].to_list(), strict=True))


def _counted(edges: Matrix, matrix: Matrix) -> Counts:
    return np.stack(
        [
            np.bincount(np.searchsorted(edge, matrix[:, place], side="left"), minlength=PARTS)
            for place, edge in enumerate(edges)
        ]
    ).astype(np.int64)


def _shares(counts: Counts) -> Matrix:
    shares: Matrix = (counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)).astype(np.float32)
    return shares
