"""Rules at work: batches in, findings out, with the windows of correlation rules as the only memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from detectors.event import MICROSECONDS, TIME, Batch
from detectors.finding import (
    EVIDENCE_IDS_MAX,
    SCOPE_FIELDS,
    Entity,
    Evidence,
    Finding,
    RuleRef,
    Scope,
    Sighting,
    finding_id,
)
from detectors.sigma.correlate import WINDOW_EVENTS_MAX, Correlator
from detectors.sigma.entity import DEFAULT_SCOPES, entity_of, texts_at
from detectors.sigma.match import Matcher

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from detectors.detector import State
    from detectors.sigma.columns import Rows
    from detectors.sigma.rule import Rule

VALUE_CHARACTERS_MAX: Final = 200
"""Of each field's value that a finding shows."""

MINUTE: Final = 60 * MICROSECONDS


class SigmaDetector:
    """Runs a set of Sigma rules."""

    def __init__(self, rules: Sequence[Rule], window_events_max: int = WINDOW_EVENTS_MAX) -> None:
        self.rules = tuple(rules)
        self._matcher = Matcher(self.rules)
        self._speaking = [rule for rule in self._matcher.rules if not rule.silent]
        self._correlator = Correlator([rule for rule in self.rules if rule.is_correlation], window_events_max)
        self._needs = frozenset[str]().union(*(rule.needs for rule in self.rules))

    @property
    def name(self) -> str:
        return "sigma"

    @property
    def needs(self) -> frozenset[str]:
        return self._needs

    @property
    def forgotten(self) -> int:
        return self._correlator.forgotten

    def matches(self, batch: Batch) -> dict[str, Rows]:
        """For each rule on single events that is true of some row, silent ones included, the rows in order."""
        return self._matcher.match(batch.frame)

    def observe(self, batch: Batch) -> list[Sighting]:
        matches = self.matches(batch)
        sightings = self._single(batch.frame, matches) + self._correlator.observe(batch, matches)
        return sorted(sightings, key=lambda one: (one.row, one.finding.rule.id, one.finding.entity))

    def snapshot(self) -> State:
        return {
            "windows": self._correlator.snapshot(),
            "counts": pl.DataFrame({"forgotten": [self._correlator.forgotten]}),
        }

    def restore(self, state: State) -> None:
        if set(state) != {"windows", "counts"} or state["counts"].columns != ["forgotten"]:
            raise ValueError(f"not a snapshot of the sigma detector: frames {', '.join(sorted(state))}")
        self._correlator.restore(state["windows"])
        self._correlator.forgotten = int(state["counts"]["forgotten"][0])

    def _single(self, frame: pl.DataFrame, matches: Mapping[str, Rows]) -> list[Sighting]:
        """One finding for each rule, entity and minute, over all rows that the rule is true of."""
        hits = [
            _hits(frame, place, rule, matches[rule.id])
            for place, rule in enumerate(self._speaking)
            if rule.id in matches
        ]
        if not hits:
            return []
        grouped = (
            pl.concat(hits)
            .with_columns(minute=pl.col("time") // MINUTE)
            .group_by("rule", "scope", "entity", "minute", maintain_order=True)
            .agg(
                pl.col("row").first(),
                pl.len().alias("count"),
                pl.col("time").min().alias("first"),
                pl.col("time").max().alias("last"),
                pl.col("id").head(EVIDENCE_IDS_MAX).alias("ids"),
                pl.col("owner").first(),
            )
        )
        sightings: list[Sighting] = []
        for part in grouped.partition_by("rule", maintain_order=True):
            rule = self._speaking[part["rule"][0]]
            values = _values(frame, rule, part.get_column("row"))
            for fact, shown in zip(part.iter_rows(named=True), values, strict=True):
                sightings.append(Sighting(fact["row"], _finding(rule, fact, shown)))
        return sightings


def _hits(frame: pl.DataFrame, place: int, rule: Rule, rows: Rows) -> pl.DataFrame:
    """A rule's rows with whom they are about."""
    scopes = [rule.entity, *DEFAULT_SCOPES] if rule.entity else list(DEFAULT_SCOPES)
    wanted = [TIME, "event.id", "miniprogram.developer_id", *(SCOPE_FIELDS[scope] for scope in scopes)]
    at = pl.Series("row", rows, dtype=pl.UInt32)
    facts = frame.select(dict.fromkeys(name for name in wanted if name in frame.columns)).select(pl.all().gather(at))
    scope, entity = entity_of(facts.columns, scopes)
    missing = pl.lit(None, dtype=pl.String)
    return facts.select(
        rule=pl.lit(place, dtype=pl.UInt32),
        row=at,
        time=pl.col(TIME),
        id=pl.col("event.id") if "event.id" in facts.columns else missing,
        owner=pl.col("miniprogram.developer_id") if "miniprogram.developer_id" in facts.columns else missing,
        scope=scope,
        entity=entity,
    )


def _values(frame: pl.DataFrame, rule: Rule, rows: pl.Series) -> list[dict[str, str]]:
    """What the rule's fields said at some rows; fields the event does not carry are left out."""
    columns = {name: texts_at(frame, name, rows).str.head(VALUE_CHARACTERS_MAX).to_list() for name in rule.fields}
    return [
        {name: texts[place] for name, texts in columns.items() if texts[place] is not None}
        for place in range(len(rows))
    ]


def _finding(rule: Rule, fact: Mapping[str, Any], values: dict[str, str]) -> Finding:
    entity = Entity(Scope(fact["scope"]), fact["entity"])
    ids = tuple(one for one in fact["ids"] if one is not None)
    return Finding(
        id=finding_id(rule.id, entity, fact["minute"]),
        time=fact["first"],
        first_event=fact["first"],
        last_event=fact["last"],
        detector="sigma",
        kind="rule",
        rule=RuleRef(rule.id, rule.version),
        entity=entity,
        owner=fact["owner"],
        severity=rule.severity,
        title=rule.title,
        evidence=Evidence(
            count=fact["count"], event_ids=ids, truncated=fact["count"] > EVIDENCE_IDS_MAX, values=values
        ),
        tags=rule.tags,
        proof=rule.proof,
        false_positives=rule.false_positives,
        response=rule.response,
    )
