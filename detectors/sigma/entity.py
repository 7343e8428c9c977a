"""Reads from events whom a finding is about, and what the fields it looked at said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl

from detectors.finding import SCOPE_FIELDS, Scope
from detectors.sigma.arguments import Arguments, keys_of
from detectors.sigma.fields import ARGUMENTS

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_SCOPES: Final = (Scope.APP, Scope.HOST, Scope.DATASET)
"""Whom a finding is about when its rule does not say, or the event does not carry it: the first that is present."""

FIELD_SCOPES: Final = {field: scope for scope, field in SCOPE_FIELDS.items()}


def entity_of(columns: Sequence[str], scopes: Sequence[Scope]) -> tuple[pl.Expr, pl.Expr]:
    """Scope and value of the first of these entities that an event names, as text columns."""
    scope = value = pl.lit(None, dtype=pl.String)
    for one in reversed(scopes):
        if SCOPE_FIELDS[one] in columns:
            named = pl.col(SCOPE_FIELDS[one]).cast(pl.String)
            scope = pl.when(named != "").then(pl.lit(one.value)).otherwise(scope)
            value = pl.when(named != "").then(named).otherwise(value)
    return scope.alias("scope"), value.alias("entity")


def texts_at(frame: pl.DataFrame, field: str, rows: pl.Series) -> pl.Series:
    """A field's values at some rows, as text; missing where the event does not carry it.

    Rows are a column of whole numbers: indexing with one costs a tenth of `gather`, which builds a query each time.
    """
    if field in frame.columns:
        return frame.get_column(field)[rows].cast(pl.String)
    if field.startswith(ARGUMENTS + ".") and ARGUMENTS in frame.columns:
        texts = frame.get_column(ARGUMENTS)[rows].cast(pl.String)
        path = field[len(ARGUMENTS) + 1 :]
        return pl.Series(field, Arguments(texts.to_list(), keys_of(path)).at(path), dtype=pl.String)
    return pl.Series(field, [None] * len(rows), dtype=pl.String)


def facts_at(frame: pl.DataFrame, fields: Sequence[str], rows: pl.Series) -> pl.DataFrame:
    """Those of the fields that the batch has, at some rows."""
    return pl.DataFrame([frame.get_column(name)[rows] for name in dict.fromkeys(fields) if name in frame.columns])


def optional(frame: pl.DataFrame, field: str) -> pl.Expr:
    """A field as text, missing in every row where the batch has no such column."""
    return pl.col(field).cast(pl.String) if field in frame.columns else pl.lit(None, dtype=pl.String)
