"""Two rule sets over the same past: what one finds and decides that the other does not, or does otherwise.

Of a finding only what is compared is remembered, 28 bytes; a finding is the same in both when its id is.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
import polars as pl

from detectors.finding import Finding
from detectors.sigma import Rule
from playbooks.decision import Decision

EXAMPLES_MAX: Final = 3
"""Ids named of what is new, gone or changed, for each rule."""

FINDINGS_MAX: Final = 10_000_000
"""Findings of one side that are compared; what comes after is counted in `left_out`."""


class Remembered:
    """The findings of one side, by their ids and a digest of what they say."""

    def __init__(self, places: dict[str, int]) -> None:
        self._places = places  # of rules, the same on both sides
        self._rules = array("I")
        self._high, self._low, self._said = array("Q"), array("Q"), array("Q")
        self.left_out = 0

    def add(self, finding: Finding) -> None:
        if len(self._rules) >= FINDINGS_MAX:
            self.left_out += 1
            return
        number = int(finding.id, 16)
        self._rules.append(self._places[finding.rule.id])
        self._high.append(number >> 64)
        self._low.append(number & (2**64 - 1))
        self._said.append(_digest(finding))

    def frame(self) -> pl.DataFrame:
        return pl.DataFrame(
            [
                pl.Series("rule", self._rules, dtype=pl.UInt32),
                pl.Series("high", self._high, dtype=pl.UInt64),
                pl.Series("low", self._low, dtype=pl.UInt64),
                pl.Series("said", self._said, dtype=pl.UInt64),
            ]
        )


def _digest(finding: Finding) -> int:
    """Of what a finding says about what happened; not of the rule's version or words."""
    said = (
        finding.first_event,
        finding.last_event,
        finding.evidence.count,
        finding.severity,
        finding.proof,
        finding.tags,
    )
    return int.from_bytes(hashlib.blake2b(msgspec.json.encode(said), digest_size=8).digest())


@dataclass(slots=True)
class Change:
    """What is different for one rule."""

    rule: str
    title: str
    findings: int = 0
    before: int = 0
    added: int = 0
    gone: int = 0
    changed: int = 0
    decisions_added: Counter[str] = field(default_factory=Counter)
    decisions_gone: Counter[str] = field(default_factory=Counter)
    decisions_changed: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    @property
    def is_none(self) -> bool:
        decided = (self.decisions_added, self.decisions_gone, self.decisions_changed)
        return not (self.added or self.gone or self.changed or any(decided))

    def row(self) -> dict[str, object]:
        return {
            "rule": self.rule,
            "title": self.title,
            "findings": {"now": self.findings, "before": self.before, "added": self.added, "gone": self.gone, "changed": self.changed},
            "decisions": {
                "added": dict(self.decisions_added),
                "gone": dict(self.decisions_gone),
                "changed": dict(self.decisions_changed),
            },
            "examples": self.examples,
        }  # fmt: skip


@dataclass(slots=True)
class Side:
    """One rule set's run."""

    found: Remembered
    decisions: Sequence[Decision] = ()


class Comparison:
    """The sides of a comparison, and what is different in the end: `now` is what is tried, `before` what it is held against."""

    def __init__(self, now: Sequence[Rule], before: Sequence[Rule]) -> None:
        titles = {rule.id: rule.title for rule in (*before, *now)}
        self._rules = list(titles)
        self._titles = titles
        places = {rule: place for place, rule in enumerate(titles)}
        self.now, self.before = Side(Remembered(places)), Side(Remembered(places))

    def changes(self) -> list[Change]:
        """A line for each rule that found or decided anything, those with most differences first."""
        lines = {rule: Change(rule, title) for rule, title in self._titles.items()}
        self._findings(lines)
        _decisions(lines, self.now.decisions, self.before.decisions)
        told = [line for line in lines.values() if line.findings or line.before or not line.is_none]
        return sorted(told, key=lambda line: (-(line.added + line.gone + line.changed), -line.findings, line.rule))

    def _findings(self, lines: dict[str, Change]) -> None:
        joined = self.now.found.frame().join(
            self.before.found.frame(), on=["rule", "high", "low"], how="full", coalesce=True, suffix="_before"
        )
        now, before = pl.col("said").is_not_null(), pl.col("said_before").is_not_null()
        kinds = {
            "added": now & ~before,
            "gone": before & ~now,
            "changed": now & before & (pl.col("said") != pl.col("said_before")),
        }
        counts = joined.group_by("rule").agg(
            now.sum().alias("findings"),
            before.sum().alias("before"),
            *(kinds[name].sum().alias(name) for name in kinds),
        )
        for row in counts.iter_rows(named=True):
            line = lines[self._rules[row.pop("rule")]]
            for name, value in row.items():
                setattr(line, name, value)
        for name, kind in kinds.items():
            some = (
                joined.filter(kind).sort("rule", "high", "low").group_by("rule", maintain_order=True).head(EXAMPLES_MAX)
            )
            for rule, high, low in some.select("rule", "high", "low").iter_rows():
                lines[self._rules[rule]].examples.setdefault(name, []).append(f"{(high << 64) + low:032x}")


def _decisions(lines: dict[str, Change], now: Iterable[Decision], before: Iterable[Decision]) -> None:
    """Decisions of one rule about the same entity, of the same act, are compared in the order of time."""
    first, second = _told_apart(now), _told_apart(before)
    for key in first.keys() | second.keys():
        line = lines.get(key[0])
        if line is None:
            continue
        one, other = first.get(key), second.get(key)
        if one is not None and other is not None:
            if _fate(one) != _fate(other):
                line.decisions_changed[one.type.value] += 1
        elif one is not None:
            line.decisions_added[one.type.value] += 1
        elif other is not None:
            line.decisions_gone[other.type.value] += 1


_Key = tuple[str, str, str, str, str, int]


def _told_apart(decisions: Iterable[Decision]) -> dict[_Key, Decision]:
    found: dict[_Key, Decision] = {}
    numbers: Counter[tuple[str, str, str, str, str]] = Counter()
    for one in sorted(decisions, key=lambda one: (one.time, one.id)):
        key = (one.rule or "", one.scope.value, one.value, one.type.value, one.target or "")
        found[*key, numbers[key]] = one
        numbers[key] += 1
    return found


def _fate(one: Decision) -> tuple[object, ...]:
    return one.time, one.duration_s, one.state, one.reason, one.tier, one.parameters, one.mode
