"""Which rule is true of which event, written as it is found: a line a pair, made by columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Final

import numpy as np
import polars as pl

from detectors.detector import State
from detectors.event import PARTITION, POSITION, Batch
from detectors.finding import Sighting
from detectors.sigma import SigmaDetector

PAIRS_MAX: Final = 200_000
"""Pairs written at a time: they take some 150 bytes each."""


class Verdicts:
    """A `Detector` that finds nothing: it writes each (rule, event) pair of the rules on single events, in the events' order."""

    name = "verdicts"
    forgotten = 0

    def __init__(self, detector: SigmaDetector, out: IO[bytes]) -> None:
        self._detector = detector
        self._out = out
        self._ids = pl.Series("rule", [rule.id for rule in detector.rules], dtype=pl.String)
        self._places = {rule.id: place for place, rule in enumerate(detector.rules)}
        self.needs = detector.needs | {"event.id"}
        self.counts = np.zeros(len(self._ids), dtype=np.int64)

    def observe(self, batch: Batch) -> list[Sighting]:
        matches = self._detector.matches(batch)
        if matches:
            places = np.array([self._places[rule] for rule in matches])
            lengths = [len(rows) for rows in matches.values()]
            self.counts[places] += lengths
            rows, rules = np.concatenate(list(matches.values())), np.repeat(places, lengths)
            order = np.lexsort((rules, rows))
            for first in range(0, len(order), PAIRS_MAX):
                some = order[first : first + PAIRS_MAX]
                self._write(batch.frame, rows[some], rules[some])
        return []

    def _write(self, frame: pl.DataFrame, rows: np.ndarray, rules: np.ndarray) -> None:
        at = pl.Series(rows, dtype=pl.UInt32)
        pairs = pl.DataFrame(
            [
                self._ids[pl.Series(rules, dtype=pl.UInt32)],
                frame.get_column("event.id")[at].alias("event"),
                frame.get_column(PARTITION)[at].alias("source"),
                frame.get_column(POSITION)[at].alias("position"),
            ]
        )
        self._out.write(pairs.write_ndjson().encode())  # so that a reader who has left is told as one

    def snapshot(self) -> State:
        return self._detector.snapshot()

    def restore(self, state: Mapping[str, pl.DataFrame]) -> None:
        self._detector.restore(state)
