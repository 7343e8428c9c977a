"""What windows read of the hits of their base rules: the columns that remain of an event, never the event itself.

The hit of a base rule that is itself a correlation is the event with which that one fired. Fields are looked for among
the names it was grouped by, then in the event with which it fired; what correlations above will ask of an event goes along with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import numpy as np
import polars as pl

from detectors.event import HASH, LATE, TIME
from detectors.finding import SCOPE_FIELDS, Scope
from detectors.sigma.entity import DEFAULT_SCOPES, FIELD_SCOPES, entity_of, texts_at
from detectors.sigma.measure import NUMBER_MAX

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from detectors.sigma.crossings import Crossing
    from detectors.sigma.distinct import Rows
    from detectors.sigma.rule import Rule, Window

SCHEMA: Final = pl.Schema(
    {
        "code": pl.UInt32(),  # which window
        "group": pl.UInt64(),  # hash of the key: what is equal may be of one group, what differs is not
        "key": pl.String(),  # JSON of the names and values it is grouped by
        "time": pl.Int64(),
        "hash": pl.UInt64(),
        "value": pl.String(),
        "number": pl.Float64(),
        "bases": pl.Int64(),  # one bit for each base rule that was hit, where the window asks which
        "held": pl.Boolean(),  # whether the condition held with this event
        "more": pl.String(),  # JSON of what correlations above ask of it
        "id": pl.String(),
        "behind": pl.String(),  # of a hit of a correlation: the events that made it (`Behind`), one JSON a line
        "owner": pl.String(),
        "scope": pl.String(),
        "entity": pl.String(),
    }
)
"""What is remembered of an event in a window."""

ID: Final = "event.id"
OWNER: Final = "miniprogram.developer_id"

_ROW: Final = "_row"
_CODE: Final = "_code"
_ORDER: Final = "_order"
_BEHIND: Final = "_behind"
"""Which event, window and reading, and what stands behind it, beside fields of events, whose names may be any that do not begin so."""


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """How hits become events, the same for all windows that ask the same of them; made once, for expressions are dear to build."""

    counts: pl.Expr
    columns: tuple[pl.Expr, ...]

    def events(self, facts: pl.DataFrame) -> pl.DataFrame:
        """The hits as events, each with its row and reading; those too late or without a key, a value or an entity are out."""
        return facts.filter(self.counts).select(self.columns)


@dataclass(frozen=True, slots=True)
class Reading:
    """How one window reads the hits of one of its base rules; `order` tells readings apart."""

    order: int
    code: int
    fields: frozenset[str]
    shape: Shape


def readings_of(windows: Sequence[tuple[Rule, Window]]) -> dict[str, list[Reading]]:
    """By base rule, how each window reads it; windows are told by their place."""
    above: dict[str, frozenset[str]] = {}
    found: dict[str, list[Reading]] = {}
    shapes: dict[Any, Shape] = {}
    orders = count()
    for code, (rule, window) in sorted(enumerate(windows), key=lambda one: -one[1][1].level):
        more = above.get(rule.id, frozenset()) - {group.name for group in window.groups} - {ID, OWNER}
        for place, base in enumerate(window.bases):
            asked = _Asked.of(rule, window, place, more)
            shape = shapes.get(asked) or shapes.setdefault(asked, asked.shape)
            found.setdefault(base, []).append(Reading(next(orders), code, asked.fields, shape))
            above[base] = above.get(base, frozenset()) | asked.fields
    return found


def with_readings(facts: pl.DataFrame, asked: Sequence[tuple[Reading, int]]) -> pl.DataFrame:
    """Facts with whose they are: so many rows of one reading, so many of the next."""
    counts = [rows for _, rows in asked]
    codes = np.repeat(np.array([reading.code for reading, _ in asked], dtype=np.uint32), counts)
    orders = np.repeat(np.array([reading.order for reading, _ in asked], dtype=np.uint32), counts)
    return facts.with_columns(pl.Series(_CODE, codes), pl.Series(_ORDER, orders))


def facts_of(frame: pl.DataFrame, rows: Rows, fields: Iterable[str]) -> pl.DataFrame:
    """What windows need to know of some rows; a field that the batch lacks is missing everywhere."""
    at = pl.Series(_ROW, rows, dtype=pl.UInt32)
    numbers = [frame.get_column(name)[at] for name in (TIME, HASH, LATE)]
    texts = (texts_at(frame, name, at).alias(name) for name in sorted({ID, OWNER, *fields}))
    return pl.DataFrame(
        [at, *numbers, *texts, pl.Series(_BEHIND, [None], dtype=pl.String).new_from_index(0, len(rows))]
    )


def facts_of_crossings(crossings: Sequence[Crossing], fields: Iterable[str]) -> pl.DataFrame:
    """The same of events with which windows fired, as they are remembered."""
    events = [crossing.event for crossing in crossings]
    known = [
        {
            **msgspec.json.decode(one["more"] or "{}"),
            **msgspec.json.decode(one["key"]),
            ID: one["id"],
            OWNER: one["owner"],
        }
        for one in events
    ]
    names = sorted({ID, OWNER, *fields})
    return pl.DataFrame(
        [
            pl.Series(_ROW, np.arange(len(known)), dtype=pl.UInt32),
            pl.Series(TIME, [one["time"] for one in events], dtype=pl.Int64),
            pl.Series(HASH, [one["hash"] for one in events], dtype=pl.UInt64),
            pl.Series(LATE, [False] * len(known), dtype=pl.Boolean),
            *(pl.Series(name, [one.get(name) for one in known], dtype=pl.String) for name in names),
            pl.Series(_BEHIND, [crossing.behind.text for crossing in crossings], dtype=pl.String),
        ]
    )


class _Asked(NamedTuple):
    """What a window asks of the hits of one base rule."""

    groups: tuple[tuple[str, str], ...]  # names, and the fields they stand for
    values: tuple[str, ...]
    more: tuple[str, ...]
    scopes: tuple[Scope, ...]
    is_numeric: bool
    bit: int

    @classmethod
    def of(cls, rule: Rule, window: Window, place: int, more: frozenset[str]) -> _Asked:
        return cls(
            tuple((group.name, group.fields[place]) for group in window.groups),
            window.values[place] if window.values else (),
            tuple(sorted(more)),
            tuple(_scopes(rule, window, place)),
            window.kind.is_numeric,
            1 << place if window.kind.is_temporal else 0,
        )

    @property
    def fields(self) -> frozenset[str]:
        grouped = (field for _, field in self.groups)
        return frozenset((*grouped, *self.values, *self.more, *(SCOPE_FIELDS[scope] for scope in self.scopes)))

    @property
    def shape(self) -> Shape:
        scope, entity = entity_of(list(self.fields), self.scopes)
        number = pl.col(self.values[0]).cast(pl.Float64, strict=False) if self.is_numeric else pl.lit(0.0)
        present = [pl.col(field).is_not_null() for field in (*(field for _, field in self.groups), *self.values)]
        key = _json(dict(self.groups)) if self.groups else pl.lit('{"":""}')
        columns = {
            "code": pl.col(_CODE),
            "group": group_of(key),
            "key": key,
            "time": pl.col(TIME),
            "hash": pl.col(HASH),
            "value": _joined(self.values),
            "number": number.clip(-NUMBER_MAX, NUMBER_MAX),
            "bases": pl.lit(self.bit, dtype=pl.Int64),
            "held": pl.lit(value=False),
            "more": _json({name: name for name in self.more}) if self.more else pl.lit(None, dtype=pl.String),
            "id": pl.col(ID),
            "behind": pl.col(_BEHIND),
            "owner": pl.col(OWNER),
            "scope": scope,
            "entity": entity,
            "row": pl.col(_ROW),
            "order": pl.col(_ORDER),
        }
        is_number = number.is_finite().fill_null(value=False)
        counts = pl.all_horizontal(~pl.col(LATE), entity.is_not_null(), is_number, *present)
        return Shape(counts, tuple(expression.alias(name) for name, expression in columns.items()))


def group_of(key: pl.Expr) -> pl.Expr:
    """A number that stands for a key where most others are to be passed over quickly."""
    return key.hash()


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
