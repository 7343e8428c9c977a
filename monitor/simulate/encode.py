"""Event columns to lines of nested JSON; a field that an event does not carry is left out of its line."""

from __future__ import annotations

from typing import Final

import polars as pl

from detectors.event import FIELDS, Kind, kind_of

# Text fields that may hold quotes or backslashes; all others are made of plain characters by construction.
QUOTED: Final = frozenset(
    {
        "message",
        "event.original",
        "error.message",
        "miniprogram.api_args",
        "miniprogram.extra_data",
        "miniprogram.query",
        "miniprogram.page",
        "url.full",
        "url.original",
        "url.path",
        "url.query",
        "http.request.body.content",
        "http.response.body.content",
        "user_agent.original",
        "http.request.referrer",
        "miniprogram.api",
        "event.action",
    }
)
RAW: Final = frozenset({Kind.LIST, Kind.MAP})  # already JSON text in their column

Tree = dict[str, "Tree | str"]


def _tree(fields: list[str]) -> Tree:
    root: Tree = {}
    for field in fields:
        *groups, leaf = field.split(".")
        node = root
        for group in groups:
            child = node.setdefault(group, {})
            if isinstance(child, str):
                raise ValueError(f"{field!r} would be inside of a value")  # noqa: TRY004  # the name is wrong, not its type
            node = child
        node[leaf] = field
    return root


def _leaf(name: str, field: str) -> pl.Expr:
    kind = FIELDS[field] if field in FIELDS else kind_of(field)
    column = pl.col(field)
    if kind in (Kind.TEXT, Kind.TIME):
        if field in QUOTED:
            column = column.str.replace_all("\\", "\\\\", literal=True).str.replace_all('"', '\\"', literal=True)
        return pl.concat_str(pl.lit(f'"{name}":"'), column, pl.lit('"'))
    return pl.concat_str(pl.lit(f'"{name}":'), column if kind in RAW else column.cast(pl.String))


def _joined(frame: pl.DataFrame, tree: Tree, group: str) -> pl.DataFrame:
    """The frame with a column ``_`` + `group`: the members of the group as text, null where an event has none of them.

    Inner groups become columns first: written as one nested expression they would be computed anew by each level above.
    """
    parts = []
    for name, child in tree.items():
        if isinstance(child, str):
            parts.append(_leaf(name, child))
            continue
        inner = f"_{group}.{name}"
        frame = _joined(frame, child, inner[1:])
        parts.append(pl.concat_str(pl.lit(f'"{name}":{{'), pl.col(inner), pl.lit("}")))
    column = f"_{group}"
    told = frame.with_columns(pl.concat_str(parts, separator=",", ignore_nulls=True).alias(column))
    return told.with_columns(pl.when(pl.col(column) != "").then(column).alias(column))


def encode(frame: pl.DataFrame) -> pl.Series:
    """One line of JSON an event, without the line's end. Columns whose name begins with ``_`` are not written."""
    known = {name: place for place, name in enumerate(FIELDS)}
    carried = [name for name in frame.columns if not name.startswith("_") and frame[name].null_count() < frame.height]
    carried.sort(key=lambda name: known.get(name, len(known)))
    line = pl.concat_str(pl.lit("{"), pl.col("_line"), pl.lit("}"))
    return _joined(frame.select(carried), _tree(carried), "line").select(line.alias("line")).to_series()
