"""A window over a group that remembers very many events: what comes in is reckoned with, what is there is not looked through again.

It says what `measure` says of all the events together. A batch costs what it brings in and what leaves because of it, each
event a bounded number of times more where stretches of events are joined.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from detectors.sigma.grown import Grown
from detectors.sigma.measure import Measured
from detectors.sigma.reckoning import RECKONED, Coming

if TYPE_CHECKING:
    from detectors.sigma.measure import Integers
    from detectors.sigma.rule import Window


class Long:
    """The events of one group of one window, in order, each with a number. After `take` come `add` and `cut`."""

    def __init__(self, window: Window, key: str, rows: pl.DataFrame) -> None:
        """With the events so far."""
        self.key = key
        self.parts: tuple[pl.DataFrame, ...] = ()  # the events that are there, oldest first
        self.held = False  # whether the condition held with the last event
        self._span_us = window.span_us
        self._first = self._end = 0  # numbers: of the oldest event that is there, and after the last
        self._start = 0  # where the last event's window begins
        self._time = Grown(np.int64)
        self._reckoning = RECKONED[window.kind](window)
        self.take(rows)
        self.add(rows)
        self.cut()

    def __len__(self) -> int:
        return self._end - self._first

    @property
    def last_time(self) -> int:
        return int(self._time.rows[-1])

    def take(self, fresh: pl.DataFrame) -> tuple[Measured, Integers]:
        """What the windows of further events hold, and how many events are in each."""
        time = fresh.get_column("time").to_numpy()
        self._time.add(time)
        start = self._first + np.searchsorted(self._time.rows, time - self._span_us, side="right")
        numbers = self._end + np.arange(len(time))
        answers = self._reckoning.take(Coming(fresh, time, numbers, start, self._start, self._values))
        self._start, self._end = int(start[-1]), self._end + len(time)
        return Measured(answers.holds, answers.now, answers.earlier & (start < numbers)), numbers + 1 - start

    def add(self, fresh: pl.DataFrame) -> None:
        """Remember the events that were taken, with what held at each."""
        parts = [*self.parts, fresh]
        while len(parts) > 1 and parts[-2].height <= 2 * parts[-1].height:
            parts[-2:] = [pl.concat(parts[-2:], rechunk=True)]
        self.parts = tuple(parts)
        self.held = bool(fresh.get_column("held")[-1])

    def stretch(self, start: int, count: int) -> pl.DataFrame:
        """So many events, from one that is so far from the end."""
        skipped = len(self) - start
        found = []
        for part in self.parts:
            if count and skipped < part.height:
                found.append(part.slice(skipped, count))
                count -= found[-1].height
            skipped = max(0, skipped - part.height)
        return pl.concat(found)

    def cut(self) -> None:
        """Let go of events that no later window can reach."""
        gone = self._start - self._first
        parts = list(self.parts)
        while gone and gone >= parts[0].height:
            gone -= parts.pop(0).height
        if gone:
            rest = parts[0].slice(gone)
            parts[0] = rest if rest.height > gone else rest.clear().extend(rest)  # a slice holds on to the whole
        self.parts = tuple(parts)
        self._first = self._start
        self._time.cut(self._first)
        self._reckoning.cut(self._first)

    def _values(self, numbers: Integers) -> pl.Series:
        """The values of some events that are there."""
        places = numbers - self._first
        order = np.argsort(places, kind="stable")
        found, begin = [], 0
        for part in self.parts:
            mine = places[order][(places[order] >= begin) & (places[order] < begin + part.height)] - begin
            found.append(part.get_column("value")[pl.Series(mine, dtype=pl.UInt32)])
            begin += part.height
        back = np.empty(len(order), dtype=np.int64)
        back[order] = np.arange(len(order))
        return pl.concat(found)[pl.Series(back, dtype=pl.UInt32)]
