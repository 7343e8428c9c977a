"""Writes rows as lines of nested JSON, without the fields that a row lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

QUOTED: Final = frozenset({"event.original"})
"""Fields in which quotes are usual; everywhere else a quote makes a row an unusual one."""


def as_json(
    frame: pl.DataFrame, names: Sequence[str], constants: Mapping[str, str], plain: npt.NDArray[np.bool_]
) -> pl.Series:
    """Each row as one JSON text with its fields in the order of `names`, nested by the parts of the names.

    `constants` are plain values of names that are no columns. `plain` says which rows hold neither control characters nor backslashes, nor quotes outside of `QUOTED` fields: they
    are filled into a form, four times as fast as an encoder. Rows that lack the same fields are written together.
    """
    kinds = (~plain).astype(np.int64)
    for bit, name in enumerate(names, 1):
        if name not in constants and frame[name].null_count():
            kinds |= frame[name].is_null().to_numpy().astype(np.int64) << bit
    texts, places = [pl.Series("json", [], dtype=pl.String)], [np.empty(0, dtype=np.int64)]
    for kind in np.unique(kinds).tolist():
        rows = np.flatnonzero(kinds == kind)
        part = frame if len(rows) == len(frame) else frame[rows]
        present = [name for bit, name in enumerate(names, 1) if not kind >> bit & 1]
        write = (
            _encoded(present, constants, 0).struct.json_encode() if kind & 1 else _filled_in(part, present, constants)
        )
        texts.append(part.select(write.alias("json")).to_series())
        places.append(rows)
    return pl.concat(texts).gather(np.argsort(np.concatenate(places), kind="stable"))


def _encoded(names: Sequence[str], constants: Mapping[str, str], depth: int) -> pl.Expr:
    members = []
    for key, inside in _by_key(names, depth).items():
        if inside[0].count(".") > depth:
            member = _encoded(inside, constants, depth + 1)
        else:
            member = pl.lit(constants[inside[0]]) if inside[0] in constants else pl.col(inside[0])
        members.append(member.alias(key))
    return pl.struct(members)


def _filled_in(frame: pl.DataFrame, names: Sequence[str], constants: Mapping[str, str]) -> pl.Expr:
    columns = []

    def member(key: str, inside: Sequence[str], depth: int) -> str:
        name = inside[0]
        if name.count(".") > depth:
            return f'"{key}":{form(inside, depth + 1)}'
        if name in constants:
            return f'"{key}":"{constants[name]}"'
        column = pl.col(name)
        columns.append(column.str.replace_all('"', '\\"', literal=True) if name in QUOTED else column)
        return f'"{key}":"{{}}"' if frame.schema[name] == pl.String else f'"{key}":{{}}'

    def form(inside: Sequence[str], depth: int) -> str:
        return "{{" + ",".join(member(key, below, depth) for key, below in _by_key(inside, depth).items()) + "}}"

    return pl.format(form(names, 0), *columns)


def _by_key(names: Sequence[str], depth: int) -> dict[str, list[str]]:
    """Names by their part at this depth, in their order."""
    keys: dict[str, list[str]] = {}
    for name in names:
        keys.setdefault(name.split(".")[depth], []).append(name)
    return keys
