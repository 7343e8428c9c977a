"""Where rules are true of events, and what windows count of that: found for the events of several streams at once, each of which takes its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from detectors.sigma.parting import ROW
from detectors.sigma.readings import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Mapping

    from detectors.sigma.distinct import Rows

HITS: Final = pl.Schema({**SCHEMA, ROW: pl.UInt32()})
"""Hits as windows remember them, with the row of each."""


@dataclass(frozen=True, slots=True)
class Found:
    """Of each rule on single events that is true of some row, the rows in order (`matches`); the hits of windows (`HITS`); and those for
    windows that are abroad (`parting.SENT` with their rows), None where none are.
    """

    matches: Mapping[str, Rows]
    hits: pl.DataFrame
    sent: pl.DataFrame | None

    def between(self, begin: int, end: int) -> Found:
        """What is so of some rows, which count from the first of these."""
        matches = {}
        for rule, rows in self.matches.items():
            first, after = np.searchsorted(rows, (begin, end))
            if first < after:
                matches[rule] = rows[first:after] - rows.dtype.type(begin)
        sent = None if self.sent is None else _between(self.sent, begin, end)
        return Found(matches, _between(self.hits, begin, end), sent)


def _between(hits: pl.DataFrame, begin: int, end: int) -> pl.DataFrame:
    rows = hits.get_column(ROW).to_numpy()
    return hits.filter(pl.Series((rows >= begin) & (rows < end)))
