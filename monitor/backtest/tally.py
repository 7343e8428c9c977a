"""What came of each rule, in numbers: for people, who do not read findings one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from detectors.finding import Entity, Finding
from detectors.sigma import Rule
from playbooks.decision import Decision

ENTITIES_MAX = 10_000
"""Entities of one rule that are told apart; more are not counted."""


@dataclass(slots=True)
class Line:
    """One rule's findings and would-be decisions."""

    rule: Rule
    findings: int = 0
    events: int = 0
    entities: set[Entity] = field(default_factory=set)
    decisions: Counter[str] = field(default_factory=Counter)

    @property
    def decided(self) -> str:
        """Would-be decisions in words, most frequent first."""
        return ", ".join(f"{count} {what}" for what, count in self.decisions.most_common())

    def row(self) -> dict[str, object]:
        return {
            "rule": self.rule.id,
            "title": self.rule.title,
            "path": self.rule.path,
            "severity": self.rule.severity.value,
            "findings": self.findings,
            "events": self.events,
            "entities": len(self.entities),
            "decisions": dict(self.decisions),
        }


class Tally:
    """Counts findings as they come and decisions at the end; rules that found nothing have a line too."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.lines = {rule.id: Line(rule) for rule in rules if not rule.silent}

    def add(self, finding: Finding) -> None:
        line = self.lines[finding.rule.id]
        line.findings += 1
        line.events += finding.evidence.count
        if len(line.entities) < ENTITIES_MAX:
            line.entities.add(finding.entity)

    def decided(self, decisions: Iterable[Decision]) -> None:
        for decision in decisions:
            if decision.rule in self.lines:
                self.lines[decision.rule].decisions[said(decision)] += 1

    def most_first(self) -> list[Line]:
        return sorted(self.lines.values(), key=lambda line: (-line.findings, line.rule.path, line.rule.line))


def said(decision: Decision) -> str:
    """What a would-be decision is, for counting: its act, and how it stands where nothing would be done."""
    held = decision.state.value in ("held", "awaiting-approval")
    return f"{decision.type.value} (held)" if held else decision.type.value
