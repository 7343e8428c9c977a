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

from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from detectors.event import WATERMARK, Batch
from detectors.finding import Sighting
from detectors.sigma.crossings import Crossing
from detectors.sigma.measure import Events, Integers, Measured, measure
from detectors.sigma.readings import SCHEMA, facts_of, facts_of_crossings, readings_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from detectors.sigma.distinct import Rows
    from detectors.sigma.rule import Rule, Window

WINDOW_EVENTS_MAX: Final = 1_000_000
"""Events that all windows together remember."""

_ONE: Final = ["rule", "key", "time", "hash", "id"]
"""What tells events apart, in the order in which they are counted."""


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
        self._rules = {rule.id: rule for rule in rules}
        self._windows: dict[str, Window] = {rule.id: rule.window for rule in rules if rule.window is not None}
        self._readings = readings_of(rules)
        self._levels = sorted({window.level for window in self._windows.values()})
        self._events_max = events_max
        self._looked = looked
        self._waiting = SCHEMA.to_frame()  # their time has not come
        self._inside = SCHEMA.to_frame()  # counted; some of them no longer needed
        self._kept = 0  # events inside after the last clearing
        self.forgotten = 0

    def observe(self, batch: Batch, matches: Mapping[str, Rows]) -> list[Sighting]:
        """What the batch's hits, and its watermark, show."""
        waiting = pl.concat([self._waiting, *self._hits(batch.frame, matches)])
        due = pl.col("time") <= batch.watermark
        ready = waiting.filter(due)
        self._waiting = waiting.filter(~due)
        crossings = self._fired(ready) if ready.height else []
        self._clear(batch.watermark)
        watermarks = _watermarks(batch.frame)
        findings = [crossing.finding for crossing in crossings if not crossing.rule.silent]
        return [Sighting(int(np.searchsorted(watermarks, finding.time)), finding) for finding in findings]

    def snapshot(self) -> pl.DataFrame:
        inside = self._inside.with_columns(waiting=pl.lit(value=False))
        return pl.concat([inside, self._waiting.with_columns(waiting=pl.lit(value=True))])

    def restore(self, events: pl.DataFrame) -> None:
        """Take up remembered events; those of rules that are gone or have changed are dropped."""
        if dict(events.schema) != {**SCHEMA, "waiting": pl.Boolean()}:
            raise ValueError(f"not a snapshot of Sigma windows: columns {', '.join(events.columns)}")
        stamps = pl.DataFrame(
            {"rule": list(self._windows), "stamp": [window.stamp for window in self._windows.values()]},
            schema={"rule": pl.String(), "stamp": pl.String()},
        )
        events = events.join(stamps, on=["rule", "stamp"], how="semi", maintain_order="left")
        self._waiting = events.filter(pl.col("waiting")).drop("waiting")
        self._inside = events.filter(~pl.col("waiting")).drop("waiting")
        self._kept = self._inside.height

    def _hits(self, frame: pl.DataFrame, matches: Mapping[str, Rows]) -> list[pl.DataFrame]:
        """Hits of base rules in this batch, as events of windows; what windows read of them is gathered once for all."""
        asked = [(reading, rows) for base, rows in matches.items() for reading in self._readings.get(base, ())]
        if not asked:
            return []
        fields = frozenset[str]().union(*(reading.fields for reading, _ in asked))
        facts = facts_of(frame, np.concatenate([rows for _, rows in asked]), fields)
        parts: dict[str, list[tuple[int, pl.DataFrame]]] = {}
        start = 0
        for reading, rows in asked:
            events = reading.events(facts.slice(start, len(rows)))
            parts.setdefault(reading.rule.id, []).append((reading.order, events))
            start += len(rows)
        return [self._once(rule_id, events) for rule_id, events in parts.items()]

    def _once(self, rule_id: str, parts: list[tuple[int, pl.DataFrame]]) -> pl.DataFrame:
        """The hits of one rule's bases; where they are only counted, an event hit by several of them once."""
        events = pl.concat([part for _, part in sorted(parts, key=lambda part: part[0])])
        if len(parts) > 1 and not self._windows[rule_id].kind.is_temporal:
            events = events.unique(["row", "key", "value"], keep="first", maintain_order=True)
        return events.drop("row")

    def _fired(self, ready: pl.DataFrame) -> list[Crossing]:
        """The windows that the ready events bring to fire, and those that the fired ones bring to fire in turn."""
        crossings: list[Crossing] = []
        for level in self._levels:
            mine = ready
            if len(self._levels) > 1:
                rules = [rule_id for rule_id, window in self._windows.items() if window.level == level]
                mine = ready.filter(pl.col("rule").is_in(rules))
            if mine.height:
                found = self._cross(mine)
                crossings += found
                ready = pl.concat([ready, *self._chained(found)])
        return crossings

    def _chained(self, crossings: Iterable[Crossing]) -> list[pl.DataFrame]:
        """The hits that fired windows are for the correlations above them."""
        by_rule: dict[str, list[Mapping[str, object]]] = {}
        for crossing in crossings:
            if crossing.rule.id in self._readings:
                by_rule.setdefault(crossing.rule.id, []).append(crossing.event)
        return [
            reading.events(facts_of_crossings(events, reading.fields)).drop("row")
            for rule_id, events in by_rule.items()
            for reading in self._readings[rule_id]
        ]

    def _cross(self, ready: pl.DataFrame) -> list[Crossing]:
        """Count the ready events in: the windows of their rules that fire."""
        ready = _merged(ready)
        past = self._inside.join(ready.select("rule", "key").unique(), on=["rule", "key"], how="semi")
        events = pl.concat([past.with_columns(fresh=pl.lit(value=False)), ready.with_columns(fresh=pl.lit(value=True))])
        events = events.sort([*_ONE, "value"], maintain_order=True)
        group = events.select(pl.struct("rule", "key").rle_id()).to_series().to_numpy().astype(np.int64)
        is_fresh = events.get_column("fresh").to_numpy()
        held = events.get_column("held").to_numpy().copy()
        crossings: list[Crossing] = []
        for rule_id, places in _places(events.get_column("rule")).items():
            rule, window = self._rules[rule_id], self._windows[rule_id]
            part = events[places.start : places.stop]
            fresh = np.flatnonzero(is_fresh[places])
            seen = Events.of(part, group[places], window.span_us, fresh)
            measured = measure(window, seen)
            held[places][fresh] = measured.now
            held_before = held[places][fresh - 1]  # of the first row it does not matter: its window was empty
            for at in np.flatnonzero(measured.now & ~(held_before & measured.earlier)).tolist():
                row = int(fresh[at])
                crossings.append(Crossing.at(rule, part, row, int(seen.start[row]), float(measured.holds[at])))
            if self._looked is not None:
                self._looked(rule, seen, measured)
        counted = events.with_columns(held=pl.Series(held)).filter(pl.Series(is_fresh)).drop("fresh")
        self._inside = pl.concat([self._inside, counted])
        return crossings

    def _clear(self, watermark: int) -> None:
        """Drop what no window can reach any more: when it has become much, or memory is full."""
        total = self._inside.height + self._waiting.height
        if self._inside.height > 2 * self._kept + 1_000 or total > self._events_max:
            spans = pl.DataFrame(
                {"rule": list(self._windows), "span": [window.span_us for window in self._windows.values()]},
                schema={"rule": pl.String(), "span": pl.Int64()},
            )
            alive = pl.col("time") > watermark - pl.col("span")
            inside = self._inside.join(spans, on="rule", how="left", maintain_order="left")
            self._inside = inside.filter(alive).drop("span")
            over = self._inside.height + self._waiting.height - self._events_max
            if over > 0:
                self._forget(over)
            self._kept = self._inside.height

    def _forget(self, count: int) -> None:
        """Give up the oldest events: those already counted first, then those that wait."""
        self.forgotten += count
        order = ["time", "hash", "rule", "key", "id"]
        first = min(count, self._inside.height)
        self._inside = self._inside.sort(order).slice(first)
        self._waiting = self._waiting.sort(order).slice(count - first)


def _merged(ready: pl.DataFrame) -> pl.DataFrame:
    """Hits of several rules by one event as one event, where a window asks which rules were hit."""
    told = pl.col("bases") != 0
    temporal = ready.filter(told)
    if not temporal.height:
        return ready
    others = [pl.col(name).first() for name in SCHEMA if name not in _ONE and name != "bases"]
    whole = temporal.group_by(_ONE, maintain_order=True).agg(pl.col("bases").bitwise_or(), *others)
    return pl.concat([ready.filter(~told), whole.select(SCHEMA.names())])


def _places(rules: pl.Series) -> dict[str, slice]:
    """Where each rule's events stand in a column sorted by rule."""
    runs = rules.to_frame("rule").with_row_index().group_by("rule").agg(pl.col("index").min(), pl.len()).sort("index")
    return {rule: slice(start, start + length) for rule, start, length in runs.iter_rows()}


def _watermarks(frame: pl.DataFrame) -> Integers:
    return frame.get_column(WATERMARK).to_numpy() if frame.height else np.empty(0, dtype=np.int64)
