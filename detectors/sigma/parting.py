"""Windows of which a partition of the stream holds only a part: their hits are sent to where all parts come together.

A window whose groups name the field by which the stream is keyed has all it counts in one partition. Another is *abroad*: a partition
sees hits of its rules, not the events, and sends them on by what they are grouped by. Rules that stand on each other go together,
all to one place, since the hit of one is an event of the next. Of a stream that is keyed by nothing all windows are abroad.
"""

from __future__ import annotations

import zlib
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from detectors.event import POSITION
from detectors.sigma.readings import SCHEMA
from detectors.sigma.window_hits import WindowHits

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from detectors.sigma.distinct import Rows
    from detectors.sigma.rule import Rule, Window

KEYED_BY: Final = "miniprogram.app_id"
"""By what a stream is keyed unless something else is said: whoever writes it has events of one app in one partition."""

SENT: Final = pl.Schema(
    {"rule": pl.String(), "stamp": pl.String()}
    | {name: dtype for name, dtype in SCHEMA.items() if name not in ("code", "group", "held")}
    | {"position": pl.Int64(), "route": pl.UInt32()}
)
"""A hit on its way: the rule and version of the window that counts it, what the window remembers of it, where in its partition it
was, and a number by which the place is chosen where it is counted.
"""


ROW: Final = "row"
"""Where in its batch a hit is."""


class Part(StrEnum):
    """Which windows a detector counts: all; those of one partition; or those that are abroad, of which it is sent the hits."""

    WHOLE = "whole"
    LOCAL = "local"
    ABROAD = "abroad"


def abroad(rules: Iterable[Rule], keyed_by: str = KEYED_BY) -> dict[str, str]:
    """The rules whose windows are not of one partition, each with what keeps it together with others: the first of those that
    stand on each other, or nothing where it is alone. `keyed_by` is the field by which the stream is keyed; "": by nothing.
    """
    windows = {rule.id: rule.window for rule in rules if rule.window is not None}
    head = {key: key for key in windows}

    def top(key: str) -> str:
        while head[key] != key:
            key = head[key]
        return key

    for key, window in windows.items():
        for base in window.bases:
            if base in windows:
                first, second = sorted((top(key), top(base)))
                head[second] = first
    together: dict[str, list[str]] = {}
    for key in windows:
        together.setdefault(top(key), []).append(key)
    found: dict[str, str] = {}
    for first, members in together.items():
        if not all(_is_grouped_by(windows[key], keyed_by) for key in members):
            found |= dict.fromkeys(members, first if len(members) > 1 else "")
    return found


def _is_grouped_by(window: Window, keyed_by: str) -> bool:
    """Whether what a window counts together is all of one key, whichever of its rules was hit."""
    return any(set(group.fields) == {keyed_by} for group in window.groups)


class Sender:
    """What a partition sends of the hits that it sees."""

    def __init__(self, rules: Sequence[Rule], keyed_by: str = KEYED_BY) -> None:
        self._together = abroad(rules, keyed_by)
        self._windows = [(rule, rule.window) for rule in rules if rule.window is not None and rule.id in self._together]
        self._hits = WindowHits(self._windows)

    def sent(self, frame: pl.DataFrame, matches: Mapping[str, Rows]) -> pl.DataFrame:
        """The hits of a batch, as `SENT`, each with its row."""
        parts = self._hits.of(frame, matches)
        if not parts:
            return SENT.to_frame().with_columns(pl.lit(None, pl.UInt32).alias(ROW))
        events = pl.concat(parts)
        codes = events.get_column("code").to_numpy()
        rules = pl.Series("rule", [rule.id for rule, _ in self._windows], dtype=pl.String)[codes]
        stamps = pl.Series("stamp", [window.stamp for _, window in self._windows], dtype=pl.String)[codes]
        positions = frame.get_column(POSITION)[events.get_column("row")].alias("position")
        routes = pl.Series("route", self._routes(rules, events.get_column("key")), dtype=pl.UInt32)
        return events.with_columns(rules, stamps, positions, routes).select(*SENT.names(), ROW)

    def _routes(self, rules: pl.Series, keys: pl.Series) -> np.ndarray:
        """The same for all that must be counted together, on every machine and in every version."""
        known: dict[tuple[str, str], int] = {}
        found = []
        for rule, key in zip(rules.to_list(), keys.to_list(), strict=True):
            together = self._together[rule]
            by = (together, "") if together else (rule, key)
            if by not in known:
                known[by] = zlib.crc32("\x1f".join(by).encode())
            found.append(known[by])
        return np.array(found, dtype=np.uint32)
