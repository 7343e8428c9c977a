"""What a turn has shown, before anything is decided about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from detectors.finding import Finding, Sighting
from monitor.intake import Piece
from monitor.stores import Turn


@dataclass(frozen=True, slots=True)
class Labelled:
    """A turn's events as they were labelled, and those of them that are looked at: none of these comes again."""

    pieces: Sequence[Piece]
    frame: pl.DataFrame
    watched: pl.DataFrame
    watermark: int


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
        """When each finding could be known, by its id, on the clock of arrivals: the first counts.

        A finding of single events could at its first event; one of a window once nothing earlier was awaited, whichever event showed
        that. So it does not matter with what others an event shares its partition.
        """
        marks, rows = self.marks, len(self.marks)
        return {
            one.finding.id: self.lateness
            + (one.finding.time if not one.is_part else int(marks[one.row]) if one.row < rows else self.watermark)
            for one in reversed(self.sightings)
        }


@dataclass(frozen=True, slots=True)
class Made:
    """A turn that is ready to be committed, what it was made of, and those of its findings that are new."""

    turn: Turn
    fresh: Sequence[Finding]
    seen: Seen
    pieces: Sequence[Piece] = ()
