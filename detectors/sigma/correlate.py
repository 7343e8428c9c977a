"""Counts hits of rules in sliding windows, exact to the event, the same however the stream is cut.

The window of an event at time t is (t - span, t]. Events enter in the order of (time, hash) once the watermark has
reached their time; until then they wait. A window fires at the event with which its condition holds when it did not
hold just before (counted at the same t, without the event; an empty window never holds). An event without one of the
group-by fields, or without the counted value, takes no part; one event hit by several base rules counts once.

Memory is one row an event, at most `events_max` in all: past it the oldest are forgotten and counted, and only then can
the cut of the stream show.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from detectors.event import HASH, LATE, TIME, WATERMARK, Batch
from detectors.finding import (
    EVIDENCE_IDS_MAX,
    SCOPE_FIELDS,
    Entity,
    Evidence,
    Finding,
    RuleRef,
    Scope,
    Sighting,
    finding_id,
)
from detectors.sigma.entity import DEFAULT_SCOPES, FIELD_SCOPES, entity_of, texts_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from detectors.sigma.distinct import Rows
    from detectors.sigma.rule import Rule, Window

WINDOW_EVENTS_MAX: Final = 1_000_000
"""Events that all windows together remember."""

Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

SCHEMA: Final = pl.Schema(
    {
        "rule": pl.String(),
        "stamp": pl.String(),
        "key": pl.String(),
        "time": pl.Int64(),
        "hash": pl.UInt64(),
        "value": pl.String(),
        "id": pl.String(),
        "owner": pl.String(),
        "scope": pl.String(),
        "entity": pl.String(),
    }
)
"""What is remembered of an event in a window: never the event itself."""

_ORDER: Final = ["rule", "key", "time", "hash", "id"]
_HOLDS: Final = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
    "eq": operator.eq,
    "neq": operator.ne,
}


class Correlator:
    """All correlation rules of a set and the memory of their windows."""

    def __init__(self, rules: Sequence[Rule], events_max: int = WINDOW_EVENTS_MAX) -> None:
        self._rules = {rule.id: rule for rule in rules}
        self._windows: dict[str, Window] = {rule.id: rule.window for rule in rules if rule.window is not None}
        self._fields = sorted({name for rule in self._rules.values() for name in _read(rule)})
        self._readings = {
            (rule_id, place): _reading(self._rules[rule_id], window, place, self._fields)
            for rule_id, window in self._windows.items()
            for place in range(len(window.bases))
        }
        self._events_max = events_max
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
        sightings = []
        if ready.height:
            sightings = self._cross(ready, _watermarks(batch.frame))
            self._inside = pl.concat([self._inside, ready])
        self._clear(batch.watermark)
        return sightings

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
        asked = [
            (rule_id, place, matches[base])
            for rule_id, window in self._windows.items()
            for place, base in enumerate(window.bases)
            if base in matches
        ]
        if not asked:
            return []
        facts = _facts(frame, np.concatenate([rows for _, _, rows in asked]), self._fields)
        parts: dict[str, list[pl.DataFrame]] = {}
        start = 0
        for rule_id, place, rows in asked:
            events = self._readings[rule_id, place].events(facts.slice(start, len(rows)))
            parts.setdefault(rule_id, []).append(events)
            start += len(rows)
        return [
            _once(events) if len(self._windows[rule_id].bases) > 1 else events[0] for rule_id, events in parts.items()
        ]

    def _cross(self, ready: pl.DataFrame, watermarks: Integers) -> list[Sighting]:
        """The findings of the windows that the ready events bring to fire."""
        past = self._inside.join(ready.select("rule", "key").unique(), on=["rule", "key"], how="semi")
        events = pl.concat([past.with_columns(fresh=pl.lit(value=False)), ready.with_columns(fresh=pl.lit(value=True))])
        events = events.sort(_ORDER)
        group = events.select(pl.struct("rule", "key").rle_id()).to_series().to_numpy().astype(np.int64)
        time = events.get_column("time").to_numpy()
        fresh = events.get_column("fresh").to_numpy()
        sightings: list[Sighting] = []
        for (rule_id,), places in _places(events.get_column("rule")).items():
            rule, window = self._rules[rule_id], self._windows[rule_id]
            part = events[places.start : places.stop]
            times, groups = time[places], group[places]
            counts = Counts(times, groups, window.span_us, None if window.value is None else part.get_column("value"))
            for place in np.flatnonzero(fresh[places] & counts.crossings(window)).tolist():
                finding = _finding(rule, part, place, int(counts.start[place]), int(counts.after[place]))
                sightings.append(Sighting(int(np.searchsorted(watermarks, finding.time)), finding))
        return sightings

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


class Counts:
    """How much each event's window holds with it and held just before it; events come sorted by group and order."""

    def __init__(self, time: Integers, group: Integers, span: int, value: pl.Series | None) -> None:
        moments = np.unique(time)
        base = group * (len(moments) + 1)
        place = base + np.searchsorted(moments, time)
        index = np.arange(len(time))
        self.start = np.searchsorted(place, base + np.searchsorted(moments, time - span, side="right"))
        if value is None:
            self.after = index - self.start + 1
            self.before = index - self.start
            return
        previous, following = _neighbours(group, value)
        end = np.searchsorted(place, base + np.searchsorted(moments, time + span))
        change = np.zeros(len(time) + 1, dtype=np.int64)
        np.add.at(change, index, 1)
        np.add.at(change, np.minimum(end, following), -1)
        self.after = np.cumsum(change)[:-1]
        self.before = self.after - (previous < self.start)

    def crossings(self, window: Window) -> Flags:
        holds = _HOLDS[window.operator]
        now: Flags = holds(self.after, window.threshold)
        earlier: Flags = holds(self.before, window.threshold) & (self.before > 0)
        return now & ~earlier


