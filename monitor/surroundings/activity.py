"""How many different apps and people are active: counted about, from the stream, in bounded memory.

For every five minutes of event time there is a sketch of the apps seen in them and one of the people (HyperLogLog; 4,096 registers of a
byte each, so the error is about 1.6 %). A span is closed once no event that is not late can fall into it; how many were active in the
hour that ends with it is then counted, and never changes. So the answer depends on the stream alone, not on how it is cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any, Final

import numpy as np
import polars as pl

from monitor.surroundings.passers import Passers
from playbooks.surroundings import Active

SPAN_US: Final = 300_000_000
HOUR_SPANS: Final = 12
CLOSED_MAX: Final = 2_016
"""Spans whose counts are remembered for findings that come late: a week."""

REGISTERS: Final = 4_096
_BITS: Final = 12
_NONE: Final = -(2**62)

Array = np.ndarray[Any, Any]


class Activity:
    """Sketches of the open spans and of the hour before them, and the counts of the closed ones. `reach_s` is how much older an event may be than
    another that came before it, without being late.
    """

    def __init__(self, reach_s: float) -> None:
        self._lag = ceil(reach_s * 1_000_000 / SPAN_US) + 1
        self._slots = HOUR_SPANS + self._lag + 1
        self._registers = np.zeros((self._slots, 2, REGISTERS), np.uint8)
        self._spans = np.full(self._slots, _NONE, np.int64)  # whose registers a slot holds
        self._newest = _NONE
        self._closed: dict[int, Active] = {}

    def observe(self, seen: Passers) -> None:
        """Count who comes by, in processing order; duplicates must not be among them."""
        spans = seen.time // SPAN_US
        crowds = (seen.app, seen.somebody)
        for span in np.unique(spans[~seen.late]).tolist():
            self._open(span)
            there = (spans == span) & ~seen.late
            for kind, hashes in enumerate(crowds):
                _mark(self._registers[span % self._slots, kind], hashes if there.all() else hashes[there])

    def at(self, time: int) -> Active:
        """Who was active in the hour before a time, some minutes less; unknown before the first span is closed."""
        wanted = time // SPAN_US - self._lag
        if wanted in self._closed:
            return self._closed[wanted]
        earlier = [span for span in self._closed if span < wanted]
        return self._closed[max(earlier)] if earlier else Active()

    def _open(self, span: int) -> None:
        """Make ready for a span: those that it closes are counted, and it has a slot of its own."""
        if span > self._newest:
            last = span - self._lag
            first = max(self._newest - self._lag, last - 2 * self._slots, -(2**40)) + 1
            for closing in range(first, last + 1) if self._newest != _NONE else ():
                self._closed[closing] = self._count(closing)
            for old in sorted(self._closed)[:-CLOSED_MAX]:
                del self._closed[old]
            self._newest = span
        slot = span % self._slots
        if self._spans[slot] < span:
            self._spans[slot] = span
            self._registers[slot] = 0

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
        }

    def restore(self, state: Mapping[str, pl.DataFrame]) -> None:
        """Take up a snapshot; one of an earlier version of the program has none of this, and counting begins anew."""
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


def _mark(registers: Array, hashes: Array) -> None:
    """Raise each hash's register to the place of the first bit set in the rest of it; 0 is nobody."""
    rest = (hashes << np.uint64(_BITS)).astype(np.float64)
    place = (65 - np.frexp(rest)[1]).astype(np.uint8)
    place[rest == 0] = 65 - _BITS
    place[hashes == 0] = 0
    np.maximum.at(registers, (hashes >> np.uint64(64 - _BITS)).astype(np.intp), place)


def _estimate(registers: Array) -> int:
    """How many different ones left these registers, about; few are counted by how many registers are still empty."""
    empty = int((registers == 0).sum())
    raw = 0.7213 / (1 + 1.079 / REGISTERS) * REGISTERS**2 / float(np.exp2(-registers.astype(np.float64)).sum())
    if raw <= 2.5 * REGISTERS and empty:
        return round(REGISTERS * float(np.log(REGISTERS / empty)))
    return round(raw)
