"""Where rules are true of events, and what windows count of that: found for the events of several streams at once, each of which takes its own."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from detectors.sigma.parting import ROW
from detectors.sigma.readings import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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

    def parted(self, bounds: Sequence[int]) -> list[Found]:
        """What is so of the rows between each two bounds, which count from the first of these."""
        matches: list[dict[str, Rows]] = [{} for _ in bounds[1:]]
        for rule, rows in self.matches.items():
            cuts = np.searchsorted(rows, bounds)
            for place in np.flatnonzero(np.diff(cuts)).tolist():
                part = rows[cuts[place] : cuts[place + 1]]
                matches[place][rule] = part - rows.dtype.type(bounds[place])
        hits = _parted(self.hits, bounds)
        sent = [None] * len(matches) if self.sent is None else _parted(self.sent, bounds)
        return [Found(*each) for each in zip(matches, hits, sent, strict=True)]


def _parted(hits: pl.DataFrame, bounds: Sequence[int]) -> list[pl.DataFrame]:
    """Hits by the bounds between which their rows are, in the order in which they are given."""
    owners = np.searchsorted(bounds[1:], hits.get_column(ROW).to_numpy(), side="right")
    whole = hits[pl.Series(np.argsort(owners, kind="stable"), dtype=pl.UInt32)]
    ends = np.cumsum(np.bincount(owners, minlength=len(bounds) - 1))
    return [whole[begin:end] for begin, end in pairwise([0, *ends.tolist()])]
