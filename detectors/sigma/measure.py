"""What the window of each event holds, with the event and just before it: counts, sums, percentiles, which rules were hit.

All events of one rule come at once, sorted by group and order, and are reckoned with as whole columns. Nothing depends
on where the stream was cut: sums are sums of whole numbers, and percentiles pick from the window itself.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from detectors.sigma.hits import Hits
from detectors.sigma.percentiles import Ranks
from detectors.sigma.rule import Window, WindowKind
from detectors.sigma.totals import Totals

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import polars as pl

    from detectors.sigma.rule import Bound, Words

Integers = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

NUMBER_MAX: Final = float(2**53)
"""A number farther from zero is taken as this one: beyond, a float no longer tells whole numbers apart."""

PLACES_MAX: Final = 2**62
"""Up to here instants of all groups have a number each in 64 bits."""

_HOLDS: Final[Mapping[str, Callable[[Numbers, float], Flags]]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
    "eq": operator.eq,
    "neq": operator.ne,
}


@dataclass(frozen=True, slots=True)
class Events:
    """Events of one rule, sorted by group and order, and where their windows begin.

    `place` orders events of one instant and group alike and rises from group to group; `first` is the least place
    that the window of each event reaches. `fresh` are the rows that are asked about, `start` the rows with which their windows begin.
    """

    frame: pl.DataFrame
    group: Integers
    place: Integers
    first: Integers
    fresh: Integers
    start: Integers

    @classmethod
    def of(cls, frame: pl.DataFrame, group: Integers, span_us: int, fresh: Integers) -> Events:
        time = frame.get_column("time").to_numpy()
        begin = int(time.min())
        width = int(time.max()) - begin + 2
        groups = group - group[0]
        if (int(groups[-1]) + 1) * width < PLACES_MAX:
            moment, reach = time - (begin - 1), np.maximum(time - (span_us + begin - 1), 0)
        else:  # very many groups over a very long time: instants are numbered
            moments = np.unique(time)
            width = len(moments) + 1
            moment = np.searchsorted(moments, time) + 1
            reach = np.searchsorted(moments, time - span_us, side="right")
        place = groups * width + moment
        first = groups * width + reach + 1
        return cls(frame, group, place, first, fresh, np.searchsorted(place, first[fresh]))

    def column(self, name: str) -> npt.NDArray[Any]:
        return self.frame.get_column(name).to_numpy()


@dataclass(frozen=True, slots=True)
class Measured:
    """Of each fresh event: what its window holds with it, whether the condition holds, and whether it did just before."""

    holds: Numbers
    now: Flags
    earlier: Flags


def measure(window: Window, events: Events) -> Measured:
    """What the windows of the fresh events hold. An empty window never meets its condition."""
    was_empty = events.start == events.fresh
    if window.kind.is_temporal:
        hits = Hits(events.place, events.first[events.fresh], events.column("bases"), len(window.bases))
        (after, now), (before, earlier) = (found(window, hits, rows) for rows in (events.fresh + 1, events.fresh))
    else:
        after, before = _MEASURES[window.kind](window, events)
        now, earlier = all_hold(window.bounds, after), all_hold(window.bounds, before)
    return Measured(after, now, earlier & ~was_empty)


def all_hold(bounds: Sequence[Bound], values: Numbers) -> Flags:
    """Where all comparisons hold."""
    truth = np.ones(len(values), dtype=np.bool_)
    for bound in bounds:
        truth &= _HOLDS[bound.operator](values, bound.threshold)
    return truth


def _count(_: Window, events: Events) -> tuple[Numbers, Numbers]:
    before = (events.fresh - events.start).astype(np.float64)
    return before + 1, before


def _distinct(_: Window, events: Events) -> tuple[Numbers, Numbers]:
    """How many different values a window holds: each counts from its event until it comes again or has left."""
    previous, following = _neighbours(events)
    left = np.searchsorted(events.first, events.place, side="right")
    change = np.zeros(len(events.place) + 1, dtype=np.int64)
    change[:-1] = 1
    np.add.at(change, np.minimum(left, following), -1)
    after = np.cumsum(change)[events.fresh].astype(np.float64)
    return after, after - (previous[events.fresh] < events.start)


def _neighbours(events: Events) -> tuple[Integers, Integers]:
    """Where the same value stands before and after each event; -1 and past the end where it does not.

    In another group it stands outside of every window of this one, before its beginning or after its end.
    """
    code = events.frame.get_column("value").rank("dense").to_numpy().astype(np.int64)
    order = np.argsort(code, kind="stable")
    same = np.diff(code[order]) == 0
    previous = np.full(len(code), -1, dtype=np.int64)
    following = np.full(len(code), len(code), dtype=np.int64)
    previous[order[1:][same]] = order[:-1][same]
    following[order[:-1][same]] = order[1:][same]
    return previous, following


def _sum(_: Window, events: Events) -> tuple[Numbers, Numbers]:
    totals = Totals(events.column("number"))
    start = events.start
    return totals.between(start, events.fresh + 1), totals.between(start, events.fresh)


def _average(_: Window, events: Events) -> tuple[Numbers, Numbers]:
    totals = Totals(events.column("number"))
    start = events.start
    return totals.average(start, events.fresh + 1), totals.average(start, events.fresh)


def _percentile(window: Window, events: Events) -> tuple[Numbers, Numbers]:
    ranks = Ranks(events.column("number"))
    start = events.start
    wanted = window.percentile if window.percentile is not None else 50.0
    before = np.maximum(events.fresh, start + 1)  # of an empty window nobody asks
    return ranks.percentile(start, events.fresh + 1, wanted), ranks.percentile(start, before, wanted)


_MEASURES: Final[Mapping[WindowKind, Callable[[Window, Events], tuple[Numbers, Numbers]]]] = {
    WindowKind.EVENT_COUNT: _count,
    WindowKind.VALUE_COUNT: _distinct,
    WindowKind.VALUE_SUM: _sum,
    WindowKind.VALUE_AVERAGE: _average,
    WindowKind.VALUE_MEDIAN: _percentile,
    WindowKind.VALUE_PERCENTILE: _percentile,
}


def found(window: Window, hits: Hits, rows: Integers) -> tuple[Numbers, Flags]:
    """What windows hold as of some rows, and whether the condition is met."""
    if window.words is not None:
        return hits.count(rows), _true(window.words, hits, rows)
    if window.sequences:
        met = np.zeros(len(rows), dtype=np.bool_)
        for one in window.sequences:
            absent = np.any([hits.inside(base, rows) for base in one.absent], axis=0) if one.absent else False
            met |= hits.in_order(one.steps, rows) & ~np.asarray(absent)
        return hits.count(rows), met
    values = hits.longest(window.steps, rows) if window.steps else hits.count(rows)
    return values, all_hold(window.bounds, values)


def _true(words: Words, hits: Hits, rows: Integers) -> Flags:
    if words.word == "rule":
        return hits.inside(words.place, rows)
    parts = [_true(part, hits, rows) for part in words.parts]
    if words.word == "not":
        return ~parts[0]
    joined: Flags = (np.logical_and if words.word == "and" else np.logical_or).reduce(parts)
    return joined
