"""Rules that bring out a fault of ours with one event after another are left out, so that the others watch on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import polars as pl

from detectors.event import WATERMARK, Batch
from detectors.learned.telling import NAME as LEARNED
from detectors.sigma import Rule, SigmaDetector
from detectors.statistical.detector import NAME as STATISTICS
from monitor.audit import AuditEntry
from monitor.containment import FAULTS
from monitor.rules import closure
from monitor.rules.lineup import Lineup
from monitor.telemetry import Telemetry, upkeep

SUSPENDED: Final = "rule.suspend"
TRIAL_ENDED: Final = "rule.trial-ended"
"""What the audit calls it."""

WORDS: Final = {STATISTICS: "statistics", LEARNED: "models"}
"""What is no rule, as people call it."""


def faulty_rules(rules: Sequence[Rule], event: pl.DataFrame) -> list[Rule]:
    """The rules that bring out a fault with an event by themselves, or with what they count; one after another."""
    by_id = {rule.id: rule for rule in rules}
    batch = Batch(event, int(event[WATERMARK][0]))
    return [rule for rule in rules if _is_faulty(closure([rule], by_id), batch)]


def _is_faulty(rules: Sequence[Rule], batch: Batch) -> bool:
    try:
        SigmaDetector(rules).observe(batch)
    except FAULTS:
        return True
    return False


class Suspensions:
    """What was left out of lineups, and why: told, shown, and waiting to be written to the audit."""

    def __init__(self, telemetry: Telemetry, clock: Callable[[], int]) -> None:
        self._telemetry = telemetry
        self._clock = clock
        self._why: dict[str, str] = {}
        self.tried: dict[str, str] = {}  # rules that ended their trial, and why
        self.audit: list[AuditEntry] = []

    def without_faulty(self, lineup: Lineup, event: pl.DataFrame, why: str) -> Lineup | None:
        """The lineup without the rules that cannot look at an event; None when it is none of them. A trial ends with its first."""
        faulty = faulty_rules(lineup.rules, event)
        tried = faulty_rules(lineup.trial.rules, event) if lineup.trial is not None else []
        if not (faulty or tried):
            return None
        gone = {rule.id for rule in faulty}
        left = [rule for rule in lineup.rules if rule.id not in gone]
        for rule in faulty:
            self._why[rule.id] = f"rule {rule.id} is suspended: it brought out a fault of the program ({why})"
            self._tell(SUSPENDED, rule.id, why)
        for rule in tried:
            self.tried[rule.id] = f"rule {rule.id} is no longer tried: it brought out a fault of the program ({why})"
            self._tell(TRIAL_ENDED, rule.id, why)
        learned = lineup.learned.again() if lineup.learned is not None else None
        trial = None if tried else lineup.trial
        return Lineup.of(left, lineup.window_events_max, trial, lineup.statistics, learned)

    def without(self, name: str, lineup: Lineup, why: str) -> Lineup:
        """The lineup without statistics, or without models, whichever has this name and has ended in a fault."""
        self._why[name] = f"{WORDS[name]} are suspended: they brought out a fault of the program ({why})"
        self._tell(SUSPENDED, name, why)
        return lineup.without(name)

    def forget(self) -> None:
        """Rules were read anew: each has another chance."""
        self._why.clear()
        self.tried.clear()

    def words(self, lineup: Lineup) -> tuple[str, ...]:
        """Which rules do not watch because they cannot, for people."""
        watching = {rule.id for rule in lineup.rules} | {one.name for one in lineup.detectors}
        return (*(why for rule, why in self._why.items() if rule not in watching), *self.tried.values())

    def _tell(self, action: str, rule: str, why: str) -> None:
        self._telemetry.emit(upkeep.RuleSuspended(rule=rule, error=why))
        self.audit.append(
            AuditEntry(time=self._clock(), actor="system:pipeline", action=action, subject=rule, reason=why)
        )


def suspended(entries: Iterable[AuditEntry], since: int) -> dict[str, AuditEntry]:
    """By the audit, the rules that were left out since a time (microseconds), the newest word on each."""
    return {one.subject: one for one in entries if one.action in {SUSPENDED, TRIAL_ENDED} and one.time >= since}
