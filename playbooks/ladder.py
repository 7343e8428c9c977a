"""The ladder of a playbook: which findings it is for, its rungs, and when each is reached."""

from __future__ import annotations

from typing import Final

import msgspec

from detectors.finding import Finding, Scope, Severity
from playbooks.action import Action
from playbooks.decision import Mode, Tier, Unanswered

ENFORCEABLE: Final = (
    Scope.APP,
    Scope.DEVELOPER,
    Scope.USER,
    Scope.DEVICE,
    Scope.ADDRESS,
    Scope.RANGE,
    Scope.DOMAIN,
)
"""The scopes on which a decision can be carried out. Findings about others are for people."""

MEMORY_DAYS: Final = 90
"""Days of event time after which an earlier act no longer counts as repetition."""


class Match(msgspec.Struct, frozen=True, kw_only=True):
    """Which findings a playbook is for: every line that is given must hold, by at least one of its values."""

    scopes: frozenset[Scope] = frozenset(ENFORCEABLE)
    behaviours: frozenset[int] = frozenset()
    tags: frozenset[str] = frozenset()
    rules: frozenset[str] = frozenset()
    kinds: frozenset[str] = frozenset()
    min_severity: Severity = Severity.INFORMATIONAL

    def holds(self, finding: Finding) -> bool:
        """Whether a finding is meant."""
        return (
            finding.entity.scope in self.scopes
            and finding.severity.rank >= self.min_severity.rank
            and (not self.behaviours or any(f"behaviour.{number}" in finding.tags for number in self.behaviours))
            and (not self.tags or not self.tags.isdisjoint(finding.tags))
            and (not self.rules or finding.rule.id in self.rules)
            and (not self.kinds or finding.kind in self.kinds)
        )


class Footing(msgspec.Struct, frozen=True, kw_only=True):
    """Where an entity stands when a finding has been counted: what a step's `when` is compared with.

    `repeats`: earlier acts of the playbook after whose beginning this offence happened. `deadlines_missed`: earlier
    warnings of the playbook whose deadline had passed when it happened.
    """

    risk: float
    findings: int
    repeats: int
    deadlines_missed: int


class When(msgspec.Struct, frozen=True, kw_only=True):
    """The least that must be true for a step; all of it together."""

    risk: int = 0
    findings: int = 1
    repeats: int = 0
    deadlines_missed: int = 0

    def reached(self, footing: Footing) -> bool:
        return (
            footing.risk >= self.risk
            and footing.findings >= self.findings
            and footing.repeats >= self.repeats
            and footing.deadlines_missed >= self.deadlines_missed
        )


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A rung of a playbook: when it is reached, and what is done there.

    What a guard holds waits for a person for `answer_within_s` (None: as long as is laid down for its tier), and then becomes
    what `unanswered` says.
    """

    tier: Tier
    when: When
    actions: tuple[Action, ...]
    answer_within_s: int | None = None
    unanswered: Unanswered = Unanswered.LAPSE


class Playbook(msgspec.Struct, frozen=True, kw_only=True):
    """Steps stand in order of their tier; the last one reached is the one that counts.

    Of several playbooks for a finding the one with the lowest `priority` is used, then the first by name.
    `per_owner`: repetition counts the acts on all apps of the developer.
    """

    name: str
    title: str
    priority: int
    match: Match
    mode: Mode = Mode.LIVE
    per_owner: bool = False
    memory_days: int = MEMORY_DAYS
    steps: tuple[Step, ...]

    @property
    def origin(self) -> str:
        """How its decisions name it."""
        return f"playbook:{self.name}"

    def in_shadow(self) -> Playbook:
        """The same, but what it decides is only recorded."""
        return msgspec.structs.replace(self, mode=Mode.SHADOW)

    def reached(self, footing: Footing) -> list[Step]:
        """The steps reached, highest first."""
        return [step for step in reversed(self.steps) if step.when.reached(footing)]


def first_match(playbooks: tuple[Playbook, ...], finding: Finding) -> Playbook | None:
    """The playbook for a finding; `playbooks` are in their order already."""
    return next((playbook for playbook in playbooks if playbook.match.holds(finding)), None)
