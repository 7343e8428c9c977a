"""What the windows of a correlation held over some events: how many of them count, why others do not, and how near each group came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from detectors.event import END_OF_TIME, Batch
from detectors.sigma import Rule
from detectors.sigma.nearest import Look, left_out, look_text, looks
from monitor.cli.moments import short, stamp

if TYPE_CHECKING:
    from collections.abc import Mapping

    from detectors.sigma.distinct import Rows

Row = dict[str, Any]


def windows_told(rule: Rule, rules: Sequence[Rule], frame: pl.DataFrame) -> tuple[Row, Mapping[str, Rows]]:
    """How near the windows of a correlation came, group by group, over some events; and the hits of the rules on single ones."""
    assert rule.window is not None  # noqa: S101 - the caller has looked
    found, matches = looks(rules, Batch(frame, END_OF_TIME))
    by_id = {each.id: each for each in rules}
    names = [by_id[base].name or by_id[base].title for base in rule.window.bases]
    hits = {
        name: len(matches.get(base, []))
        for base, name in zip(rule.window.bases, names, strict=True)
        if not by_id[base].is_correlation
    }
    told = {
        "hits": hits,
        "left_out": list(left_out(rule.window, frame, matches, names)),
        "windows": [_window(rule, each, names) for each in found.get(rule.id, [])],
    }
    return told, matches


def window_lines(told: Row) -> list[tuple[str, object]]:
    """The same for people."""
    counted = [f"{count} of them match {name!r}" for name, count in told["hits"].items()]
    said = [
        f"{'spoke' if each['spoke'] else 'nearest'} at {short(each['time'])}: {each['why']}" for each in told["windows"]
    ]
    return [
        ("Counted", counted),
        ("Take no part", told["left_out"]),
        ("Windows", said or "none of its windows held anything"),
    ]


def stamped(told: Row) -> Row:
    """The same for programs: times as RFC 3339."""
    return {**told, "windows": [{**each, "time": stamp(each["time"])} for each in told["windows"]]}


def _window(rule: Rule, found: Look, names: Sequence[str]) -> Row:
    assert rule.window is not None  # noqa: S101 - as above
    text = look_text(rule.window, found, names)
    return {"spoke": found.spoke, "time": found.time, "groups": dict(found.groups), "holds": found.holds, "why": text}
