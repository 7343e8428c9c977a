"""What a window says at the event with which it fires."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from detectors.finding import EVIDENCE_IDS_MAX, Entity, Evidence, Finding, RuleRef, Scope, finding_id
from detectors.sigma.rule import WindowKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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


class Behind(msgspec.Struct, frozen=True):
    """The events that made a window fire: when the first of them was, the ids of some, and whether those are all.

    Where hits of correlations are counted, the events are those that made these fire, down to single events.
    """

    begun: int
    ids: tuple[str, ...]  # at most `EVIDENCE_IDS_MAX`
    is_all: bool

    @classmethod
    def of(cls, hits: Iterable[tuple[int, str | None, str | None]], *, is_all: bool) -> Behind:
        """What stands behind the first hits of a window, which may not be all: time and id of each, or what is behind it."""
        below = [one for time, id_, behind in hits for one in _below(time, id_, behind)]
        ids = tuple(dict.fromkeys(id_ for one in below for id_ in one.ids))
        whole = is_all and len(ids) <= EVIDENCE_IDS_MAX and all(one.is_all for one in below)
        return cls(min(one.begun for one in below), ids[:EVIDENCE_IDS_MAX], whole)

    @property
    def text(self) -> str:
        """As it is remembered, without a line break."""
        return msgspec.json.encode(self).decode()


def _below(time: int, id_: str | None, behind: str | None) -> list[Behind]:
    if behind is None:
        return [Behind(time, () if id_ is None else (id_,), is_all=True)]
    return [msgspec.json.decode(line, type=Behind) for line in behind.split("\n")]


@dataclass(frozen=True, slots=True)
class Crossing:
    """An event with which a window fired, as it is remembered, and what the window held with it."""

    rule: Rule
    event: Mapping[str, Any]
    events: int
    behind: Behind
    holds: float

    @classmethod
    def at(cls, rule: Rule, event: Mapping[str, Any], events: pl.DataFrame, inside: int, holds: float) -> Crossing:
        """`events` begin with those of the window, of which there are so many inside; the first few are looked at."""
        first = events.slice(0, min(inside, EVIDENCE_IDS_MAX)).select("time", "id", "behind")
        return cls(rule, event, inside, Behind.of(first.rows(), is_all=inside <= EVIDENCE_IDS_MAX), holds)

    @property
    def finding(self) -> Finding:
        rule, event = self.rule, self.event
        entity = Entity(Scope(event["scope"]), event["entity"])
        groups = groups_of(event["key"])
        return Finding(
            id=finding_id(rule.id, entity, event["time"], groups),
            time=event["time"],
            first_event=self.behind.begun,
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
                event_ids=self.behind.ids,
                truncated=not self.behind.is_all,
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
