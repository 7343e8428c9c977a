"""How near correlations came to speaking over some events, and at which event they spoke first: for authors of rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from detectors.sigma.correlate import Correlator
from detectors.sigma.crossings import TOLD_AS, groups_of, number_text
from detectors.sigma.entity import texts_at
from detectors.sigma.match import Matcher

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from detectors.event import Batch
    from detectors.sigma.distinct import Rows
    from detectors.sigma.measure import Events, Integers, Measured, Numbers
    from detectors.sigma.rule import Bound, Rule, Window, Words

_OPERATORS: Final = {
    "gt": "more than ",
    "gte": "",
    "lt": "less than ",
    "lte": "at most ",
    "eq": "exactly ",
    "neq": "not ",
}


@dataclass(frozen=True, slots=True)
class Look:
    """The event with which a correlation spoke first, or came nearest: when, of which group, and what its window held."""

    spoke: bool
    time: int
    hash: int
    groups: Mapping[str, str]
    holds: float
    bases: frozenset[int]  # places of the base rules that were hit, where the window asks which


GROUPS_MAX: Final = 10
"""Groups of one correlation that are told."""


def look(rules: Sequence[Rule], batch: Batch) -> tuple[dict[str, Look], dict[str, Rows]]:
    """For each correlation that had anything to look at, where it spoke or came nearest; and the hits of the other rules."""
    found, matches = looks(rules, batch)
    return {rule: some[0] for rule, some in found.items()}, matches


def looks(rules: Sequence[Rule], batch: Batch) -> tuple[dict[str, list[Look]], dict[str, Rows]]:
    """The same for each group of a correlation, those first where it spoke or came nearest."""
    found: dict[str, list[Look]] = {}

    def looked(rule: Rule, events: Events, measured: Measured) -> None:
        if rule.window is not None:
            found[rule.id] = _nearest_first(rule.window, events, measured)

    matches = Matcher(rules).match(batch.frame)
    windows = Correlator([rule for rule in rules if rule.window], looked=looked)
    windows.observe(batch, windows.hits(batch.frame, matches))
    return found, matches


def _nearest_first(window: Window, events: Events, measured: Measured) -> list[Look]:
    time, content = (events.column(name)[events.fresh] for name in ("time", "hash"))
    masks = _masks(events)
    hit = sum((masks >> place & 1 for place in _wanted(window)), np.zeros(len(masks), dtype=np.int64))
    distance = np.where(measured.now, 0, _distance(window, measured.holds, hit))
    order = np.lexsort((content, time, -hit, distance, ~measured.now))
    _, first = np.unique(events.group[events.fresh][order], return_index=True)
    keys = events.frame.get_column("key")
    found = []
    for at in order[np.sort(first)[:GROUPS_MAX]].tolist():
        groups = groups_of(keys[int(events.fresh[at])])
        places = frozenset(place for place in range(len(window.bases)) if int(masks[at]) >> place & 1)
        spoke, holds = bool(measured.now[at]), float(measured.holds[at])
        found.append(Look(spoke, int(time[at]), int(content[at]), groups, holds, places))
    return found


def _masks(events: Events) -> Integers:
    """The bits of the rules that were hit in the window of each fresh event."""
    ends = np.stack([events.start, events.fresh + 1], axis=1).ravel()
    masks: Integers = np.bitwise_or.reduceat(np.append(events.column("bases"), 0), ends)[::2]
    return masks


def _wanted(window: Window) -> list[int]:
    """The places of the rules that must be hit."""
    if window.sequences:
        return sorted({step for one in window.sequences for step in one.steps})
    return sorted(_said(window.words)) if window.words else list(range(len(window.bases)))


def _said(words: Words) -> set[int]:
    """The rules that a condition names without ``not``."""
    if words.word == "not":
        return set()
    return {words.place} if words.word == "rule" else set[int]().union(*(_said(part) for part in words.parts))


def _distance(window: Window, holds: Numbers, hit: Integers) -> Numbers:
    """How far values are from what is asked for; with words, how many rules were not hit."""
    if not window.bounds:
        return (len(window.bases) - hit).astype(np.float64)
    total = np.zeros(len(holds), dtype=np.float64)
    for bound in window.bounds:
        missing = bound.threshold - holds
        match bound.operator:
            case "gt" | "gte":
                total += np.maximum(missing, 0)
            case "lt" | "lte":
                total += np.maximum(-missing, 0)
            case "eq":
                total += np.abs(missing)
    return total


def look_text(window: Window, found: Look, names: Sequence[str]) -> str:
    """What a window held, what is asked for, and whom it is about; `names` are those of the base rules."""
    told = f"{TOLD_AS[window.kind]} {number_text(found.holds)}, {asked_text(window, names)} is asked for"
    who = ", ".join(f"{name} {value}" for name, value in found.groups.items())
    told = f"for {who}: {told}" if who else told
    if not window.kind.is_temporal or found.spoke:
        return told
    missing = [names[place] for place in _wanted(window) if place not in found.bases]
    if missing:
        return f"{told}; not hit in the window: {', '.join(missing)}"
    return f"{told}; all were hit, but not in this order" if window.steps else told


def asked_text(window: Window, names: Sequence[str]) -> str:
    """The condition of a window, for people."""
    if window.words is not None:
        return _words(window.words, names)
    if window.sequences:
        return " or ".join(
            " then ".join(names[step] for step in one.steps) + "".join(f" without {names[base]}" for base in one.absent)
            for one in window.sequences
        )
    asked = " and ".join(_bound(bound) for bound in window.bounds)
    return f"{asked} in the order {', '.join(names[step] for step in window.steps)}" if window.steps else asked


def _bound(bound: Bound) -> str:
    return f"{_OPERATORS[bound.operator]}{number_text(bound.threshold)}{' or more' if bound.operator == 'gte' else ''}"


def _words(words: Words, names: Sequence[str]) -> str:
    if words.word == "rule":
        return names[words.place]
    parts = [_words(part, names) for part in words.parts]
    return f"not {parts[0]}" if words.word == "not" else f"({f' {words.word} '.join(parts)})"


def left_out(window: Window, frame: pl.DataFrame, matches: Mapping[str, Rows], names: Sequence[str]) -> Iterator[str]:
    """Why hits of base rules take no part: a field to group by, or the value, is missing or no number."""
    for place, base in enumerate(window.bases):
        at = pl.Series("row", matches.get(base, []), dtype=pl.UInt32)
        if not len(at):
            continue
        values = window.values[place] if window.values else ()
        for field in dict.fromkeys((*(group.fields[place] for group in window.groups), *values)):
            texts = texts_at(frame, field, at)
            if texts.null_count():
                yield f"{texts.null_count()} of {len(at)} hits of {names[place]} have no {field}"
            strange = texts.cast(pl.Float64, strict=False).null_count() - texts.null_count()
            if field in values and window.kind.is_numeric and strange:
                yield f"{strange} of {len(at)} hits of {names[place]} have no number in {field}"
