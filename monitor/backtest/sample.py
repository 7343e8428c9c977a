"""Batches as detectors get them, kept for going over them again and again."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from detectors.detector import State
from detectors.event import Batch
from detectors.finding import Sighting


class Sample:
    """A `Detector` that finds nothing and keeps what it is shown, up to a number of events."""

    name = "sample"
    forgotten = 0

    def __init__(self, needs: frozenset[str], events_max: int) -> None:
        self.needs = needs
        self.batches: list[Batch] = []
        self._left = events_max

    @property
    def is_full(self) -> bool:
        return self._left <= 0

    def observe(self, batch: Batch) -> list[Sighting]:
        frame = batch.frame[: self._left]
        if frame.height:
            self.batches.append(Batch(frame, batch.watermark))
            self._left -= frame.height
        return []

    def snapshot(self) -> State:
        return {}

    def restore(self, state: Mapping[str, pl.DataFrame]) -> None:
        """There is nothing to take up."""