def _neighbours(group: Integers, value: pl.Series) -> tuple[Integers, Integers]:
    """Where the same value stands before and after each event in its group; -1 and past the end where it does not."""
    code = value.rank("dense").to_numpy().astype(np.int64)
    order = np.lexsort((code, group))  # stable: equal ones stay in order
    same = (code[order][1:] == code[order][:-1]) & (group[order][1:] == group[order][:-1])
    previous = np.full(len(code), -1, dtype=np.int64)
    following = np.full(len(code), len(code), dtype=np.int64)
    previous[order[1:][same]] = order[:-1][same]
    following[order[:-1][same]] = order[1:][same]
    return previous, following


def _places(rules: pl.Series) -> dict[tuple[str], slice]:
    """Where each rule's events stand in a column sorted by rule."""
    runs = rules.to_frame("rule").with_row_index().group_by("rule").agg(pl.col("index").min(), pl.len()).sort("index")
    return {(rule,): slice(start, start + length) for rule, start, length in runs.iter_rows()}


def _watermarks(frame: pl.DataFrame) -> Integers:
    return frame.get_column(WATERMARK).to_numpy() if frame.height else np.empty(0, dtype=np.int64)


def _facts(frame: pl.DataFrame, rows: Rows, fields: Sequence[str]) -> pl.DataFrame:
    """What windows need to know of some rows; a field that the batch lacks is missing everywhere."""
    at = pl.Series("row", rows, dtype=pl.UInt32)
    numbers = [frame.get_column(name)[at] for name in (TIME, HASH, LATE)]
    return pl.DataFrame([at, *numbers, *(texts_at(frame, name, at).alias(name) for name in fields)])


@dataclass(frozen=True, slots=True)
class _Reading:
    """How a base rule's hits become events of a window; made once, for expressions are dear to build."""

    counts: pl.Expr
    columns: tuple[pl.Expr, ...]

    def events(self, facts: pl.DataFrame) -> pl.DataFrame:
        """The hits as events, with their rows if they must be told apart; those too late or without a key, a value or an entity are out."""
        return facts.filter(self.counts).select(self.columns)


def _reading(rule: Rule, window: Window, place: int, fields: Sequence[str]) -> _Reading:
    scope, entity = entity_of(fields, _scopes(rule, place))
    groups = [pl.col(group.fields[place]).alias(group.name) for group in window.groups]
    needed = [group.fields[place] for group in window.groups] + ([window.value[place]] if window.value else [])
    present = [pl.col(name).is_not_null() for name in needed]
    columns = {
        "rule": pl.lit(rule.id),
        "stamp": pl.lit(window.stamp),
        "key": pl.struct(groups).struct.json_encode() if groups else pl.lit('{"":""}'),
        "time": pl.col(TIME),
        "hash": pl.col(HASH),
        "value": pl.col(window.value[place]) if window.value else pl.lit(""),
        "id": pl.col("event.id"),
        "owner": pl.col("miniprogram.developer_id"),
        "scope": scope,
        "entity": entity,
    }
    if len(window.bases) > 1:
        columns["row"] = pl.col("row")
    named = tuple(expression.alias(name) for name, expression in columns.items())
    return _Reading(pl.all_horizontal(~pl.col(LATE), entity.is_not_null(), *present), named)


def _once(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Events that several base rules are about, counted once."""
    once = pl.concat(parts).unique(["row", "key", "value"], keep="first", maintain_order=True)
    return once.drop("row")


def _read(rule: Rule) -> Iterator[str]:
    """The fields that a rule's window reads of an event; names may repeat."""
    yield from ("event.id", "miniprogram.developer_id")
    window = rule.window
    for place in range(len(window.bases) if window else 0):
        yield from (SCOPE_FIELDS[scope] for scope in _scopes(rule, place))
        if window:
            yield from (group.fields[place] for group in window.groups)
            yield from window.value[place : place + 1] if window.value else ()


def _scopes(rule: Rule, place: int) -> list[Scope]:
    """Whom a window may be about: as the rule says if it groups by that, else by the first group that names somebody."""
    groups = rule.window.groups if rule.window is not None else ()
    named = [FIELD_SCOPES[field] for group in groups if (field := group.fields[place]) in FIELD_SCOPES]
    if rule.entity in named:
        named = [rule.entity] if rule.entity else named
    return [*named[:1], *DEFAULT_SCOPES]


def _finding(rule: Rule, events: pl.DataFrame, place: int, start: int, count: int) -> Finding:
    """What a window says at the event with which it fires."""
    crossing: dict[str, Any] = events.row(place, named=True)
    inside = place - start + 1
    ids = events.get_column("id").slice(start, min(inside, EVIDENCE_IDS_MAX)).drop_nulls().to_list()
    entity = Entity(Scope(crossing["scope"]), crossing["entity"])
    groups: dict[str, str] = msgspec.json.decode(crossing["key"])
    groups.pop("", None)
    return Finding(
        id=finding_id(rule.id, entity, crossing["time"], groups),
        time=crossing["time"],
        first_event=int(events.get_column("time")[start]),
        last_event=crossing["time"],
        detector="sigma",
        kind="rule",
        rule=RuleRef(rule.id, rule.version),
        entity=entity,
        owner=crossing["owner"],
        severity=rule.severity,
        title=rule.title,
        evidence=Evidence(
            count=inside,
            event_ids=tuple(ids),
            truncated=inside > EVIDENCE_IDS_MAX,
            values={**groups, "count": str(count)},
        ),
        tags=rule.tags,
        proof=rule.proof,
        false_positives=rule.false_positives,
        response=rule.response,
    )
