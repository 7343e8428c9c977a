"""Findings that count an event without naming it: the rules are asked again about that one event.

A finding names its first events only. What it counts beyond them is not kept, but follows: the id of a single event's
finding is made of rule, entity and minute, and a window holds every event of its group between its first and its last.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from detectors.event import END_OF_TIME, LATE, TIME, Batch
from detectors.sigma import Rule, SigmaDetector
from monitor.cli.judging import given_of, rows_of
from monitor.content.in_force import rules_of

if TYPE_CHECKING:
    import polars as pl

    from detectors.finding import Finding
    from monitor.cli.opening import Opened


@dataclass(frozen=True, slots=True)
class Trace:
    """What asking again showed: findings that count the event, and rules that are true of it with no finding in the record."""

    counting: tuple[Finding, ...]
    unrecorded: tuple[Finding, ...]
    rules: int
    """How many rules on single events were asked."""


def trace(opened: Opened, event: pl.DataFrame, near: Iterable[Finding]) -> Trace:
    """Ask the rules of the configuration about an archived event. `near`: recorded findings of the time around it."""
    rules = rules_of(opened.config).rules
    singles = [rule for rule in rules if not rule.is_correlation]
    detector = SigmaDetector(singles)
    frame = rows_of(given_of(event), detector.needs.union(*(rule.needs for rule in rules)), opened.config)
    batch = Batch(frame, END_OF_TIME)
    asked = [sighting.finding for sighting in detector.observe(batch)]
    recorded = {made.id: opened.store.finding(made.id) for made in asked}
    counting = [found for made in asked if (found := recorded[made.id]) and _goes_on(found, made)]
    true = frozenset(detector.matches(batch))
    by_id = {rule.id: rule for rule in rules if rule.is_correlation}
    counting += [found for found in near if _is_counted(frame, found, by_id.get(found.rule.id), true)]
    unrecorded = tuple(made for made in asked if recorded[made.id] is None)
    return Trace(tuple(counting), unrecorded, len(singles))


def _goes_on(found: Finding, made: Finding) -> bool:
    """Whether a recorded finding of the same id counts more events than it names, and is of the same rule as it is now."""
    return found.rule == made.rule and found.evidence.truncated


def _is_counted(event: pl.DataFrame, finding: Finding, rule: Rule | None, true: frozenset[str]) -> bool:
    """Whether a window's finding counts the event beyond those that it names. At its last instant one cannot say."""
    window = rule.window if rule is not None and rule.version == finding.rule.version else None
    if window is None or not finding.evidence.truncated or event[LATE][0]:
        return False
    if not finding.first_event <= event[TIME][0] < finding.last_event:
        return False
    values = finding.evidence.values
    return any(
        base in true and all(_text(event, group.fields[place]) == values.get(group.name) for group in window.groups)
        for place, base in enumerate(window.bases)
        if not window.values or all(_text(event, name) is not None for name in window.values[place])
    )


def _text(event: pl.DataFrame, field: str) -> str | None:
    """A field of the event as findings write it; missing also where it stands inside of another."""
    value = event[field][0] if field in event.columns else None
    return None if value is None else str(value)
