"""Hits of base rules in a batch, as events of windows."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from detectors.sigma.readings import Reading, facts_of, readings_of, with_readings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from detectors.sigma.distinct import Rows
    from detectors.sigma.rule import Rule, Window


class WindowHits:
    """Reads for windows, which are told by their place, what they count of a batch."""

    def __init__(self, windows: Sequence[tuple[Rule, Window]]) -> None:
        self.readings: dict[str, list[Reading]] = readings_of(windows)
        self._is_counted_once = np.array(
            [len(window.bases) > 1 and not window.kind.is_temporal for _, window in windows], dtype=np.bool_
        )

    def of(self, frame: pl.DataFrame, matches: Mapping[str, Rows]) -> list[pl.DataFrame]:
        """The hits of this batch, with their rows in it; what windows read of them is gathered once for all."""
        asked = [(reading, rows) for base, rows in matches.items() for reading in self.readings.get(base, ())]
        if not asked:
            return []
        asked.sort(key=lambda one: (id(one[0].shape), one[0].order))
        fields = frozenset[str]().union(*(reading.fields for reading, _ in asked))
        facts = facts_of(frame, np.concatenate([rows for _, rows in asked]), fields)
        facts = with_readings(facts, [(reading, len(rows)) for reading, rows in asked])
        parts, start = [], 0
        for shape, same in groupby(asked, key=lambda one: one[0].shape):
            rows = sum(len(rows) for _, rows in same)
            parts.append(shape.events(facts.slice(start, rows)))
            start += rows
        return [self._once(pl.concat(parts).sort("order", maintain_order=True))]

    def _once(self, events: pl.DataFrame) -> pl.DataFrame:
        """Hits of which each event counts once for a window, also when several of its base rules are true of it."""
        once = pl.Series(self._is_counted_once[events.get_column("code").to_numpy()])
        if once.any():
            first = events.filter(once).unique(["code", "row", "key", "value"], keep="first", maintain_order=True)
            events = pl.concat([events.filter(~once), first])
        return events
