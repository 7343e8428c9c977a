"""What a window over very many events keeps of them, kind by kind, so that it can go on without looking at them again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import numpy as np
import polars as pl

from detectors.sigma.grown import Grown
from detectors.sigma.hits import NOTHING, Hits
from detectors.sigma.last_rows import NOWHERE, LastRows
from detectors.sigma.measure import all_hold, found
from detectors.sigma.percentiles import Ranks
from detectors.sigma.rule import Window, WindowKind
from detectors.sigma.sorted_blocks import SortedBlocks
from detectors.sigma.totals import Totals

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from detectors.sigma.hits import Known
    from detectors.sigma.measure import Flags, Integers, Numbers

NEVER: Final = 2**62
"""The number of the event with which a value comes again that has not."""

REBUILT_SHARE: Final = 64
"""Where more than one event in so many comes in or leaves, all numbers are put in order anew: that is quicker."""


class AlikeError(Exception):
    """Two values that differ have the same hash."""


@dataclass(frozen=True, slots=True)
class Coming:
    """Events that come in, the numbers they have among all, the first of the window of each, and of that of the event before them."""

    frame: pl.DataFrame
    time: Integers
    numbers: Integers
    start: Integers
    started: int
    values: Callable[[Integers], pl.Series]  # of events that were there before

    def floats(self) -> Numbers:
        found: Numbers = self.frame.get_column("number").to_numpy()
        return found


class Answers(NamedTuple):
    """Of each event, what its window holds with it, and whether the condition holds with it and held just before."""

    holds: Numbers
    now: Flags
    earlier: Flags


class Reckoning(Protocol):
    """What is kept of all events so far. Nothing is asked of events before `first` once they were cut."""

    def take(self, coming: Coming) -> Answers:
        """Go on with further events."""

    def cut(self, first: int) -> None:
        """Events before a number are in no window any more."""


class _Counts:
    def __init__(self, window: Window) -> None:
        self._bounds = window.bounds

    def take(self, coming: Coming) -> Answers:
        before = (coming.numbers - coming.start).astype(np.float64)
        return Answers(before + 1, all_hold(self._bounds, before + 1), all_hold(self._bounds, before))

    def cut(self, first: int) -> None:
        """Nothing is kept."""


class _Sums:
    def __init__(self, window: Window) -> None:
        self._bounds = window.bounds
        self._totals = Totals(np.empty(0))
        self._said = self._totals.average if window.kind is WindowKind.VALUE_AVERAGE else self._totals.between

    def take(self, coming: Coming) -> Answers:
        self._totals.add(coming.floats())
        after, before = (self._said(coming.start, end) for end in (coming.numbers + 1, coming.numbers))
        return Answers(after, all_hold(self._bounds, after), all_hold(self._bounds, before))

    def cut(self, first: int) -> None:
        self._totals.cut(first)


class _Distinct:
    """How many values there are: each counts from its event until it comes again or has left."""

    def __init__(self, window: Window) -> None:
        self._bounds = window.bounds
        self._count = 0  # in the window of the last event
        self._following = Grown(np.int64)  # of each event, the next one of the same value
        self._last = LastRows()

    def take(self, coming: Coming) -> Answers:
        numbers, start = coming.numbers, coming.start
        previous = self._previous(coming)
        self._following.add(np.full(len(numbers), NEVER))
        known = previous >= self._following.first
        self._following.rows[previous[known] - self._following.first] = numbers[known]
        leaving = np.arange(coming.started, start[-1])
        again = self._following.between(coming.started, int(start[-1]))
        leaving, again = leaving[again >= numbers[0]], again[again >= numbers[0]]
        left = numbers[0] + np.searchsorted(start, leaving, side="right")
        ended = np.concatenate([np.minimum(left, again), numbers[previous >= start[-1]]]) - numbers[0]
        change = 1 - np.bincount(ended, minlength=len(numbers))
        after = (self._count + np.cumsum(change)).astype(np.float64)
        before = after - (previous < start)
        self._count = int(after[-1])
        return Answers(after, all_hold(self._bounds, after), all_hold(self._bounds, before))

    def cut(self, first: int) -> None:
        self._following.cut(first)
        self._last.cut(first, len(self._following.rows))

    def _previous(self, coming: Coming) -> Integers:
        """Where each value was before."""
        values, numbers = coming.frame.get_column("value"), coming.numbers
        hashes = values.hash().to_numpy()
        order = np.argsort(hashes, kind="stable")
        ordered = hashes[order]
        same = ordered[1:] == ordered[:-1]
        earlier, later = order[:-1][same], order[1:][same]
        previous = np.full(len(numbers), NOWHERE, dtype=np.int64)
        previous[later] = numbers[earlier]
        firsts = order[np.concatenate([[True], ~same])]
        previous[firsts] = self._last.of(hashes[firsts])
        lasts = order[np.concatenate([~same, [True]])]
        self._last.add(hashes[lasts], numbers[lasts])
        old = firsts[previous[firsts] >= max(self._following.first, 0)]
        if _differ(values, earlier, values, later) or (len(old) and _unlike(values, old, coming.values(previous[old]))):
            raise AlikeError
        return previous


class _Percentiles:
    def __init__(self, window: Window) -> None:
        self._bounds = window.bounds
        self._wanted = window.percentile if window.percentile is not None else 50.0
        self._numbers = Grown(np.float64)
        self._ordered = SortedBlocks(np.empty(0))  # the numbers in the window of the last event

    def take(self, coming: Coming) -> Answers:
        self._numbers.add(coming.floats())
        first, end = int(coming.numbers[0]), int(coming.numbers[-1]) + 1
        stays, moved = int(coming.start[-1]), end - first + int(coming.start[-1]) - coming.started
        before = np.maximum(coming.numbers, coming.start + 1)  # of an empty window nobody asks
        ends = coming.numbers + 1, before
        if moved * REBUILT_SHARE > end - coming.started or stays >= first:
            ranks = Ranks(self._numbers.between(coming.started, end))
            at = coming.start - coming.started
            found = [ranks.percentile(at, one - coming.started, self._wanted) for one in ends]
            self._ordered = SortedBlocks(self._numbers.between(stays, end))
        else:
            self._ordered.take(self._numbers.between(coming.started, stays))
            found = self._of_few(coming, ends, stays, first)
            self._ordered.add(self._numbers.between(first, end))
        return Answers(found[0], *(all_hold(self._bounds, one) for one in found))

    def cut(self, first: int) -> None:
        self._numbers.cut(first)

    def _of_few(self, coming: Coming, ends: tuple[Integers, Integers], stays: int, first: int) -> list[Numbers]:
        """Percentiles where most numbers are in every window: those among which none can be are put aside."""
        places = [self._wanted * (one - coming.start - 1) / 100 for one in ends]
        leaving = self._numbers.between(coming.started, stays)
        coming_in = self._numbers.between(first, int(coming.numbers[-1]) + 1)
        least = int(np.floor(min(one.min() for one in places))) - len(leaving) - len(coming_in)
        aside = max(least, 0)
        there = self._ordered.between(aside, int(np.ceil(max(one.max() for one in places))) + 1)
        ranks = Ranks(np.concatenate([leaving, there, coming_in]))
        shift = len(leaving) + len(there) - first
        start = coming.start - coming.started
        found = []
        for at, end in zip(places, ends, strict=True):
            below, above = np.floor(at).astype(np.int64), np.ceil(at).astype(np.int64)
            low, high = (ranks.smallest(start, end + shift, place - aside) for place in (below, above))
            found.append(low + (at - below) * (high - low))
        return found


class _LastHits:
    def __init__(self, window: Window) -> None:
        self._window = window
        self._begin: int | None = None
        self._known: Mapping[Known, int] = NOTHING

    def take(self, coming: Coming) -> Answers:
        if self._begin is None:
            self._begin = int(coming.time[0]) - self._window.span_us - 1
        place = coming.time - self._begin
        masks = coming.frame.get_column("bases").to_numpy()
        hits = Hits(place, place - self._window.span_us + 1, masks, len(self._window.bases), self._known)
        rows = np.arange(len(place))
        (after, now), (_, earlier) = (found(self._window, hits, at) for at in (rows + 1, rows))
        self._known = hits.known
        return Answers(after, now, earlier)

    def cut(self, first: int) -> None:
        """Nothing is kept but instants."""


RECKONED: Final[Mapping[WindowKind, Callable[[Window], Reckoning]]] = {
    WindowKind.EVENT_COUNT: _Counts,
    WindowKind.VALUE_COUNT: _Distinct,
    WindowKind.VALUE_SUM: _Sums,
    WindowKind.VALUE_AVERAGE: _Sums,
    WindowKind.VALUE_MEDIAN: _Percentiles,
    WindowKind.VALUE_PERCENTILE: _Percentiles,
    WindowKind.TEMPORAL: _LastHits,
    WindowKind.TEMPORAL_ORDERED: _LastHits,
}


def _differ(values: pl.Series, some: Integers, others: pl.Series, at: Integers) -> bool:
    return bool((values[pl.Series(some, dtype=pl.UInt32)] != others[pl.Series(at, dtype=pl.UInt32)]).any())


def _unlike(values: pl.Series, some: Integers, others: pl.Series) -> bool:
    return bool((values[pl.Series(some, dtype=pl.UInt32)] != others).any())
