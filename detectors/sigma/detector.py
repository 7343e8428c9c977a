"""Rules at work: batches in, findings out, with the windows of correlation rules as the only memory."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
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
from detectors.sigma.entity import DEFAULT_SCOPES, entity_of, facts_at, optional, texts_at
from detectors.sigma.found import Found
from detectors.sigma.match import Matcher
from detectors.sigma.parting import KEYED_BY, SENT, Part, Sender, abroad

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from detectors.detector import State
    from detectors.sigma.distinct import Rows
    from detectors.sigma.rule import Rule

VALUE_CHARACTERS_MAX: Final = 200
"""Of each field's value that a finding shows."""

MINUTE: Final = 60 * MICROSECONDS


class SigmaDetector:
    """Runs a set of Sigma rules."""

    def __init__(self, rules: Sequence[Rule], window_events_max: int = WINDOW_EVENTS_MAX) -> None:
        self.rules = tuple(rules)
        self.sent: list[pl.DataFrame] = []
        self._sender: Sender | None = None
        self._matcher = Matcher(self.rules)
        self._speaking = [rule for rule in self._matcher.rules if not rule.silent]
        self._correlator = Correlator([rule for rule in self.rules if rule.is_correlation], window_events_max)
        self._window_events_max = window_events_max
        self._needs = frozenset[str]().union(*(rule.needs for rule in self.rules))

    def _windows(self, part: Part, keyed_by: str) -> Correlator:
        elsewhere = abroad(self.rules, keyed_by)
        counted = [
            rule
            for rule in self.rules
            if rule.is_correlation and (part is Part.WHOLE or (rule.id in elsewhere) is (part is Part.ABROAD))
        ]
        return Correlator(counted, self._window_events_max)

    def again(self, part: Part, keyed_by: str = KEYED_BY) -> Self:
        """Another that watches by the same rules, with such windows of a stream that is keyed by this field, and remembers
        nothing yet; what is compiled they share.
        """
        other = copy.copy(self)
        other._sender = Sender(self.rules, keyed_by) if part is Part.LOCAL else None  # noqa: SLF001 - our own class
        other._correlator = other._windows(part, keyed_by)  # noqa: SLF001 - our own class
        other.sent = []
        return other

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

    def found(self, batch: Batch) -> Found:
        """Where rules are true, and what windows count of that: what is the same for every detector by the same rules that counts the same windows."""
        matches = self.matches(batch)
        sent = self._sender.sent(batch.frame, matches) if self._sender is not None else None
        return Found(matches, self._correlator.hits(batch.frame, matches), sent)

    def observe(self, batch: Batch) -> list[Sighting]:
        return self.look(batch, self.found(batch))

    def look(self, batch: Batch, found: Found) -> list[Sighting]:
        """What the batch shows, given what was found in it."""
        sightings = self._single(batch.frame, found.matches) + self._correlator.observe(batch, found.hits)
        if found.sent is not None and found.sent.height:
            self.sent.append(found.sent.select(SENT.names()))
        return sorted(sightings, key=lambda one: (one.row, one.finding.rule.id, one.finding.entity, one.finding.id))

    def take_sent(self) -> pl.DataFrame:
        """The hits for windows that are abroad (`SENT`) since the last call."""
        sent, self.sent = self.sent, []
        return pl.concat([SENT.to_frame(), *sent])

    def count(self, sent: pl.DataFrame, watermark: int) -> list[Sighting]:
        """What hits from all partitions show in the windows that are abroad, once event time has come so far."""
        return [Sighting(0, finding) for finding in self._correlator.take(sent, watermark)]

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
        places = [place for place, rule in enumerate(self._speaking) if rule.id in matches]
        if not places:
            return []
        hits = pl.concat([self._hits(frame, scope, some, matches) for scope, some in self._by_entity(places).items()])
        grouped = (
            hits.sort("rule", "row")
            .with_columns(minute=pl.col("time") // MINUTE)
            .group_by("rule", "scope", "entity", "minute", maintain_order=True)
            .agg(
                pl.col("row").first(),
                pl.len().alias("count"),
                pl.col("time").first(),
                pl.col("time").min().alias("first"),
                pl.col("time").max().alias("last"),
                pl.col("id").head(EVIDENCE_IDS_MAX).alias("ids"),
                pl.col("owner").first(),
            )
        )
        values = self._values(frame, grouped)
        return [
            Sighting(fact["row"], _finding(self._speaking[fact["rule"]], fact, shown), is_part=True)
            for fact, shown in zip(grouped.iter_rows(named=True), values, strict=True)
        ]

    def _by_entity(self, places: Sequence[int]) -> dict[Scope | None, list[int]]:
        groups: dict[Scope | None, list[int]] = {}
        for place in places:
            groups.setdefault(self._speaking[place].entity, []).append(place)
        return groups

    def _hits(
        self, frame: pl.DataFrame, entity: Scope | None, places: Sequence[int], matches: Mapping[str, Rows]
    ) -> pl.DataFrame:
        """The rows of rules that are about the same kind of entity, with who that is."""
        scopes = list(dict.fromkeys([entity, *DEFAULT_SCOPES] if entity else DEFAULT_SCOPES))
        rows = [matches[self._speaking[place].id] for place in places]
        at = pl.Series("row", np.concatenate(rows), dtype=pl.UInt32)
        rules = np.repeat(np.array(places, dtype=np.uint32), [len(some) for some in rows])
        wanted = [TIME, "event.id", "miniprogram.developer_id", *(SCOPE_FIELDS[scope] for scope in scopes)]
        facts = facts_at(frame, wanted, at)
        who, value = entity_of(facts.columns, scopes)
        return facts.select(
            rule=pl.Series(rules),
            row=at,
            time=pl.col(TIME),
            id=optional(facts, "event.id"),
            owner=optional(facts, "miniprogram.developer_id"),
            scope=who,
            entity=value,
        )

    def _values(self, frame: pl.DataFrame, grouped: pl.DataFrame) -> list[dict[str, str]]:
        """What each finding's rule looked at, as it stood in the finding's first event; a field is read for all at once."""
        rules, rows = grouped.get_column("rule").to_list(), grouped.get_column("row").to_list()
        asking: dict[str, list[int]] = {}
        for place, rule in enumerate(rules):
            for name in self._speaking[rule].fields:
                asking.setdefault(name, []).append(place)
        values: list[dict[str, str]] = [{} for _ in rows]
        for name in sorted(asking):
            at = pl.Series([rows[place] for place in asking[name]], dtype=pl.UInt32)
            for place, text in zip(asking[name], texts_at(frame, name, at).to_list(), strict=True):
                if text is not None:
                    values[place][name] = text[:VALUE_CHARACTERS_MAX]
        return values


def _finding(rule: Rule, fact: Mapping[str, Any], values: dict[str, str]) -> Finding:
    entity = Entity(Scope(fact["scope"]), fact["entity"])
    ids = tuple(one for one in fact["ids"] if one is not None)
    return Finding(
        id=finding_id(rule.id, entity, fact["minute"]),
        time=fact["time"],
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
