"""How many different apps and people are active: counted about, from the stream, in bounded memory.

For every five minutes of event time there is a sketch of the apps seen in them and one of the people (HyperLogLog; 4,096 registers of a
byte each, so the error is about 1.6 %). A span is closed once no event that is not late can fall into it; how many were active in the
hour that ends with it is then counted, and never changes. So the answer depends on the stream alone, not on how it is cut.

That a register is raised is a mark, in the era of its span (`news`). A memory that tells keeps its marks until they are told; one that hears takes
them up moment by moment, as one that saw all would have seen them.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any, Final

import numpy as np
import polars as pl

from monitor.surroundings.news import Groups, Waiting, by_era, grouped, moments_of
from monitor.surroundings.passers import Passers
from playbooks.surroundings import Active

SPAN_US: Final = 300_000_000
HOUR_SPANS: Final = 12
CLOSED_MAX: Final = 2_016
"""Spans whose counts are remembered for findings that come late: a week."""

REGISTERS: Final = 4_096
_BITS: Final = 12
_VALUE_BITS: Final = 8
WAITING: Final = "activity_waiting"
"""The frame of a snapshot that holds what waits to be told, or for its moment."""

_NONE: Final = -(2**62)

Array = np.ndarray[Any, Any]


class Activity:
    """Sketches of the open spans and of the hour before them, and the counts of the closed ones. `reach_s` is how much older an event may be than
    another that came before it, without being late. With `tells`, what is new waits to be told.
    """

    def __init__(self, reach_s: float, *, tells: bool = False) -> None:
        self.reach_s = reach_s
        self._lag = ceil(reach_s * 1_000_000 / SPAN_US) + 1
        self._slots = HOUR_SPANS + self._lag + 1
        self._tells = tells
        self._clear()

    def _clear(self) -> None:
        self._registers = np.zeros((self._slots, 2, REGISTERS), np.uint8)
        self._spans = np.full(self._slots, _NONE, np.int64)  # whose registers a slot holds
        self._newest = _NONE
        self._closed: dict[int, Active] = {}
        self.waiting = Waiting()

    def observe(self, seen: Passers) -> None:
        """Count who comes by, in processing order; duplicates must not be among them."""
        spans = seen.time // SPAN_US
        moments = moments_of(seen.mark) if self._tells else spans
        crowds = (seen.app, seen.somebody)
        for span in np.unique(spans[~seen.late]).tolist():
            if not self._open(span):
                continue
            there = (spans == span) & ~seen.late
            where = None if there.all() else np.flatnonzero(there)
            rows, marks = [], []
            for kind, hashes in enumerate(crowds):
                registers = self._registers[span % self._slots, kind]
                fresh, at, places = _raise(registers, hashes if where is None else hashes[where])
                rows.append(fresh if where is None else where[fresh])
                marks.append(((kind << _BITS) + at) << _VALUE_BITS | places)
            if self._tells:
                self.waiting.add(grouped(span, moments, np.concatenate(rows), np.concatenate(marks)))

    def hear(self, groups: Groups | None) -> None:
        """What another memory has seen."""
        self.waiting.add(groups)

    def settle(self, moment: int | None = None) -> None:
        """Take up what was heard of before a moment, or all: none of that will come any more."""
        for span, marks in by_era(self.waiting.take(moment)):
            if self._open(span):
                registers = self._registers[span % self._slots].reshape(-1)
                values = (marks & np.uint32((1 << _VALUE_BITS) - 1)).astype(np.uint8)
                np.maximum.at(registers, marks >> np.uint32(_VALUE_BITS), values)

    def merge(self, other: Activity) -> None:
        """Take up all that another has counted in spans that are open, and in the hour before them."""
        for slot in np.argsort(other._spans, kind="stable").tolist():
            span = int(other._spans[slot])
            if span != _NONE and self._open(span):
                registers = self._registers[span % self._slots]
                np.maximum(registers, other._registers[slot], out=registers)

    def at(self, time: int) -> Active:
        """Who was active in the hour before a time, some minutes less; unknown before the first span is closed."""
        wanted = time // SPAN_US - self._lag
        if wanted in self._closed:
            return self._closed[wanted]
        if wanted > self._newest - self._lag:  # it is not closed only because nothing has come since
            return self._count(wanted)
        earlier = [span for span in self._closed if span < wanted]
        return self._closed[max(earlier)] if earlier else Active()

    def _open(self, span: int) -> bool:
        """Make ready for a span: those that it closes are counted, and it has a slot of its own; whether it has, or is too old."""
        if span > self._newest:
            first = self._newest - self._lag + 1
            last = min(span - self._lag, self._newest + HOUR_SPANS)  # after that nobody was active
            for closing in range(first, last + 1) if self._newest != _NONE else ():
                self._closed[closing] = self._count(closing)
            for old in sorted(self._closed)[:-CLOSED_MAX]:
                del self._closed[old]
            self._newest = span
        slot = span % self._slots
        if self._spans[slot] < span:
            self._spans[slot] = span
            self._registers[slot] = 0
        return bool(self._spans[slot] == span)

    def _count(self, last: int) -> Active:
        """Different ones over the hour's spans that end with this one."""
        held = (self._spans > last - HOUR_SPANS) & (self._spans <= last)
        if not held.any():
            return Active()
        apps, people = self._registers[held].max(axis=0)
        return Active(apps=_estimate(apps), people=_estimate(people))

    def snapshot(self) -> dict[str, pl.DataFrame]:
        used = self._spans != _NONE
        closed = sorted(self._closed.items())
        return {
            "activity": pl.DataFrame(
                {
                    "span": self._spans[used],
                    "apps": [row.tobytes() for row in self._registers[used, 0]],
                    "people": [row.tobytes() for row in self._registers[used, 1]],
                },
                schema={"span": pl.Int64, "apps": pl.Binary, "people": pl.Binary},
            ),
            "activity_closed": pl.DataFrame(
                [(span, active.apps, active.people) for span, active in closed],
                schema={"span": pl.Int64, "apps": pl.Int64, "people": pl.Int64},
                orient="row",
            ),
            WAITING: self.waiting.snapshot(),
        }

    def restore(self, state: Mapping[str, pl.DataFrame]) -> None:
        """Take up a snapshot in place of all; one of an earlier version of the program has none of this, and counting begins anew."""
        self._clear()
        if "activity" not in state:
            return
        for span, apps, people in state["activity"].iter_rows():
            slot = span % self._slots
            if span > self._spans[slot]:
                self._spans[slot] = span
                self._registers[slot, 0] = np.frombuffer(apps, np.uint8)
                self._registers[slot, 1] = np.frombuffer(people, np.uint8)
        self._newest = int(self._spans.max())
        self._closed = {
            span: Active(apps=apps, people=people) for span, apps, people in state["activity_closed"].iter_rows()
        }
        if WAITING in state:
            self.waiting.restore(state[WAITING])


def _raise(registers: Array, hashes: Array) -> tuple[Array, Array, Array]:
    """Raise each hash's register to the place of the first bit set in the rest of it; 0 is nobody. The hashes that raised one, and which to what."""
    rest = (hashes << np.uint64(_BITS)).astype(np.float64)
    places = (65 - np.frexp(rest)[1]).astype(np.uint8)
    places[rest == 0] = 65 - _BITS
    places[hashes == 0] = 0
    at = (hashes >> np.uint64(64 - _BITS)).astype(np.intp)
    fresh = np.flatnonzero(places > registers.take(at))  # most are as high already
    at, places = at[fresh], places[fresh]
    np.maximum.at(registers, at, places)
    return fresh, at, places


def _estimate(registers: Array) -> int:
    """How many different ones left these registers, about; few are counted by how many registers are still empty."""
    empty = int((registers == 0).sum())
    raw = 0.7213 / (1 + 1.079 / REGISTERS) * REGISTERS**2 / float(np.exp2(-registers.astype(np.float64)).sum())
    if raw <= 2.5 * REGISTERS and empty:
        return round(REGISTERS * float(np.log(REGISTERS / empty)))
    return round(raw)
