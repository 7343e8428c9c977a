"""What a window says at the event with which it fires."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from detectors.finding import EVIDENCE_IDS_MAX, Entity, Evidence, Finding, RuleRef, Scope, finding_id
from detectors.sigma.rule import WindowKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from detectors.sigma.rule import Rule

TOLD_AS: Final = {
    WindowKind.EVENT_COUNT: "count",
    WindowKind.VALUE_COUNT: "count",
    WindowKind.TEMPORAL: "count",
    WindowKind.TEMPORAL_ORDERED: "count",
    WindowKind.VALUE_SUM: "sum",
    WindowKind.VALUE_AVERAGE: "average",
    WindowKind.VALUE_MEDIAN: "median",
    WindowKind.VALUE_PERCENTILE: "percentile",
}


@dataclass(frozen=True, slots=True)
class Crossing:
    """An event with which a window fired, as it is remembered, and what the window held with it."""

    rule: Rule
    event: Mapping[str, Any]
    begun: int  # time of the window's first event
    events: int
    ids: tuple[str, ...]
    holds: float

    @classmethod
    def at(
        cls, rule: Rule, event: Mapping[str, Any], events: pl.DataFrame, row: int, start: int, holds: float
    ) -> Crossing:
        """`events` are those of the rule, the window's from `start` to `row`."""
        inside = row - start + 1
        ids = events.get_column("id").slice(start, min(inside, EVIDENCE_IDS_MAX)).drop_nulls().to_list()
        begun = int(events.get_column("time")[start])
        return cls(rule, event, begun, inside, tuple(ids), holds)

    @property
    def finding(self) -> Finding:
        rule, event = self.rule, self.event
        entity = Entity(Scope(event["scope"]), event["entity"])
        groups = groups_of(event["key"])
        return Finding(
            id=finding_id(rule.id, entity, event["time"], groups),
            time=event["time"],
            first_event=self.begun,
            last_event=event["time"],
            detector="sigma",
            kind="rule",
            rule=RuleRef(rule.id, rule.version),
            entity=entity,
            owner=event["owner"],
            severity=rule.severity,
            title=rule.title,
            evidence=Evidence(
                count=self.events,
                event_ids=self.ids,
                truncated=self.events > EVIDENCE_IDS_MAX,
                values={**groups, self._told_as: number_text(self.holds)},
            ),
            tags=rule.tags,
            proof=rule.proof,
            false_positives=rule.false_positives,
            response=rule.response,
        )

    @property
    def _told_as(self) -> str:
        return TOLD_AS[self.rule.window.kind] if self.rule.window else "count"


def groups_of(key: str) -> dict[str, str]:
    """The names and values that a window is grouped by."""
    groups: dict[str, str] = msgspec.json.decode(key)
    groups.pop("", None)
    return groups


def number_text(number: float) -> str:
    """A number as people write it: whole ones without a point."""
    return str(int(number)) if number.is_integer() and abs(number) <= 2**53 else repr(number)
