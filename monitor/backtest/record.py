"""The record of a run over the past: what deciding has to know, in memory; findings are handed on once they are final.

A finding of single events grows while events of its minute come. It is final, and handed on, when time is
`LATE_S_MAX` past it, when more than `FINDINGS_HELD_MAX` are held (the oldest first), or at the end; a part that comes
later still is counted in `parts_lost`. A window's finding is final at once. Decisions and risks stay, as in the daemon's
record: they grow with the entities that something was found about.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from detectors.event import MICROSECONDS
from detectors.finding import Entity, Finding, merge
from monitor.decoders import DeadLetter
from monitor.stores import Controlled, Mark, Marked, Progress, Segment, StaleTurn, Standing, Turn
from monitor.stores.record import DECISIONS_PER_ENTITY_MAX, NOT_ENDED, RECENT_DECISIONS_MAX
from monitor.stores.undos import MarkInForce, Verdict
from playbooks.clocks import Clock
from playbooks.decision import Decision
from playbooks.incident import Incident, IncidentState
from playbooks.known import RECENT_S
from playbooks.risk import Risk

FINDINGS_HELD_MAX: Final = 100_000
"""Findings of single events that may still grow."""

LATE_S_MAX: Final = 86_400
"""How long a finding of single events may still grow, in the stream's time."""

KNOWN_MAX: Final = 1_000_000
"""Findings handed on that are remembered, so that a late part of one is not taken for a new one."""

LETTERS_MAX: Final = 5
"""Lines that are no events, kept as examples."""


