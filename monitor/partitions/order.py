"""Findings of several streams in one order, whichever of them is read sooner: (arrival, id), as soon as no stream can say anything earlier.

A stream can say nothing earlier than it has reached. One that has taken all that was in its log can say nothing earlier than that
moment. A stream that is neither, because nobody reads it or it is far behind, holds the others up for so long and no longer; what is
given out of order then is counted.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from typing import Final

from monitor.partitions.leaving import CLOCKS_US, Left
from monitor.stores import Detected, StreamState

PENDING_MAX: Final = 500_000
"""Findings that wait in memory; more are left in the record until these are answered."""

GONE_S: Final = 86_400.0
"""A stream of which nobody has said anything for so long is waited for no more: its topic has another name by now, or fewer partitions."""

WATCHED_S: Final = 600.0
"""Not before whoever answers has been there for so long: where all was down for long, they come back one after the other."""


def alive(streams: Iterable[StreamState], now: int) -> list[StreamState]:
    """Those that are still waited for."""
    return [one for one in streams if now - max(one.time, one.read_out) < GONE_S * 1_000_000]


def horizon_of(streams: Iterable[StreamState]) -> int:
    """Before this no stream can say anything more."""
    return min((max(one.reached, one.read_out - CLOCKS_US) for one in streams), default=0)


def arrivals_of(streams: Sequence[StreamState], now: int) -> list[int]:
    """Up to when each stream knows what arrived. One that has taken all of its log knows as much as the one that is furthest, also where no
    event comes to its partition, but never more than what is `now`; where none comes to any, none knows more than the last event tells.
    """
    furthest = max((one.reached for one in streams), default=0)
    known = [max(one.reached, min(one.read_out - CLOCKS_US, furthest, now)) for one in streams]
    return [each for each in known if each > 0]


class Order:
    """What waits to be answered. Times are microseconds."""

    def __init__(self, wait_us_max: int) -> None:
        self._wait = wait_us_max
        self._heap: list[tuple[int, str, str, int, int, Left]] = []
        self._open: dict[tuple[str, int], int] = {}
        self.loaded: dict[str, int] = {}
        self.given_up = 0
        self._last: tuple[int, str] = (0, "")

    @property
    def is_full(self) -> bool:
        return len(self._heap) >= PENDING_MAX

    @property
    def waiting(self) -> int:
        return len(self._heap)

    def add(self, row: Detected, left: Iterable[Left], now: int) -> None:
        """What one turn of a stream has left; `now` is when it was heard of."""
        count = 0
        for count, one in enumerate(left, 1):  # noqa: B007 - how many it was
            heapq.heappush(self._heap, (one.order, one.finding.id, row.stream, row.turn, now, one))
        self.loaded[row.stream] = row.turn
        if count:
            self._open[row.stream, row.turn] = count

    def bound(self, horizon: int) -> int:
        """Nothing is answered any more that comes before this in the order, as long as streams keep to the horizon."""
        return min(horizon, self._heap[0][0]) if self._heap else horizon

    def ready(self, horizon: int, now: int, limit: int) -> tuple[list[Left], list[tuple[str, int]]]:
        """The next findings in the order before the horizon, at most so many, and the turns that have none left after these."""
        found: list[Left] = []
        done = []
        while self._heap and len(found) < limit:
            order, key, stream, turn, heard, left = self._heap[0]
            is_overdue = now - heard >= self._wait
            if order >= horizon and not is_overdue:
                break
            heapq.heappop(self._heap)
            self.given_up += (order, key) < self._last or order >= horizon
            self._last = max(self._last, (order, key))
            found.append(left)
            self._open[stream, turn] -= 1
            if not self._open[stream, turn]:
                del self._open[stream, turn]
                done.append((stream, turn))
        return found, done
