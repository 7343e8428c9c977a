"""Watches hits of rules in sliding windows, exact to the event, the same however the stream is cut.

The window of an event at time t is (t - span, t]. Events enter in the order of (time, hash) once the watermark has
reached their time; until then they wait. A window fires at an event with which its condition holds, unless it held at
the event before and still just before this one (counted at the same t, without the event; an empty window never holds).
An event without one of the group-by fields, or without the value, takes no part; one event hit by several base rules
counts once. Where a base rule is itself a correlation, the event with which that fires is its hit.

Memory is one row an event, at most `events_max` in all: past it the oldest are forgotten and counted, and only then can
the cut of the stream show.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors.event import WATERMARK, Batch
from detectors.finding import Sighting
from detectors.sigma.crossings import Crossing
from detectors.sigma.found import HITS
from detectors.sigma.longs import Longs
from detectors.sigma.measure import Events, Integers, Measured, measure
from detectors.sigma.readings import SCHEMA, facts_of_crossings, group_of, with_readings
from detectors.sigma.reckoning import AlikeError
from detectors.sigma.window_hits import WindowHits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from detectors.finding import Finding
    from detectors.sigma.distinct import Rows
    from detectors.sigma.rule import Rule

WINDOW_EVENTS_MAX: Final = 1_000_000
"""Events that all windows together remember."""

FORGOTTEN_SHARE: Final = 64
"""Where there is no room, at least one event in so many is forgotten at once, for each time all are looked through."""

_ONE: Final = ["code", "group", "key", "time", "hash", "id"]
"""What tells events apart; in the order of the last three they are counted."""

_LOOKED_AT: Final = ["code", "group", "key", "time", "hash", "value", "number", "bases", "held", "id", "behind"]
"""Columns that windows read of all their events; of those that come in, also the others."""

KEPT: Final = pl.Schema(
    {"rule": pl.String(), "stamp": pl.String()}
    | {name: dtype for name, dtype in SCHEMA.items() if name not in ("code", "group")}
    | {"waiting": pl.Boolean()}
)
"""What a snapshot holds: windows are told by rule and stamp, so that those that have changed are noticed."""


class Correlator:
    """All correlation rules of a set and the memory of their windows.

    `looked` is told of each rule and the events of its windows what was measured, for those who want to know why a rule is silent.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        events_max: int = WINDOW_EVENTS_MAX,
        looked: Callable[[Rule, Events, Measured], None] | None = None,
    ) -> None:
        self._windows = [(rule, rule.window) for rule in rules if rule.window is not None]
        self._hits = WindowHits(self._windows)
        self._readings = self._hits.readings
        self._spans = np.array([window.span_us for _, window in self._windows], dtype=np.int64)
        self._levels = np.array([window.level for _, window in self._windows], dtype=np.int64)
        self._events_max = events_max
        self._looked = looked
        self._waiting = SCHEMA.to_frame()  # their time has not come
        self._inside = SCHEMA.to_frame()  # counted; some of them no longer needed
        self._longs = Longs(self._windows)  # those of groups that remember very many
        self._kept = 0  # events inside after the last clearing
        self._is_mixed = False  # whether keys have been seen that differ and have the same hash
        self.forgotten = 0

    def hits(self, frame: pl.DataFrame, matches: Mapping[str, Rows]) -> pl.DataFrame:
        """What windows count of a batch (`found.HITS`)."""
        parts = self._hits.of(frame, matches)
        return parts[0].select(HITS.names()) if parts else HITS.to_frame()

    def observe(self, batch: Batch, hits: pl.DataFrame) -> list[Sighting]:
        """What the batch's hits, and its watermark, show. One that raises has taken nothing of the batch."""
        parts = [hits.select(SCHEMA.names())] if hits.height else []
        watermarks = _watermarks(batch.frame)
        return [
            Sighting(int(np.searchsorted(watermarks, finding.time)), finding)
            for finding in self._taking(parts, batch.watermark)
        ]

    def take(self, sent: pl.DataFrame, watermark: int) -> list[Finding]:
        """What hits show that were seen elsewhere (`parting.SENT`); those for windows that are not here, or have changed, are left out."""
        known = sent.join(self._stamps(), on=["rule", "stamp"], how="inner", maintain_order="left")
        events = known.with_columns(group=group_of(pl.col("key")), held=pl.lit(value=False))
        return self._taking([events.select(SCHEMA.names())], watermark)

    def _taking(self, parts: Sequence[pl.DataFrame], watermark: int) -> list[Finding]:
        before = self._waiting, self._inside, self._kept, self.forgotten
        self._longs.begin()
        try:
            return self._take(parts, watermark)
        except BaseException:
            self._waiting, self._inside, self._kept, self.forgotten = before
            self._inside = pl.concat([self._inside, *self._longs.undo()])
            raise

    def _take(self, parts: Sequence[pl.DataFrame], watermark: int) -> list[Finding]:
        waiting = pl.concat([self._waiting, *parts])
        due = pl.col("time") <= watermark
        ready = waiting.filter(due)
        self._waiting = waiting.filter(~due)
        crossings = self._fired(ready) if ready.height else []
        self._clear(watermark)
        return [crossing.finding for crossing in crossings if not crossing.rule.silent]

    def snapshot(self) -> pl.DataFrame:
        inside = pl.concat([self._inside, *self._longs.parts]).with_columns(waiting=pl.lit(value=False))
        events = pl.concat([inside, self._waiting.with_columns(waiting=pl.lit(value=True))])
        rules = pl.Series([rule.id for rule, _ in self._windows], dtype=pl.String)
        stamps = pl.Series([window.stamp for _, window in self._windows], dtype=pl.String)
        codes = events.get_column("code")
        return events.with_columns(rules[codes].alias("rule"), stamps[codes].alias("stamp")).select(KEPT.names())

    def restore(self, events: pl.DataFrame) -> None:
        """Take up remembered events; those of rules that are gone or have changed are dropped."""
        if events.schema != KEPT:
            raise ValueError(f"not a snapshot of Sigma windows: columns {', '.join(events.columns)}")
        events = events.join(self._stamps(), on=["rule", "stamp"], how="inner", maintain_order="left")
        events = events.with_columns(group=group_of(pl.col("key")))
        self._waiting = events.filter(pl.col("waiting")).select(SCHEMA.names())
        self._inside = events.filter(~pl.col("waiting")).select(SCHEMA.names())
        self._longs = Longs(self._windows)
        self._kept = self._inside.height
        self._is_mixed = events.select("code", "group").n_unique() < events.select("code", "key").n_unique()

    def _stamps(self) -> pl.DataFrame:
        """The windows by rule and stamp, so that those that have changed are noticed."""
        return pl.DataFrame(
            {
                "rule": [rule.id for rule, _ in self._windows],
                "stamp": [window.stamp for _, window in self._windows],
                "code": range(len(self._windows)),
            },
            schema={"rule": pl.String(), "stamp": pl.String(), "code": pl.UInt32()},
        )

    def _fired(self, ready: pl.DataFrame) -> list[Crossing]:
        """The windows that the ready events bring to fire, and those that the fired ones bring to fire in turn."""
        crossings: list[Crossing] = []
        for level in np.unique(self._levels).tolist():
            mine = ready.filter(pl.Series(self._levels[ready.get_column("code").to_numpy()] == level))
            if mine.height:
                found = self._cross(mine)
                crossings += found
                ready = pl.concat([ready, *self._chained(found)])
        return crossings

    def _chained(self, crossings: Iterable[Crossing]) -> list[pl.DataFrame]:
        """The hits that fired windows are for the correlations above them."""
        by_rule: dict[str, list[Crossing]] = {}
        for crossing in crossings:
            if crossing.rule.id in self._readings:
                by_rule.setdefault(crossing.rule.id, []).append(crossing)
        parts = []
        for rule_id, found in by_rule.items():
            for reading in self._readings[rule_id]:
                facts = with_readings(facts_of_crossings(found, reading.fields), [(reading, len(found))])
                parts.append(reading.shape.events(facts).select(SCHEMA.names()))
        return parts

    def _cross(self, ready: pl.DataFrame) -> list[Crossing]:
        """Count the ready events in: the windows of their rules that fire."""
        ready, crossings = self._in_long(self._in_order(_merged(ready)))
        told = ready.select("code", "group").unique()
        past = self._inside.join(told, on=["code", "group"], how="semi", maintain_order="left")
        apart = self._set_apart(past)
        if apart.height:
            self._inside, past = (
                events.join(apart, on=["code", "group"], how="anti", maintain_order="left")
                for events in (self._inside, past)
            )
            ready, more = self._in_long(ready)
            crossings += more
        if not ready.height:
            return crossings
        events, order = self._together(past, ready)
        code = events.get_column("code").to_numpy()
        group = _numbered(code, events.get_column("key" if self._is_mixed else "group"))
        is_fresh = order >= past.height
        held = events.get_column("held").to_numpy().copy()
        starts = np.flatnonzero(np.diff(code, prepend=-1))
        for begin, end in pairwise([*starts.tolist(), len(code)]):
            places = slice(begin, end)
            rule, window = self._windows[int(code[begin])]
            part = events[begin:end]
            fresh = np.flatnonzero(is_fresh[places])
            seen = Events.of(part, group[places], window.span_us, fresh)
            measured = measure(window, seen)
            held[places][fresh] = measured.now
            held_before = held[places][fresh - 1]  # of the first row it does not matter: its window was empty
            for at in np.flatnonzero(measured.now & ~(held_before & measured.earlier)).tolist():
                row = int(fresh[at])
                event = ready.row(int(order[begin + row]) - past.height, named=True)
                begun = int(seen.start[at])
                crossings.append(Crossing.at(rule, event, part[begun:], row - begun + 1, float(measured.holds[at])))
            if self._looked is not None:
                self._looked(rule, seen, measured)
        now = np.empty(ready.height, dtype=np.bool_)
        now[order[is_fresh] - past.height] = held[is_fresh]
        self._inside = pl.concat([self._inside, ready.with_columns(held=pl.Series(now))])
        return crossings

    def _set_apart(self, past: pl.DataFrame) -> pl.DataFrame:
        """The groups that are set apart from now on; those who are told of all events want none."""
        if self._looked is None and not self._is_mixed:
            try:
                return self._longs.set_apart(past)
            except AlikeError:
                self._is_mixed = True
        return past.clear()

    def _in_long(self, ready: pl.DataFrame) -> tuple[pl.DataFrame, list[Crossing]]:
        """Count in those of the ready events whose groups are set apart: the others, and the windows that fire."""
        if not len(self._longs):
            return ready, []
        try:
            rest, crossings, back = self._longs.take(ready)
        except AlikeError:
            self._is_mixed = True
            rest, crossings, back = ready, [], self._longs.dissolve()
        self._inside = pl.concat([self._inside, *back])
        return rest, crossings

    def _in_order(self, ready: pl.DataFrame) -> pl.DataFrame:
        """Events in the order in which they are counted, group by group.

        Numbers are sorted, which is quick. They nearly always tell events apart; where they do not, texts are looked at as well.
        """
        columns = ("code", "group", "time", "hash")
        code, group, time, content = (ready.get_column(name).to_numpy() for name in columns)
        order = np.lexsort((content, time, group, code))
        alike = (np.diff(code[order]) == 0) & (np.diff(time[order]) == 0) & (np.diff(content[order]) == 0)
        if alike.any():
            return ready.sort(*columns, "id", "value", maintain_order=True)
        return ready[pl.Series(order, dtype=pl.UInt32)]

    def _together(self, past: pl.DataFrame, ready: pl.DataFrame) -> tuple[pl.DataFrame, Integers]:
        """What windows look at, group by group: past events, each group's in order, then the ready ones; and where each stood."""
        events = pl.concat([past.select(_LOOKED_AT), ready.select(_LOOKED_AT)])
        code, group = (events.get_column(name).to_numpy() for name in ("code", "group"))
        order = np.lexsort((group, code))  # stable: what is in order stays so
        keys = events.get_column("key")
        at = np.flatnonzero((order[1:] >= past.height) & (np.diff(code[order]) == 0) & (np.diff(group[order]) == 0))
        before, after = (keys[pl.Series(order[rows], dtype=pl.UInt32)] for rows in (at, at + 1))
        self._is_mixed = self._is_mixed or bool((before != after).any())
        if self._is_mixed:
            order = np.lexsort((keys.rank("dense").to_numpy(), code))
        return events[pl.Series(order, dtype=pl.UInt32)], order.astype(np.int64)

    def _clear(self, watermark: int) -> None:
        """Drop what no window can reach any more: when it has become much, or memory is full."""
        total = self._inside.height + self._waiting.height + len(self._longs)
        if self._inside.height > 2 * self._kept + 1_000 or total > self._events_max:
            reach = self._spans[self._inside.get_column("code").to_numpy()]
            self._inside = self._inside.filter(
                pl.Series(self._inside.get_column("time").to_numpy() > watermark - reach)
            )
            self._longs.forget_before((watermark - self._spans).tolist())
            over = self._inside.height + self._waiting.height + len(self._longs) - self._events_max
            if over > 0:
                self._inside = pl.concat([self._inside, *self._longs.dissolve()])
                self._forget(max(over, self._events_max // FORGOTTEN_SHARE))
            self._kept = self._inside.height

    def _forget(self, count: int) -> None:
        """Give up the oldest events: those already counted first, then those that wait."""
        self.forgotten += count
        order = ["time", "hash", "code", "key", "id"]
        first = min(count, self._inside.height)
        self._inside = self._inside.sort(order, maintain_order=True).slice(first)
        self._waiting = self._waiting.sort(order, maintain_order=True).slice(count - first)


def _merged(ready: pl.DataFrame) -> pl.DataFrame:
    """Hits of several rules by one event as one event, where a window asks which rules were hit."""
    told = (pl.col("bases") != 0) & pl.struct("code", "time", "hash").is_duplicated()
    several = ready.filter(told)
    if not several.height:
        return ready
    others = [pl.col(name).first() for name in SCHEMA if name not in _ONE and name not in ("bases", "behind")]
    behind = pl.col("behind").drop_nulls().str.join("\n").replace("", None)
    whole = several.group_by(_ONE, maintain_order=True).agg(pl.col("bases").bitwise_or(), behind, *others)
    return pl.concat([ready.filter(~told), whole.select(SCHEMA.names())])


def _numbered(code: npt.NDArray[np.uint32], group: pl.Series) -> Integers:
    """A number for each event's group, which rises from group to group."""
    changes = (np.diff(code) != 0) | (group[1:] != group[:-1]).to_numpy()
    return np.concatenate([[0], np.cumsum(changes)])


def _watermarks(frame: pl.DataFrame) -> Integers:
    return frame.get_column(WATERMARK).to_numpy() if frame.height else np.empty(0, dtype=np.int64)
