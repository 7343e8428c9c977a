"""What windows read of the hits of their base rules: the columns that remain of an event, never the event itself.

The hit of a base rule that is itself a correlation is the event with which that one fired. Fields are looked for among
the names it was grouped by, then in the event with which it fired; what correlations above will ask of an event goes along with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np
import polars as pl

from detectors.event import HASH, LATE, TIME
from detectors.finding import SCOPE_FIELDS, Scope
from detectors.sigma.entity import DEFAULT_SCOPES, FIELD_SCOPES, entity_of, texts_at
from detectors.sigma.measure import NUMBER_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from detectors.sigma.distinct import Rows
    from detectors.sigma.rule import Rule, Window

SCHEMA: Final = pl.Schema(
    {
        "rule": pl.String(),
        "stamp": pl.String(),
        "key": pl.String(),  # JSON of the names and values it is grouped by
        "time": pl.Int64(),
        "hash": pl.UInt64(),
        "value": pl.String(),
        "number": pl.Float64(),
        "bases": pl.Int64(),  # one bit for each base rule that was hit, where the window asks which
        "held": pl.Boolean(),  # whether the condition held with this event
        "more": pl.String(),  # JSON of what correlations above ask of it
        "id": pl.String(),
        "owner": pl.String(),
        "scope": pl.String(),
        "entity": pl.String(),
    }
)
"""What is remembered of an event in a window."""

ID: Final = "event.id"
OWNER: Final = "miniprogram.developer_id"


@dataclass(frozen=True, slots=True)
class Reading:
    """How hits of one base rule become events of one window; made once, for expressions are dear to build."""

    order: int
    rule: Rule
    fields: frozenset[str]
    counts: pl.Expr
    columns: tuple[pl.Expr, ...]

    def events(self, facts: pl.DataFrame) -> pl.DataFrame:
        """The hits as events, each with its row; those too late or without a key, a value or an entity are out."""
        return facts.filter(self.counts).select(self.columns)


def readings_of(rules: Iterable[Rule]) -> dict[str, list[Reading]]:
    """By base rule, how each window reads it."""
    above: dict[str, frozenset[str]] = {}
    found: dict[str, list[Reading]] = {}
    windows = [(rule, rule.window) for rule in rules if rule.window is not None]
    order = 0
    for rule, window in sorted(windows, key=lambda one: -one[1].level):
        more = above.get(rule.id, frozenset()) - {group.name for group in window.groups} - {ID, OWNER}
        for place, base in enumerate(window.bases):
            reading = _reading(rule, window, place, sorted(more), order)
            order += 1
            found.setdefault(base, []).append(reading)
            above[base] = above.get(base, frozenset()) | reading.fields
    return found


def facts_of(frame: pl.DataFrame, rows: Rows, fields: Iterable[str]) -> pl.DataFrame:
    """What windows need to know of some rows; a field that the batch lacks is missing everywhere."""
    at = pl.Series("row", rows, dtype=pl.UInt32)
    numbers = [frame.get_column(name)[at] for name in (TIME, HASH, LATE)]
    texts = (texts_at(frame, name, at).alias(name) for name in sorted({ID, OWNER, *fields}))
    return pl.DataFrame([at, *numbers, *texts])


def facts_of_crossings(crossings: Sequence[Mapping[str, Any]], fields: Iterable[str]) -> pl.DataFrame:
    """The same of events with which windows fired, as they are remembered."""
    known = [
        {
            **msgspec.json.decode(one["more"] or "{}"),
            **msgspec.json.decode(one["key"]),
            ID: one["id"],
            OWNER: one["owner"],
        }
        for one in crossings
    ]
    names = sorted({ID, OWNER, *fields})
    return pl.DataFrame(
        [
            pl.Series("row", np.arange(len(known)), dtype=pl.UInt32),
            pl.Series(TIME, [one["time"] for one in crossings], dtype=pl.Int64),
            pl.Series(HASH, [one["hash"] for one in crossings], dtype=pl.UInt64),
            pl.Series(LATE, [False] * len(known), dtype=pl.Boolean),
            *(pl.Series(name, [one.get(name) for one in known], dtype=pl.String) for name in names),
        ]
    )


def _reading(rule: Rule, window: Window, place: int, more: Sequence[str], order: int) -> Reading:
    scopes = _scopes(rule, window, place)
    values = window.values[place] if window.values else ()
    groups = {group.name: group.fields[place] for group in window.groups}
    fields = frozenset((*groups.values(), *values, *more, *(SCOPE_FIELDS[scope] for scope in scopes)))
    scope, entity = entity_of(list(fields), scopes)
    number = pl.col(values[0]).cast(pl.Float64, strict=False) if window.kind.is_numeric else pl.lit(0.0)
    present = [pl.col(name).is_not_null() for name in (*groups.values(), *values)]
    is_number = number.is_finite().fill_null(value=False)
    columns = {
        "rule": pl.lit(rule.id),
        "stamp": pl.lit(window.stamp),
        "key": _json(groups) if groups else pl.lit('{"":""}'),
        "time": pl.col(TIME),
        "hash": pl.col(HASH),
        "value": _joined(values),
        "number": number.clip(-NUMBER_MAX, NUMBER_MAX),
        "bases": pl.lit(1 << place if window.kind.is_temporal else 0, dtype=pl.Int64),
        "held": pl.lit(value=False),
        "more": _json({name: name for name in more}) if more else pl.lit(None, dtype=pl.String),
        "id": pl.col(ID),
        "owner": pl.col(OWNER),
        "scope": scope,
        "entity": entity,
        "row": pl.col("row"),
    }
    named = tuple(expression.alias(name) for name, expression in columns.items())
    counts = pl.all_horizontal(~pl.col(LATE), entity.is_not_null(), is_number, *present)
    return Reading(order, rule, fields, counts, named)


def _json(names: Mapping[str, str]) -> pl.Expr:
    return pl.struct([pl.col(field).alias(name) for name, field in names.items()]).struct.json_encode()


def _joined(values: Sequence[str]) -> pl.Expr:
    """The value that is counted; several fields make one value together."""
    if len(values) > 1:
        return _json({name: name for name in dict.fromkeys(values)})
    return pl.col(values[0]) if values else pl.lit("")


def _scopes(rule: Rule, window: Window, place: int) -> list[Scope]:
    """Whom a window may be about: as the rule says if it groups by that, else by the first group that names somebody."""
    named = [FIELD_SCOPES[field] for group in window.groups if (field := group.fields[place]) in FIELD_SCOPES]
    if rule.entity in named:
        named = [rule.entity] if rule.entity else named
    return [*named[:1], *DEFAULT_SCOPES]
