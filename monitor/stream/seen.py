"""What a turn has shown, before anything is decided about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from detectors.finding import Sighting


@dataclass(frozen=True, slots=True)
class Seen:
    """A turn's events as they were labelled, those of them that detectors looked at, and what these saw.

    `marks` is the watermark at each row of these.
    """

    frame: pl.DataFrame
    watched: pl.DataFrame
    watermark: int
    sightings: Sequence[Sighting]
    marks: np.ndarray[Any, Any]
    lateness: int

    @property
    def reached(self) -> int:
        """How far arrivals have come after the turn, as the watermark tells it: never back."""
        return self.watermark + self.lateness

    @property
    def orders(self) -> dict[str, int]:
        """How far arrivals had come when each finding became known, by its id: the first counts."""
        marks, rows = self.marks, len(self.marks)
        return {
            one.finding.id: (int(marks[one.row]) if one.row < rows else self.watermark) + self.lateness
            for one in reversed(self.sightings)
        }
