"""Numbers instead of names: what several statistics ask of every event is hashed once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

Keys = npt.NDArray[np.uint64]

APP: Final = "hash of app"
WHO: Final = "hash of who"
"""Of the person; where there is none of the device; where there is none either, of the address."""

ACTION: Final = "hash of action"
VERSION: Final = "hash of version"
STAGE: Final = "hash of stage"
STATUS: Final = "hash of status"
REGION: Final = "hash of region"
SYSTEM: Final = "hash of system"

ASKED: Final = "hash of the host that is asked"
VIEWED: Final = "hash of the page that is viewed"
"""Of requests and page views alone."""

NETWORK: Final = "miniprogram.network"
VIEWS: Final = frozenset({"Page.onLoad", "Page.onShow"})

_ALWAYS: Final = {APP: ("miniprogram.app_id",), WHO: ("user.id", "device.id", "source.ip"), ACTION: ("event.action",)}

_SOMETIMES: Final = {
    VERSION: "miniprogram.version",
    STAGE: "miniprogram.stage",
    STATUS: "app.version_status",
    REGION: "source.geo.country_iso_code",
    SYSTEM: "host.os.name",
}

NEEDS: Final = frozenset(
    {
        *(field for fields in _ALWAYS.values() for field in fields),
        *_SOMETIMES.values(),
        *("event.dataset", "url.domain", "miniprogram.page"),
    }
)


def hashed(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows with their hashes; 0 where there is nothing. Where no row has anything there is no column: `of` knows that."""
    parts = {name: _hash(rows, fields) for name, fields in _ALWAYS.items()}
    for name, field in _SOMETIMES.items():
        if _is_there(rows, field):
            parts[name] = _hash(rows, (field,))
    if _is_there(rows, "url.domain"):
        asks = np.flatnonzero(_is_not_null(rows["url.domain"]))
        asks = asks[rows["event.dataset"][asks].eq_missing(NETWORK).to_numpy()]
        parts[ASKED] = _hash_of_some(rows["url.domain"], asks)
    if _is_there(rows, "miniprogram.page"):
        views = np.flatnonzero(among(parts[ACTION], VIEWS) & _is_not_null(rows["miniprogram.page"]))
        parts[VIEWED] = _hash_of_some(rows["miniprogram.page"], views)
    return rows.hstack([pl.Series(name, part) for name, part in parts.items()])


def of(rows: pl.DataFrame, name: str) -> Keys:
    """The hashes of rows that `hashed` gave."""
    return rows[name].to_numpy() if name in rows.columns else np.zeros(rows.height, np.uint64)


def _is_there(rows: pl.DataFrame, field: str) -> bool:
    return field in rows.columns and rows[field].null_count() < rows.height


def _is_not_null(column: pl.Series) -> npt.NDArray[np.bool_]:
    if not column.null_count():
        return np.ones(len(column), np.bool_)
    return column.is_not_null().to_numpy()


def _hash(rows: pl.DataFrame, fields: Sequence[str]) -> Keys:
    """The hash of the first of some fields that is there. Columns are asked one by one: expressions cost several times as much to set up."""
    here = [field for field in fields if _is_there(rows, field)]
    if not here:
        return np.zeros(rows.height, np.uint64)
    value = rows[here[0]]
    if value.null_count() and len(here) > 1:
        value = rows.select(pl.coalesce(here)).to_series()
    hashes = value.hash().to_numpy()
    return np.where(_is_not_null(value), hashes, np.uint64(0)) if value.null_count() else hashes


def _hash_of_some(column: pl.Series, at: npt.NDArray[np.int64]) -> Keys:
    found = np.zeros(len(column), np.uint64)
    if len(at):
        found[at] = column[at].hash().to_numpy()
    return found


def hash_of(text: str) -> np.uint64:
    """The hash of a text, as of those in columns."""
    if text not in _hashes_of:
        _hashes_of[text] = pl.Series([text]).hash().to_numpy()[0]
    return _hashes_of[text]


@cache
def hashes_of(texts: frozenset[str]) -> Keys:
    """Of several, in order. To be asked for when it is needed, not where a module is imported: Polars' first work starts its threads, and a
    process that is forked from one that has them waits for them for ever.
    """
    found: Keys = np.sort(np.array([hash_of(text) for text in texts], np.uint64))
    return found


def among(values: Keys, texts: frozenset[str]) -> npt.NDArray[np.bool_]:
    """Which hashes are those of some texts. Most are not, which their first bits tell."""
    found: npt.NDArray[np.bool_] = _first_bits(texts)[values >> np.uint64(64 - FIRST_BITS)]
    at = np.flatnonzero(found)
    found[at] = np.isin(values[at], hashes_of(texts))
    return found


@cache
def _first_bits(texts: frozenset[str]) -> npt.NDArray[np.bool_]:
    found = np.zeros(1 << FIRST_BITS, np.bool_)
    found[hashes_of(texts) >> np.uint64(64 - FIRST_BITS)] = True
    return found


FIRST_BITS: Final = 12

_hashes_of: dict[str, np.uint64] = {}