class PastRecord:
    """A `Store` for one run. `final` is given each finding, in the order in which they began, once it is whole."""

    def __init__(
        self,
        final: Callable[[Finding], None] = lambda _finding: None,
        *,
        whole_at_once: Collection[str] = (),
        standings: Sequence[Standing] = (),
        marks: Sequence[MarkInForce] = (),
        held_max: int = FINDINGS_HELD_MAX,
    ) -> None:
        """`whole_at_once`: ids of the rules whose findings never grow."""
        self._final = final
        self._whole_at_once = frozenset(whole_at_once)
        self._standings = standings
        self._marks = marks
        self._held_max = held_max
        self._held: dict[str, Finding] = {}
        self._handed_on: dict[str, None] = {}
        self._risks: dict[Entity, Risk] = {}
        self._incidents: dict[Entity, Incident] = {}
        self._of: dict[Entity, dict[str, Decision]] = {}
        self._of_owner: dict[str, dict[str, Decision]] = {}
        self._recent: dict[str, Decision] = {}
        self.decisions: dict[str, Decision] = {}
        self.parts_lost = 0
        self.events = 0
        self.letters: Counter[str] = Counter()
        self.first_letters: list[DeadLetter] = []
        self._turn = 0
        self._mark: Mark | None = None

    def finish(self) -> None:
        """Hand on what is left: nothing more comes."""
        while self._held:
            self._hand_on(next(iter(self._held)))

    def commit(self, turn: Turn) -> None:
        if turn.number <= self._turn:
            raise StaleTurn(f"turn {turn.number} comes after turn {self._turn}, which is committed")
        self._turn, self._mark = turn.number, turn.mark
        for letter in turn.dead_letters:
            self.letters[letter.reason.value] += 1
        self.first_letters += turn.dead_letters[: LETTERS_MAX - len(self.first_letters)]
        self._risks.update((risk.entity, risk) for risk in turn.risks)
        for incident in turn.incidents:
            self._take_incident(incident)
        for decision in turn.decisions:
            self._take_decision(decision)
        for finding in turn.findings:
            self._take_finding(finding)
        self._hand_on_old(turn.mark.watermark if turn.mark else 0)

    def _take_finding(self, part: Finding) -> None:
        if part.rule.id in self._whole_at_once:
            self._remember(part.id)
            self._final(part)
        elif part.id in self._handed_on:
            self.parts_lost += 1
        else:
            earlier = self._held.get(part.id)
            self._held[part.id] = merge(earlier, part) if earlier else part

    def _hand_on_old(self, watermark: int) -> None:
        while self._held:
            key, finding = next(iter(self._held.items()))
            is_past = finding.time + LATE_S_MAX * MICROSECONDS < watermark
            if not is_past and len(self._held) <= self._held_max:
                return
            self._hand_on(key)

    def _hand_on(self, key: str) -> None:
        self._remember(key)
        self._final(self._held.pop(key))

    def _remember(self, key: str) -> None:
        self._handed_on[key] = None
        if len(self._handed_on) > KNOWN_MAX:
            del self._handed_on[next(iter(self._handed_on))]

    def _take_incident(self, incident: Incident) -> None:
        known = self._incidents.get(incident.entity)
        if known is None or (incident.opened, incident.id) >= (known.opened, known.id):
            self._incidents[incident.entity] = incident

    def _take_decision(self, decision: Decision) -> None:
        self.decisions[decision.id] = decision
        self._of.setdefault(decision.entity, {})[decision.id] = decision
        if decision.owner is not None:
            self._of_owner.setdefault(decision.owner, {})[decision.id] = decision
        self._recent[decision.id] = decision
        if len(self._recent) > 2 * RECENT_DECISIONS_MAX:
            since = max(one.time for one in self._recent.values()) - RECENT_S * MICROSECONDS
            self._recent = {key: one for key, one in self._recent.items() if one.time >= since}

    # What deciding asks.

    def known_findings(self, ids: Collection[str]) -> set[str]:
        return {key for key in ids if key in self._held or key in self._handed_on}

    def risks(self, entities: Collection[Entity]) -> dict[Entity, Risk]:
        return {entity: self._risks[entity] for entity in entities if entity in self._risks}

    def open_incidents(self, entities: Collection[Entity]) -> dict[Entity, Incident]:
        found = {entity: self._incidents[entity] for entity in entities if entity in self._incidents}
        return {entity: one for entity, one in found.items() if one.state is IncidentState.OPEN}

    def clocks_of(self, incidents: Collection[str]) -> Sequence[Clock]:  # noqa: ARG002 - in the past nobody is waited for
        return ()

    def decisions_of(self, entities: Collection[Entity]) -> Mapping[Entity, Sequence[Decision]]:
        return {entity: _remembered(self._of.get(entity, {})) for entity in entities}

    def decisions_of_owners(self, owners: Collection[str]) -> Mapping[str, Sequence[Decision]]:
        return {owner: _remembered(self._of_owner.get(owner, {})) for owner in owners}

    def recent_decisions(self, since: int) -> Sequence[Decision]:
        return _newest_first([one for one in self._recent.values() if one.time >= since])[:RECENT_DECISIONS_MAX]

    def rulings_version(self) -> int:
        """Nobody lays down anything while the past is gone through."""
        return 0

    def standings(self, now: int) -> Sequence[Standing]:
        return [one for one in self._standings if one.expires > now]

    def marks_in_force(self, at: int, verdict: Verdict | None = None) -> Sequence[MarkInForce]:
        return [one for one in self._marks if one.expires > at and verdict in {None, one.verdict}]

    def note_rules(self, rules: Mapping[str, Sequence[str]], now: int) -> Mapping[str, int]:  # noqa: ARG002 - nothing is kept
        """In the past every rule has been in force for ever."""
        return dict.fromkeys(rules, 0)

    # What a new record answers.

    def last_turn(self) -> int:
        return self._turn

    def progress(self) -> dict[str, Progress]:
        return {}

    def last_mark(self) -> Mark | None:
        return self._mark

    def marks(self, after_turn: int) -> Sequence[Marked]:  # noqa: ARG002 - none is kept
        return ()

    def controls(self, subject: str) -> Sequence[Controlled]:  # noqa: ARG002 - nothing is ever taken up again
        return ()

    def content(self, digest: str) -> bytes | None:  # noqa: ARG002 - as above
        return None

    def forget_marks(self, before_turn: int) -> None:
        """There is nothing to forget."""

    def segments(self, day: str | None = None) -> Sequence[Segment]:  # noqa: ARG002 - there are none
        return ()

    def close(self) -> None:
        """There is nothing to let go."""


def _newest_first(decisions: Collection[Decision]) -> list[Decision]:
    return sorted(decisions, key=lambda one: (one.time, one.id), reverse=True)


def _remembered(known: Mapping[str, Decision]) -> Sequence[Decision]:
    """As the daemon's record does: the newest, and all that have not ended."""
    decisions = _newest_first(known.values())
    if len(decisions) <= DECISIONS_PER_ENTITY_MAX:
        return decisions
    newest = {one.id for one in decisions[:DECISIONS_PER_ENTITY_MAX]}
    return [one for one in decisions if one.id in newest or one.state in NOT_ENDED]
